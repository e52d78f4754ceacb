// What happens: of each coordinator a stream, each with its own numbers, told as one.

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tools/assentctl/commands.h"
#include "tools/assentctl/event_view.h"
#include "tools/assentctl/follow.h"
#include "tools/assentctl/text.h"

namespace assent::ctl {
namespace {

using std::chrono::milliseconds;

// How often it is looked whether there are other coordinators now, and how long that may take.
constexpr milliseconds kLookPause{2'000};
constexpr milliseconds kLookPatience{2'000};

struct Place {
  std::uint64_t epoch = 0;  // 0: not known before it has answered
  bool open = false;
  std::optional<milliseconds> away_since{};
  milliseconds open_at{0};
};

class Follower {
 public:
  Follower(const EventsCommand& command, Session& session)
      : command_(command),
        session_(session),
        console_(session.console),
        streams_(session.service.FollowEvents()),
        began_(session.console.Uptime()) {
    if (!command.request.after().empty())
      positions_ = ReadPositions(command.request.after()).value();
    goes_on_ = !positions_.empty();
  }

  Exit Run() {
    const Status looked = Look(session_.options.call_timeout);
    if (!looked.ok()) return session_.Fail(looked);
    while (failed_.ok() && !IsOver()) {
      OpenThose();
      if (auto heard = streams_->Next(Patience())) {
        Hear(*heard);
      } else if (!command_.follow) {
        failed_ = Status(Code::kDeadlineExceeded, "there was no answer within --timeout");
      }
      if (command_.follow && cluster_ && console_.Uptime() >= look_at_) (void)Look(kLookPatience);
    }
    if (!failed_.ok()) return session_.Fail(failed_);
    if (!command_.follow) ShowAll();
    return Exit::kDone;
  }

 private:
  // ---- Who is there ----

  Status Look(milliseconds patience) {
    look_at_ = console_.Uptime() + kLookPause;
    const Result<v1::ClusterView> view = session_.service.GetCluster({}, patience);
    if (!view.ok()) return view.status();
    cluster_ = cluster_ || view->members_size() > 0;
    if (view->members_size() == 0) {
      places_.try_emplace(session_.service.Endpoint());
      return OkStatus();
    }
    std::map<std::string, Place> places;
    for (const v1::ClusterMember& member : view->members()) {
      Place& place = places[member.address()];
      const auto known = places_.find(member.address());
      if (known != places_.end()) place = std::move(known->second);
      if (!place.open) place.epoch = member.epoch();
    }
    for (const auto& [endpoint, place] : places_) {
      if (!places.contains(endpoint)) streams_->Close(endpoint);
    }
    places_ = std::move(places);
    SayWhoHasEnded(*view);
    return OkStatus();
  }

  // What was told there went with them.
  void SayWhoHasEnded(const v1::ClusterView& view) {
    for (auto at = positions_.begin(); at != positions_.end();) {
      const std::uint64_t epoch = at->first;
      const bool there =
          std::any_of(view.members().begin(), view.members().end(),
                      [epoch](const auto& member) { return member.epoch() == epoch; }) ||
          std::any_of(places_.begin(), places_.end(), [epoch](const auto& place) {
            return place.second.open && place.second.epoch == epoch;
          });
      if (there) {
        ++at;
        continue;
      }
      console_.Err("assentctl: a coordinator has ended: what happened there after " +
                   WritePositions({*at}) +
                   " and was not told is missed (its transactions are not: assentctl list)\n");
      at = positions_.erase(at);
    }
  }

  // ---- Streams ----

  v1::EventsRequest RequestOf(const Place& place) const {
    v1::EventsRequest request = command_.request;
    request.set_once(!command_.follow);
    if (!command_.follow) request.set_from_start(true);
    const auto own = positions_.find(place.epoch);
    if (own != positions_.end()) {
      request.set_after(WritePositions({*own}));
    } else if (cluster_ && goes_on_) {
      // It has come since: all that it has to tell is news.
      request.clear_after();
      request.set_from_start(true);
    } else {
      request.set_after(WritePositions(positions_));
    }
    return request;
  }

  void OpenThose() {
    for (auto& [endpoint, place] : places_) {
      if (place.open || done_.contains(endpoint) || console_.Uptime() < place.open_at) continue;
      streams_->Open(endpoint, RequestOf(place));
      place.open = true;
    }
  }

  void Hear(const EventStreams::Heard& heard) {
    const auto found = places_.find(heard.endpoint);
    if (found == places_.end()) return;
    heard.reply.has_value() ? HearReply(found->first, found->second, *heard.reply)
                            : HearEnd(found->first, found->second, heard.ended);
  }

  void HearReply(const std::string& endpoint, Place& place, const v1::EventsReply& reply) {
    if (std::exchange(place.away_since, std::nullopt).has_value())
      console_.Err("assentctl: connected to " + endpoint + " again\n");
    goes_on_ = goes_on_ || command_.follow;  // who joins from now on is told of from his beginning
    if (reply.has_missed()) SayMissed(endpoint, reply.missed());
    const Result<Positions> position = ReadPositions(reply.position());
    if (!position.ok() || position->size() != 1) {
      failed_ = Internal(endpoint + " says that it is at " + Visible(reply.position()));
      return;
    }
    const std::uint64_t epoch = position->begin()->first;
    if (!cluster_) std::erase_if(positions_, [&](const auto& one) { return one.first != epoch; });
    if (place.epoch != 0 && place.epoch != epoch) positions_.erase(place.epoch);
    place.epoch = epoch;
    for (const v1::Event& event : reply.events()) {
      const Result<Positions> own = ReadPositions(event.sequence());
      if (own.ok()) positions_[epoch] = own->begin()->second;
      command_.follow ? Show(event, epoch) : kept_.push_back(event);
    }
    positions_[epoch] = position->begin()->second;
  }

  void SayMissed(const std::string& endpoint, const v1::MissedEvents& missed) {
    std::string text = "assentctl: " + endpoint;
    if (missed.other_start()) {
      text += " was started again: what happened after " + Visible(missed.after()) +
              " and was not told is missed (its transactions are not: assentctl list)";
    } else {
      text += " has not kept all of what happened after " + Visible(missed.after());
    }
    if (!missed.through().empty()) text += "; missed up to " + Visible(missed.through());
    console_.Err(text + "\n");
  }

  void HearEnd(const std::string& endpoint, Place& place, const Status& status) {
    place.open = false;
    if (status.ok() && !command_.follow) {
      done_.insert(endpoint);
      return;
    }
    const bool outage = status.ok() || IsOutage(status);
    if (outage && cluster_ && !command_.follow) {
      console_.Err("assentctl: " + Visible(status.message()) +
                   ": what happened there is not shown\n");
      done_.insert(endpoint);
      return;
    }
    // Who was never there is not waited for, nor is it for what is kept.
    if (!outage || !command_.follow || (place.epoch == 0 && !place.away_since.has_value())) {
      failed_ = status;
      return;
    }
    const milliseconds now = console_.Uptime();
    if (!place.away_since.has_value()) {
      place.away_since = now;
      console_.Err(
          "assentctl: " + Visible(status.ok() ? endpoint + " ended the stream" : status.message()) +
          "; trying again\n");
    }
    place.open_at = now + kReconnectPause;
    const bool nobody = std::all_of(places_.begin(), places_.end(), [now](const auto& one) {
      return one.second.away_since.has_value() && now - *one.second.away_since >= kLongestOutage;
    });
    if (nobody) failed_ = status.ok() ? Unavailable(endpoint + " is away") : status;
  }

  // ---- Time ----

  bool IsOver() const {
    if (!command_.follow) {
      return std::all_of(places_.begin(), places_.end(),
                         [this](const auto& place) { return done_.contains(place.first); });
    }
    const Timeout& timeout = session_.options.wait_timeout;
    return timeout.has_value() && console_.Uptime() - began_ >= *timeout;
  }

  milliseconds Patience() const {
    const milliseconds now = console_.Uptime();
    milliseconds until = command_.follow ? now + kLookPause : now + session_.options.call_timeout;
    if (const Timeout& timeout = session_.options.wait_timeout; timeout.has_value())
      until = std::min(until, began_ + *timeout);
    for (const auto& [endpoint, place] : places_) {
      if (!place.open && !done_.contains(endpoint)) until = std::min(until, place.open_at);
    }
    return std::max(until - now, milliseconds(0));
  }

  // ---- Showing ----

  void Show(v1::Event event, std::uint64_t epoch) {
    event.set_sequence(WritePositions(positions_, epoch));
    console_.Out(RenderEvent(event, session_.MakeStyle()));
  }

  static std::pair<std::uint64_t, std::uint64_t> NumberOf(const v1::Event& event) {
    const Result<Positions> own = ReadPositions(event.sequence());
    if (!own.ok()) return {};
    return {own->begin()->first, own->begin()->second};
  }

  // Of several coordinators as it happened, by their clocks; each line says where all of them
  // stood.
  void ShowAll() {
    if (cluster_) {
      std::stable_sort(kept_.begin(), kept_.end(), [](const v1::Event& a, const v1::Event& b) {
        return a.at_unix_ms() < b.at_unix_ms();
      });
    }
    const std::string position = WritePositions(positions_);
    Positions before = positions_;
    for (auto event = kept_.rbegin(); event != kept_.rend(); ++event) {
      const auto [epoch, number] = NumberOf(*event);
      before[epoch] = std::min(before[epoch], number - 1);
    }
    for (v1::Event& event : kept_) {
      const auto [epoch, number] = NumberOf(event);
      before[epoch] = std::max(before[epoch], number);
      event.set_sequence(WritePositions(before, epoch));
    }
    const Style style = session_.MakeStyle();
    console_.Out(RenderEvents(kept_, position, style));
    if (!style.table()) return;
    if (kept_.empty()) console_.Err("nothing is kept that matches\n");
    console_.Err("what happens from here on: --after " + position + "\n");
  }

  const EventsCommand& command_;
  Session& session_;
  Console& console_;
  const std::unique_ptr<EventStreams> streams_;
  const milliseconds began_;
  bool cluster_ = false;
  bool goes_on_ = false;  // behind what was told before, here or by --after
  milliseconds look_at_{0};
  std::map<std::string, Place> places_;  // by endpoint
  std::set<std::string> done_;           // without --follow
  Positions positions_;
  std::vector<v1::Event> kept_;
  Status failed_;
};

}  // namespace

Exit RunEvents(const EventsCommand& command, Session& session) {
  return Follower(command, session).Run();
}

}  // namespace assent::ctl
