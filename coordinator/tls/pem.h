#pragma once

// Certificates and keys of files, read and checked: for those who make something of them here.

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <assent/status.h>

namespace assent::tls {

using Time = std::chrono::system_clock::time_point;

struct Free {
  void operator()(BIO* p) const { BIO_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(SSL* p) const { SSL_free(p); }
  void operator()(GENERAL_NAMES* p) const { GENERAL_NAMES_free(p); }
  void operator()(unsigned char* p) const { OPENSSL_free(p); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;
using Certificates = std::vector<Owned<X509>>;

// kInvalidArgument, of the file that this setting names.
Status Wrong(std::string_view setting, const std::string& path, const std::string& why);

Time TimeOf(const ASN1_TIME* time);
std::string Shown(Time time);

// Certificates of a file; one at least.
struct ReadChain {
  std::string pem;
  Certificates certificates;
};
Result<ReadChain> ReadCertificates(std::string_view setting, const std::string& path);
// The first of them that expires, if all are valid now.
Result<Time> CheckTimes(std::string_view setting, const std::string& path, const Certificates& all,
                        Time now);

// What a side shows of itself. Its key may be read by its owner alone, and is the certificate's.
struct Identity {
  ReadChain chain;
  Time expires{};  // the first of the chain that does
  std::string key_pem;
  Owned<EVP_PKEY> key;
};
// The settings are tls-cert and tls-key.
Result<Identity> ReadIdentity(const std::string& cert, const std::string& key, Time now);
Status Use(SSL_CTX* context, const Identity& identity, const std::string& cert,
           const std::string& key);

// TLS 1.2 and 1.3, with the ciphers and groups that this project takes; nothing is resumed.
void Harden(SSL_CTX* context);

}  // namespace assent::tls
