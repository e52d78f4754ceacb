#include "coordinator/tls/material.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "coordinator/tls/pem.h"

namespace assent::tls {
namespace {

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
  Harden(context.get());
  SSL_CTX_set_options(context.get(), SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_alpn_select_cb(context.get(), ChooseProtocol, nullptr);
  // Who comes again shows its certificate again: by the CA and the clock of then.
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_max_cert_list(context.get(), kMaxClientChainBytes);
  return context;
}

Status ReadClientCa(const ServerFiles& files, Time now, Material& material) {
  if (files.client_ca.empty()) return OkStatus();
  auto cas = ReadCertificates("tls-client-ca", files.client_ca);
  if (!cas.ok()) return cas.status();
  const auto expires = CheckTimes("tls-client-ca", files.client_ca, cas->certificates, now);
  if (!expires.ok()) return expires.status();
  material.client_ca_expires = *expires;
  material.client_ca_pem = std::move(cas->pem);
  UseClientCa(material.context.get(), files, cas->certificates);
  return OkStatus();
}

}  // namespace

Result<MaterialPtr> ReadMaterial(const ServerFiles& files, Time now) {
  auto own = ReadIdentity(files.cert, files.key, now);
  if (!own.ok()) return own.status();
  auto material = std::make_shared<Material>();
  material->client_cert_required = files.client_cert_required;
  material->context = MakeContext();
  if (const Status used = Use(material->context.get(), *own, files.cert, files.key); !used.ok())
    return used;
  material->expires = own->expires;
  material->names = NamesOf(*own->chain.certificates.front());
  material->chain_pem = std::move(own->chain.pem);
  material->key_pem = std::move(own->key_pem);
  if (const Status read = ReadClientCa(files, now, *material); !read.ok()) return read;
  return MaterialPtr(std::move(material));
}

Names NamesOf(std::vector<std::string> uris, std::vector<std::string> dns_names) {
  const auto plain = [](const std::vector<std::string>& names) {
    return std::all_of(names.begin(), names.end(), IsPlain);
  };
  if (uris.size() + dns_names.size() > kMaxNamesCount || !plain(uris) || !plain(dns_names))
    return {};
  return {std::move(uris), std::move(dns_names)};
}

Names NamesOf(const X509& certificate) {
  constexpr int kThereIsNone = -1;
  int found = 0;
  const Owned<GENERAL_NAMES> alternatives(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, &found, nullptr)));
  // Twice, or not to be read.
  if (!alternatives && found != kThereIsNone) return {};
  std::vector<std::string> uris;
  std::vector<std::string> dns_names;
  const int count = alternatives ? sk_GENERAL_NAME_num(alternatives.get()) : 0;
  for (int i = 0; i < count; ++i) {
    const GENERAL_NAME* const one = sk_GENERAL_NAME_value(alternatives.get(), i);
    if (one->type != GEN_URI && one->type != GEN_DNS) continue;
    const ASN1_IA5STRING* const text =
        one->type == GEN_URI ? one->d.uniformResourceIdentifier : one->d.dNSName;
    (one->type == GEN_URI ? uris : dns_names)
        .emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                      static_cast<std::size_t>(ASN1_STRING_length(text)));
  }
  if (!uris.empty() || !dns_names.empty()) return NamesOf(std::move(uris), std::move(dns_names));
  Names names;
  if (std::string common = CommonName(certificate); IsPlain(common))
    names.common_name = std::move(common);
  return names;
}

Names NamesOf(std::string_view pem) {
  const Owned<BIO> in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const Owned<X509> certificate(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  return certificate ? NamesOf(*certificate) : Names{};
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
