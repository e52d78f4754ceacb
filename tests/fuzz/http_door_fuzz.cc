// Bytes of a caller of the HTTP port, in pieces, into its connection, with a whole coordinator
// behind it. What comes back is answers of HTTP, one after the other, each of a code that we give
// and, where it says so, JSON; and when the caller has left, nothing is left of the connection.
//
//   how large the pieces are (0: all at once); then the bytes

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>
#include <sys/socket.h>

#include <assent/status.h>

#include "coordinator/http/connection.h"
#include "coordinator/http/desk.h"
#include "coordinator/service/service.h"
#include "tests/engine/engine_rig.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/quiet.h"

namespace assent::fuzz {
namespace {

namespace beast = boost::beast;
using std::chrono::milliseconds;

// Whoever is not answered within it waits for something that does not come.
constexpr milliseconds kGrace{20};
constexpr milliseconds kPatience{20'000};

http::DeskOptions Options() {
  http::DeskOptions options;
  options.health.look = [] { return std::vector<http::Check>{{"room", true, "enough"}}; };
  options.health.write = [](std::function<void(const Status&)> done) { done(OkStatus()); };
  options.metrics = [] { return std::string("up 1\n"); };
  options.metrics_type = "text/plain";
  options.version = "1";
  return options;
}

struct Coordinator {
  Coordinator() : desk(Options()) {
    engine = std::make_unique<engine::Engine>(engine::EngineOptions{}, log,
                                              [](const Status&) { ASSENT_CHECK(false); });
    ASSENT_CHECK(engine->Recover().ok());
    engine->Start(outbox);
    service::ServiceOptions options;
    options.participants = [](const std::string&) {
      return std::vector<transport::ServiceInfo>{{"books", {}, {}, 0}};
    };
    service = std::make_unique<service::Service>(std::move(options), *engine);
    desk.Open({.service = *service});
  }
  ~Coordinator() { engine->Stop(); }

  engine::LockedLog log;
  engine::Outbox outbox;
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<service::Service> service;
  http::Desk desk;
  http::Ledger ledger{8, 8};
};

// One connection, and its caller, on this thread.
class Call {
 public:
  explicit Call(Coordinator& here) {
    std::array<int, 2> ends{};
    ASSENT_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()) == 0);
    caller_ = ends[0];
    service::Caller who{.connection = "ipv4:127.0.0.1:1", .address = "ipv4:127.0.0.1"};
    http::Counted counted{.network = who.address, .entry = here.ledger.Enter(who.address)};
    http::Socket socket(lane_.context, http::Tcp::v4(), ends[1]);
    connection_ =
        std::make_shared<http::Connection>(lane_, here.ledger, here.desk, std::move(socket),
                                           std::move(who), std::move(counted), nullptr);
    connection_->Begin();
  }
  ~Call() { close(caller_); }

  // Who says more while it waits may be taken for one who has left: the next piece comes later.
  void Say(std::string_view bytes, std::size_t piece) {
    while (!bytes.empty()) {
      const std::string_view part = bytes.substr(0, piece == 0 ? bytes.size() : piece);
      const ssize_t sent = send(caller_, part.data(), part.size(), MSG_NOSIGNAL);
      if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
      if (!Go() && sent <= 0) return;
      AwaitAnswers();
    }
  }
  // Everything that was answered.
  std::string Leave() {
    shutdown(caller_, SHUT_WR);
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (!lane_.connections.empty()) {
      ASSENT_CHECK(std::chrono::steady_clock::now() < until);
      if (!Go()) RunOne();
      if (!lane_.connections.empty()) connection_->See(std::chrono::steady_clock::now());
    }
    Go();
    return std::move(heard_);
  }

 private:
  // Those that the coordinator's threads give.
  void AwaitAnswers() {
    const auto until = std::chrono::steady_clock::now() + kGrace;
    while (Waits() && std::chrono::steady_clock::now() < until) {
      RunOne();
      Go();
    }
  }
  void RunOne() { lane_.context.run_one_for(milliseconds(1)); }
  // All that there is to do; whether there was anything.
  bool Go() {
    bool any = false;
    for (bool more = true; more;) {
      more = lane_.context.poll() > 0;
      more = lane_.bench.context.poll() > 0 || more;
      std::array<char, 65536> room{};
      for (ssize_t got = 0; (got = recv(caller_, room.data(), room.size(), 0)) > 0; more = true)
        heard_.append(room.data(), static_cast<std::size_t>(got));
      any = any || more;
    }
    return any;
  }
  bool Waits() const {
    for (std::uint64_t number = 1; number < 100; ++number)
      if (connection_->IsCurrent(number)) return true;
    return false;
  }

  http::Bench bench_;
  http::Lane lane_{bench_};
  std::shared_ptr<http::Connection> connection_;
  int caller_ = -1;
  std::string heard_;
};

void CheckAnswer(unsigned code, std::string_view type, std::string_view body, bool whole) {
  ASSENT_CHECK(code >= 200 && code != 500 && code < 505);
  if (type != "application/json" || !whole || body.empty()) return;
  const nlohmann::json read = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  ASSENT_CHECK(read.is_object());
  if (code >= 400) ASSENT_CHECK(read.contains("code") && !read["message"].empty());
}

// Answers to HEAD have the length of a body that is not there: then this is all that is looked at.
void CheckAnswers(std::string_view heard) {
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  while (!heard.empty()) {
    while (heard.starts_with(kContinue)) heard.remove_prefix(kContinue.size());
    if (heard.empty()) return;
    beast::http::response_parser<beast::http::string_body> parser;
    parser.header_limit(64 * 1024);
    parser.body_limit(boost::none);
    parser.eager(true);
    beast::error_code failed;
    const std::size_t used = parser.put({heard.data(), heard.size()}, failed);
    if (failed == beast::http::error::need_more) failed = {};
    ASSENT_CHECK(!failed && parser.is_header_done());
    const auto& answer = parser.get();
    const auto type = answer[beast::http::field::content_type];
    CheckAnswer(answer.result_int(), {type.data(), type.size()}, answer.body(), parser.is_done());
    if (!parser.is_done()) return;
    heard.remove_prefix(used);
  }
}

void Try(Input in) {
  static std::unique_ptr<Coordinator> here;
  if (here == nullptr) here = std::make_unique<Coordinator>();
  const std::size_t piece = in.Byte();
  const std::string_view bytes = in.Rest();
  std::string heard;
  {
    Call call(*here);
    call.Say(bytes, piece);
    heard = call.Leave();
  }
  if (bytes.find("HEAD ") == std::string_view::npos) CheckAnswers(heard);
  // Each input finds the same.
  if (bytes.find("POST ") != std::string_view::npos) here.reset();
}

}  // namespace
}  // namespace assent::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  assent::fuzz::BeQuiet();
  assent::fuzz::Try({data, size});
  return 0;
}
