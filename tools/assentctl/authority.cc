#include "tools/assentctl/authority.h"

#include <algorithm>
#include <array>
#include <utility>

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace assent::ctl {
namespace {

constexpr int kSerialBits = 127;
constexpr long kSecondsPerDay = 24 * 3600;
// Clocks differ.
constexpr long kBeginsSecondsAgo = 3600;

struct Free {
  void operator()(BIO* p) const { BIO_free(p); }
  void operator()(BIGNUM* p) const { BN_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(X509_EXTENSION* p) const { X509_EXTENSION_free(p); }
  void operator()(GENERAL_NAMES* p) const { GENERAL_NAMES_free(p); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

Status Failed() {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return Internal(std::string("OpenSSL cannot make a certificate: ") +
                  (reason == nullptr ? "it does not say why" : reason));
}

std::string TextOf(BIO* bio) {
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio, &text);
  return {text, static_cast<std::size_t>(size)};
}

bool SetSerial(X509* certificate) {
  const Owned<BIGNUM> number(BN_new());
  return BN_rand(number.get(), kSerialBits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool SetName(X509* certificate, const std::string& common_name) {
  return X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(common_name.data()),
                                    static_cast<int>(common_name.size()), -1, 0) == 1;
}

bool AddExtension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Owned<X509_EXTENSION> extension(
      X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool IsAddress(const std::string& host) {
  in6_addr ignored{};
  return ::inet_pton(AF_INET, host.c_str(), &ignored) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

std::string Joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ",") + name;
  return text;
}

std::string TextOf(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

std::string AddressIn(const ASN1_STRING* bytes) {
  constexpr int kV4Bytes = 4;
  const int family = ASN1_STRING_length(bytes) == kV4Bytes ? AF_INET : AF_INET6;
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(family, ASN1_STRING_get0_data(bytes), text.data(), text.size());
  return text.data();
}

// Whoever keeps the CA's key with a password is not asked for it on some terminal.
int RefusePassword(char*, int, int, void*) { return -1; }

std::string CommonNameOf(X509* certificate) {
  X509_NAME* const name = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (at < 0) return {};
  const ASN1_STRING* const text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
  return TextOf(text);
}

// What a CA's and every other certificate have in common; not signed yet. nullptr: it failed.
Owned<X509> Begin(const std::string& common_name, EVP_PKEY* key, int days) {
  Owned<X509> made(X509_new());
  const bool done = made && X509_set_version(made.get(), X509_VERSION_3) == 1 &&
                    SetSerial(made.get()) && SetName(made.get(), common_name) &&
                    X509_gmtime_adj(X509_getm_notBefore(made.get()), -kBeginsSecondsAgo) &&
                    X509_gmtime_adj(X509_getm_notAfter(made.get()), days * kSecondsPerDay) &&
                    X509_set_pubkey(made.get(), key) == 1;
  return done ? std::move(made) : nullptr;
}

Result<Issued> Written(X509* certificate, EVP_PKEY* key) {
  const Owned<BIO> cert_out(BIO_new(BIO_s_mem()));
  const Owned<BIO> key_out(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(cert_out.get(), certificate) != 1 ||
      PEM_write_bio_PrivateKey(key_out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return Failed();
  return Issued{TextOf(cert_out.get()), TextOf(key_out.get())};
}

}  // namespace

std::vector<std::string> NamesOf(const Subject& subject) {
  std::vector<std::string> names{"URI:" + subject.uri};
  for (const std::string& host : subject.hosts)
    names.push_back((IsAddress(host) ? "IP:" : "DNS:") + host);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> NamesIn(const std::string& certificate) {
  const Owned<BIO> in(BIO_new_mem_buf(certificate.data(), static_cast<int>(certificate.size())));
  const Owned<X509> read(PEM_read_bio_X509(in.get(), nullptr, RefusePassword, nullptr));
  ERR_clear_error();
  if (!read) return {};
  const Owned<GENERAL_NAMES> found(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(read.get(), NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> names;
  for (int at = 0; at < sk_GENERAL_NAME_num(found.get()); ++at) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(found.get(), at);
    if (name->type == GEN_URI) names.push_back("URI:" + TextOf(name->d.ia5));
    if (name->type == GEN_DNS) names.push_back("DNS:" + TextOf(name->d.ia5));
    if (name->type == GEN_IPADD) names.push_back("IP:" + AddressIn(name->d.ip));
  }
  std::sort(names.begin(), names.end());
  return names;
}

struct Authority::Keys {
  Owned<EVP_PKEY> key;
  Owned<X509> certificate;
};

Authority::Authority(std::unique_ptr<Keys> keys) : keys_(std::move(keys)) {}
Authority::~Authority() = default;

Result<std::unique_ptr<Authority>> Authority::Make(const std::string& common_name, int days) {
  auto keys = std::make_unique<Keys>();
  keys->key.reset(EVP_EC_gen("P-256"));
  if (!keys->key) return Failed();
  keys->certificate = Begin(common_name, keys->key.get(), days);
  X509* const own = keys->certificate.get();
  const bool done = own != nullptr && X509_set_issuer_name(own, X509_get_subject_name(own)) == 1 &&
                    AddExtension(own, own, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                    AddExtension(own, own, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                    AddExtension(own, own, NID_subject_key_identifier, "hash") &&
                    X509_sign(own, keys->key.get(), EVP_sha256()) > 0;
  if (!done) return Failed();
  std::unique_ptr<Authority> authority(new Authority(std::move(keys)));
  auto written = Written(own, authority->keys_->key.get());
  if (!written.ok()) return written.status();
  authority->own_ = std::move(written).value();
  authority->common_name_ = common_name;
  return authority;
}

Result<std::unique_ptr<Authority>> Authority::Load(const Issued& own) {
  const Owned<BIO> cert_in(
      BIO_new_mem_buf(own.certificate.data(), static_cast<int>(own.certificate.size())));
  const Owned<BIO> key_in(BIO_new_mem_buf(own.key.data(), static_cast<int>(own.key.size())));
  auto keys = std::make_unique<Keys>();
  keys->certificate.reset(PEM_read_bio_X509(cert_in.get(), nullptr, nullptr, nullptr));
  keys->key.reset(PEM_read_bio_PrivateKey(key_in.get(), nullptr, RefusePassword, nullptr));
  ERR_clear_error();
  X509* const certificate = keys->certificate.get();
  if (certificate == nullptr) return InvalidArgument("the CA's file has no certificate in PEM");
  if (!keys->key) return InvalidArgument("the file of the CA's key has no key in PEM");
  const bool is_pair = X509_check_private_key(certificate, keys->key.get()) == 1;
  ERR_clear_error();
  if (!is_pair) return InvalidArgument("the CA's key is not that of its certificate");
  if (X509_check_ca(certificate) != 1) return InvalidArgument("its certificate is no CA's");
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
    return InvalidArgument("the CA has expired: make a new one");
  std::unique_ptr<Authority> authority(new Authority(std::move(keys)));
  authority->own_ = own;
  authority->common_name_ = CommonNameOf(certificate);
  return authority;
}

Result<Issued> Authority::Issue(const Subject& subject, int days) {
  const Owned<EVP_PKEY> key(EVP_EC_gen("P-256"));
  if (!key) return Failed();
  const Owned<X509> made = Begin(subject.common_name, key.get(), days);
  X509* const ca = keys_->certificate.get();
  const bool done = made && X509_set_issuer_name(made.get(), X509_get_subject_name(ca)) == 1 &&
                    AddExtension(made.get(), ca, NID_basic_constraints, "critical,CA:FALSE") &&
                    AddExtension(made.get(), ca, NID_key_usage, "critical,digitalSignature") &&
                    AddExtension(made.get(), ca, NID_ext_key_usage,
                                 subject.is_dialled ? "serverAuth,clientAuth" : "clientAuth") &&
                    AddExtension(made.get(), ca, NID_subject_key_identifier, "hash") &&
                    AddExtension(made.get(), ca, NID_authority_key_identifier, "keyid") &&
                    AddExtension(made.get(), ca, NID_subject_alt_name, Joined(NamesOf(subject))) &&
                    X509_sign(made.get(), keys_->key.get(), EVP_sha256()) > 0;
  return done ? Written(made.get(), key.get()) : Failed();
}

}  // namespace assent::ctl
