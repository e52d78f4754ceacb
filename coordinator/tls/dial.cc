#include "coordinator/tls/dial.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include <openssl/err.h>

#include "coordinator/tls/pem.h"

namespace assent::tls {
namespace {

// Where OpenSSL looks for those whom this system trusts.
std::string DefaultPlace(const char* environment, const char* otherwise) {
  const char* const named = std::getenv(environment);
  return named == nullptr ? otherwise : named;
}
std::string DefaultFile() {
  return DefaultPlace(X509_get_default_cert_file_env(), X509_get_default_cert_file());
}
std::string DefaultFolder() {
  return DefaultPlace(X509_get_default_cert_dir_env(), X509_get_default_cert_dir());
}

// What is in the folder is read when it is asked for.
Status TrustTheSystem(SSL_CTX* context, const std::string& setting) {
  SSL_CTX_set_default_verify_paths(context);
  ERR_clear_error();  // a file that is not there is none
  if (sk_X509_OBJECT_num(X509_STORE_get0_objects(SSL_CTX_get_cert_store(context))) > 0)
    return OkStatus();
  std::error_code unreadable;
  if (!std::filesystem::is_empty(DefaultFolder(), unreadable) && !unreadable) return OkStatus();
  return InvalidArgument(setting +
                         " is not given, and this system trusts nobody: there is no CA in " +
                         DefaultFile() + " and " + DefaultFolder() +
                         "; install the package ca-certificates, or give the file of the CA");
}

Status TrustTheFile(DialMaterial& material, Time now) {
  const DialFiles& files = material.files;
  auto read = ReadCertificates(files.setting, files.ca);
  if (!read.ok()) return read.status();
  Certificates& all = read->certificates;
  const auto valid = std::partition(all.begin(), all.end(), [&](const Owned<X509>& one) {
    return now >= TimeOf(X509_get0_notBefore(one.get())) &&
           now < TimeOf(X509_get0_notAfter(one.get()));
  });
  if (valid == all.begin()) return CheckTimes(files.setting, files.ca, all, now).status();
  for (const auto& ca : all)
    X509_STORE_add_cert(SSL_CTX_get_cert_store(material.context.get()), ca.get());
  all.erase(valid, all.end());
  material.ca_expires = CheckTimes(files.setting, files.ca, all, now).value();
  material.pem += read->pem;
  return OkStatus();
}

std::shared_ptr<SSL_CTX> MakeContext() {
  constexpr std::array<unsigned char, 9> kHttp{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  Harden(context.get());
  SSL_CTX_set_alpn_protos(context.get(), kHttp.data(), kHttp.size());
  SSL_CTX_set_max_cert_list(context.get(), kMaxReceiverChainBytes);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  return context;
}

// Who is meant by a name, in ASCII alone and on one line.
std::string Shown(X509_NAME* name) {
  const Owned<BIO> out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  constexpr long kMostBytes = 128;
  return size <= 0 ? "nobody"
                   : std::string(text, static_cast<std::size_t>(std::min(size, kMostBytes)));
}

bool IsPlain(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c > ' ' && c < 127 && c != '"'; });
}

std::string AddressOf(const ASN1_OCTET_STRING* octets) {
  const unsigned char* const bytes = ASN1_STRING_get0_data(octets);
  const int size = ASN1_STRING_length(octets);
  std::string text;
  if (size == 4) {
    for (int i = 0; i < size; ++i) text += (i == 0 ? "" : ".") + std::to_string(bytes[i]);
    return text;
  }
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (int i = 0; size == 16 && i < size; ++i) {
    if (i > 0 && i % 2 == 0) text += ':';
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

// Those by which a receiver may be dialled.
std::string NamesSaid(const X509* certificate) {
  const Owned<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  const int count = names ? sk_GENERAL_NAME_num(names.get()) : 0;
  std::string said;
  std::size_t said_count = 0;
  for (int i = 0; i < count; ++i) {
    const GENERAL_NAME* const one = sk_GENERAL_NAME_value(names.get(), i);
    std::string name;
    if (one->type == GEN_DNS) {
      name.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(one->d.dNSName)),
                  static_cast<std::size_t>(ASN1_STRING_length(one->d.dNSName)));
    } else if (one->type == GEN_IPADD) {
      name = AddressOf(one->d.iPAddress);
    }
    if (name.empty() || !IsPlain(name)) continue;
    if (++said_count > kMaxNamesSaidCount) return said + " and more";
    said += (said.empty() ? "" : ", ") + name;
  }
  return said;
}

std::string WhoIsTrusted(const DialFiles& files) {
  return files.ca.empty()
             ? "those whom this system trusts: the file of a CA of your own is given by --" +
                   files.setting
             : "the CAs in " + files.ca + " (" + files.setting + ")";
}

bool IsAddress(const std::string& host) {
  ASN1_OCTET_STRING* const address = a2i_IPADDRESS(host.c_str());
  ASN1_OCTET_STRING_free(address);
  ERR_clear_error();
  return address != nullptr;
}

std::string WithoutDot(const std::string& host) {
  return host.back() == '.' ? host.substr(0, host.size() - 1) : host;
}

void ExpectName(X509_VERIFY_PARAM* wanted, const std::string& host) {
  X509_VERIFY_PARAM_set_hostflags(
      wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  if (IsAddress(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str());
    return;
  }
  const std::string name = WithoutDot(host);
  X509_VERIFY_PARAM_set1_host(wanted, name.c_str(), name.size());
}

}  // namespace

Result<DialMaterialPtr> ReadDialMaterial(const DialFiles& files, Time now) {
  auto material = std::make_shared<DialMaterial>();
  material->files = files;
  material->context = MakeContext();
  const Status trusted = files.ca.empty() ? TrustTheSystem(material->context.get(), files.setting)
                                          : TrustTheFile(*material, now);
  if (!trusted.ok()) return trusted;
  if (!files.cert.empty()) {
    const auto own = ReadIdentity(files.cert, files.key, now);
    if (!own.ok()) return own.status();
    const Status used = Use(material->context.get(), *own, files.cert, files.key);
    if (!used.ok()) return used;
    material->pem += own->chain.pem + own->key_pem;
  }
  return DialMaterialPtr(std::move(material));
}

std::vector<std::string> PathsOf(const DialFiles& files) {
  if (!files.ca.empty()) return {files.ca, files.cert, files.key};
  return {DefaultFile(), DefaultFolder(), files.cert, files.key};
}

void Expect(SSL* connection, const std::string& host) {
  ExpectName(SSL_get0_param(connection), host);
  if (IsAddress(host)) return;
  std::string name = WithoutDot(host);
  // The macro for it has a cast that hides what it does.
  SSL_ctrl(connection, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
}

Status Dress(SSL_CTX* bare, const DialMaterial& material, const std::string& host) {
  SSL_CTX* const own = material.context.get();
  Harden(bare);
  SSL_CTX_set_max_cert_list(bare, kMaxReceiverChainBytes);
  SSL_CTX_set1_cert_store(bare, SSL_CTX_get_cert_store(own));
  SSL_CTX_set_verify(bare, SSL_VERIFY_PEER, nullptr);
  ExpectName(SSL_CTX_get0_param(bare), host);
  X509* const certificate = SSL_CTX_get0_certificate(own);
  if (certificate == nullptr) return OkStatus();
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(own, &chain);
  const bool shown = SSL_CTX_use_certificate(bare, certificate) == 1 &&
                     SSL_CTX_use_PrivateKey(bare, SSL_CTX_get0_privatekey(own)) == 1 &&
                     (chain == nullptr || SSL_CTX_set1_chain(bare, chain) == 1);
  ERR_clear_error();
  return shown ? OkStatus() : Internal("the certificate of this coordinator cannot be shown");
}

std::string WhyNotBelieved(X509_STORE_CTX* verified, const DialFiles& files,
                           const std::string& host) {
  const int error = X509_STORE_CTX_get_error(verified);
  X509* const certificate = X509_STORE_CTX_get_current_cert(verified);
  if (certificate == nullptr) return X509_verify_cert_error_string(error);
  const std::string which = X509_STORE_CTX_get_error_depth(verified) == 0
                                ? "its certificate"
                                : "the certificate of " +
                                      Shown(X509_get_subject_name(certificate)) +
                                      ", which is above its own,";
  switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: {
      const std::string names = NamesSaid(certificate);
      return which + " is not for " + host + ", but for " +
             (names.empty() ? "nothing that can be dialled: it takes a DNS or an IP name"
                            : names + ": dial one of these, or have one made for " + host);
    }
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return which + " expired at " + Shown(TimeOf(X509_get0_notAfter(certificate))) +
             ": have it renewed";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return which + " is valid from " + Shown(TimeOf(X509_get0_notBefore(certificate))) +
             " alone: is the clock of this machine right?";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return which + " is signed by " + Shown(X509_get_issuer_name(certificate)) +
             ", which is none of " + WhoIsTrusted(files);
    case X509_V_ERR_INVALID_PURPOSE:
      return which + " is not one of a server: it takes the extended usage serverAuth";
    default: return which + " is not taken: " + X509_verify_cert_error_string(error);
  }
}

std::string WhyEnded(unsigned long error, const DialFiles& files) {
  const std::string said = std::string(" (") + ERR_reason_error_string(error) + ")";
  switch (ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_RECORD_LENGTH_MISMATCH:
    case SSL_R_UNEXPECTED_MESSAGE:
      return "there is no TLS at that address: dial its port for TLS" + said;
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_UNSUPPORTED_PROTOCOL: return "it speaks neither TLS 1.2 nor 1.3: make it" + said;
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return "it wants a certificate of this coordinator, and got none: --tls-cert is shown if --" +
             files.setting + " is given" + said;
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
      return "it does not take the certificate of this coordinator, --tls-cert" + said;
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY:
    case SSL_R_NO_SHARED_CIPHER:
      return "it has no cipher or no curve in common with this side, or wants a certificate of "
             "this coordinator" +
             said;
    case SSL_R_TLSV1_UNRECOGNIZED_NAME: return "it is not there under that name" + said;
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
      return "it does not speak HTTP/1.1 there" + said;
    default: return "TLS has failed" + said;
  }
}

}  // namespace assent::tls
