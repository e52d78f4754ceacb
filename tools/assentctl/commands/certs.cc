// A CA and certificates for a first try, and more of them. Nothing that is there is overwritten but
// by who says so.

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <set>
#include <system_error>
#include <utility>

#include <sys/stat.h>

#include "tools/assentctl/authority.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/json_out.h"
#include "tools/assentctl/new_file.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

// The CA's own; it signs until then.
constexpr int kCaDays = 3650;
// Before the domain, in the name of a CA that was made here.
constexpr std::string_view kCaName = "assent CA of ";

struct Part {
  std::string name;  // of its files
  std::string what;
  Subject subject;
};

// A service, and under which hosts it is dialled, if it is.
struct Service {
  std::string name;
  std::vector<std::string> hosts;
};

// In the order in which they are named.
std::vector<Service> ServicesOf(const CertsCommand& command) {
  std::vector<Service> services;
  for (const std::string& name : command.services) services.push_back({name, {}});
  for (const std::string& entry : command.unary) {
    const std::string name = entry.substr(0, entry.find('='));
    auto service = std::find_if(services.begin(), services.end(),
                                [&](const Service& one) { return one.name == name; });
    if (service == services.end()) {
      services.push_back({name, {}});
      service = std::prev(services.end());
    }
    service->hosts.push_back(entry.substr(std::min(entry.size(), name.size() + 1)));
  }
  return services;
}

// In the coordinator's certificate alone: what clients verify who share hosts with services.
std::string OwnNameOfCoordinator(const std::string& domain) { return "coordinator." + domain; }
std::string OwnNameOfCoordinator(const CertsCommand& command) {
  return OwnNameOfCoordinator(command.domain);
}

// As they are compared by who verifies: case and a last dot make no difference.
std::string Folded(std::string host) {
  std::transform(host.begin(), host.end(), host.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  while (host.ends_with('.')) host.pop_back();
  return host;
}

// Whether a certificate for the host is one for the name: "*.shop" is for all of shop.
bool IsFor(const std::string& host, const std::string& name) {
  const std::string folded = Folded(host);
  const std::string wanted = Folded(name);
  if (!folded.starts_with("*.")) return folded == wanted;
  return folded.substr(1) == wanted.substr(std::min(wanted.find('.'), wanted.size()));
}

std::vector<std::string> HostsOfCoordinator(const CertsCommand& command) {
  std::vector<std::string> hosts = command.hosts;
  if (hosts.empty()) hosts = {"localhost", "127.0.0.1", "::1"};
  hosts.push_back(OwnNameOfCoordinator(command));
  return hosts;
}

bool IsName(const std::string& name) {
  return !name.empty() && name.size() <= kMaxCertsNameBytes && name.front() != '.' &&
         name.front() != '-' && std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

// A '*' is the whole first label, as whoever verifies takes it.
bool IsHost(std::string_view host) {
  if (host.size() > kMaxCertsHostBytes) return false;
  if (host.starts_with("*.")) host.remove_prefix(2);
  return !host.empty() && host.front() != '-' && host.front() != '.' &&
         std::all_of(host.begin(), host.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == ':';
         });
}

Status CheckHosts(const std::vector<std::string>& hosts) {
  if (hosts.size() > kMaxCertsCount)
    return InvalidArgument("at most " + std::to_string(kMaxCertsCount) + " hosts of one");
  for (const std::string& host : hosts) {
    if (!IsHost(host)) return InvalidArgument("'" + Visible(host) + "' is no host");
  }
  return OkStatus();
}

Status CheckName(const std::string& name, std::set<std::string>& taken) {
  if (!IsName(name)) {
    return InvalidArgument("'" + Visible(name) + "' is no name for a file: it takes 1 to " +
                           std::to_string(kMaxCertsNameBytes) + " of [A-Za-z0-9._-]");
  }
  if (!taken.insert(name).second) return InvalidArgument("'" + name + "' is there twice, or taken");
  return OkStatus();
}

// Of a service: some take its own name, which is in the certificate too, for a host's.
Status CheckIsNoCoordinator(const Service& service, const std::vector<std::string>& own_names) {
  std::vector<std::string> hosts = service.hosts;
  hosts.push_back(service.name);
  for (const std::string& host : hosts) {
    for (const std::string& own : own_names) {
      if (!IsFor(host, own)) continue;
      return InvalidArgument("'" + host + "' is the coordinator's own name" +
                             (host == own ? "" : ", " + own));
    }
  }
  return OkStatus();
}

// `ca_domain`: the CA's, whose coordinators have a name there whatever the domain of these is.
Status Check(const CertsCommand& command, const std::string& ca_domain) {
  const std::vector<Service> services = ServicesOf(command);
  if (services.size() + command.people.size() + command.coordinators.size() > kMaxCertsCount)
    return InvalidArgument("at most " + std::to_string(kMaxCertsCount) + " certificates at once");
  if (services.empty() && command.people.empty() && command.coordinators.empty())
    return InvalidArgument("for whom? --service, --unary, --operator or --coordinator says it");
  if (!command.hosts.empty() && command.coordinators.empty())
    return InvalidArgument("--host is a coordinator's: say --coordinator as well");
  std::set<std::string> taken{"ca"};
  for (const std::string& name : command.coordinators)
    if (Status s = CheckName(name, taken); !s.ok()) return s;
  for (const std::string& name : command.people)
    if (Status s = CheckName(name, taken); !s.ok()) return s;
  std::vector<std::string> own_names;
  for (const std::string& domain : {command.domain, ca_domain})
    if (!domain.empty()) own_names.push_back(OwnNameOfCoordinator(domain));
  for (const Service& service : services) {
    if (Status s = CheckName(service.name, taken); !s.ok()) return s;
    if (Status s = CheckHosts(service.hosts); !s.ok()) return s;
    if (Status s = CheckIsNoCoordinator(service, own_names); !s.ok()) return s;
  }
  if (command.domain.empty())
    return InvalidArgument("the name of this CA has no domain in it: --domain says which");
  if (!IsName(command.domain))
    return InvalidArgument("'" + Visible(command.domain) + "' is no domain: [A-Za-z0-9._-]");
  return CheckHosts(command.hosts);
}

std::vector<Part> PartsOf(const CertsCommand& command) {
  const std::string domain = "spiffe://" + command.domain + "/";
  std::vector<Part> parts;
  for (const std::string& name : command.coordinators)
    parts.push_back({name,
                     "assentd, which also dials others with it",
                     {name, domain + name, HostsOfCoordinator(command), true}});
  for (const std::string& name : command.people)
    parts.push_back({name, "you, with assentctl", {name, domain + name, {}}});
  for (const Service& service : ServicesOf(command)) {
    std::string what = "the service " + service.name;
    for (const std::string& host : service.hosts)
      what += (&host == &service.hosts.front() ? ", which is dialled at " : ", ") + host;
    parts.push_back({service.name,
                     what,
                     {service.name, domain + service.name, service.hosts, !service.hosts.empty()}});
  }
  return parts;
}

// Those of the certificates in the folder that have the coordinator's own name, and of those to be.
std::vector<std::string> HostsOfCoordinators(const CertsCommand& command, Console& console) {
  const std::string own = "DNS:" + OwnNameOfCoordinator(command);
  std::vector<std::string> hosts;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(command.folder, error)) {
    const auto certificate = entry.path().extension() == ".pem" ? console.ReadFile(entry.path())
                                                                : Result<std::string>("");
    if (!certificate.ok()) continue;
    const std::vector<std::string> names = NamesIn(*certificate);
    if (std::find(names.begin(), names.end(), own) == names.end()) continue;
    for (const std::string& name : names) {
      if (!name.starts_with("URI:")) hosts.push_back(name.substr(name.find(':') + 1));
    }
  }
  return hosts.empty() ? HostsOfCoordinator(command) : hosts;
}

// Of services whose key could serve as the coordinator's: what that means.
std::string SharedHosts(const CertsCommand& command, Console& console) {
  const std::vector<std::string> own = HostsOfCoordinators(command, console);
  std::string text;
  for (const Service& service : ServicesOf(command)) {
    for (const std::string& host : service.hosts) {
      const bool shared = std::any_of(own.begin(), own.end(), [&](const std::string& name) {
        return IsFor(host, name) || IsFor(name, host);
      });
      if (!shared) continue;
      text += "\n" + host + " is the coordinator's as well: whoever has " + service.name +
              ".key can pose as the coordinator there, but to who says --tls-server-name " +
              OwnNameOfCoordinator(command) + " (ASSENT_TLS_SERVER_NAME)\n";
    }
  }
  return text;
}

Status Write(const std::string& path, const std::string& text, mode_t mode, bool replace) {
  int error = WriteNewFile(path, text, mode);
  if (error == EEXIST && replace) error = ReplaceFile(path, text);
  if (error == 0) return OkStatus();
  return {error == EEXIST ? Code::kAlreadyExists : Code::kInternal,
          "cannot make " + path + ": " + std::strerror(error) +
              (error == EEXIST ? "; --renew puts a new one in its place" : "")};
}

// The key first: whoever has the files open takes the pair when it has become one.
Status Write(const std::string& stem, const Issued& issued, bool replace = false) {
  constexpr mode_t kForOwner = 0600;
  constexpr mode_t kForAll = 0644;
  if (Status s = Write(stem + ".key", issued.key, kForOwner, replace); !s.ok()) return s;
  return Write(stem + ".pem", issued.certificate, kForAll, replace);
}

Status MakeFolder(const std::string& folder) {
  std::error_code error;
  if (std::filesystem::exists(folder, error)) {
    if (std::filesystem::is_directory(folder, error) && std::filesystem::is_empty(folder, error))
      return OkStatus();
    return {Code::kAlreadyExists,
            folder + " is there, and not an empty folder: nothing in it is overwritten"};
  }
  if (::mkdir(folder.c_str(), S_IRWXU) == 0) return OkStatus();
  return InvalidArgument("cannot make the folder " + folder + ": " + std::strerror(errno));
}

Result<std::unique_ptr<Authority>> MakeAuthority(const CertsCommand& command) {
  if (Status s = MakeFolder(command.folder); !s.ok()) return s;
  auto authority = Authority::Make(std::string(kCaName) + command.domain, kCaDays);
  if (!authority.ok()) return authority.status();
  if (Status s = Write(command.folder + "/ca", (*authority)->own()); !s.ok()) return s;
  return authority;
}

Result<std::unique_ptr<Authority>> LoadAuthority(const CertsCommand& command, Console& console) {
  const auto certificate = console.ReadFile(command.folder + "/ca.pem");
  if (!certificate.ok()) return certificate.status();
  const auto key = console.ReadFile(command.folder + "/ca.key");
  if (!key.ok()) return key.status();
  auto authority = Authority::Load({.certificate = *certificate, .key = *key});
  if (!authority.ok())
    return InvalidArgument(command.folder + "/ca.pem: " + authority.status().message());
  return authority;
}

// That of the CA, unless another is said.
std::string DomainOf(const Authority& authority) {
  const std::string& name = authority.common_name();
  return name.starts_with(kCaName) ? name.substr(kCaName.size()) : "";
}

std::string Joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + Visible(name);
  return text.empty() ? "nobody" : text;
}

// One for fewer or others would be found out by whoever dials it.
Status CheckRenewal(const std::string& path, const Subject& subject, Console& console) {
  const auto old = console.ReadFile(path);
  if (!old.ok()) return old.status();
  const std::vector<std::string> was = NamesIn(*old);
  const std::vector<std::string> would = NamesOf(subject);
  if (was == would) return OkStatus();
  return InvalidArgument(path + " is for " + Joined(was) + "; --renew as said would make one for " +
                         Joined(would) +
                         ": say the same with --host and --domain (a coordinator), or --unary "
                         "NAME=HOST (a service that is dialled); nothing was made");
}

Status IssueAll(const CertsCommand& command, Authority& authority, const std::vector<Part>& parts,
                Console& console) {
  const std::string folder = command.folder + "/";
  for (const Part& part : parts) {
    std::error_code error;
    const bool is_there = std::filesystem::exists(folder + part.name + ".pem", error);
    if (command.renew && !is_there)
      return InvalidArgument(folder + part.name +
                             ".pem is not there to be renewed; nothing was made");
    if (!command.renew && is_there) {
      return {Code::kAlreadyExists, folder + part.name +
                                        ".pem is there: --renew puts a new one in its place; "
                                        "nothing was made"};
    }
    if (!command.renew) continue;
    if (Status s = CheckRenewal(folder + part.name + ".pem", part.subject, console); !s.ok())
      return s;
  }
  for (const Part& part : parts) {
    const auto issued = authority.Issue(part.subject, command.days);
    if (!issued.ok()) return issued.status();
    if (Status s = Write(folder + part.name, *issued, command.renew); !s.ok()) return s;
  }
  return OkStatus();
}

std::string Words(const CertsCommand& command, const std::vector<Part>& parts, Console& console) {
  const std::string folder = Visible(command.folder) + "/";
  std::string text;
  if (command.is_new) {
    text = folder + "ca.pem    whom all others believe: every program gets it\n" + folder +
           "ca.key    signs certificates: keep it where no program runs\n";
  }
  for (const Part& part : parts) {
    text += folder + part.name + ".pem, .key    " + part.what + "; " + part.subject.uri + "\n";
  }
  if (!command.is_new) return text + SharedHosts(command, console);
  return text + "\nEach is valid for " + std::to_string(command.days) +
         " days. To use them:\n  assentd --tls-cert " + folder + "coordinator.pem --tls-key " +
         folder + "coordinator.key --tls-client-ca " + folder + "ca.pem\n  assentctl --tls-ca " +
         folder + "ca.pem --tls-cert " + folder + "operator.pem --tls-key " + folder +
         "operator.key list\n  ASSENT_TLS_CA, ASSENT_TLS_CERT and ASSENT_TLS_KEY say the same to a "
         "service\n" +
         SharedHosts(command, console);
}

Json Document(const CertsCommand& command, const std::vector<Part>& parts) {
  Json all = Json::array();
  for (const Part& part : parts) {
    all.push_back({{"name", part.name},
                   {"for", part.what},
                   {"uri", part.subject.uri},
                   {"hosts", part.subject.hosts},
                   {"certificate", command.folder + "/" + part.name + ".pem"},
                   {"key", command.folder + "/" + part.name + ".key"}});
  }
  return {{"ca", command.folder + "/ca.pem"},
          {"ca_key", command.folder + "/ca.key"},
          {"days", command.days},
          {"certificates", std::move(all)}};
}

}  // namespace

Exit RunCerts(const CertsCommand& asked, Session& session) {
  CertsCommand command = asked;
  std::unique_ptr<Authority> authority;
  if (command.is_new) {
    if (command.domain.empty()) command.domain = "assent";
    command.coordinators = {"coordinator"};
    command.people = {"operator"};
  } else {
    auto loaded = LoadAuthority(command, session.console);
    if (!loaded.ok()) return FailOffline(loaded.status(), session);
    authority = *std::move(loaded);
    if (command.domain.empty()) command.domain = DomainOf(*authority);
  }
  const std::string ca_domain = authority == nullptr ? command.domain : DomainOf(*authority);
  if (const Status s = Check(command, ca_domain); !s.ok()) return FailOffline(s, session);
  if (command.is_new) {
    auto made = MakeAuthority(command);
    if (!made.ok()) return FailOffline(made.status(), session);
    authority = *std::move(made);
  }
  const std::vector<Part> parts = PartsOf(command);
  if (const Status s = IssueAll(command, *authority, parts, session.console); !s.ok())
    return FailOffline(s, session);
  const Json json = Document(command, parts);
  switch (session.options.output) {
    case Output::kJson: session.console.Out(PrettyJson(json)); break;
    case Output::kJsonl: session.console.Out(LineJson(json)); break;
    case Output::kYaml: session.console.Out(Yaml(json)); break;
    case Output::kTable:
    case Output::kWide: session.console.Out(Words(command, parts, session.console)); break;
    case Output::kId:
      for (const Part& part : parts) session.console.Out(part.name + "\n");
  }
  return Exit::kDone;
}

}  // namespace assent::ctl
