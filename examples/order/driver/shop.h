#pragma once

// The running shop: a coordinator, or several that share a log, and three services, as processes,
// in one directory. Stories start, stop and kill them through this.

#include <array>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <assent/client.h>
#include <assent/status.h>

#include "examples/order/driver/books.h"
#include "examples/order/driver/keys.h"
#include "examples/order/driver/process.h"

namespace demo {

inline constexpr std::array kServices = {"order", "inventory", "payment"};

// How long the demo waits for anything that should take milliseconds, before it calls it a failure.
inline constexpr std::chrono::seconds kPatience{15};

// A rule that is broken on purpose, so that the demo can be seen to notice.
struct Break {
  std::string rule;     // for --break
  std::string service;  // whose --fault it is; empty: the driver does it itself
  std::string meaning;
};
const std::vector<Break>& Breaks();

// Several coordinators: how many, and the log that they share.
struct Cluster {
  std::size_t size = 1;
  std::string log;  // postgresql://…; empty: one coordinator, its log in the directory
};

class Shop {
 public:
  // `directory` exists and is empty; `programs` is where assentd and the services are. `broken`: a
  // rule, or empty. `locks.several` and `locks.lax` follow from the other two.
  Shop(std::string directory, std::string programs, std::string broken, const Cluster& cluster,
       const Locks& locks);

  // Opens: everything runs, and the opening books can be read.
  assent::Status Open();
  // Starts what does not run, and whatever was told to stop somewhere without.
  assent::Status Repair();

  // `stop_at`: where the service's tripwire stops it ("after:TRY"); see examples/order/tripwire.h.
  // `fault`: a rule that it breaks from now on.
  assent::Status StartService(const std::string& name, const std::string& stop_at = {},
                              const std::string& fault = {});
  // The same as a person would type it.
  std::string ServiceCommand(const std::string& name) const;
  Process& service(const std::string& name) { return services_[name]; }
  // Starts those that do not run, or starts them again on the same port and the same data, and
  // waits until all answer.
  assent::Status StartCoordinators();
  // Waits until a process of the shop ends, of itself or killed by somebody, and starts the
  // coordinators again that do not run; how many that were.
  assent::Result<int> WaitAndMend();
  // kill -9 of the one that has the transaction; its name.
  assent::Result<std::string> KillCoordinatorOf(const std::string& gid);
  // Others take over what one leaves behind.
  bool several() const { return coordinators_.size() > 1; }

  const assent::Client& client() const { return *client_; }
  assent::Result<Books> ReadBooks() const { return demo::ReadBooks(directory_); }
  // "127.0.0.1:7400,127.0.0.1:7401".
  std::string endpoints() const;
  const std::string& endpoint() const { return coordinators_.front().endpoint; }
  const Keys& keys() const { return keys_; }
  // Where each coordinator shows itself in a browser.
  std::vector<std::string> consoles() const;
  std::string program(const std::string& name) const { return programs_ + "/" + name; }
  const std::string& directory() const { return directory_; }
  // What `assentctl show GID` prints, and other commands of the operator.
  Printed Show(const std::string& gid) const { return Ctl({"show", gid}); }
  Printed Ctl(const std::vector<std::string>& words) const;
  // The same as a person would type it, but for the words.
  std::string CtlCommand() const;

 private:
  struct Coordinator {
    std::string endpoint;  // and its name
    std::string http;      // "127.0.0.1:7480"
    Process process;
  };
  assent::Status StartCoordinator(Coordinator& coordinator);
  std::vector<std::string> CommandOf(const std::string& service) const;
  std::vector<std::string> CtlWords() const;

  const std::string directory_;
  const std::string programs_;
  const std::string broken_;
  const std::string log_;
  Locks locks_;
  Keys keys_;
  bool opened_ = false;
  std::vector<Coordinator> coordinators_;
  std::map<std::string, Process> services_;
  std::map<std::string, std::string> stop_at_;
  std::unique_ptr<assent::Client> client_;
};

}  // namespace demo
