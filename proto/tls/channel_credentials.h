#pragma once

// With what a client of gRPC dials over TLS: the same for the SDK, assentctl, and the coordinator
// that dials others.

#include <cstddef>
#include <memory>
#include <string>

#include <assent/status.h>

namespace grpc {
class ChannelCredentials;
namespace experimental {
class CertificateVerifier;
}
}  // namespace grpc

namespace assent::tls {

// Of one file with certificates or a key.
inline constexpr std::size_t kMaxFileBytes = 1024 * 1024;
// Files are looked at so often; one that has changed counts for connections from then on.
inline constexpr unsigned kRefreshSeconds = 10;

// Files in PEM.
struct ClientFiles {
  // Who signs the certificates of those that are dialled.
  std::string ca_file = {};
  // What we show of ourselves, the chain above it behind it, and its key. Both, or neither.
  std::string cert_file = {};
  std::string key_file = {};
};

// kInvalidArgument: a file is not there, or has not what it is for; the message names it, and what
// to try.
Status CheckClientFiles(const ClientFiles& files);
// OpenSSL takes itself down when a program ends, beside threads of gRPC's that are still in a
// handshake: the program died of it, with all said and done. It stays instead. Counts if it is
// called before anything else that has to do with OpenSSL.
void KeepOpenSslToTheEnd();
// Never less than TLS 1.2; the name that was dialled has to be in the certificate. The files are
// checked first. A verifier takes the place of the one for that name, and looks at it itself.
Result<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(
    const ClientFiles& files,
    std::shared_ptr<grpc::experimental::CertificateVerifier> verifier = nullptr);

// What gRPC says of a connection that failed, with what it means when it is about TLS: its own
// words of it are those of OpenSSL, or are about something else.
std::string Explained(const std::string& message);

// Why there is no connection, of what gRPC says of a call that found none: its last part, or what
// it means. "connection refused; is assentd running?"
std::string WhyUnconnected(const std::string& message);

}  // namespace assent::tls
