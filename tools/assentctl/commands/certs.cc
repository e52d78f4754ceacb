// A CA and certificates for a first try. Nothing that is there is overwritten.

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
std::vector<Service> ServicesOf(const CertsInitCommand& command) {
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
std::string OwnNameOfCoordinator(const CertsInitCommand& command) {
  return "coordinator." + command.domain;
}

std::vector<std::string> HostsOfCoordinator(const CertsInitCommand& command) {
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

bool IsHost(const std::string& host) {
  return !host.empty() && host.size() <= kMaxCertsHostBytes && host.front() != '-' &&
         std::all_of(host.begin(), host.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == ':' || c == '*';
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

Status Check(const CertsInitCommand& command) {
  std::set<std::string> taken{"ca", "coordinator", "operator"};
  const std::vector<Service> services = ServicesOf(command);
  if (services.size() > kMaxCertsCount)
    return InvalidArgument("at most " + std::to_string(kMaxCertsCount) + " services at once");
  for (const Service& service : services) {
    if (!IsName(service.name)) {
      return InvalidArgument("'" + Visible(service.name) +
                             "' is no name for a file: it takes 1 to " +
                             std::to_string(kMaxCertsNameBytes) + " of [A-Za-z0-9._-]");
    }
    if (!taken.insert(service.name).second)
      return InvalidArgument("'" + service.name + "' is there twice, or taken");
    if (Status s = CheckHosts(service.hosts); !s.ok()) return s;
    const auto& own = OwnNameOfCoordinator(command);
    if (std::find(service.hosts.begin(), service.hosts.end(), own) != service.hosts.end())
      return InvalidArgument("'" + own + "' is the coordinator's own name");
  }
  if (!IsName(command.domain))
    return InvalidArgument("'" + Visible(command.domain) + "' is no domain: [A-Za-z0-9._-]");
  return CheckHosts(command.hosts);
}

std::vector<Part> PartsOf(const CertsInitCommand& command) {
  const std::string domain = "spiffe://" + command.domain + "/";
  std::vector<Part> parts{
      {"coordinator",
       "assentd, which also dials others with it",
       {"coordinator", domain + "coordinator", HostsOfCoordinator(command), true}},
      {"operator", "you, with assentctl", {"operator", domain + "operator", {}}}};
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

// Of services whose key could serve as the coordinator's: what that means.
std::string SharedHosts(const CertsInitCommand& command) {
  const std::vector<std::string> own = HostsOfCoordinator(command);
  std::string text;
  for (const Service& service : ServicesOf(command)) {
    for (const std::string& host : service.hosts) {
      if (std::find(own.begin(), own.end(), host) == own.end()) continue;
      text += "\n" + host + " is the coordinator's as well: whoever has " + service.name +
              ".key can pose as the coordinator there, but to who says --tls-server-name " +
              OwnNameOfCoordinator(command) + " (ASSENT_TLS_SERVER_NAME)\n";
    }
  }
  return text;
}

Status WriteNew(const std::string& path, const std::string& text, mode_t mode) {
  const int error = WriteNewFile(path, text, mode);
  if (error == 0) return OkStatus();
  return {error == EEXIST ? Code::kAlreadyExists : Code::kInternal,
          "cannot make " + path + ": " + std::strerror(error)};
}

Status Write(const std::string& stem, const Issued& issued) {
  constexpr mode_t kForOwner = 0600;
  constexpr mode_t kForAll = 0644;
  if (Status s = WriteNew(stem + ".key", issued.key, kForOwner); !s.ok()) return s;
  return WriteNew(stem + ".pem", issued.certificate, kForAll);
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

Status MakeAll(const CertsInitCommand& command, const std::vector<Part>& parts) {
  if (Status s = MakeFolder(command.folder); !s.ok()) return s;
  auto authority = Authority::Make("assent CA of " + command.domain, kCaDays);
  if (!authority.ok()) return authority.status();
  const std::string folder = command.folder + "/";
  if (Status s = Write(folder + "ca", (*authority)->own()); !s.ok()) return s;
  for (const Part& part : parts) {
    const auto issued = (*authority)->Issue(part.subject, command.days);
    if (!issued.ok()) return issued.status();
    if (Status s = Write(folder + part.name, *issued); !s.ok()) return s;
  }
  return OkStatus();
}

std::string Words(const CertsInitCommand& command, const std::vector<Part>& parts) {
  const std::string folder = Visible(command.folder) + "/";
  std::string text = folder + "ca.pem    whom all others believe: every program gets it\n" +
                     folder + "ca.key    signs certificates: keep it where no program runs\n";
  for (const Part& part : parts) {
    text += folder + part.name + ".pem, .key    " + part.what + "; " + part.subject.uri + "\n";
  }
  return text + "\nEach is valid for " + std::to_string(command.days) +
         " days. To use them:\n  assentd --tls-cert " + folder + "coordinator.pem --tls-key " +
         folder + "coordinator.key --tls-client-ca " + folder + "ca.pem\n  assentctl --tls-ca " +
         folder + "ca.pem --tls-cert " + folder + "operator.pem --tls-key " + folder +
         "operator.key list\n  ASSENT_TLS_CA, ASSENT_TLS_CERT and ASSENT_TLS_KEY say the same to a "
         "service\n" +
         SharedHosts(command);
}

Json Document(const CertsInitCommand& command, const std::vector<Part>& parts) {
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

Exit RunCertsInit(const CertsInitCommand& command, Session& session) {
  if (const Status s = Check(command); !s.ok()) return FailOffline(s, session);
  const std::vector<Part> parts = PartsOf(command);
  if (const Status s = MakeAll(command, parts); !s.ok()) return FailOffline(s, session);
  const Json json = Document(command, parts);
  switch (session.options.output) {
    case Output::kJson: session.console.Out(PrettyJson(json)); break;
    case Output::kJsonl: session.console.Out(LineJson(json)); break;
    case Output::kYaml: session.console.Out(Yaml(json)); break;
    case Output::kTable:
    case Output::kWide: session.console.Out(Words(command, parts)); break;
    case Output::kId:
      for (const Part& part : parts) session.console.Out(part.name + "\n");
  }
  return Exit::kDone;
}

}  // namespace assent::ctl
