#pragma once

// How a client or a participant dials coordinators over TLS.

#include <string>

namespace assent {

// Files in PEM, which are looked at every ten seconds: one that has changed counts for connections
// from then on. All four empty: the environment variables ASSENT_TLS_CA, ASSENT_TLS_CERT,
// ASSENT_TLS_KEY and ASSENT_TLS_SERVER_NAME; without those there is no TLS. An endpoint "unix:PATH"
// never has any.
struct TlsOptions {
  // The CAs that sign the coordinators' certificates. Needed for TLS; those of the machine are in
  // /etc/ssl/certs/ca-certificates.crt.
  std::string ca_file = {};
  // What is shown to the coordinator, and its key. Both, or neither.
  std::string cert_file = {};
  std::string key_file = {};
  // The name that has to be in the coordinators' certificates. Empty: the host of the endpoint.
  std::string server_name = {};
};

}  // namespace assent
