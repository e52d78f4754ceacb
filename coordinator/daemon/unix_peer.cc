#include "coordinator/daemon/unix_peer.h"

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

namespace {

// A socket that has a name of its own in a folder or the abstract space is one that somebody has
// come to; those that this process dials have none.
bool WasAccepted(int descriptor) {
  sockaddr_un own{};
  socklen_t size = sizeof own;
  return ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
         own.sun_family == AF_UNIX && size > offsetof(sockaddr_un, sun_path);
}

}  // namespace

std::optional<uid_t> assent::daemon::UserOfPeer(int descriptor) {
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return {};
  return who.uid;
}

// gRPC 1.51 knows who has come by what getpeername says, and tells no more of it. Of a Unix socket
// that is a name that the client may choose, and mostly does not. So in this program it is who the
// kernel says that he is, and gRPC calls him "unix:UID".
//
// The program's own definition goes before the library's (ELF symbol interposition), for shared
// libraries as well. Where it did not, a Unix socket would be nobody's: tests/daemon/unix_test.py.
extern "C" int getpeername(int descriptor, sockaddr* address, socklen_t* size) noexcept {
  const socklen_t room = size == nullptr ? 0 : *size;
  const long result = ::syscall(SYS_getpeername, descriptor, address, size);
  if (result != 0 || room < sizeof(sockaddr_un) || address->sa_family != AF_UNIX ||
      !WasAccepted(descriptor))
    return static_cast<int>(result);
  auto* name = reinterpret_cast<sockaddr_un*>(address);
  std::memset(name->sun_path, 0, sizeof name->sun_path);
  const std::optional<uid_t> user = assent::daemon::UserOfPeer(descriptor);
  if (!user) {
    errno = ENOTCONN;
    return -1;
  }
  std::snprintf(name->sun_path, sizeof name->sun_path, "%u", *user);
  *size = sizeof(sockaddr_un);
  return 0;
}
