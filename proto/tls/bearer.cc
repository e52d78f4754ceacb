#include "proto/tls/bearer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/client_interceptor.h>
#include <sys/stat.h>

#include "proto/tls/uncompressed.h"

namespace assent::tls {
namespace {

namespace lib = grpc::experimental;

constexpr std::string_view kBlanks = " \t\r\n";

bool IsUnix(std::string_view endpoint) {
  return endpoint.rfind("unix:", 0) == 0 || endpoint.rfind("unix-abstract:", 0) == 0;
}

std::string_view Trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

// The message never has any of it.
Status CheckToken(const std::string& what, std::string_view token) {
  if (token.empty()) return InvalidArgument(what + " is empty");
  if (token.size() > kMaxBearerBytes) {
    return InvalidArgument(what + " has more than " + std::to_string(kMaxBearerBytes) + " bytes");
  }
  const bool plain =
      std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 127; });
  if (plain) return OkStatus();
  return InvalidArgument(what + " has blanks or other characters that no token has");
}

Result<std::string> ReadToken(const std::string& path) {
  const std::string what = "the token's file " + path;
  std::ifstream file(path, std::ios::binary);
  file.peek();  // which a folder cannot do
  if (!file.is_open() || file.bad())
    return InvalidArgument(what + " cannot be read: " + std::strerror(errno));
  // Enough to see that it is too long, blanks around it left aside.
  std::string text(2 * kMaxBearerBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  const std::string token(Trimmed(text));
  if (Status s = CheckToken(what, token); !s.ok()) return s;
  return token;
}

class Shows final : public lib::Interceptor {
 public:
  explicit Shows(Bearer& bearer) : bearer_(bearer) {}
  void Intercept(lib::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(lib::InterceptionHookPoints::PRE_SEND_INITIAL_METADATA))
      methods->GetSendInitialMetadata()->emplace("authorization", bearer_.Value());
    methods->Proceed();
  }

 private:
  Bearer& bearer_;
};

// Owned by the channel, which its calls keep.
class ShowsFactory final : public lib::ClientInterceptorFactoryInterface {
 public:
  explicit ShowsFactory(std::shared_ptr<Bearer> bearer) : bearer_(std::move(bearer)) {}
  lib::Interceptor* CreateClientInterceptor(lib::ClientRpcInfo*) override {
    return new Shows(*bearer_);  // gRPC's
  }

 private:
  const std::shared_ptr<Bearer> bearer_;
};

}  // namespace

bool IsWithinMachine(std::string_view endpoint) {
  if (IsUnix(endpoint)) return true;
  const std::string_view host = endpoint.substr(0, endpoint.rfind(':'));
  if (host == "localhost" || host == "[::1]") return true;
  // Digits alone: a name may begin with "127." too.
  return host.rfind("127.", 0) == 0 &&
         host.find_first_not_of("0123456789.") == std::string_view::npos;
}

Result<std::shared_ptr<Bearer>> Bearer::Open(const BearerOptions& options) {
  if (options.token.empty() && options.file.empty()) return std::shared_ptr<Bearer>();
  if (!options.token.empty() && !options.file.empty())
    return InvalidArgument("there is a token and a token's file, and one of them alone can count");
  std::shared_ptr<Bearer> bearer(new Bearer(options));
  const MutexLock lock(bearer->mutex_);
  std::string token = options.token;
  if (options.file.empty()) {
    if (Status s = CheckToken("the token", token); !s.ok()) return s;
  } else {
    bearer->mark_ = MarkOf(options.file);
    Result<std::string> read = ReadToken(options.file);
    if (!read.ok()) return read.status();
    token = std::move(read).value();
  }
  bearer->value_ = "Bearer " + token;
  return bearer;
}

Status Bearer::Check(const std::string& endpoint, bool tls) const {
  if (over_plain_ || IsWithinMachine(endpoint) || (tls && !IsUnix(endpoint))) return OkStatus();
  return InvalidArgument("the token could be read by others on its way to " + endpoint +
                         ": dial over TLS, or say that it may be shown without");
}

std::string Bearer::Value() {
  const MutexLock lock(mutex_);
  if (file_.empty()) return value_;
  // The mark first: what is written between the two is read again.
  const Mark mark = MarkOf(file_);
  if (mark == mark_) return value_;
  const Result<std::string> token = ReadToken(file_);
  if (!token.ok()) return value_;  // perhaps half of it is written: looked at again
  mark_ = mark;
  value_ = "Bearer " + *token;
  return value_;
}

Bearer::Mark Bearer::MarkOf(const std::string& path) {
  struct stat what {};
  if (::stat(path.c_str(), &what) != 0) return {};
  constexpr std::int64_t kNsPerSecond = 1'000'000'000;
  return {what.st_ino, what.st_size, what.st_ctim.tv_sec * kNsPerSecond + what.st_ctim.tv_nsec};
}

std::shared_ptr<grpc::Channel> CreateChannel(
    const std::string& endpoint, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    const grpc::ChannelArguments& given, const std::shared_ptr<Bearer>& bearer) {
  grpc::ChannelArguments arguments = given;
  TakeNothingCompressed(arguments);
  const bool secure = credentials != nullptr && !IsUnix(endpoint);
  const auto chosen = secure ? credentials : grpc::InsecureChannelCredentials();
  if (bearer == nullptr || !bearer->Check(endpoint, secure).ok())
    return grpc::CreateCustomChannel(endpoint, chosen, arguments);
  std::vector<std::unique_ptr<lib::ClientInterceptorFactoryInterface>> shows;
  shows.push_back(std::make_unique<ShowsFactory>(bearer));
  return lib::CreateCustomChannelWithInterceptors(endpoint, chosen, arguments, std::move(shows));
}

}  // namespace assent::tls
