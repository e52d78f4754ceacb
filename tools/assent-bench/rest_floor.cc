// The floor of `rest`: the same server of HTTP, which gives each body back.

#include <csignal>
#include <cstdio>
#include <unistd.h>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "coordinator/http/door.h"
#include "tools/assent-bench/child.h"
#include "tools/assent-bench/options.h"

namespace assent::bench {
namespace {

class Echo final : public http::Taker {
 public:
  std::size_t MaxBody(std::string_view, std::string_view) const override { return 1 << 20; }
  std::shared_ptr<http::Pending> Take(http::Request request,
                                      const std::shared_ptr<http::Exchange>& exchange) override {
    exchange->Reply(
        [body = std::move(request.body)] { return http::Answer{.body = std::move(body)}; });
    return nullptr;
  }
};

}  // namespace

int RunRestFloor() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const std::string address = FreeAddress();
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  sockaddr_in bound{};
  bound.sin_family = AF_INET;
  bound.sin_port = htons(PortOf(address));
  bound.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&bound), sizeof bound) != 0 ||
      listen(listener, SOMAXCONN) != 0)
    Die("no port for plain echo");
  Echo echo;
  http::Door door({.max_connections_per_address_count = 8192}, {listener}, echo);
  std::printf("http %s\n", address.c_str());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  door.Close();
  close(listener);
  return 0;
}

}  // namespace assent::bench
