#pragma once

// A token that a client of gRPC shows with every call and stream, `authorization: Bearer TOKEN`:
// the same for the SDK and assentctl.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <assent/status.h>
#include <assent/thread_safety.h>

namespace grpc {
class Channel;
class ChannelArguments;
class ChannelCredentials;
}  // namespace grpc

namespace assent::tls {

// Of a token: a JWT of an issuer who is generous with claims.
inline constexpr std::size_t kMaxBearerBytes = 8192;

struct BearerOptions {
  std::string token = {};
  // What stands in it, without blanks and line ends around it. Looked at before each call: a new
  // token counts from then on. Instead of `token`.
  std::string file = {};
  // It is shown without TLS as well, to whoever listens on the way.
  bool over_plain = false;
};

// Whether nobody but this machine hears what is said: "unix:PATH", or a loopback address.
bool IsWithinMachine(std::string_view endpoint);

// Thread-safety: every method may be called from any thread.
class Bearer {
 public:
  // Null without a token and a file. kInvalidArgument: both, or one that is no token.
  static Result<std::shared_ptr<Bearer>> Open(const BearerOptions& options);

  // OK if it may be shown to this endpoint; kInvalidArgument says what to do. `tls`: it is dialled
  // over TLS.
  Status Check(const std::string& endpoint, bool tls) const;
  // "Bearer TOKEN". A file that cannot be read, or has no token now, leaves the last one.
  std::string Value() ASSENT_EXCLUDES(mutex_);

 private:
  // By which a file is known to be the same.
  struct Mark {
    std::uint64_t inode = 0;
    std::int64_t size = -1;
    std::int64_t changed_ns = 0;
    bool operator==(const Mark&) const = default;
  };
  explicit Bearer(const BearerOptions& options)
      : file_(options.file), over_plain_(options.over_plain) {}
  static Mark MarkOf(const std::string& path);

  const std::string file_;
  const bool over_plain_;
  Mutex mutex_;
  Mark mark_ ASSENT_GUARDED_BY(mutex_);
  std::string value_ ASSENT_GUARDED_BY(mutex_);
};

// Over TLS with these credentials, or plain without; a Unix socket is always plain. `bearer` may be
// null. Where it may not be shown (a coordinator of a cluster that another one told of) it is not,
// and the calls are nobody's.
std::shared_ptr<grpc::Channel> CreateChannel(
    const std::string& endpoint, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    const grpc::ChannelArguments& arguments, const std::shared_ptr<Bearer>& bearer);

}  // namespace assent::tls
