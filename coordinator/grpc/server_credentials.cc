#include "coordinator/grpc/server_credentials.h"

#include <string>

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <assent/status.h>

namespace assent::door {
namespace {

grpc_ssl_client_certificate_request_type RequestOf(const tls::Material& material) {
  if (material.client_ca_pem.empty()) return GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
  return material.client_cert_required ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                       : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY;
}

// gRPC asks the callback when it starts, and then for each connection, by a lock of its own. Its
// C++ has no credentials that ask one, so this adds the port as those of the library do.
class KeptCredentials final : public grpc::ServerCredentials {
 public:
  explicit KeptCredentials(const tls::Keeper& keeper)
      : keeper_(keeper),
        credentials_(grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(
                RequestOf(*keeper.Current()), &KeptCredentials::Fetch, this))) {}
  ~KeptCredentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {
    ASSENT_CHECK(false);  // nobody asks for one
  }

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    auto& mine = *static_cast<KeptCredentials*>(self);
    const tls::MaterialPtr now = mine.keeper_.Current();
    if (now == mine.served_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    const grpc_ssl_pem_key_cert_pair pair{now->key_pem.c_str(), now->chain_pem.c_str()};
    // gRPC 1.51 ends the process without one, also where it is to ask nobody for a certificate.
    const std::string& ca = now->client_ca_pem.empty() ? now->chain_pem : now->client_ca_pem;
    *config = grpc_ssl_server_certificate_config_create(ca.c_str(), &pair, 1);
    mine.served_ = now;
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const tls::Keeper& keeper_;
  grpc_server_credentials* const credentials_;
  tls::MaterialPtr served_;  // with gRPC's lock
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const tls::Keeper& keeper) {
  return std::make_shared<KeptCredentials>(keeper);
}

}  // namespace assent::door
