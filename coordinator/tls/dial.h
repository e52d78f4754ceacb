#pragma once

// What is needed to dial a receiver over TLS, read from files and checked: a value, never changed
// once made; and what it means if there is no connection.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <assent/status.h>

struct ssl_ctx_st;
struct ssl_st;
struct x509_store_ctx_st;

namespace assent::tls {

// Of what a receiver shows of itself.
inline constexpr long kMaxReceiverChainBytes = 64 * 1024;
// Names of a receiver's certificate that are said when none of them is the one that was dialled.
inline constexpr std::size_t kMaxNamesSaidCount = 8;

// Files in PEM.
struct DialFiles {
  std::string setting = {};  // that names `ca`, for what people are told
  // Who signs the certificates of receivers; empty: those whom this system trusts.
  std::string ca = {};
  // What is shown to a receiver that asks. Both, or neither.
  std::string cert = {};
  std::string key = {};
};

struct DialMaterial {
  DialFiles files = {};
  std::shared_ptr<ssl_ctx_st> context = {};
  // The first of the file's CAs that does, of those that are valid; none: those of this system.
  std::optional<std::chrono::system_clock::time_point> ca_expires = {};
  std::string pem = {};  // all that was read
};
using DialMaterialPtr = std::shared_ptr<const DialMaterial>;

// kInvalidArgument names the file, and what is wrong with it. Of the CAs some may have expired, but
// not all: whoever changes from one to another has both in the file.
Result<DialMaterialPtr> ReadDialMaterial(const DialFiles& files,
                                         std::chrono::system_clock::time_point now);
// All that it is read from.
std::vector<std::string> PathsOf(const DialFiles& files);

// Of one connection, before its handshake: the receiver is told `host`, if that is a name, and its
// certificate has to be for it, as a DNS or an IP name.
void Expect(ssl_st* connection, const std::string& host);

// For a library that makes contexts of its own: this one then trusts, shows and speaks what that of
// `material` does, and the receiver's certificate has to be for `host`.
Status Dress(ssl_ctx_st* bare, const DialMaterial& material, const std::string& host);

// Why a receiver's certificate is not believed, in words, and what to do.
std::string WhyNotBelieved(x509_store_ctx_st* verified, const DialFiles& files,
                           const std::string& host);
// What an error of OpenSSL means that has ended a connection, in words, and what to do.
std::string WhyEnded(unsigned long error, const DialFiles& files);

}  // namespace assent::tls
