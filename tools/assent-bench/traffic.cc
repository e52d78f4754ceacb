// What TCP has carried, from the kernel's own count of each connection (sock_diag). It asks nothing
// of the processes, costs them nothing, and is the same for engine and floor.

#include <algorithm>
#include <array>
#include <cstring>
#include <unistd.h>

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tools/assent-bench/child.h"

namespace assent::bench {
namespace {

struct Ask {
  nlmsghdr header;
  inet_diag_req_v2 request;
};

void AddSocket(const inet_diag_msg& socket, std::size_t size, std::uint16_t port,
               const std::vector<std::uint16_t>& to, Traffic& sum) {
  const bool ours = ntohs(socket.id.idiag_sport) == port ||
                    std::find(to.begin(), to.end(), ntohs(socket.id.idiag_dport)) != to.end();
  if (!ours) return;
  auto left = static_cast<int>(size - NLMSG_ALIGN(sizeof(inet_diag_msg)));
  const auto* attribute = reinterpret_cast<const rtattr*>(&socket + 1);
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if (attribute->rta_type != INET_DIAG_INFO) continue;
    tcp_info info{};
    std::memcpy(&info, RTA_DATA(attribute),
                std::min<std::size_t>(sizeof(info), RTA_PAYLOAD(attribute)));
    sum.bytes += info.tcpi_bytes_acked + info.tcpi_bytes_received;
    sum.segments += std::uint64_t{info.tcpi_data_segs_out} + info.tcpi_data_segs_in;
  }
}

void AddFamily(int family, std::uint16_t port, const std::vector<std::uint16_t>& to, Traffic& sum) {
  const int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return;
  Ask ask{};
  ask.header.nlmsg_len = sizeof(ask);
  ask.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  ask.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  ask.request.sdiag_family = static_cast<std::uint8_t>(family);
  ask.request.sdiag_protocol = IPPROTO_TCP;
  ask.request.idiag_ext = 1U << (INET_DIAG_INFO - 1);
  ask.request.idiag_states = 1U << 1U;  // established
  bool more = send(fd, &ask, sizeof(ask), 0) == static_cast<ssize_t>(sizeof(ask));
  alignas(nlmsghdr) std::array<char, 64 * 1024> buffer{};
  while (more) {
    auto size = static_cast<int>(recv(fd, buffer.data(), buffer.size(), 0));
    if (size <= 0) break;
    const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data());
    for (; NLMSG_OK(header, static_cast<unsigned>(size)); header = NLMSG_NEXT(header, size)) {
      if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR) {
        more = false;
        break;
      }
      const auto* data = reinterpret_cast<const char*>(header) + NLMSG_HDRLEN;
      AddSocket(*reinterpret_cast<const inet_diag_msg*>(data), header->nlmsg_len - NLMSG_HDRLEN,
                port, to, sum);
    }
  }
  close(fd);
}

}  // namespace

Traffic& operator+=(Traffic& sum, const Traffic& one) {
  sum.bytes += one.bytes;
  sum.segments += one.segments;
  return sum;
}

Traffic TrafficOf(std::uint16_t port, const std::vector<std::uint16_t>& to) {
  Traffic sum;
  AddFamily(AF_INET, port, to, sum);
  AddFamily(AF_INET6, port, to, sum);
  return sum;
}

}  // namespace assent::bench
