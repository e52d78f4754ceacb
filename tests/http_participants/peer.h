#pragma once

// An HTTP server of the test's own: it hands out what the test says, byte for byte, and counts.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <assent/status.h>
#include <assent/thread_safety.h>

namespace assent::test {

// Head and body of a request.
struct HttpRequest {
  std::string head;
  std::string body;
};

class HttpPeer {
 public:
  // What comes back, as it is on the wire; empty: the connection is closed.
  using Answer = std::function<std::string(const HttpRequest&)>;

  explicit HttpPeer(Answer answer, std::uint16_t port = 0) : answer_(std::move(answer)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSENT_CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    ASSENT_CHECK(::listen(listener_, 64) == 0);
    socklen_t size = sizeof(address);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Accept(); });
  }
  ~HttpPeer() { Close(); }
  HttpPeer(const HttpPeer&) = delete;
  HttpPeer& operator=(const HttpPeer&) = delete;

  // Nobody is there any more; what stands is cut.
  void Close() {
    if (!thread_.joinable()) return;
    closing_.store(true);
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    std::vector<std::thread> served;
    {
      const MutexLock lock(mutex_);
      for (const int one : open_) ::shutdown(one, SHUT_RDWR);
      served.swap(served_);
    }
    for (std::thread& one : served) one.join();
  }

  std::uint16_t port() const { return port_; }
  std::string url(const std::string& path = "/assent") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  std::size_t accepted() const { return accepted_.load(); }
  // Connections that had a request.
  std::size_t used() const { return used_.load(); }
  std::size_t requests() const { return requests_.load(); }

 private:
  void Accept() {
    while (!closing_.load()) {
      const int one = ::accept(listener_, nullptr, nullptr);
      if (one < 0) continue;
      ++accepted_;
      const MutexLock lock(mutex_);
      open_.push_back(one);
      served_.emplace_back([this, one] { Serve(one); });
    }
  }

  static bool ReadMore(int from, std::string& into) {
    char bytes[4096];
    const ssize_t count = ::read(from, bytes, sizeof(bytes));
    if (count <= 0) return false;
    into.append(bytes, static_cast<std::size_t>(count));
    return true;
  }

  void Serve(int one) {
    std::string read;
    for (bool first = true;; first = false) {
      std::size_t end = 0;
      while ((end = read.find("\r\n\r\n")) == std::string::npos) {
        if (!ReadMore(one, read)) return Finish(one);
      }
      HttpRequest request{read.substr(0, end + 4), {}};
      read.erase(0, end + 4);
      const std::size_t length = request.head.find("Content-Length: ");
      const std::size_t wanted =
          length == std::string::npos ? 0 : std::stoul(request.head.substr(length + 16));
      while (read.size() < wanted) {
        if (!ReadMore(one, read)) return Finish(one);
      }
      request.body = read.substr(0, wanted);
      read.erase(0, wanted);
      ++requests_;
      if (first) ++used_;
      const std::string answer = answer_(request);
      if (answer.empty() || ::send(one, answer.data(), answer.size(), MSG_NOSIGNAL) < 0)
        return Finish(one);
    }
  }

  void Finish(int one) {
    const MutexLock lock(mutex_);
    ::close(one);
    std::erase(open_, one);
  }

  const Answer answer_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> closing_ = false;
  std::atomic<std::size_t> accepted_ = 0;
  std::atomic<std::size_t> used_ = 0;
  std::atomic<std::size_t> requests_ = 0;
  Mutex mutex_;
  std::vector<int> open_ ASSENT_GUARDED_BY(mutex_);
  std::vector<std::thread> served_ ASSENT_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace assent::test
