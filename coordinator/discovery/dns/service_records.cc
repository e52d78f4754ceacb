#include "coordinator/discovery/dns/service_records.h"

#include <algorithm>
#include <array>
#include <resolv.h>

#include <arpa/nameser.h>

namespace assent::discovery::dns {
namespace {

constexpr int kFixedBytes = 6;  // priority, weight, port

}  // namespace

Result<std::vector<ServiceRecord>> ReadServiceRecords(std::string_view answer) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(answer.data());
  ns_msg message{};
  if (ns_initparse(bytes, static_cast<int>(answer.size()), &message) != 0)
    return Unavailable("the answer cannot be read");
  std::vector<ServiceRecord> records;
  for (int i = 0; i < ns_msg_count(message, ns_s_an); ++i) {
    ns_rr record{};
    if (ns_parserr(&message, ns_s_an, i, &record) != 0)
      return Unavailable("the answer cannot be read");
    if (ns_rr_type(record) != ns_t_srv) continue;  // CNAMEs on the way
    if (ns_rr_rdlen(record) <= kFixedBytes) return Unavailable("the answer cannot be read");
    const unsigned char* data = ns_rr_rdata(record);
    std::array<char, NS_MAXDNAME> target{};
    if (dn_expand(ns_msg_base(message), ns_msg_end(message), data + kFixedBytes, target.data(),
                  target.size()) < 0)
      return Unavailable("the answer cannot be read");
    ServiceRecord& one = records.emplace_back();
    one.priority = static_cast<std::uint16_t>(ns_get16(data));
    one.port = static_cast<std::uint16_t>(ns_get16(data + 4));
    one.target = target.data();
    one.ttl_seconds = ns_rr_ttl(record);
  }
  // A target "." says that the service is decidedly not available.
  std::erase_if(records, [](const ServiceRecord& r) { return r.target.empty() || r.port == 0; });
  if (records.empty()) return Unavailable("it has no SRV record");
  std::sort(records.begin(), records.end());
  const std::uint16_t lowest = records.front().priority;
  std::erase_if(records, [lowest](const ServiceRecord& r) { return r.priority != lowest; });
  return records;
}

}  // namespace assent::discovery::dns
