#pragma once

// Mutual TLS between the processes of a measurement: a CA and a certificate for each role, made by
// `assentctl certs init`, as for a first try.

#include <memory>
#include <string>
#include <vector>

#include <assent/tls.h>

namespace grpc {
class ChannelCredentials;
class ServerCredentials;
}  // namespace grpc

namespace assent::bench {

// Makes them in `folder`, which is not there yet. Ends the program with a message if it cannot.
void MakeCertificates(const std::string& folder);

// What assentd is told, so that it takes nobody without a certificate, and shows its own where it
// dials.
std::vector<std::string> DaemonTlsArguments(const std::string& folder);

// Of a process of ours: "initiator", "participant". An empty `folder`: no TLS.
TlsOptions TlsOf(const std::string& folder, const std::string& who);
std::shared_ptr<grpc::ChannelCredentials> ChannelCredentialsOf(const std::string& folder,
                                                               const std::string& who);
std::shared_ptr<grpc::ServerCredentials> ServerCredentialsOf(const std::string& folder,
                                                             const std::string& who);

}  // namespace assent::bench
