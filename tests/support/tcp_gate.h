#pragma once

// A TCP proxy in front of a server of a test's own, that can hold bytes back in either direction,
// deliver them late, and cut either side while the other goes on. A late byte is what random kills
// do not bring about.
//
//   TcpGate gate(server.port());          // clients connect to gate.port()
//   gate.HoldRequestsAfter(100);          // 100 more bytes of the clients go through
//   ...
//   gate.CutClients();                    // they see the end; the server sees nothing
//   gate.Deliver();                       // all that was held goes on, also of who was cut
//
// What is held stays with its connection; connections made later begin with the gate open.

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <thread>

#include <assent/thread_safety.h>

namespace assent::test {

class TcpGate {
 public:
  explicit TcpGate(std::uint16_t server_port);
  ~TcpGate();
  TcpGate(const TcpGate&) = delete;
  TcpGate& operator=(const TcpGate&) = delete;

  std::uint16_t port() const { return port_; }
  // Of the connections that there are: after so many more bytes in all nothing goes to the server.
  void HoldRequestsAfter(std::size_t bytes);
  // Nothing goes to the clients.
  void HoldAnswers();
  void CutClients();
  void Deliver();
  // Bytes of clients that are held.
  std::size_t held() const;

 private:
  struct Pipe {
    int client = -1;  // -1: cut
    int server = -1;
    std::string to_server;
    std::string to_client;
    bool holds_requests = false;
    std::size_t let_through = 0;
    bool holds_answers = false;
    bool client_ended = false;
    bool server_ended = false;
  };

  void Run();
  void Accept() ASSENT_REQUIRES(mutex_);
  void Move(Pipe& pipe) ASSENT_REQUIRES(mutex_);
  static void Read(int& from, std::string& into, bool& ended);
  static std::size_t Write(int to, const std::string& bytes, std::size_t most);
  static void Close(int& socket);

  const std::uint16_t server_port_;
  std::uint16_t port_ = 0;
  int listener_ = -1;
  mutable Mutex mutex_;
  bool stopping_ ASSENT_GUARDED_BY(mutex_) = false;
  std::list<Pipe> pipes_ ASSENT_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace assent::test
