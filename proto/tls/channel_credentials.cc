#include "proto/tls/channel_credentials.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/crypto.h>

namespace assent::tls {
namespace {

// `what` begins the sentence: "the CA's file".
Status CheckFile(const std::string& what, const std::string& path, std::string_view has) {
  std::ifstream file(path, std::ios::binary);
  file.peek();  // which a folder cannot do
  if (!file.is_open() || file.bad())
    return InvalidArgument(what + " " + path + " cannot be read: " + std::strerror(errno));
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kMaxFileBytes) {
    return InvalidArgument(what + " " + path + " has more than " + std::to_string(kMaxFileBytes) +
                           " bytes");
  }
  if (text.find(has) != std::string::npos) return OkStatus();
  return InvalidArgument(what + " " + path + " has no \"" + std::string(has) +
                         "\" in it: it takes PEM");
}

}  // namespace

Status CheckClientFiles(const ClientFiles& files) {
  if (files.ca_file.empty()) {
    return InvalidArgument(
        "TLS wants the file of the CA that signs the other side's certificate, and there is none");
  }
  if (files.cert_file.empty() != files.key_file.empty())
    return InvalidArgument("a certificate and its key are of use together, and one is missing");
  if (Status s = CheckFile("the CA's file", files.ca_file, "BEGIN CERTIFICATE"); !s.ok()) return s;
  if (files.cert_file.empty()) return OkStatus();
  if (Status s = CheckFile("the certificate's file", files.cert_file, "BEGIN CERTIFICATE"); !s.ok())
    return s;
  return CheckFile("the key's file", files.key_file, "PRIVATE KEY");
}

void KeepOpenSslToTheEnd() { OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr); }

Result<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(
    const ClientFiles& files, std::shared_ptr<grpc::experimental::CertificateVerifier> verifier) {
  namespace lib = grpc::experimental;
  if (Status s = CheckClientFiles(files); !s.ok()) return s;
  KeepOpenSslToTheEnd();
  lib::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(std::make_shared<lib::FileWatcherCertificateProvider>(
      files.key_file, files.cert_file, files.ca_file, kRefreshSeconds));
  options.watch_root_certs();
  if (!files.cert_file.empty()) options.watch_identity_key_cert_pairs();
  options.set_verify_server_certs(true);
  if (verifier == nullptr) verifier = std::make_shared<lib::HostNameCertificateVerifier>();
  options.set_certificate_verifier(std::move(verifier));
  auto credentials = lib::TlsCredentials(options);
  if (credentials == nullptr) return Internal("gRPC cannot make credentials of these files");
  return credentials;
}

std::string Explained(const std::string& message) {
  struct Meaning {
    std::string_view said;
    std::string_view means;
  };
  static constexpr std::array<Meaning, 6> kMeanings{{
      {"WRONG_VERSION_NUMBER", "there is no TLS at that address"},
      {"wrong version number", "there is no TLS at that address"},
      {"http1.x server", "TLS is spoken at that address, and no CA was given to this side"},
      {"Hostname Verification Check failed",
       "the certificate there is not one for the name that was dialled"},
      {"certificate verify failed",
       "the certificate there is not signed by the CA that was given, or not valid now"},
      {"CERTIFICATE_VERIFY_FAILED",
       "the certificate there is not signed by the CA that was given, or not valid now"},
  }};
  const auto* const found = std::find_if(
      kMeanings.begin(), kMeanings.end(),
      [&](const Meaning& meaning) { return message.find(meaning.said) != std::string::npos; });
  return found == kMeanings.end() ? message : message + " (" + std::string(found->means) + ")";
}

std::string WhyUnconnected(const std::string& message) {
  if (std::string explained = Explained(message); explained != message) {
    const std::size_t at = explained.rfind(" (");
    return explained.substr(at + 2, explained.size() - at - 3);
  }
  // "failed to connect to all addresses; last error: UNKNOWN: ...: Connection refused".
  const std::size_t at = message.rfind(": ");
  std::string cause = at == std::string::npos ? message : message.substr(at + 2);
  if (!cause.empty())
    cause[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(cause[0])));
  // TLS 1.3 tells of a certificate that is wanted, or not taken, when the client has done its part.
  const auto hangs_up = {"socket closed", "connection reset by peer", "broken pipe"};
  if (std::find(hangs_up.begin(), hangs_up.end(), cause) == hangs_up.end())
    return cause + "; is assentd running?";
  if (message.find("unix:") != std::string::npos)  // no certificate is spoken of there
    return cause +
           " as soon as it is dialled; are there too many connections? Its log says so "
           "(event=connections_turned_away)";
  return cause +
         " as soon as it is dialled; does it want a certificate, and not the one, if any, that "
         "this side shows?";
}

}  // namespace assent::tls
