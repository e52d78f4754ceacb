#pragma once

// What the command line asked for, as values: command_line.cc fills them, the files in commands/
// carry them out.

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include <assent/limits.h>

#include "assent/v1/transaction.pb.h"
#include "tools/assentctl/command_auth.h"
#include "tools/assentctl/command_keep.h"
#include "tools/assentctl/intent.h"
#include "tools/assentctl/service.h"
#include "tools/assentctl/style.h"

namespace assent::ctl {

enum class GroupBy : std::uint8_t { kNothing, kWhy, kService };

struct ListCommand {
  v1::ListRequest request;
  // One row for each cause, or service, with a number.
  GroupBy group_by = GroupBy::kNothing;
  bool all_pages = false;
  bool watch = false;
  std::chrono::milliseconds interval{2'000};
};

struct ShowCommand {
  std::string gid;
  bool watch = false;
  bool payloads = false;
  BytesStyle bytes = BytesStyle::kBase64;
};

struct WatchCommand {
  std::string gid;
};

// How far to wait, and whether trouble ends the wait.
struct WaitCommand {
  std::string gid;
  v1::WaitFor wait_for = v1::WAIT_COMPLETED;
  bool patient = false;
};

struct SubmitCommand {
  std::string path = "-";
  std::string gid;  // overrides the file's
  WaitCommand wait;
  bool dry_run = false;
  std::string traceparent{};  // of the environment, unchecked
};

enum class Verb : std::uint8_t { kRetry, kAbort, kSuspend, kResume, kForget };

struct OperateCommand {
  Verb verb = Verb::kRetry;
  std::vector<std::string> gids;  // "-": read them from stdin
  // All that match, in their place.
  bool all = false;
  v1::ListRequest which{};
  Intent intent;
};

struct ResolveCommand {
  std::string gid;
  std::string branch_id;
  v1::Decision resolution = v1::DECISION_UNSPECIFIED;
  Intent intent;
  // In place of one branch, those of a service (the filter's, or its cause's) in all that match.
  bool all = false;
  v1::ListRequest which{};
};

// What people did, or wanted to.
struct AuditCommand {
  AuditCommand() { request.set_page_size(limits::kDefaultPageSizeCount); }
  v1::ListAuditRequest request;
  std::chrono::milliseconds since{0};  // so long ago, or less; 0: ever
  bool all_pages = false;
};
// What happens, and what has.
struct EventsCommand {
  v1::EventsRequest request;
  bool follow = false;
};
struct ParticipantsCommand {
  v1::ListParticipantsRequest request;
};
struct StatsCommand {};
struct HealthCommand {};
struct VersionCommand {};
struct TopCommand {
  bool once = false;
  std::chrono::milliseconds interval{2'000};
};

struct ClusterStatusCommand {
  bool watch = false;
  std::chrono::milliseconds interval{1'000};
};
struct LocateCommand {
  std::string gid;
};
struct DrainCommand {
  std::string node;
  bool undo = false;
  bool wait = false;
  Intent intent;
};
// Slots, or that of a gid.
struct MoveCommand {
  std::vector<std::uint32_t> slots;
  std::string gid;
  std::string node;
  Intent intent;
};
// Slots, or that of a gid, or all that people have moved: to this node, or anywhere (`all`).
struct UnpinCommand {
  std::vector<std::uint32_t> slots;
  std::string gid;
  std::string node;
  bool all = false;
  Intent intent;
};
// Of a service, or of one of its instances.
struct BreakerCommand {
  v1::SetBreakerRequest request;
  Intent intent;
};
struct FenceCommand {
  std::string node;
  Intent intent;
};

// A log in PostgreSQL, by its address, that was put back to an older state.
struct RestoredCommand {
  std::string log;
  bool dry_run = false;
  bool yes = false;
};

// The whole log, from one store to another: sqlite:FOLDER or postgresql://...
struct MigrateCommand {
  std::string from;
  std::string to;
};

enum class Shell : std::uint8_t { kBash, kZsh, kFish };
struct CompletionCommand {
  Shell shell = Shell::kBash;
};
struct ManCommand {};
// Called by the completion scripts: the words after "assentctl", the last one being typed.
struct CompleteCommand {
  std::vector<std::string> words;
};

using Command =
    std::variant<ListCommand, ShowCommand, WatchCommand, WaitCommand, SubmitCommand, OperateCommand,
                 ResolveCommand, AuditCommand, ParticipantsCommand, StatsCommand, HealthCommand,
                 VersionCommand, CompletionCommand, ManCommand, CompleteCommand,
                 ClusterStatusCommand, LocateCommand, DrainCommand, MoveCommand, UnpinCommand,
                 BreakerCommand, FenceCommand, RestoredCommand, MigrateCommand, BackupCommand,
                 ConfigShowCommand, DebugBundleCommand, RestoreCommand, DoctorCommand, TopCommand,
                 EventsCommand, AuthTokenCommand, AuthExplainCommand, CertsCommand,
                 AuditExportCommand, AuditVerifyCommand, KeysCommand>;

// Files in PEM, and the name that has to be in the coordinator's certificate (empty: its host).
struct TlsFlags {
  std::string ca = {};
  std::string cert = {};
  std::string key = {};
  std::string server_name = {};
  bool empty() const { return ca.empty() && cert.empty() && key.empty() && server_name.empty(); }
};

// Where the token comes from that is shown to coordinators. A token on the command line would be
// seen by whoever lists processes: there is no flag for it.
struct TokenSource {
  std::string file = {};
  std::string token = {};  // of the environment
  bool over_plain = false;
};

// What holds for every command.
struct GlobalOptions {
  // Of one coordinator, or of several of a cluster, with commas between.
  std::string endpoint = "127.0.0.1:7400";
  TlsFlags tls;
  TokenSource token;
  // Of one call.
  std::chrono::milliseconds call_timeout{10'000};
  // Of the whole of wait, submit, watch, show --watch and cluster drain --wait; only --timeout sets
  // it.
  Timeout wait_timeout;
  Output output = Output::kTable;
  TimeStyle time = TimeStyle::kRelative;
  // Colours are for terminals, and for nobody who set NO_COLOR.
  bool no_color = false;
};

}  // namespace assent::ctl
