// cluster drain, move, unpin and fence. What would happen is told from the cluster's view: a dry
// run sends nothing. What is seen here to be impossible is asked for all the same, so that it is
// refused where it goes on record; the words are ours, which know more.

#include <algorithm>
#include <functional>
#include <optional>
#include <set>

#include <assent/slot_ranges.h>

#include "tools/assentctl/cluster_view.h"
#include "tools/assentctl/commands.h"
#include "tools/assentctl/duration.h"
#include "tools/assentctl/follow.h"
#include "tools/assentctl/perform.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

// Of slots that are named to people.
constexpr std::size_t kMaxRangesCount = 8;

// The view in which a member was looked for, and why nothing can be done to it, if so.
struct Found {
  v1::ClusterView view;
  v1::ClusterMember member;
  Status impossible;
};

Result<Found> Find(const std::string& node, Session& session) {
  Result<v1::ClusterView> view = session.service.GetCluster({}, session.options.call_timeout);
  if (!view.ok()) return view.status();
  if (IsAlone(*view)) return FailedPrecondition(kAlone);
  if (const v1::ClusterMember* member = FindMember(*view, node); member != nullptr) {
    return Found{*view, *member, OkStatus()};
  }
  std::string known;
  for (const v1::ClusterMember& member : view->members()) {
    known += (known.empty() ? "" : ", ") + member.node();
  }
  Found found{*view, {}, NotFound("no member is called " + node + "; there are " + known)};
  found.member.set_node(node);
  return found;
}

// Says what failed; the usual hints are about transactions.
Exit Fail(const Status& status, Session& session) {
  const bool lost = status.code() == Code::kUnknownOutcome;
  if (!lost && status.code() != Code::kNotFound) return session.Fail(status);
  session.console.Err("assentctl: " + Visible(status.message()) +
                      (lost ? " (look with assentctl cluster status)\n" : "\n"));
  return ExitFor(status.code());
}

// For people the effect, for programs the cluster as it is now.
void Report(const std::string& node, const std::string& effect, const v1::ClusterView& view,
            Session& session) {
  const Style style = session.MakeStyle();
  session.console.Out(style.table()                 ? Visible(node) + ": " + effect + "\n"
                      : style.output == Output::kId ? Visible(node) + "\n"
                                                    : RenderCluster(view, style));
}

// Done, or only told.
Exit Change(const ClusterRequest& request, const std::string& node, const std::string& effect,
            const Found& found, bool dry_run, Session& session) {
  const Status& impossible = found.impossible;
  if (dry_run && !impossible.ok()) return Fail(impossible, session);
  if (dry_run) {
    Report(node, "(dry run) " + effect, found.view, session);
    return Exit::kDone;
  }
  const Result<v1::ClusterReply> reply =
      session.service.ChangeCluster(request, session.options.call_timeout);
  if (!reply.ok())
    return Fail(reply.status().code() == impossible.code() ? impossible : reply.status(), session);
  Report(node, effect, reply->view(), session);
  return Exit::kDone;
}

// Pages of a list that is looked through for a dry run.
constexpr int kMaxPages = 20;
constexpr std::uint32_t kPageSize = 1'000;

// What would be aborted if it does not end while its slot is being given away: a clause.
Result<std::string> Undecided(const v1::ClusterView& view,
                              const std::function<bool(std::size_t slot)>& moves,
                              Session& session) {
  if (SlotsCount(view) == 0) return std::string();
  v1::ListRequest request;
  request.add_states(v1::ACTIVE);
  request.set_protocol(v1::TWO_PHASE);
  request.set_page_size(kPageSize);
  std::uint64_t count = 0;
  int pages = 0;
  do {
    const Result<v1::ListReply> page = session.service.List(request, session.options.call_timeout);
    if (!page.ok()) return page.status();
    for (const v1::Transaction& transaction : page->transactions()) {
      if (transaction.held()) continue;  // for a person, wherever it goes
      count += moves(SlotOf(transaction.gid(), static_cast<Slot>(SlotsCount(view)))) ? 1 : 0;
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty() && ++pages < kMaxPages);
  const std::string least = request.page_token().empty() ? "" : "at least ";
  if (count == 0) return std::string("; no undecided two-phase transaction is in them now");
  return "; " + least + Count(count, "undecided two-phase transaction") +
         (count == 1 ? " is" : " are") +
         " in them now: what has not ended two seconds after its slot was asked for is aborted";
}

// How the wait for a member to have no slots ended.
struct Drained {
  Exit exit = Exit::kDone;
  std::string words;
};

// Nothing: wait on. Whoever is watched may not have seen the draining when the watch begins.
std::optional<Drained> IsDrained(const v1::ClusterMember& before, const v1::ClusterView& view,
                                 bool& draining_seen) {
  const v1::ClusterMember* now = FindMember(view, before.node());
  if (now == nullptr) return Drained{Exit::kDone, "has left"};
  if (now->epoch() != before.epoch()) {
    return Drained{Exit::kOther, "was started anew meanwhile (epoch " +
                                     std::to_string(now->epoch()) + "): drain it again"};
  }
  if (!now->draining()) {
    if (!draining_seen) return std::nullopt;
    return Drained{Exit::kOther, "takes slots again: somebody has undone this"};
  }
  draining_seen = true;
  if (now->slots() == 0) return Drained{Exit::kDone, "has no slots any more: it can be stopped"};
  return std::nullopt;
}

// A watch tells of slots that move at once, and of a draining that was undone not at all: so it is
// begun again so often.
constexpr std::chrono::milliseconds kLookAgain{1'000};

// Through whatever happens to the connection, as Follow does for a transaction.
Exit WaitDrained(const v1::ClusterMember& member, Session& session) {
  using std::chrono::milliseconds;
  Console& console = session.console;
  const std::string node = Visible(member.node());
  const milliseconds start = console.Uptime();
  milliseconds seen = start;
  std::optional<std::uint32_t> said;
  bool draining_seen = false;
  while (true) {
    Timeout remaining = session.options.wait_timeout;
    if (remaining.has_value()) *remaining -= console.Uptime() - start;
    std::optional<Drained> end;
    const bool in_time = !remaining.has_value() || *remaining > milliseconds(0);
    Status status;
    if (in_time) {
      const milliseconds so_long = std::min(remaining.value_or(kLookAgain), kLookAgain);
      status = session.service.WatchCluster(so_long, [&](const v1::ClusterView& view) {
        seen = console.Uptime();
        end = IsDrained(member, view, draining_seen);
        if (end.has_value()) return false;
        const v1::ClusterMember* now = FindMember(view, member.node());
        if (said != now->slots()) {
          said = now->slots();
          const bool stuck = OtherTakers(view, member.node()).empty();
          console.Err(node + ": " + Count(*said, "slot") + " to go" +
                      (stuck ? "; there is nobody to give them to at this moment" : "") + "\n");
        }
        return true;
      });
    }
    if (end.has_value()) {
      console.Err(node + " " + end->words + "\n");
      return end->exit;
    }
    if (!in_time) {
      console.Err("assentctl: " + node + " still has slots after --timeout; it goes on draining\n");
      return Exit::kStillRunning;
    }
    if (status.code() == Code::kDeadlineExceeded && console.Uptime() - seen < kLongestOutage)
      continue;
    if (status.ok()) status = Unavailable("the coordinator ended the watch");
    if (!IsOutage(status) || console.Uptime() - seen >= kLongestOutage ||
        !console.Sleep(kReconnectPause)) {
      return session.Fail(status);
    }
  }
}

// What a move would do.
struct Moving {
  std::set<std::size_t> come{};
  std::size_t stay = 0;  // it has them, and is to keep them
  std::string from{};
};

// Puts the slots that are to move, or to stay, into the request.
Result<Moving> SelectSlots(const MoveCommand& command, const Found& found,
                           v1::MoveSlotsRequest& request) {
  const std::size_t count = SlotsCount(found.view);
  std::set<std::size_t> named(command.slots.begin(), command.slots.end());
  if (!command.gid.empty() && count > 0) {
    named.insert(SlotOf(command.gid, static_cast<Slot>(count)));
  }
  std::set<std::string> owners;
  Moving result;
  for (const std::size_t slot : named) {
    if (slot >= count) {
      return InvalidArgument("there is no slot " + std::to_string(slot) + "; they go from 0 to " +
                             std::to_string(count - 1));
    }
    const v1::ClusterMember* owner = OwnerOf(found.view, slot);
    const bool is_there = owner != nullptr && owner->node() == command.node;
    const v1::PinnedSlots* pinned = PinOf(found.view, slot);
    if (is_there && pinned != nullptr && pinned->node() == command.node) continue;
    if (command.gid.empty()) request.add_slots(static_cast<std::uint32_t>(slot));
    if (is_there) {
      ++result.stay;
      continue;
    }
    result.come.insert(slot);
    owners.insert(owner == nullptr ? "nobody" : Visible(owner->node()));
  }
  request.set_gid(command.gid);
  for (const std::string& owner : owners) result.from += (result.from.empty() ? "" : ", ") + owner;
  return result;
}

// Until when it is so belongs to it.
std::string MoveMeaning(const std::string& node, const Moving& moving) {
  std::string text;
  const std::size_t come = moving.come.size();
  if (come > 0) text = "is given " + Count(come, "slot") + " by " + moving.from;
  if (moving.stay > 0)
    text += std::string(text.empty() ? "" : " and ") + "keeps " + Count(moving.stay, "slot") +
            " that it has";
  const bool one = come + moving.stay == 1;
  return text + "; " + (one ? "it stays" : "they stay") +
         " there until moved again or assentctl cluster unpin. While " + Visible(node) +
         " is away or draining others have " + (one ? "it" : "them");
}

// Puts the slots that nobody is to be held to any more into the request. Those that are named, and
// that nobody has moved: `not_pinned`.
Status SelectPinned(const UnpinCommand& command, const v1::ClusterView& view,
                    v1::MoveSlotsRequest& request, std::vector<std::uint32_t>& not_pinned) {
  std::set<std::uint32_t> named(command.slots.begin(), command.slots.end());
  const std::size_t count = SlotsCount(view);
  if (!command.gid.empty() && count > 0)
    named.insert(SlotOf(command.gid, static_cast<Slot>(count)));
  if (!named.empty() && *named.rbegin() >= count) {
    return InvalidArgument("there is no slot " + std::to_string(*named.rbegin()) +
                           "; they go from 0 to " + std::to_string(count - 1));
  }
  for (const v1::PinnedSlots& pinned : view.pinned()) {
    for (const std::uint32_t slot : pinned.slots()) {
      const bool is_named = named.erase(slot) != 0;
      if (is_named || command.all || pinned.node() == command.node) request.add_slots(slot);
    }
  }
  not_pinned.assign(named.begin(), named.end());
  return OkStatus();
}

std::string NothingPinned(const UnpinCommand& command, const std::vector<std::uint32_t>& named) {
  if (command.all) return "nothing was moved by anybody: there is nothing to unpin\n";
  if (!command.node.empty()) {
    return "nothing was moved to " + Visible(command.node) + ": there is nothing to unpin\n";
  }
  const std::string of = command.gid.empty() ? "" : ", which " + Visible(command.gid) + " is in,";
  return SlotRanges(named, kMaxRangesCount) + of + (named.size() == 1 ? " was" : " were") +
         " not moved by anybody: there is nothing to unpin\n";
}

// Of a member that is to be ended, before anybody agrees to it.
std::string FenceMeaning(const Found& found) {
  const v1::ClusterMember& member = found.member;
  const std::string others = OtherTakers(found.view, member.node());
  std::string text = "Node " + Visible(member.node()) + " at " + Visible(member.address()) +
                     " (epoch " + std::to_string(member.epoch()) + ", " +
                     Count(member.slots(), "slot") + ", last seen " +
                     FormatLatency(member.silent_ms() * 1'000) + " ago):\n";
  text += "  It is ended in the store at once; " +
          (others.empty() ? "nobody is there to take its slots until a coordinator starts.\n"
                          : "its slots go to " + others + ".\n");
  text +=
      "  If it lives, its next write is refused and it exits with code 75. Nothing is lost; its "
      "supervisor starts it again.\n"
      "  As after a crash, what is undecided there and has a 2pc branch is aborted; all else goes "
      "on.\n";
  return text;
}

// All of it at once, before anybody is asked anything.
Status MissingOfFence(const Intent& intent, const Session& session) {
  if (intent.dry_run) return OkStatus();
  const bool can_ask = session.surroundings.in_is_terminal && !intent.yes;
  std::string missing;
  if (intent.reason.empty() && !can_ask)
    missing = "--reason: why it is believed to be dead, for the record";
  if (!intent.yes && !can_ask)
    missing += std::string(missing.empty() ? "" : "; and ") +
               "--yes: it cannot be taken back, and there is no terminal to ask at";
  if (missing.empty()) return OkStatus();
  return InvalidArgument("fence wants " + missing + ". Look first with --dry-run");
}

}  // namespace

Exit RunDrain(const DrainCommand& command, Session& session) {
  Result<Found> found = Find(command.node, session);
  if (!found.ok()) return Fail(found.status(), session);
  const std::string others = OtherTakers(found->view, command.node);
  if (found->impossible.ok() && !command.undo && others.empty()) {
    found->impossible =
        FailedPrecondition("nobody but " + command.node +
                           " takes slots: there is nobody to give them to; start another "
                           "coordinator, or stop this one as it is");
  }
  v1::DrainMemberRequest request;
  request.set_node(command.node);
  request.set_undo(command.undo);
  *request.mutable_action() = MakeAction("", command.intent, command.intent.dry_run, session);
  std::string effect = command.undo ? "takes slots again"
                                    : "gives its " + Count(found->member.slots(), "slot") + " to " +
                                          (others.empty() ? "whoever takes them" : others);
  if (command.intent.dry_run && !command.undo && found->impossible.ok()) {
    const auto moves = [&found](std::size_t slot) {
      const v1::ClusterMember* owner = OwnerOf(found->view, slot);
      return owner != nullptr && owner->epoch() == found->member.epoch();
    };
    const Result<std::string> undecided = Undecided(found->view, moves, session);
    if (!undecided.ok()) return Fail(undecided.status(), session);
    effect += *undecided;
  }
  const Exit exit = Change(request, command.node, effect, *found, command.intent.dry_run, session);
  if (exit != Exit::kDone || !command.wait || command.intent.dry_run) return exit;
  return WaitDrained(found->member, session);
}

Exit RunMove(const MoveCommand& command, Session& session) {
  Result<Found> found = Find(command.node, session);
  if (!found.ok()) return Fail(found.status(), session);
  if (found->member.draining())
    found->impossible = FailedPrecondition(command.node + " is draining: it takes no slots");
  v1::MoveSlotsRequest request;
  const Result<Moving> selected = SelectSlots(command, *found, request);
  if (!selected.ok()) return session.Fail(selected.status());
  if (selected->come.empty() && selected->stay == 0) {
    Report(command.node, "has what is asked for already, and keeps it: nothing to move",
           found->view, session);
    return Exit::kDone;
  }
  request.set_node(command.node);
  *request.mutable_action() = MakeAction("", command.intent, command.intent.dry_run, session);
  std::string effect = MoveMeaning(command.node, *selected);
  if (command.intent.dry_run && !selected->come.empty() && found->impossible.ok()) {
    const Result<std::string> undecided = Undecided(
        found->view, [&selected](std::size_t slot) { return selected->come.contains(slot); },
        session);
    if (!undecided.ok()) return Fail(undecided.status(), session);
    effect += *undecided;
  }
  return Change(request, command.node, effect, *found, command.intent.dry_run, session);
}

Exit RunUnpin(const UnpinCommand& command, Session& session) {
  const Result<v1::ClusterView> view = session.service.GetCluster({}, session.options.call_timeout);
  if (!view.ok()) return Fail(view.status(), session);
  if (IsAlone(*view)) return session.Fail(FailedPrecondition(kAlone));
  v1::MoveSlotsRequest request;
  request.set_unpin(true);
  std::vector<std::uint32_t> not_pinned;
  if (const Status status = SelectPinned(command, *view, request, not_pinned); !status.ok())
    return session.Fail(status);
  const auto count = static_cast<std::uint64_t>(request.slots_size());
  if (count == 0 || !not_pinned.empty()) session.console.Err(NothingPinned(command, not_pinned));
  if (count == 0) return Exit::kDone;
  if (!command.gid.empty()) {
    request.clear_slots();
    request.set_gid(command.gid);
  }
  *request.mutable_action() = MakeAction("", command.intent, command.intent.dry_run, session);
  return Change(
      request, Count(count, "slot"),
      "may be balanced again; nothing moves while everybody has three quarters of an even "
      "share",
      {*view, {}, OkStatus()}, command.intent.dry_run, session);
}

Exit RunFence(const FenceCommand& command, Session& session) {
  if (const Status missing = MissingOfFence(command.intent, session); !missing.ok())
    return session.Fail(missing);
  const Result<Found> found = Find(command.node, session);
  if (!found.ok()) return Fail(found.status(), session);
  // Whoever would still be asked has not asked for anything.
  const bool possible = found->impossible.ok();
  if (!possible && !command.intent.yes) return Fail(found->impossible, session);
  const std::string meaning = possible ? FenceMeaning(*found) : "";
  Intent intent = command.intent;
  if (intent.dry_run || intent.yes) session.console.Err(meaning);
  const bool can_ask = session.surroundings.in_is_terminal;
  if (can_ask || intent.yes) {
    const Status asked = AskReason("fence", "why it is believed to be dead", intent, session);
    if (!asked.ok()) return session.Fail(asked);
  }
  if (!intent.dry_run && !intent.yes) {
    const Exit answer = AskConsent(
        "fence",
        [&] {
          session.console.Err(meaning);
          return OkStatus();
        },
        can_ask, session);
    if (answer != Exit::kDone) return answer;
  }
  v1::FenceMemberRequest request;
  request.set_node(command.node);
  *request.mutable_action() = MakeAction("", intent, intent.dry_run, session);
  return Change(request, command.node,
                "ended (epoch " + std::to_string(found->member.epoch()) + ")", *found,
                intent.dry_run, session);
}

}  // namespace assent::ctl
