#include "tools/assent-bench/certificates.h"

#include <fstream>
#include <iterator>

#include <grpcpp/grpcpp.h>

#include "tools/assent-bench/child.h"

namespace assent::bench {
namespace {

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (text.empty()) Die("nothing in " + path);
  return text;
}

}  // namespace

void MakeCertificates(const std::string& folder) {
  Child made({BinFolder() + "/assentctl", "certs", "init", folder, "--service", "initiator",
              "--unary", "participant=127.0.0.1"},
             folder + ".errors");
  made.WaitLine("To use them");
  made.WaitEnd();
}

std::vector<std::string> DaemonTlsArguments(const std::string& folder) {
  return {"--tls-cert",
          folder + "/coordinator.pem",
          "--tls-key",
          folder + "/coordinator.key",
          "--tls-client-ca",
          folder + "/ca.pem",
          "--tls-participant-ca",
          folder + "/ca.pem"};
}

TlsOptions TlsOf(const std::string& folder, const std::string& who) {
  if (folder.empty()) return {};
  const std::string stem = folder + "/" + who;
  return {.ca_file = folder + "/ca.pem", .cert_file = stem + ".pem", .key_file = stem + ".key"};
}

std::shared_ptr<grpc::ChannelCredentials> ChannelCredentialsOf(const std::string& folder,
                                                               const std::string& who) {
  if (folder.empty()) return grpc::InsecureChannelCredentials();
  const TlsOptions files = TlsOf(folder, who);
  return grpc::SslCredentials({.pem_root_certs = Read(files.ca_file),
                               .pem_private_key = Read(files.key_file),
                               .pem_cert_chain = Read(files.cert_file)});
}

std::shared_ptr<grpc::ServerCredentials> ServerCredentialsOf(const std::string& folder,
                                                             const std::string& who) {
  if (folder.empty()) return grpc::InsecureServerCredentials();
  const TlsOptions files = TlsOf(folder, who);
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = Read(files.ca_file);
  options.pem_key_cert_pairs.push_back({Read(files.key_file), Read(files.cert_file)});
  return grpc::SslServerCredentials(options);
}

}  // namespace assent::bench
