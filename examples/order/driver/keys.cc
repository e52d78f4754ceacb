#include "examples/order/driver/keys.h"

#include <filesystem>
#include <fstream>
#include <utility>

#include "examples/order/driver/process.h"

namespace demo {
namespace {

using assent::Result;
using assent::Status;

// Each program gets exactly what it needs.
constexpr const char* kRules =
    "allow spiffe://shop/order as participant for order\n"
    "allow spiffe://shop/inventory as participant for inventory\n"
    "allow spiffe://shop/payment as participant for payment\n"
    "allow spiffe://shop/checkout as initiator for order, inventory, payment\n"
    "allow spiffe://shop/operator as operator with payloads\n";
constexpr const char* kOfBrowsers = "allow token:operator as operator with payloads\n";
constexpr const char* kOfSeveral = "allow spiffe://shop/coordinator as coordinator\n";
// What they must not say: it is what the demo has to notice.
constexpr const char* kLaxRules =
    "allow anyone as participant for *\n"
    "allow anyone as initiator for *\n"
    "allow anyone as admin\n";

Status Fails(const std::string& what, const Printed& printed) {
  return assent::Internal(what + ": " + printed.text);
}

Status Write(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  std::error_code error;
  std::filesystem::permissions(
      path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write, error);
  return file && !error ? assent::OkStatus() : assent::Internal("cannot write " + path);
}

std::string RulesFor(const Locks& locks) {
  if (locks.lax) return std::string(kLaxRules) + (locks.several ? kOfSeveral : "");
  return std::string(kRules) + (locks.browsers ? kOfBrowsers : "") +
         (locks.several ? kOfSeveral : "");
}

}  // namespace

Result<Keys> Keys::Make(const std::string& programs, const std::string& directory,
                        const Locks& locks) {
  Keys keys;
  keys.locks_ = locks;
  if (!locks.on) return keys;
  keys.folder_ = directory + "/tls";
  keys.strangers_ = directory + "/strangers";
  const std::string assentctl = programs + "/assentctl";
  std::vector<std::string> argv{assentctl, "certs", "init", keys.folder_, "--domain", "shop"};
  for (const char* name : {"order", "inventory", "payment", "checkout"})
    argv.insert(argv.end(), {"--service", name});
  if (const Printed made = Run(argv); made.exit_code != 0)
    return Fails("assentctl certs init", made);
  if (const Printed made =
          Run({assentctl, "certs", "init", keys.strangers_, "--domain", "elsewhere"});
      made.exit_code != 0)
    return Fails("assentctl certs init", made);
  keys.rules_ = RulesFor(locks);
  if (Status written = Write(keys.folder_ + "/rules", keys.rules_); !written.ok()) return written;
  if (!locks.browsers) return keys;
  const Printed token =
      Run({assentctl, "auth", "token", "operator", "--append", keys.folder_ + "/tokens"});
  if (token.exit_code != 0) return Fails("assentctl auth token", token);
  keys.token_file_ = keys.folder_ + "/operator.token";
  if (Status written = Write(keys.token_file_, token.text); !written.ok()) return written;
  return keys;
}

assent::TlsOptions Keys::Of(const std::string& who) const {
  if (!on()) return {};
  const std::string stem = folder_ + "/" + who;
  return {.ca_file = ca_file(), .cert_file = stem + ".pem", .key_file = stem + ".key"};
}

std::vector<std::string> Keys::EnvironmentOf(const std::string& who) const {
  if (!on()) return {};
  const assent::TlsOptions files = Of(who);
  return {"ASSENT_TLS_CA=" + files.ca_file, "ASSENT_TLS_CERT=" + files.cert_file,
          "ASSENT_TLS_KEY=" + files.key_file};
}

std::vector<std::string> Keys::CtlFlagsOf(const std::string& who) const {
  if (!on()) return {};
  const assent::TlsOptions files = Of(who);
  return {"--tls-ca", files.ca_file, "--tls-cert", files.cert_file, "--tls-key", files.key_file};
}

std::vector<std::string> Keys::CtlFlagsOfNobody() const { return {"--tls-ca", ca_file()}; }

std::vector<std::string> Keys::CtlFlagsOfStranger() const {
  return {"--tls-ca",   ca_file(),
          "--tls-cert", strangers_ + "/operator.pem",
          "--tls-key",  strangers_ + "/operator.key"};
}

std::vector<std::string> Keys::DaemonFlags() const {
  if (!on()) return {};
  std::vector<std::string> flags{"--tls-cert",      folder_ + "/coordinator.pem",
                                 "--tls-key",       folder_ + "/coordinator.key",
                                 "--tls-client-ca", ca_file(),
                                 "--auth-rules",    folder_ + "/rules"};
  if (locks_.browsers) flags.insert(flags.end(), {"--auth-tokens", folder_ + "/tokens"});
  if (locks_.browsers || locks_.lax) flags.insert(flags.end(), {"--tls-client-cert", "optional"});
  return flags;
}

}  // namespace demo
