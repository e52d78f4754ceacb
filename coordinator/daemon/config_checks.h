#pragma once

// What the settings take, beyond a number's bounds. A failure names the setting and what it takes.

#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>

#include "coordinator/daemon/config.h"

namespace assent::daemon {

// `value` as a file has to write it.
std::string Quoted(std::string_view value);
// What stands between the commas of a setting that takes several.
std::vector<std::string> SplitAtCommas(std::string_view value);

// Nobody but this machine reaches it: a loopback address in digits, localhost, or a Unix socket.
bool IsLoopback(const std::string& address);
// What is posted to this URL can be read by others on the way.
bool IsInTheClear(const std::string& url);

Status CheckListen(const Config& c);
Status CheckHttpListen(const Config& c);
Status CheckData(const Config& c);
Status CheckLog(const Config& c);
Status CheckAdvertise(const Config& c);
Status CheckNode(const Config& c);
Status CheckStoreFailover(const Config& c);
Status CheckAuth(const Config& c);
Status CheckJwt(const Config& c);
// TLS, and a way to know who calls: what others may reach without --allow-insecure.
bool KnowsCallers(const Config& c);
Status CheckTls(const Config& c);
Status CheckTlsClientCa(const Config& c);
Status CheckTlsClientCert(const Config& c);
Status CheckTlsPeerCa(const Config& c);
Status CheckTlsWebhookCa(const Config& c);
Status CheckTlsTraceCa(const Config& c);
Status CheckUnary(const Config& c);
Status CheckDnsServers(const Config& c);
// etcd.cc
Status CheckEtcd(const Config& c);
Status CheckEtcdRegister(const Config& c);
Status CheckWebhookUrl(const Config& c);
Status CheckTraceEndpoint(const Config& c);
Status CheckTraceServiceName(const Config& c);
Status CheckTraceUrl(const Config& c);
Status CheckPayload(const Config& c);
Status CheckReserve(const Config& c);
Status CheckLogLevel(const Config& c);
Status CheckLogFormat(const Config& c);

}  // namespace assent::daemon
