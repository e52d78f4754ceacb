#include "tests/crash/campaign/rig.h"

#include <filesystem>
#include <utility>

#include "tests/crash/campaign/initiator.h"

namespace assent::crash {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kExitLogFailed = 74;
constexpr int kExitDataFolder = 73;
constexpr milliseconds kStopPatience{30'000};

}  // namespace

Rig::Rig(const Options& options, std::string folder, Tally& tally, Findings& findings)
    : options_(options),
      folder_(std::move(folder)),
      tally_(tally),
      findings_(findings),
      initiator_seed_(options.seed * 1000) {
  const std::uint16_t port = test::FreePort();
  endpoint_ = "127.0.0.1:" + std::to_string(port);
  std::vector<std::uint16_t> targets(static_cast<std::size_t>(links()), port);
  const std::uint16_t dialled_port = test::FreePort();
  targets[kDialledBank] = dialled_port;
  dialled_ = "127.0.0.1:" + std::to_string(dialled_port);
  proxy_ = std::make_unique<Proxy>(targets);
  MakeDisk();
  const auto add = [this](Actor::Role role, const char* name, int number) {
    Actor actor;
    actor.role = role;
    actor.name = name;
    actor.number = number;
    actor.process = std::make_unique<test::Process>(test::ProcessOptions{
        .argv = {},
        .output_file = folder_ + "/" + name +
                       (role == Actor::Role::kCoordinator ? "" : std::to_string(number)) + ".log"});
    actors_.push_back(std::move(actor));
  };
  add(Actor::Role::kCoordinator, "coordinator", 0);
  for (int i = 0; i < kBanksCount; ++i) add(Actor::Role::kBank, "bank", i);
  for (int i = 0; i < options_.initiators; ++i) add(Actor::Role::kInitiator, "initiator", i);
}

Rig::~Rig() {
  EndInjection();
  actors_.clear();  // kill -9
  UnmakeDisk();
}

int Rig::links() const { return kBanksCount + options_.initiators; }
std::string Rig::BankFile(int bank) const {
  return folder_ + "/bank" + std::to_string(bank) + ".db";
}
std::string Rig::Journal(int initiator) const {
  return folder_ + "/initiator" + std::to_string(initiator) + ".journal";
}

// Every timeout is short here: keepalive 3 s and 2 s, attempts and calls about a second, deadlines
// up to 4 s. A SIGSTOP lasts longer than any of them.
std::vector<std::string> Rig::Command(const Actor& actor) const {
  const std::string bin = test::BinDir();
  switch (actor.role) {
    case Actor::Role::kCoordinator:
      return {bin + "/assentd",
              "--http-listen",
              "none",
              "--listen",
              endpoint_,
              "--data",
              folder_ + "/coordinator",
              "--shards",
              std::to_string(options_.shards),
              "--reserve-mib",
              own_disk_ ? "8" : "0",
              "--drain-seconds",
              "1",
              "--keepalive-seconds",
              "3",
              "--unary",
              "bank" + std::to_string(kDialledBank) + "=" + proxy_->Endpoint(kDialledBank)};
    case Actor::Role::kBank: {
      std::vector<std::string> argv{
          bin + "/crash-bank", "bank" + std::to_string(actor.number), BankFile(actor.number),
          actor.number == kDialledBank ? "serve=" + dialled_ : proxy_->Endpoint(actor.number)};
      if (options_.plant == "bank-loses") argv.push_back("lose");
      if (options_.plant == "bank-acks-early") argv.push_back("early-ack");
      return argv;
    }
    case Actor::Role::kInitiator: {
      std::vector<std::string> argv{bin + "/campaign-initiator",
                                    proxy_->Endpoint(kBanksCount + actor.number),
                                    Journal(actor.number), std::to_string(initiator_seed_)};
      if (options_.plant == "initiator-lies") argv.push_back("lie");
      return argv;
    }
  }
  return {};
}

void Rig::Launch(Actor& actor) {
  ++initiator_seed_;
  actor.process->SetArgv(Command(actor));
  if (const Status started = actor.process->Start(); !started.ok())
    findings_.Add(actor.name + " cannot be started: " + started.ToString());
  actor.state = Actor::State::kUp;
}

void Rig::StartAll() {
  for (Actor& actor : actors_) Launch(actor);
}

void Rig::Kill(Actor& actor, milliseconds down) {
  actor.process->Kill();
  actor.state = Actor::State::kDown;
  actor.until = Clock::now() + down;
  ++tally_["kill " + actor.name];
  Plant(actor);
}

void Rig::KillBoth(Actor& a, Actor& b, milliseconds down) {
  a.process->Signal(SIGKILL);
  Kill(b, down);
  Kill(a, down);
  ++tally_["two killed at once"];
}

void Rig::Stop(Actor& actor, milliseconds duration) {
  if (!actor.process->Signal(SIGSTOP)) return;
  actor.state = Actor::State::kStopped;
  actor.until = Clock::now() + duration;
  ++tally_["stop " + actor.name];
}

void Rig::Terminate(Actor& actor) {
  if (!actor.process->Signal(SIGTERM)) return;
  actor.state = Actor::State::kTerminating;
  actor.until = Clock::now() + kStopPatience;
  ++tally_["term " + actor.name];
}

void Rig::Tick() {
  const auto now = Clock::now();
  if (disk_full_ && now >= disk_full_until_) FreeDisk();
  TickInjection(now);
  for (Actor& actor : actors_) {
    if (actor.state == Actor::State::kDown) {
      if (now < actor.until) continue;
      Launch(actor);
      if (actor.dooms.empty()) continue;
      actor.state = Actor::State::kDoomed;
      actor.until = now + actor.dooms.back();
      actor.dooms.pop_back();
      continue;
    }
    if (!actor.process->Running()) {
      Ended(actor, now);
    } else if (actor.state == Actor::State::kStopped && now >= actor.until) {
      actor.process->Signal(SIGCONT);
      actor.state = Actor::State::kUp;
    } else if (actor.state == Actor::State::kDoomed && now >= actor.until) {
      ++tally_["killed in recovery"];
      Kill(actor, milliseconds(0));
    } else if (actor.state == Actor::State::kTerminating && now >= actor.until) {
      findings_.Add(actor.name + " " + std::to_string(actor.number) +
                    " did not end within 30 s of SIGTERM");
      actor.process->Kill();
      actor.state = Actor::State::kDown;
      actor.until = now;
    }
  }
}

// It ended without kill -9.
void Rig::Ended(Actor& actor, Clock::time_point now) {
  const int code = actor.process->WaitForExit(milliseconds(0)).value_or(-1);
  // By the signal itself, where it came before the program had said what it does about it.
  const bool asked =
      actor.state == Actor::State::kTerminating && (code == 0 || code == 128 + SIGTERM);
  const bool explained = actor.role == Actor::Role::kCoordinator && DiskExplains(code);
  if (explained) {
    ++tally_["exit " + std::to_string(code) + " after a disk error"];
  } else if (!asked) {
    std::string last = actor.process->Output();
    if (last.size() > 1500) last = "… " + last.substr(last.size() - 1500);
    findings_.Add(actor.name + " " + std::to_string(actor.number) +
                  " ended by itself with exit status " + std::to_string(code) + ":\n" + last);
  }
  actor.state = Actor::State::kDown;
  actor.until = now + milliseconds(explained && code == kExitDataFolder ? 300 : 0);
}

bool Rig::DiskExplains(int exit_code) const {
  return (exit_code == kExitLogFailed || exit_code == kExitDataFolder) &&
         (disk_full_ || injection_ || Clock::now() < disk_trouble_end_);
}

bool Rig::Heal() {
  proxy_->Heal();
  FreeDisk();
  EndInjection();
  for (Actor& actor : actors_) {
    actor.dooms.clear();
    if (actor.role == Actor::Role::kInitiator && initiators_ended_) continue;
    if (actor.state == Actor::State::kDoomed) actor.state = Actor::State::kUp;
    if (actor.state == Actor::State::kStopped || actor.state == Actor::State::kDown)
      actor.until = {};
  }
  const auto up = [this] {
    Tick();
    for (Actor& actor : actors_) {
      const bool ended = actor.role == Actor::Role::kInitiator && initiators_ended_;
      if (!ended && actor.state != Actor::State::kUp) return false;
    }
    return coordinator().process->Output().find("listening") != std::string::npos;
  };
  if (test::WaitUntil(up, kStopPatience + seconds(10))) return true;
  findings_.Add("with all faults gone, not everything is up again");
  return false;
}

void Rig::EndInitiators() {
  initiators_ended_ = true;
  for (Actor& actor : actors_) {
    if (actor.role == Actor::Role::kInitiator) actor.process->Signal(SIGTERM);
  }
  for (Actor& actor : actors_) {
    if (actor.role != Actor::Role::kInitiator) continue;
    if (actor.process->WaitForExit(kStopPatience) != 0)
      findings_.Add("initiator " + std::to_string(actor.number) + " did not end well:\n" +
                    actor.process->Output());
    actor.process->Kill();
    actor.state = Actor::State::kDown;
    actor.until = Clock::time_point::max();
  }
}

void Rig::StartInitiators() {
  initiators_ended_ = false;
  for (Actor& actor : actors_) {
    if (actor.role == Actor::Role::kInitiator) Launch(actor);
  }
}

void Rig::EndAll() {
  for (auto actor = actors_.rbegin(); actor != actors_.rend(); ++actor) {
    if (actor->role == Actor::Role::kInitiator) continue;
    if (actor->process->Stop(kStopPatience) != 0)
      findings_.Add(actor->name + " did not end well when asked to at the very end:\n" +
                    actor->process->Output());
    actor->state = Actor::State::kDown;
    actor->until = Clock::time_point::max();
  }
}

// Planted: at its death the coordinator's log is put back to what it was at an earlier one, as from
// a backup.
void Rig::Plant(Actor& killed) {
  if (options_.plant != "log-restored" || killed.role != Actor::Role::kCoordinator) return;
  const std::string data = folder_ + "/coordinator";
  const std::string copy = folder_ + "/backup";
  std::error_code error;
  if (std::filesystem::exists(copy)) {
    std::filesystem::remove_all(data, error);
    std::filesystem::create_directories(data);
    std::filesystem::copy(copy, data, std::filesystem::copy_options::recursive, error);
  } else if (std::filesystem::exists(data)) {
    std::filesystem::copy(data, copy, std::filesystem::copy_options::recursive, error);
  }
}

}  // namespace assent::crash
