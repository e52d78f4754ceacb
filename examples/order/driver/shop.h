#pragma once

// The running shop: one coordinator and three services, as processes, in one directory. Stories
// start, stop and kill them through this.

#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <assent/client.h>
#include <assent/status.h>

#include "examples/order/driver/books.h"
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

class Shop {
 public:
  // `directory` exists and is empty; `programs` is where assentd and the services are. `broken`: a
  // rule, or empty.
  Shop(std::string directory, std::string programs, std::string broken);

  // Opens: everything runs, and the opening books can be read.
  assent::Status Open();
  // Starts what does not run, and whatever was told to stop somewhere without.
  assent::Status Repair();

  // `stop_at`: where the service's tripwire stops it ("after:TRY"); see examples/order/tripwire.h.
  assent::Status StartService(const std::string& name, const std::string& stop_at = {});
  Process& service(const std::string& name) { return services_[name]; }
  // Starts, or starts again on the same port and the same data, and waits until it answers.
  assent::Status StartCoordinator();
  Process& coordinator() { return coordinator_; }

  const assent::Client& client() const { return *client_; }
  assent::Result<Books> ReadBooks() const { return demo::ReadBooks(directory_); }
  const std::string& endpoint() const { return endpoint_; }
  const std::string& directory() const { return directory_; }
  // What `assentctl show GID` prints.
  Printed Show(const std::string& gid) const;

 private:
  const std::string directory_;
  const std::string programs_;
  const std::string broken_;
  const std::string endpoint_;
  bool opened_ = false;
  Process coordinator_;
  std::map<std::string, Process> services_;
  std::map<std::string, std::string> stop_at_;
  std::unique_ptr<assent::Client> client_;
};

}  // namespace demo
