#pragma once

// What a server needs to speak TLS, read from files and checked: a value, never changed once made.

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <assent/status.h>

struct ssl_ctx_st;
struct x509_st;

namespace assent::tls {

inline constexpr std::size_t kMaxMaterialFileBytes = 1024 * 1024;
// Of what a client shows of itself.
inline constexpr long kMaxClientChainBytes = 32 * 1024;
// Of one certificate; one with more is nobody's.
inline constexpr std::size_t kMaxNamesCount = 64;

using Time = std::chrono::system_clock::time_point;

// Files in PEM.
struct ServerFiles {
  std::string cert = {};       // the certificate, the chain above it behind it
  std::string key = {};        // read by its owner alone
  std::string client_ca = {};  // empty: nobody is asked for a certificate
  bool client_cert_required = true;
};

// Who may be meant by a certificate, in its own order. None of these: it is nobody's.
struct Names {
  std::vector<std::string> uris = {};
  std::vector<std::string> dns_names = {};
  std::string common_name = {};  // of one without a URI and a DNS name
};

struct Material {
  std::string chain_pem = {};
  std::string key_pem = {};
  std::string client_ca_pem = {};
  bool client_cert_required = true;
  Names names = {};  // see NamesOf
  Time expires{};    // the first of the chain that does
  std::optional<Time> client_ca_expires = {};
  std::shared_ptr<ssl_ctx_st> context = {};  // for whoever speaks TLS by OpenSSL
};
using MaterialPtr = std::shared_ptr<const Material>;

// kInvalidArgument names the file, and what is wrong with it.
Result<MaterialPtr> ReadMaterial(const ServerFiles& files, Time now);

// The one rule, for every door, of the alternative names of a certificate as they stand in it. One
// that is empty, or has anything but printable ASCII without blanks, makes the whole certificate
// nobody's: of two readers one could take such a name for another, or pass over it.
Names NamesOf(std::vector<std::string> uris, std::vector<std::string> dns_names);
// Likewise, with the common name of one that has neither; of two of those it is not known which is
// meant. A certificate whose names cannot be read is nobody's.
Names NamesOf(const x509_st& certificate);
// Of the first certificate in this PEM.
Names NamesOf(std::string_view pem);

// Whether what begins with this byte is TLS: the record of a handshake.
constexpr bool IsHandshake(char first_byte) { return first_byte == 0x16; }
// What a client of TLS says first, with HTTP/2 for its protocol: to see whether somebody answers.
std::string ClientHello();

}  // namespace assent::tls
