#pragma once

// The sockets that the daemon listens on, and the file of a Unix socket: opened by the address of
// the settings, and given up with everything that is ours and nothing that is not.

#include <memory>
#include <string>
#include <vector>

#include <sys/socket.h>
#include <sys/types.h>

#include <assent/status.h>
#include <assent/thread_safety.h>

namespace assent::daemon {

struct ListenerOptions {
  // What to change when it cannot listen; for people.
  std::string setting = "--listen";
  // TCP_USER_TIMEOUT of the connections: how long sent bytes may stay without an acknowledgement,
  // or the peer without room for more. 0: who serves them sees to it.
  int user_timeout_ms = 10'000;
  // After so long a silence the peer is asked whether it is there, and given up when there is no
  // answer for two thirds of it. 0: who serves them sees to it.
  int keepalive_seconds = 0;
};

// Where something listens, to dial it.
struct DialAddress {
  sockaddr_storage address{};
  socklen_t size = 0;
};

class Listener {
 public:
  // Takes the address, and lets nobody in yet. `address` is HOST:PORT or unix:PATH. A host with
  // several addresses is listened on at each that this machine has. The file of a Unix socket that
  // nobody answers on is taken over; one that somebody answers on is not. Who may write to the file
  // may connect: its owner and its group, less what the umask takes away, and never others. The
  // message of a failure says who is there, and which setting to change.
  static Result<std::unique_ptr<Listener>> Open(const std::string& address,
                                                ListenerOptions options);
  // Until then who dials is refused by the kernel. Fails if another was faster.
  Status Listen();
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // As bound: the port is filled in.
  const std::string& address() const { return address_; }
  const std::vector<int>& descriptors() const { return descriptors_; }
  DialAddress dial_address() const { return dial_address_; }
  // Whether who dials our address comes to us: no, once the file of a Unix socket has been deleted
  // or replaced.
  bool CanBeFound();
  // Makes the file of a Unix socket again, if nobody else has. The descriptor keeps its number, but
  // is another socket.
  Status ListenAgain();
  // Deletes the file of a Unix socket, if it is still the one that we made. Any thread, any number
  // of times.
  void RemoveFile();

 private:
  explicit Listener(ListenerOptions options) : options_(options) {}
  Status CannotListen(const std::string& why) const;
  Status OpenTcp(const std::string& address);
  Status OpenUnix(const std::string& path);
  Status BindUnix(const std::string& path);
  bool FileIsOurs() const ASSENT_REQUIRES(file_mutex_);
  Status LockFile(const std::string& path);
  void SetOptions(int descriptor, int family) const;
  Status Add(int descriptor, const sockaddr* address, socklen_t size);
  Status NotOurs(int error, const sockaddr* address) const;

  const ListenerOptions options_;
  std::string address_;
  std::vector<int> descriptors_;
  DialAddress dial_address_;

  Mutex file_mutex_;
  std::string path_ ASSENT_GUARDED_BY(file_mutex_);  // of the socket, as long as it is ours
  dev_t device_ ASSENT_GUARDED_BY(file_mutex_) = 0;  // of the file that we made
  ino_t inode_ ASSENT_GUARDED_BY(file_mutex_) = 0;   // likewise
  std::string lock_path_;                            // held as long as lock_ is open
  int lock_ = -1;
};

}  // namespace assent::daemon
