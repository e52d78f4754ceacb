#include "coordinator/tls/material.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

namespace assent::tls {
namespace {

// The same as gRPC's: forward secrecy and authenticated encryption alone. Those of TLS 1.3 are.
constexpr const char* kCiphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
// Those that clients have, of 128 bits and more, and no others.
constexpr const char* kGroups = "X25519:P-256:P-384";

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

// OpenSSL's reason for what has just failed.
std::string Reason() {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return reason == nullptr ? "it is damaged" : reason;
}

Status Wrong(const char* setting, const std::string& path, const std::string& why) {
  return InvalidArgument(std::string(setting) + " " + path + ": " + why);
}

Result<std::string> ReadAll(const char* setting, const std::string& path, bool is_secret) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat what {};
  if (file < 0 || ::fstat(file, &what) != 0) {
    const Status failed = Wrong(setting, path, std::string("cannot be read: ") + strerror(errno));
    if (file >= 0) ::close(file);
    return failed;
  }
  std::string text(kMaxMaterialFileBytes + 1, '\0');
  std::size_t size = 0;
  ssize_t got = 0;
  while (size < text.size() && (got = ::read(file, text.data() + size, text.size() - size)) > 0)
    size += static_cast<std::size_t>(got);
  const int error = errno;
  ::close(file);
  text.resize(size);
  if (got < 0) return Wrong(setting, path, std::string("cannot be read: ") + strerror(error));
  if (size > kMaxMaterialFileBytes) {
    return Wrong(setting, path,
                 "has more than " + std::to_string(kMaxMaterialFileBytes) + " bytes");
  }
  // A group may read what root gives it; nobody else but the owner.
  constexpr mode_t kOthers = S_IRWXG | S_IRWXO;
  constexpr mode_t kGroupOfRoot = S_IRGRP;
  const mode_t allowed = what.st_uid == 0 ? kGroupOfRoot : 0;
  if (is_secret && (what.st_mode & kOthers & ~allowed) != 0) {
    return Wrong(setting, path,
                 "others than its owner may read or change it: it takes chmod 600 (or 640, if it "
                 "is root's)");
  }
  return text;
}

Certificates ParseCertificates(std::string_view pem) {
  Certificates all;
  const Owned<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  while (X509* const one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr))
    all.emplace_back(one);
  ERR_clear_error();  // the end of the text is one
  return all;
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

// The first of them that expires, if all are valid now.
Result<Time> CheckTimes(const char* setting, const std::string& path, const Certificates& all,
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

// Certificates of a file, all valid now.
struct Read {
  std::string pem;
  Certificates certificates;
  Time expires{};  // the first of them
};
Result<Read> ReadCertificates(const char* setting, const std::string& path, Time now) {
  auto pem = ReadAll(setting, path, /*is_secret=*/false);
  if (!pem.ok()) return pem.status();
  Certificates all = ParseCertificates(*pem);
  if (all.empty()) return Wrong(setting, path, "there is no certificate in it: it takes PEM");
  const auto expires = CheckTimes(setting, path, all, now);
  if (!expires.ok()) return expires.status();
  return Read{std::move(*pem), std::move(all), *expires};
}

int NoPassphrase(char*, int, int, void*) { return 0; }

// What makes a name ambiguous, or a line of a log two.
bool IsPlain(std::string_view name) {
  return !name.empty() &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 127; });
}

std::string CommonName(const X509& certificate) {
  X509_NAME* const subject = X509_get_subject_name(&certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  // With two it is not known who is meant.
  if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) return {};
  unsigned char* text = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  const Owned<unsigned char> owned(size < 0 ? nullptr : text);
  return owned ? std::string(reinterpret_cast<char*>(text), static_cast<std::size_t>(size)) : "";
}

Status UseAll(SSL_CTX* context, const ServerFiles& files, const Certificates& chain,
              EVP_PKEY* key) {
  if (SSL_CTX_use_certificate(context, chain.front().get()) != 1)
    return Wrong("tls-cert", files.cert, Reason());
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1)
      return Wrong("tls-cert", files.cert, Reason());
  }
  if (X509_check_private_key(chain.front().get(), key) != 1) {
    ERR_clear_error();
    return Wrong("tls-key", files.key, "this is not the key of the certificate in " + files.cert);
  }
  if (SSL_CTX_use_PrivateKey(context, key) != 1) return Wrong("tls-key", files.key, Reason());
  return OkStatus();
}

void UseClientCa(SSL_CTX* context, const ServerFiles& files, const Certificates& cas) {
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  for (const auto& ca : cas) {
    X509_STORE_add_cert(store, ca.get());
    SSL_CTX_add_client_CA(context, ca.get());
  }
  SSL_CTX_set_verify(
      context, SSL_VERIFY_PEER | (files.client_cert_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
      nullptr);
}

// Of what the client would speak over it; who would none of it is none of ours: what is meant for
// another protocol is not taken for this one.
int ChooseProtocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                   const unsigned char* offered, unsigned offered_size, void*) {
  for (unsigned at = 0; at < offered_size; at += 1U + offered[at]) {
    const std::string_view one(reinterpret_cast<const char*>(offered + at + 1), offered[at]);
    if (one != "http/1.1" && one != "http/1.0") continue;
    *chosen = offered + at + 1;
    *chosen_size = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

std::shared_ptr<SSL_CTX> MakeContext() {
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                         SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_cipher_list(context.get(), kCiphers);
  SSL_CTX_set1_groups_list(context.get(), kGroups);
  SSL_CTX_set_alpn_select_cb(context.get(), ChooseProtocol, nullptr);
  // Who comes again shows its certificate again: by the CA and the clock of then.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_max_cert_list(context.get(), kMaxClientChainBytes);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  return context;
}

Status ReadClientCa(const ServerFiles& files, Time now, Material& material) {
  if (files.client_ca.empty()) return OkStatus();
  auto cas = ReadCertificates("tls-client-ca", files.client_ca, now);
  if (!cas.ok()) return cas.status();
  material.client_ca_expires = cas->expires;
  material.client_ca_pem = std::move(cas->pem);
  UseClientCa(material.context.get(), files, cas->certificates);
  return OkStatus();
}

}  // namespace

Result<MaterialPtr> ReadMaterial(const ServerFiles& files, Time now) {
  ERR_clear_error();
  auto material = std::make_shared<Material>();
  material->client_cert_required = files.client_cert_required;
  material->context = MakeContext();
  auto own = ReadCertificates("tls-cert", files.cert, now);
  if (!own.ok()) return own.status();
  const Certificates& chain = own->certificates;
  auto key_pem = ReadAll("tls-key", files.key, /*is_secret=*/true);
  if (!key_pem.ok()) return key_pem.status();
  const Owned<BIO> bio(BIO_new_mem_buf(key_pem->data(), static_cast<int>(key_pem->size())));
  const Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) {
    ERR_clear_error();
    return Wrong("tls-key", files.key,
                 "there is no key in it that can be read without a passphrase: it takes PEM");
  }
  if (const Status used = UseAll(material->context.get(), files, chain, key.get()); !used.ok())
    return used;
  material->expires = own->expires;
  material->names = NamesOf(*chain.front());
  material->chain_pem = std::move(own->pem);
  material->key_pem = std::move(*key_pem);
  if (const Status read = ReadClientCa(files, now, *material); !read.ok()) return read;
  return MaterialPtr(std::move(material));
}

Names NamesOf(const X509& certificate) {
  Names names;
  const Owned<GENERAL_NAMES> alternatives(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  const int count = alternatives ? sk_GENERAL_NAME_num(alternatives.get()) : 0;
  for (int i = 0; i < count; ++i) {
    const GENERAL_NAME* const one = sk_GENERAL_NAME_value(alternatives.get(), i);
    if (one->type != GEN_URI && one->type != GEN_DNS) continue;
    const ASN1_IA5STRING* const text =
        one->type == GEN_URI ? one->d.uniformResourceIdentifier : one->d.dNSName;
    std::string name(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                     static_cast<std::size_t>(ASN1_STRING_length(text)));
    if (!IsPlain(name) || names.uris.size() + names.dns_names.size() >= kMaxNamesCount) continue;
    (one->type == GEN_URI ? names.uris : names.dns_names).push_back(std::move(name));
  }
  if (std::string common = CommonName(certificate); IsPlain(common))
    names.common_name = std::move(common);
  return names;
}

std::string ClientHello() {
  constexpr std::array<unsigned char, 3> kHttp2{2, 'h', '2'};
  const std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  const Owned<SSL> ssl(SSL_new(context.get()));
  SSL_set_alpn_protos(ssl.get(), kHttp2.data(), kHttp2.size());
  BIO* const out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), out);  // which owns both
  SSL_set_connect_state(ssl.get());
  (void)SSL_do_handshake(ssl.get());
  ERR_clear_error();
  char* said = nullptr;
  const long size = BIO_get_mem_data(out, &said);
  return {said, static_cast<std::size_t>(size)};
}

}  // namespace assent::tls
