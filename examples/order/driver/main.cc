// assent-demo: a shop of three services and a coordinator, through good days and bad ones, in every
// protocol.
//
// Two processes: the outer one owns the directory and outlives the inner one, whatever that ends
// of; the inner one tells the stories, and its children (coordinator, services) die with it. So an
// interrupted demo leaves nothing behind.

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <regex>
#include <string>
#include <unistd.h>
#include <vector>

#include <CLI/CLI.hpp>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "examples/order/driver/attempts.h"
#include "examples/order/driver/books.h"
#include "examples/order/driver/outage.h"
#include "examples/order/driver/shop.h"
#include "examples/order/driver/story.h"
#include "examples/order/driver/teller.h"

namespace demo {
namespace {

constexpr std::int64_t kCoinsApiece = 30;
// The transaction whose timeline is printed at the end, if it was told.
constexpr const char* kShown = "tcc-no-funds";

struct Flags {
  std::string only;
  std::string broken;
  bool keep = false;
  bool secure = false;
  std::string files;
  Cluster cluster;
};

class Demo {
 public:
  Demo(const Flags& flags, const std::string& directory, const std::string& programs)
      : flags_(flags),
        shop_(directory, programs, flags.broken, flags.cluster,
              {.on = flags.secure, .browsers = flags.keep}) {}

  // The exit code.
  int Run() {
    if (const assent::Status opened = shop_.Open(); !opened.ok()) {
      teller_.Bad("The shop does not open: " + opened.ToString());
      return 1;
    }
    const assent::Result<Books> opening = shop_.ReadBooks();
    if (!opening.ok()) {
      teller_.Bad("The opening books cannot be read: " + opening.status().ToString());
      return 1;
    }
    teller_.Say((shop_.several() ? "Coordinators at " : "A coordinator at ") + shop_.endpoints() +
                (shop_.several() ? " on one log" : "") +
                ", and the services order, inventory and payment, each with a database of its own, "
                "in " +
                shop_.directory() + ".");
    for (const std::string& console : shop_.consoles()) {
      // Where browsers have no certificate and may not come without, there is nothing to look at.
      if (shop_.keys().on() && shop_.keys().token_file().empty()) break;
      teller_.Print("In a browser, while this runs: " + console);
    }
    if (shop_.keys().on()) TellLocks();
    for (const Style style : kStyles) {
      bool told = false;
      for (const Story& story : Stories()) {
        const std::string name = std::string(Name(style)) + "-" + story.name;
        if (!Wanted(name)) continue;
        if (!told) teller_.Chapter(Title(style));
        told = true;
        Tell(style, story, name);
      }
    }
    if (shop_.keys().on()) TryWhatIsRefused();
    if (count_ == 0) {
      teller_.Bad("No scenario matches '" + flags_.only + "'.");
      return 2;
    }
    const int code = Close(*opening);
    return flags_.keep ? Stay(code) : code;
  }

 private:
  bool Wanted(const std::string& name) const {
    return flags_.only.empty() || std::regex_search(name, std::regex(flags_.only));
  }

  void Tell(Style style, const Story& story, const std::string& name) {
    ++count_;
    const shop::Order order{.id = name,
                            .customer = story.customer,
                            .article = story.article,
                            .quantity = story.quantity,
                            .coins = story.quantity * kCoinsApiece};
    teller_.Begin(name, std::string(story.title) + " (" + std::to_string(order.quantity) + " " +
                            order.article + "s for " + order.customer + ")");
    const std::vector<std::string> faults = Play(style, story, order);
    for (const std::string& fault : faults) teller_.Bad("NOT as expected: " + fault);
    if (faults.empty()) ++as_expected_;
    if (const assent::Status repaired = shop_.Repair(); !repaired.ok()) {
      teller_.Bad("The shop cannot be repaired: " + repaired.ToString());
    }
    if (faults.empty() ? story.commits : EndsCommitted(order)) committed_.push_back(order);
  }

  // What becomes of an order whose story went wrong.
  bool EndsCommitted(const shop::Order& order) {
    const auto report =
        shop_.client().Wait(order.id, {.wait = assent::WaitFor::kCompleted, .timeout = kPatience});
    return report.ok() && report->committed();
  }

  // What was not as it should be.
  std::vector<std::string> Play(Style style, const Story& story, const shop::Order& order) {
    const assent::Result<Books> before = shop_.ReadBooks();
    if (!before.ok()) return {before.status().ToString()};
    if (const assent::Status played = story.play(shop_, style, order, teller_); !played.ok()) {
      return {played.ToString()};
    }
    const assent::Result<Books> after = shop_.ReadBooks();
    if (!after.ok()) return {after.status().ToString()};
    std::vector<std::string> faults = CheckOrder(*before, *after, order, story.commits);
    if (order.id == kShown) {
      shown_ = shop_.Show(order.id);
      if (shown_.exit_code != 0 || shown_.text.find("insufficient funds") == std::string::npos) {
        faults.push_back("assentctl show does not tell why: " + shown_.text);
      }
    }
    if (faults.empty()) {
      teller_.Good("As expected. " + order.article +
                   "s: " + ToString(after->stock.at(order.article)) +
                   "; nothing frozen, nothing prepared.");
    }
    return faults;
  }

  void TellLocks() {
    const std::string& folder = shop_.keys().folder();
    teller_.Chapter("Each program has a certificate of its own (" + folder + "):");
    teller_.Say(
        "assentctl certs init has made them, and the CA that signs them. Whoever connects shows "
        "his own and looks at the other's: mutual TLS, on every connection. What a program may do "
        "is in the rules that the coordinator has, a sentence a line; nobody else may anything:");
    teller_.Print("");
    teller_.Print(shop_.keys().rules());
  }

  void TryWhatIsRefused() {
    bool told = false;
    for (const Attempt& one : Attempts()) {
      if (!Wanted(one.name)) continue;
      if (!told) teller_.Chapter("What is refused, and what whoever tries is told:");
      told = true;
      ++count_;
      ++attempts_;
      teller_.Begin(one.name, one.title);
      const Told answer = one.attempt(shop_);
      teller_.Say("Told: " + answer.words);
      if (answer.refused) {
        ++as_expected_;
        ++refused_;
        teller_.Good(std::string("Refused, by ") + one.holds + ".");
      } else {
        teller_.Bad("NOT as expected: NOT refused, by " + std::string(one.holds) + ".");
      }
    }
  }

  void CloseLocks() {
    teller_.Chapter("What was secured:");
    teller_.Say(
        "Every connection between the programs was mutual TLS, each with a key of its own. A "
        "stolen "
        "key is worth what its rule says, and nothing more.");
    if (attempts_ == 0) return;
    teller_.Say(std::to_string(attempts_) + " attempts to do more, " + std::to_string(refused_) +
                " refused. Those that came as far as the rules are on record under the name of "
                "the key that was used (assentctl audit --refused):");
    teller_.Print("");
    teller_.Print(shop_.Ctl({"audit", "--refused"}).text);
  }

  int Close(const Books& opening) {
    if (!shown_.text.empty()) {
      teller_.Chapter(
          std::string("One that was rolled back, as an operator sees it: assentctl show ") +
          kShown);
      teller_.Print(shown_.text);
    }
    const assent::Result<Books> closing = shop_.ReadBooks();
    std::vector<std::string> faults = {closing.status().ToString()};
    if (closing.ok()) faults = CheckAll(opening, *closing, committed_);
    if (shop_.keys().on()) CloseLocks();
    if (!faults.empty()) teller_.Chapter("The books:");
    for (const std::string& fault : faults) teller_.Bad(fault);
    const bool good = faults.empty() && as_expected_ == count_;
    if (!good && flags_.files.empty()) {
      teller_.Print("To look at its databases and logs, run it again with --files DIR.");
    }
    teller_.Print("");
    teller_.Print("demo: " + std::to_string(count_) +
                  (count_ == 1 ? " scenario, " : " scenarios, ") + std::to_string(as_expected_) +
                  " as expected, books " + (faults.empty() ? "balanced" : "NOT balanced"));
    return good ? 0 : 1;
  }

  // Until somebody ends it. `code`: what the stories came to.
  int Stay(int code) {
    const assent::Result<Outage> outage = MakeOutage(shop_);
    if (!outage.ok()) {
      teller_.Bad("There is no outage to look at: " + outage.status().ToString());
      return 1;
    }
    teller_.Chapter("The shop stays, with an outage:");
    for (const std::string& line : ThingsToTry(shop_, *outage)) teller_.Print(line);
    teller_.Print("");
    teller_.Print("Ctrl-C ends all of it, and leaves nothing behind.");
    for (;;) {
      const assent::Result<int> mended = shop_.WaitAndMend();
      if (!mended.ok()) {
        teller_.Bad("The coordinator does not start again: " + mended.status().ToString());
        return code == 0 ? 1 : code;
      }
      if (*mended > 0) teller_.Print("demo: a coordinator had ended; it runs again");
    }
  }

  const Flags& flags_;
  Teller teller_;
  Shop shop_;
  Printed shown_;
  std::vector<shop::Order> committed_;
  int count_ = 0;
  int as_expected_ = 0;
  int attempts_ = 0;
  int refused_ = 0;
};

volatile std::sig_atomic_t interrupted = 0;

void Interrupted(int signal_number) { interrupted = signal_number; }

// Runs the demo in a child; the child's exit code. On SIGINT, SIGTERM or SIGHUP the child dies, and
// everything with it.
int RunGuarded(const Flags& flags, const std::string& directory, const std::string& programs) {
  const pid_t outer = getpid();
  prctl(PR_SET_CHILD_SUBREAPER,
        1);  // the coordinator and the services become ours when the inner one dies
  const pid_t inner = fork();
  if (inner == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != outer) _exit(1);
    const int code = Demo(flags, directory, programs).Run();
    std::fflush(nullptr);
    _exit(code);
  }
  struct sigaction action = {};
  action.sa_handler = Interrupted;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGHUP, &action, nullptr);
  int status = 0;
  while (waitpid(inner, &status, 0) < 0) {
    if (interrupted != 0) kill(inner, SIGKILL);
  }
  // Whatever it left behind is dying now; the directory may go when it is dead.
  while (wait(nullptr) > 0 || errno == EINTR) continue;
  if (interrupted != 0) return 128 + interrupted;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

// Creates the directory to play in; empty when that is not possible.
std::string MakeDirectory(const std::string& files) {
  std::error_code error;
  if (!files.empty()) {
    std::filesystem::create_directories(files, error);
    if (error || !std::filesystem::is_empty(files, error)) return {};
    return std::filesystem::absolute(files);
  }
  std::string made = std::filesystem::temp_directory_path(error) / "assent-demo-XXXXXX";
  return mkdtemp(made.data()) == nullptr ? std::string() : made;
}

void AddOptions(CLI::App& app, Flags& flags) {
  app.add_option("--only", flags.only,
                 "only scenarios whose name matches this: tcc, 'saga|mixed', killed")
      ->check([](const std::string& pattern) {
        try {
          const std::regex parsed(pattern);
          return std::string();
        } catch (const std::regex_error&) {
          return "not a regular expression: " + pattern;
        }
      });
  std::vector<std::string> rules;
  std::string meanings = "break a rule on purpose, and see the demo fail:";
  for (const Break& rule : Breaks()) {
    rules.push_back(rule.rule);
    meanings += "\n" + rule.rule + ": " + rule.meaning;
  }
  app.add_option("--break", flags.broken, meanings)->check(CLI::IsMember(rules))->type_name("RULE");
  app.add_flag("--secure", flags.secure,
               "with mutual TLS, a certificate for each program, and rules that say what each may; "
               "and what is refused is tried");
  app.add_flag("--keep", flags.keep,
               "when the stories are over, stay with an outage to look at, until Ctrl-C");
  app.add_option("--files", flags.files,
                 "leave databases and logs in this directory (new, or empty)")
      ->type_name("DIR");
  auto* log =
      app.add_option("--log", flags.cluster.log,
                     "run several coordinators on this log: postgresql://USER@HOST/DATABASE "
                     "(tools/cluster.sh starts one)")
          ->type_name("URL");
  flags.cluster.size = 3;
  app.add_option("--coordinators", flags.cluster.size, "how many, with --log")
      ->check(CLI::Range(2, 9))
      ->needs(log)
      ->capture_default_str();
}

}  // namespace

int Main(int argc, char** argv) {
  CLI::App app(
      "Places orders with a shop of three services, through refusals and crashes, in every "
      "protocol, and checks the books.");
  Flags flags;
  AddOptions(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (flags.cluster.log.empty()) flags.cluster.size = 1;
  if (flags.broken == "lax-rules" && !flags.secure) {
    std::fprintf(stderr, "assent-demo: --break lax-rules: there are no rules without --secure\n");
    return 2;
  }

  const std::string directory = MakeDirectory(flags.files);
  if (directory.empty()) {
    std::fprintf(stderr, "assent-demo: --files %s: cannot be created, or is not empty\n",
                 flags.files.c_str());
    return 2;
  }
  const std::string programs = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  const int code = RunGuarded(flags, directory, programs);
  if (flags.files.empty()) {
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
  } else {
    std::printf("demo: databases and logs of this run are in %s\n", directory.c_str());
  }
  return code;
}

}  // namespace demo

int main(int argc, char** argv) { return demo::Main(argc, argv); }
