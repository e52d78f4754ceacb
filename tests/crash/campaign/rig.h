#pragma once

// The processes of a campaign, the file system below the coordinator, and what can be done to them.
// One thread.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/crash/campaign/campaign.h"
#include "tests/crash/campaign/proxy.h"
#include "tests/support/process.h"

namespace assent::crash {

//           kill -9, or an exit that a disk error explains
//   kUp ---------------------------------------------------> kDown --due--> kUp
//    |  SIGSTOP                      kill -9                   ^
//    +----------> kStopped --------------------------------->--+
//    ^               | due: SIGCONT                            |
//    +---------------+                                         |
//    |  SIGTERM                      exit 0                    |
//    +----------> kTerminating ----------------------------->--+
//                                     kill -9 while it recovers |
//    kDown --due, more deaths are meant for it--> kDoomed ---->--+
struct Actor {
  enum class Role : std::uint8_t { kCoordinator, kBank, kInitiator };
  enum class State : std::uint8_t { kUp, kStopped, kTerminating, kDown, kDoomed };
  Role role = Role::kBank;
  std::string name;  // "coordinator", "bank", "initiator"
  int number = 0;
  std::unique_ptr<test::Process> process;
  State state = State::kDown;
  Clock::time_point
      until{};  // kStopped, kDown, kDoomed: when that ends; kTerminating: of our patience
  std::vector<std::chrono::milliseconds>
      dooms{};  // how long after its next starts it is killed again
};

class Rig {
 public:
  Rig(const Options& options, std::string folder, Tally& tally, Findings& findings);
  ~Rig();

  void StartAll();
  // Restarts, continues and notices what is due; call every few milliseconds.
  void Tick();

  std::vector<Actor>& actors() { return actors_; }
  Actor& coordinator() { return actors_[0]; }
  Proxy& proxy() { return *proxy_; }
  // Links of the proxy: banks first, then initiators.
  int links() const;

  void Kill(Actor& actor, std::chrono::milliseconds down);
  void KillBoth(Actor& a, Actor& b, std::chrono::milliseconds down);
  void Stop(Actor& actor, std::chrono::milliseconds duration);
  void Terminate(Actor& actor);

  // A file system of its own below the coordinator; false: not possible here, and why is in
  // disk_refusal.
  bool own_disk() const { return own_disk_; }
  const std::string& disk_refusal() const { return disk_refusal_; }
  bool FillDisk(std::int64_t slack_bytes, std::chrono::milliseconds duration);
  // These two are false when it cannot be done now. strace on the running coordinator: `call` fails
  // with `error` from the nth time on, `times` times (0: always).
  bool Inject(const std::string& call, const std::string& error, int nth, int times);

  // Everything up, nothing stopped, the disk free, no trouble in the network. False: it does not
  // come up (a finding).
  bool Heal();
  // Initiators: SIGTERM and wait. They are started again, with a new seed, by StartInitiators.
  void EndInitiators();
  void StartInitiators();
  void EndAll();

  const std::string& endpoint() const {
    return endpoint_;
  }  // the coordinator itself, past the proxy
  std::string BankFile(int bank) const;
  std::string Journal(int initiator) const;
  // Before the folder is left to a person: what lies on the file system of our own is copied to it.
  void CopyOut();

 private:
  struct Injection {
    std::unique_ptr<test::Process> strace;
    std::string what;
    bool must_exit = false;
    Clock::time_point until{};
    std::optional<Clock::time_point> struck{};
    Clock::time_point next_look{};
    std::string log;
  };
  void MakeDisk();
  void UnmakeDisk();
  bool ResizeDisk(std::int64_t bytes);
  void FreeDisk();
  void TickInjection(Clock::time_point now);
  void EndInjection();
  bool Injected() const;
  void Launch(Actor& actor);
  void Ended(Actor& actor, Clock::time_point now);
  bool DiskExplains(int exit_code) const;
  void Plant(Actor& killed);
  std::vector<std::string> Command(const Actor& actor) const;

  const Options& options_;
  const std::string folder_;
  Tally& tally_;
  Findings& findings_;
  std::string endpoint_;
  std::string dialled_;  // the bank that is dialled, past the proxy
  std::unique_ptr<Proxy> proxy_;
  std::vector<Actor> actors_;
  std::uint64_t initiator_seed_;
  bool initiators_ended_ = false;
  long strikes_ = 0;  // of strace, for the names of its logs

  bool own_disk_ = false;
  std::string disk_refusal_;
  bool disk_full_ = false;
  Clock::time_point disk_full_until_{};
  Clock::time_point disk_trouble_end_{};  // exits that a bad disk explains are expected until then
  std::optional<Injection> injection_;
  int refusals_ = 0;  // of strace, one after the other
};

}  // namespace assent::crash
