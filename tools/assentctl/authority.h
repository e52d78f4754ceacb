#pragma once

// A CA of one's own, to begin with: made, used for some certificates, and kept in files.

#include <memory>
#include <string>
#include <vector>

#include <assent/status.h>

namespace assent::ctl {

// In PEM.
struct Issued {
  std::string certificate;
  std::string key;
};

// Whom a certificate is for.
struct Subject {
  std::string common_name;
  std::string uri;                 // "spiffe://shop/payment"
  std::vector<std::string> hosts;  // names, or addresses of IP
  bool is_dialled = false;         // also as a server
};

// "URI:spiffe://shop/payment", "DNS:localhost", "IP:127.0.0.1", in order: whom it is for, and whom
// one in PEM is for. None if that cannot be read.
std::vector<std::string> NamesOf(const Subject& subject);
std::vector<std::string> NamesIn(const std::string& certificate);

// ECDSA on P-256, SHA-256.
class Authority {
 public:
  static Result<std::unique_ptr<Authority>> Make(const std::string& common_name, int days);
  // One that was made before. kInvalidArgument: it cannot sign, and why.
  static Result<std::unique_ptr<Authority>> Load(const Issued& own);
  ~Authority();
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  const Issued& own() const { return own_; }
  const std::string& common_name() const { return common_name_; }
  // For who dials, and also for who is dialled, if it is.
  Result<Issued> Issue(const Subject& subject, int days);

 private:
  struct Keys;
  explicit Authority(std::unique_ptr<Keys> keys);

  std::unique_ptr<Keys> keys_;
  Issued own_;
  std::string common_name_;
};

}  // namespace assent::ctl
