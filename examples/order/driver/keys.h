#pragma once

// The shop with locks (--secure): each program has a certificate of its own, and a file of rules
// says what each may. Without it, everybody on this machine may everything.

#include <string>
#include <vector>

#include <assent/status.h>
#include <assent/tls.h>

namespace demo {

// What of it is wanted.
struct Locks {
  bool on = false;
  bool browsers = false;  // come without a certificate, and log in with a token
  bool lax = false;       // the rules allow everybody everything: a rule broken on purpose
  bool several = false;   // coordinators, which then act for one another
};

class Keys {
 public:
  Keys() = default;  // off
  // With `assentctl certs init`, below `directory`; a second CA is that of strangers.
  static assent::Result<Keys> Make(const std::string& programs, const std::string& directory,
                                   const Locks& locks);

  bool on() const { return locks_.on; }
  // The certificate of: order, inventory, payment, checkout, operator, coordinator. As options of
  // the SDK, as its environment ("ASSENT_TLS_CA=…"), as flags of assentctl. Empty when off.
  assent::TlsOptions Of(const std::string& who) const;
  std::vector<std::string> EnvironmentOf(const std::string& who) const;
  std::vector<std::string> CtlFlagsOf(const std::string& who) const;
  // With the right CA, but no certificate; and with the certificate of another CA.
  std::vector<std::string> CtlFlagsOfNobody() const;
  std::vector<std::string> CtlFlagsOfStranger() const;
  std::vector<std::string> DaemonFlags() const;

  const std::string& rules() const { return rules_; }  // the text of the file
  const std::string& folder() const { return folder_; }
  // Of the operator, for the console's login; empty: browsers are not wanted.
  const std::string& token_file() const { return token_file_; }

 private:
  std::string ca_file() const { return folder_ + "/ca.pem"; }

  Locks locks_;
  std::string folder_;
  std::string strangers_;
  std::string rules_;
  std::string token_file_;
};

}  // namespace demo
