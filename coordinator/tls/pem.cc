#include "coordinator/tls/pem.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "coordinator/base/read_file.h"
#include "coordinator/tls/material.h"

namespace assent::tls {
namespace {

// The same as gRPC's: forward secrecy and authenticated encryption alone. Those of TLS 1.3 are.
constexpr const char* kCiphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
// Those that clients have, of 128 bits and more, and no others.
constexpr const char* kGroups = "X25519:P-256:P-384";

// OpenSSL's reason for what has just failed.
std::string Reason() {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return reason == nullptr ? "it is damaged" : reason;
}

Result<std::string> ReadAll(std::string_view setting, const std::string& path, bool is_secret) {
  Result<base::FileText> read = base::ReadFile(path, kMaxMaterialFileBytes);
  if (!read.ok()) return Wrong(setting, path, "cannot be read: " + read.status().message());
  if (read->text.size() > kMaxMaterialFileBytes) {
    return Wrong(setting, path,
                 "has more than " + std::to_string(kMaxMaterialFileBytes) + " bytes");
  }
  if (is_secret && read->is_shared) {
    return Wrong(setting, path,
                 "others than its owner may read or change it: it takes chmod 600 (or 640, if it "
                 "is root's)");
  }
  return std::move(read->text);
}

Certificates ParseCertificates(std::string_view pem) {
  Certificates all;
  const Owned<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  while (X509* const one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr))
    all.emplace_back(one);
  ERR_clear_error();  // the end of the text is one
  return all;
}

int NoPassphrase(char*, int, int, void*) { return 0; }

}  // namespace

Status Wrong(std::string_view setting, const std::string& path, const std::string& why) {
  return InvalidArgument(std::string(setting) + " " + path + ": " + why);
}

Time TimeOf(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

std::string Shown(Time time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), size};
}

Result<Time> CheckTimes(std::string_view setting, const std::string& path, const Certificates& all,
                        Time now) {
  Time first = Time::max();
  for (const auto& one : all) {
    const Time begins = TimeOf(X509_get0_notBefore(one.get()));
    const Time ends = TimeOf(X509_get0_notAfter(one.get()));
    if (now >= ends) return Wrong(setting, path, "the certificate expired at " + Shown(ends));
    if (now < begins) {
      return Wrong(setting, path,
                   "the certificate is valid from " + Shown(begins) +
                       " alone: is the clock of this machine right?");
    }
    first = std::min(first, ends);
  }
  return first;
}

Result<ReadChain> ReadCertificates(std::string_view setting, const std::string& path) {
  auto pem = ReadAll(setting, path, /*is_secret=*/false);
  if (!pem.ok()) return pem.status();
  Certificates all = ParseCertificates(*pem);
  if (all.empty()) return Wrong(setting, path, "there is no certificate in it: it takes PEM");
  return ReadChain{std::move(*pem), std::move(all)};
}

Result<Identity> ReadIdentity(const std::string& cert, const std::string& key, Time now) {
  ERR_clear_error();
  auto chain = ReadCertificates("tls-cert", cert);
  if (!chain.ok()) return chain.status();
  const auto expires = CheckTimes("tls-cert", cert, chain->certificates, now);
  if (!expires.ok()) return expires.status();
  auto key_pem = ReadAll("tls-key", key, /*is_secret=*/true);
  if (!key_pem.ok()) return key_pem.status();
  const Owned<BIO> bio(BIO_new_mem_buf(key_pem->data(), static_cast<int>(key_pem->size())));
  Owned<EVP_PKEY> own(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (own == nullptr) {
    ERR_clear_error();
    return Wrong("tls-key", key,
                 "there is no key in it that can be read without a passphrase: it takes PEM");
  }
  return Identity{std::move(*chain), *expires, std::move(*key_pem), std::move(own)};
}

Status Use(SSL_CTX* context, const Identity& identity, const std::string& cert,
           const std::string& key) {
  const Certificates& chain = identity.chain.certificates;
  if (SSL_CTX_use_certificate(context, chain.front().get()) != 1)
    return Wrong("tls-cert", cert, Reason());
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1)
      return Wrong("tls-cert", cert, Reason());
  }
  if (X509_check_private_key(chain.front().get(), identity.key.get()) != 1) {
    ERR_clear_error();
    return Wrong("tls-key", key, "this is not the key of the certificate in " + cert);
  }
  if (SSL_CTX_use_PrivateKey(context, identity.key.get()) != 1)
    return Wrong("tls-key", key, Reason());
  return OkStatus();
}

void Harden(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  SSL_CTX_set_cipher_list(context, kCiphers);
  SSL_CTX_set1_groups_list(context, kGroups);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
}

}  // namespace assent::tls
