#include "coordinator/engine/events.h"

#include <algorithm>
#include <utility>

#include <assent/text.h>

namespace assent::engine {
namespace {

// With so many rows, or so much text, a page is closed, and copied to its size.
constexpr std::size_t kPageRowsCount = 512;
constexpr std::size_t kPageTextBytes = 64 * 1024;

using Texts = std::array<std::string_view, 6>;

Texts TextsOf(const Event& event) {
  return {event.gid,  event.service, event.branch_id,
          event.verb, event.who,     CutReason(event.text, kMaxEventTextBytes)};
}

Event EventOf(const Events::Page& page, const Events::Row& row) {
  Texts texts;
  std::string_view rest = std::string_view(page.texts).substr(row.texts);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    texts[i] = rest.substr(0, row.sizes[i]);
    rest.remove_prefix(row.sizes[i]);
  }
  return {.number = row.number,
          .at = row.at,
          .kind = row.kind,
          .state = row.state,
          .decision = row.decision,
          .outcome = row.outcome,
          .gid = texts[0],
          .service = texts[1],
          .branch_id = texts[2],
          .verb = texts[3],
          .who = texts[4],
          .text = texts[5]};
}

// The rows of some pages, one after the other.
class Reader {
 public:
  Reader(const std::vector<Events::PagePtr>& pages, std::uint64_t after) : pages_(pages) {
    while (row() != nullptr && row()->number <= after) Pass();
  }
  const Events::Row* row() const {
    return page_ < pages_.size() ? &pages_[page_]->rows[row_] : nullptr;
  }
  Event event() const { return EventOf(*pages_[page_], *row()); }
  void Pass() {
    if (++row_ < pages_[page_]->rows.size()) return;
    row_ = 0;
    ++page_;
  }

 private:
  const std::vector<Events::PagePtr>& pages_;
  std::size_t page_ = 0;
  std::size_t row_ = 0;
};

}  // namespace

bool Event::AsksForPerson() const {
  const bool bad_end = outcome == core::Outcome::kMixed || outcome == core::Outcome::kHazard;
  return kind == EventKind::kNeedsPerson || kind == EventKind::kNeedsNobody ||
         (kind == EventKind::kEnded && bad_end);
}

bool Event::IsNotable() const {
  return AsksForPerson() || kind == EventKind::kIntervened || kind == EventKind::kServiceAway ||
         kind == EventKind::kNobodyWaits;
}

bool EventFilter::Matches(const Event& event) const {
  return kinds.test(static_cast<std::size_t>(event.kind)) &&
         (!asks_for_person || event.AsksForPerson()) &&
         (service.empty() || event.service == service) && event.gid.starts_with(gid_prefix);
}

bool EventFilter::WantsUsual() const {
  const auto wants = [this](EventKind kind) { return kinds.test(static_cast<std::size_t>(kind)); };
  return !asks_for_person &&
         (wants(EventKind::kBegan) || wants(EventKind::kDecided) || wants(EventKind::kEnded));
}

bool EventFilter::WantsNotable() const {
  std::bitset<kEventKindsCount> others = kinds;
  others.reset(static_cast<std::size_t>(EventKind::kBegan));
  others.reset(static_cast<std::size_t>(EventKind::kDecided));
  return others.any();
}

void Events::Start(std::uint64_t epoch) {
  const MutexLock lock(mutex_);
  epoch_ = epoch;
}

std::uint64_t Events::epoch() const {
  const MutexLock lock(mutex_);
  return epoch_;
}

std::uint64_t Events::last() const {
  const MutexLock lock(mutex_);
  return last_;
}

std::size_t Events::MaxCount(const Shelf& shelf) const {
  return &shelf == &usual_ ? limits_.max_usual_count : limits_.max_notable_count;
}

void Events::Add(const Event& event) {
  const Texts texts = TextsOf(event);
  std::vector<PagePtr> dropped;  // freed without the lock
  std::function<void()> call;
  {
    const MutexLock lock(mutex_);
    Shelf& shelf = event.IsNotable() ? notable_ : usual_;
    Row& row = shelf.open.rows.emplace_back();
    row = {.number = ++last_,
           .at = event.at,
           .texts = static_cast<std::uint32_t>(shelf.open.texts.size()),
           .sizes = {},
           .kind = event.kind,
           .state = event.state,
           .decision = event.decision,
           .outcome = event.outcome};
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (texts[i].empty()) continue;
      row.sizes[i] = static_cast<std::uint16_t>(texts[i].size());
      shelf.open.texts.append(texts[i]);
    }
    if (shelf.open.rows.size() == kPageRowsCount || shelf.open.texts.size() >= kPageTextBytes)
      dropped = Close(shelf, MaxCount(shelf));
    if (call_) call = std::exchange(call_, nullptr);
  }
  if (call) call();
}

// What had to give way for the page.
std::vector<Events::PagePtr> Events::Close(Shelf& shelf, std::size_t max_count) {
  std::vector<PagePtr> dropped;
  if (shelf.open.rows.empty()) return dropped;
  shelf.pages.push_back(std::make_shared<const Page>(shelf.open));
  shelf.open.rows.clear();
  shelf.open.texts.clear();
  shelf.count += shelf.pages.back()->rows.size();
  shelf.bytes += shelf.pages.back()->bytes();
  while (shelf.count > max_count || shelf.bytes > limits_.max_shelf_bytes) {
    PagePtr oldest = std::move(shelf.pages.front());
    shelf.pages.pop_front();
    shelf.count -= oldest->rows.size();
    shelf.bytes -= oldest->bytes();
    shelf.dropped_through = oldest->rows.back().number;
    dropped.push_back(std::move(oldest));
  }
  return dropped;
}

Events::Found Events::Read(std::uint64_t after, const EventFilter& filter, std::size_t max_count) {
  Found found;
  std::array<std::vector<PagePtr>, 2> pages;
  std::vector<PagePtr> dropped;
  {
    const MutexLock lock(mutex_);
    found.through = last_;
    const auto take = [&](Shelf& shelf, std::vector<PagePtr>& taken) ASSENT_REQUIRES(mutex_) {
      if (!shelf.open.rows.empty() && shelf.open.rows.back().number > after) {
        for (PagePtr& page : Close(shelf, MaxCount(shelf))) dropped.push_back(std::move(page));
      }
      if (shelf.dropped_through > after)
        found.missed_through = std::max(found.missed_through, shelf.dropped_through);
      auto page = std::partition_point(
          shelf.pages.begin(), shelf.pages.end(),
          [&](const PagePtr& one) { return one->rows.back().number <= after; });
      std::size_t rows = 0;
      for (; page != shelf.pages.end() && rows < kMaxEventsLookedAtCount; ++page) {
        taken.push_back(*page);
        rows += (*page)->rows.size();
      }
      if (page != shelf.pages.end())
        found.through = std::min(found.through, taken.back()->rows.back().number);
    };
    if (filter.WantsUsual()) take(usual_, pages[0]);
    if (filter.WantsNotable()) take(notable_, pages[1]);
    found.more = found.through < last_;
  }
  Reader usual(pages[0], after);
  Reader notable(pages[1], after);
  while (found.events.size() < max_count) {
    Reader& next = usual.row() == nullptr ||
                           (notable.row() != nullptr && notable.row()->number < usual.row()->number)
                       ? notable
                       : usual;
    if (next.row() == nullptr || next.row()->number > found.through) break;
    const Event event = next.event();
    if (filter.Matches(event)) found.events.push_back(event);
    next.Pass();
    if (found.events.size() < max_count) continue;
    found.more = found.more || event.number < found.through;
    found.through = event.number;
  }
  for (const auto& taken : pages) found.pages.insert(found.pages.end(), taken.begin(), taken.end());
  return found;
}

void Events::CallWhenBehind(std::uint64_t after, std::function<void()> call) {
  {
    const MutexLock lock(mutex_);
    if (last_ <= after) {
      call_ = std::move(call);
      return;
    }
  }
  call();
}

}  // namespace assent::engine
