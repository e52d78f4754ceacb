// A List is a look at the unfinished transactions, slice by slice, and a scan of the finished ones,
// page by page: both go on from a serial, which never changes, so that each transaction that is
// there all the time is shown once.
//
// Page tokens name the last row of the page before: "L<look>.<part>.<serial>" among unfinished
// ones, "F<serial>" among finished ones, "A<serial>" among both.
//
// With several coordinators a slice is what each of them has found from a serial on, looking for a
// page; a serial is one transaction's, whoever has it. The look has a number at each: then the
// token is "M<part>.<serial>" and ".<epoch>-<look>" for each, good at any coordinator.

#include "coordinator/service/list.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <utility>

#include <assent/limits.h>
#include <assent/thread_safety.h>

#include "coordinator/base/clock.h"
#include "coordinator/core/codec.h"
#include "coordinator/service/convert.h"
#include "coordinator/service/filter.h"
#include "coordinator/service/own_list.h"
#include "proto/words/words.h"

namespace assent::service {
namespace {

// Rows of one slice of a shard: when most are shown, and when most are passed over.
constexpr std::size_t kShownSliceRowsCount = 128;
constexpr std::size_t kPassedSliceRowsCount = 1024;

enum class Kind : std::uint8_t { kUnfinished, kFinished, kBoth };

// In the order of the page: what may still stand on it, and one more, to know whether there is a
// next one.
struct Found {
  std::map<std::uint64_t, v1::Transaction> rows;  // by RankOf
  std::size_t bytes = 0;
  std::uint64_t cut = 0;  // before the first rank that had no room
  std::size_t visited_rows = 0;
};

struct Listing {
  explicit Listing(const ListScope& s) : scope(s), engine(s.engine) {}
  const ListScope scope;
  engine::Engine& engine;
  engine::OnlyOf own;     // what it began alone; nullptr: everybody's
  bool spans = false;     // all coordinators are asked
  bool is_slice = false;  // another one gathers the list
  v1::ListRequest request;
  Kind kind = Kind::kUnfinished;
  std::size_t page_size = 0;
  std::function<void(const Status&, v1::ListReply)> done;

  // Where it stands.
  std::uint64_t look = 0;
  std::map<std::uint64_t, std::uint64_t> looks;  // spans: by epoch
  engine::Part part = engine::Part::kStuck;
  std::uint64_t after = 0;  // the serial of the last row that was considered; 0: none yet
  // The same, for the shards: ahead of the page while that waits for the history.
  std::uint64_t slice_after = 0;
  std::size_t slice_rows = kShownSliceRowsCount;
  std::size_t examined_rows = 0;
  std::size_t scanned_rows = 0;
  v1::ListReply reply;
  std::size_t reply_bytes = 0;

  // What slices found. While some are on their way it is theirs, of several shards' threads.
  Found found;
  Mutex mutex;
  Found shared ASSENT_GUARDED_BY(mutex);
};
using ListingPtr = std::shared_ptr<Listing>;

// Nothing is left out up to here: there is no more.
constexpr std::uint64_t kLastRank = ~std::uint64_t{0};

void NextSlice(const ListingPtr& listing);

// Serials in the order of the page: rising, or falling when finished rows are among them.
std::uint64_t RankOf(const Listing& listing, std::uint64_t serial) {
  return listing.kind == Kind::kUnfinished ? serial : ~serial;
}
std::uint64_t SerialOf(const Listing& listing, std::uint64_t rank) { return RankOf(listing, rank); }

std::size_t BytesOf(const v1::Transaction& row) { return row.ByteSizeLong() + 8; }

// Whether `rows` of so many bytes are more than a page. One alone never is.
bool IsMoreThanAPage(const Listing& listing, std::size_t rows, std::size_t bytes) {
  return rows > listing.page_size || (rows > 1 && bytes > limits::kMaxPageBytes);
}

// Adds a row to the page, if it has room.
bool Add(Listing& listing, std::uint64_t serial, v1::Transaction&& row) {
  const auto rows = static_cast<std::size_t>(listing.reply.transactions_size());
  const std::size_t bytes = BytesOf(row);
  if (IsMoreThanAPage(listing, rows + 1, listing.reply_bytes + bytes)) return false;
  listing.reply_bytes += bytes;
  *listing.reply.add_transactions() = std::move(row);
  if (listing.is_slice) listing.reply.mutable_slice()->add_serials(serial);
  return true;
}

Status BadToken() {
  return InvalidArgument("page_token is not one that a List of this coordinator gave");
}

// "M<part>.<serial>.<epoch>-<look>…"
Status ReadSpanningToken(Listing& listing, const std::string& token) {
  int part = 0;
  unsigned long long serial = 0;
  int read = 0;
  if (listing.kind != Kind::kUnfinished ||
      std::sscanf(token.c_str(), "M%d.%llu%n", &part, &serial, &read) != 2 || part < 0 || part > 1)
    return BadToken();
  const char* rest = token.c_str() + read;
  while (*rest != 0) {
    unsigned long long epoch = 0;
    unsigned long long look = 0;
    if (std::sscanf(rest, ".%llu-%llu%n", &epoch, &look, &read) != 2) return BadToken();
    listing.looks[epoch] = look;
    rest += read;
  }
  listing.part = part == 0 ? engine::Part::kStuck : engine::Part::kOthers;
  listing.after = listing.slice_after = serial;
  return OkStatus();
}

// What another coordinator asks for.
Status PlanSlice(Listing& listing) {
  const v1::MemberSliceRequest& slice = listing.request.slice();
  if (slice.part() > 2) return InvalidArgument("slice.part takes 0, 1 or 2");
  listing.part = static_cast<engine::Part>(slice.part());
  listing.kind = listing.part == engine::Part::kNewestFirst ? Kind::kBoth : Kind::kUnfinished;
  // Of an earlier start, or of a member that did not have the transactions then: as below.
  listing.look = listing.engine.IsLook(slice.look()) ? slice.look() : listing.engine.NextLook();
  listing.after = listing.slice_after = slice.after();
  return OkStatus();
}

Status Plan(Listing& listing) {
  const v1::ListRequest& r = listing.request;
  if (r.page_size() > limits::kMaxPageSizeCount) {
    return InvalidArgument("page_size is " + std::to_string(r.page_size()) + ", the limit is " +
                           std::to_string(limits::kMaxPageSizeCount));
  }
  listing.page_size = r.page_size() == 0 ? limits::kDefaultPageSizeCount : r.page_size();
  if (r.all() && r.states_size() > 0)
    return InvalidArgument("states must be empty when all is set");
  const bool finished_named =
      std::find(r.states().begin(), r.states().end(), v1::FINISHED) != r.states().end();
  const bool want_finished =
      r.all() || finished_named || (r.states_size() == 0 && r.outcome() != v1::OUTCOME_UNSPECIFIED);
  listing.kind = !want_finished                           ? Kind::kUnfinished
                 : finished_named && r.states_size() == 1 ? Kind::kFinished
                                                          : Kind::kBoth;
  if (const Status cause = CheckFilter(r); !cause.ok()) return cause;
  if (!r.cause().empty() && want_finished)
    return InvalidArgument(
        "cause goes with unfinished ones alone: not with all, outcome or FINISHED");
  if (listing.kind == Kind::kBoth) listing.part = engine::Part::kNewestFirst;
  listing.is_slice = r.has_slice();
  if (listing.is_slice) return PlanSlice(listing);
  listing.spans = !listing.scope.router.alone();
  const std::string& token = r.page_token();
  if (listing.spans && token[0] == 'M') return ReadSpanningToken(listing, token);
  if (token.empty()) {
    listing.look = listing.engine.NextLook();
    return OkStatus();
  }
  unsigned long long look = 0;
  unsigned long long serial = 0;
  int part = 0;
  char end = 0;
  const char kind = token[0];
  if (std::sscanf(token.c_str(), "L%llu.%d.%llu%c", &look, &part, &serial, &end) == 3 &&
      (part == 0 || part == 1) && listing.kind == Kind::kUnfinished) {
    // Of an earlier life: nobody here knows who was stuck then. It goes on from there under a new
    // number.
    listing.look = listing.engine.IsLook(look) ? look : listing.engine.NextLook();
    listing.part = part == 0 ? engine::Part::kStuck : engine::Part::kOthers;
  } else if (std::sscanf(token.c_str() + 1, "%llu%c", &serial, &end) != 1 ||
             kind != (listing.kind == Kind::kFinished ? 'F' : 'A') ||
             listing.kind == Kind::kUnfinished) {
    return BadToken();
  }
  listing.after = listing.slice_after = serial;
  return OkStatus();
}

std::string SpanningToken(const Listing& listing) {
  std::string token =
      (listing.part == engine::Part::kStuck ? "M0." : "M1.") + std::to_string(listing.after);
  for (const auto& [epoch, look] : listing.looks)
    token += "." + std::to_string(epoch) + "-" + std::to_string(look);
  return token;
}

void Answer(Listing& listing, bool more) {
  if (listing.is_slice) {
    v1::MemberSliceReply& slice = *listing.reply.mutable_slice();
    slice.set_look(listing.look);
    slice.set_looked_at(listing.after);
    slice.set_more(more);
    slice.set_rows(listing.examined_rows);
    slice.set_slots(static_cast<std::uint32_t>(listing.engine.served_slots()));
  } else if (more && listing.spans && listing.kind == Kind::kUnfinished) {
    listing.reply.set_next_page_token(SpanningToken(listing));
  } else if (more) {
    const std::string serial = std::to_string(listing.after);
    listing.reply.set_next_page_token(
        listing.kind == Kind::kBoth ? "A" + serial
        : listing.kind == Kind::kFinished
            ? "F" + serial
            : "L" + std::to_string(listing.look) +
                  (listing.part == engine::Part::kStuck ? ".0." : ".1.") + serial);
  }
  listing.done(OkStatus(), std::move(listing.reply));
}

// Puts on the page what was found up to `last`, in its order. False: the page is full before that,
// and has been answered.
bool Take(Listing& listing, std::uint64_t last) {
  auto& rows = listing.found.rows;
  while (!rows.empty() && rows.begin()->first <= last) {
    const auto first = rows.begin();
    if (!Add(listing, SerialOf(listing, first->first), std::move(first->second))) {
      Answer(listing, /*more=*/true);
      return false;
    }
    listing.after = SerialOf(listing, first->first);
    rows.erase(first);
  }
  listing.found = {};
  listing.after = listing.slice_after = SerialOf(listing, last);
  return true;
}

// What it began itself: one that nobody in particular began may be asked for by its gid, and is on
// nobody's list.
bool IsListed(const Listing& listing, const core::Transaction& txn) {
  const engine::OnlyOf& initiator = txn.spec().initiator;
  return listing.own == nullptr || (initiator != nullptr && *listing.own == *initiator);
}

// A row of the history. One that makes no sense is shown as what it is, and the others are shown as
// well; but not to one who sees only his own: nobody can say whose it is.
void AddFinished(Listing& listing, const log::FinishedRow& row) {
  const Result<core::Transaction> txn = core::Codec::Decode(row.gid, row.spec, row.state);
  v1::Transaction shown;
  if (!txn.ok() && listing.own != nullptr) return;
  if (txn.ok()) {
    if (!IsListed(listing, *txn) || !Matches(listing.request, *txn, true, base::WallNow())) return;
    ToProto(*txn, core::Now{}, Detail::kSummary, true, shown);
  } else {
    shown.set_gid(row.gid);
    shown.set_state(v1::FINISHED);
    shown.set_outcome(wire::ToWire(engine::OutcomeFromLog(row.outcome)));
    shown.set_finished_unix_ms(row.finished_unix_ms);
    shown.set_abort_reason("finished row " + std::to_string(row.serial) +
                           " cannot be read: " + txn.status().message());
  }
  listing.found.rows.insert_or_assign(RankOf(listing, row.serial), std::move(shown));
}

// Everything below the serial is to be listed, from the history, and, up to `live`, from what a
// slice has found before: what ended between the two is in both, and shown once.
void ScanFinished(const ListingPtr& listing, std::uint64_t live) {
  const std::size_t rows =
      IsFiltered(listing->request) || listing->own != nullptr
          ? std::clamp<std::size_t>(listing->page_size * 4, 64, kMaxScannedRowsCount)
          : listing->page_size + 1;
  listing->engine.ScanFinished(
      listing->after, rows, [listing, live](Result<std::vector<log::FinishedRow>> found) {
        if (!found.ok()) return listing->done(found.status(), {});
        for (const log::FinishedRow& row : *found) AddFinished(*listing, row);
        // A short page says nothing; below serial 1 there is nothing.
        const bool no_more = found->empty() || found->back().serial <= 1;
        const std::uint64_t finished = no_more ? kLastRank : RankOf(*listing, found->back().serial);
        const std::uint64_t last = std::min(live, finished);
        listing->scanned_rows += found->size();
        if (!Take(*listing, last)) return;
        if (last == kLastRank || listing->scanned_rows >= kMaxScannedRowsCount ||
            listing->examined_rows >= kMaxExaminedRowsCount)
          return Answer(*listing, last != kLastRank);
        listing->kind == Kind::kFinished ? ScanFinished(listing, kLastRank) : NextSlice(listing);
      });
}

void OnSlice(const ListingPtr& listing, const Status& status,
             const std::vector<engine::SliceEnd>& ends) {
  if (!status.ok()) return listing->done(status, {});
  Found& found = listing->found;
  {
    const MutexLock lock(listing->mutex);
    found = std::move(listing->shared);
  }
  std::uint64_t last = found.cut;
  for (const engine::SliceEnd& end : ends) {
    if (end.more) last = std::min(last, RankOf(*listing, end.serial));
  }
  listing->examined_rows += found.visited_rows;
  listing->slice_rows =
      found.rows.size() * 8 < found.visited_rows ? kPassedSliceRowsCount : kShownSliceRowsCount;
  if (listing->kind == Kind::kBoth && !listing->is_slice) {
    const bool enough = listing->spans || found.cut != kLastRank || last == kLastRank ||
                        listing->examined_rows >= kMaxExaminedRowsCount;
    if (enough) return ScanFinished(listing, last);
    listing->slice_after = SerialOf(*listing, last);
    return NextSlice(listing);
  }
  if (!Take(*listing, last)) return;
  if (last == kLastRank) {
    if (listing->part == engine::Part::kOthers || listing->is_slice)
      return Answer(*listing, /*more=*/false);
    listing->part = engine::Part::kOthers;
    listing->after = listing->slice_after = 0;
  }
  if (listing->examined_rows >= kMaxExaminedRowsCount) return Answer(*listing, /*more=*/true);
  NextSlice(listing);
}

// Keeps a row of the shards, unless the page is full before it.
void VisitRow(const Listing& listing, Found& found, std::uint64_t rank,
              const core::Transaction& txn, bool visible, const core::Now& now) {
  ++found.visited_rows;
  auto& rows = found.rows;
  const auto on_page = static_cast<std::size_t>(listing.reply.transactions_size());
  const auto is_full = [&](std::size_t more_rows, std::size_t bytes) {
    return IsMoreThanAPage(listing, on_page + more_rows, listing.reply_bytes + bytes);
  };
  if (!rows.empty() && rank > rows.rbegin()->first && is_full(rows.size(), found.bytes)) {
    found.cut = std::min(found.cut, rank - 1);
    return;
  }
  if (!IsListed(listing, txn) || !Matches(listing.request, txn, visible, now.wall)) return;
  v1::Transaction& shown = rows[rank];
  ToProto(txn, now, Detail::kSummary, visible, shown);
  found.bytes += BytesOf(shown);
  while (true) {
    const auto latest = std::prev(rows.end());
    const std::size_t without = found.bytes - BytesOf(latest->second);
    if (!is_full(rows.size() - 1, without)) break;
    found.cut = std::min(found.cut, latest->first - 1);
    found.bytes = without;
    rows.erase(latest);
  }
}

// ---- Several coordinators ----------------------------------------------------------------------

using Slices = std::vector<MemberAnswer<v1::ListReply>>;

v1::ListRequest SliceRequestFor(const Listing& listing, std::uint64_t epoch) {
  v1::ListRequest request = listing.request;
  request.clear_page_token();
  const auto look = listing.looks.find(epoch);
  v1::MemberSliceRequest& slice = *request.mutable_slice();
  slice.set_part(static_cast<std::uint32_t>(listing.part));
  slice.set_look(look == listing.looks.end() ? 0 : look->second);
  slice.set_after(listing.slice_after);
  // Most of what comes is left out: a small page would be asked for row by row.
  if (listing.own != nullptr) request.set_page_size(limits::kMaxPageSizeCount);
  return request;
}

// What each has found, as one slice. Who says that there is more, and is where it was, would be
// asked for ever.
void Merge(const ListingPtr& listing, Slices slices) {
  const std::uint64_t from = listing->slice_after == 0 ? 0 : RankOf(*listing, listing->slice_after);
  for (auto& slice : slices) {
    const std::uint64_t at = slice.reply.slice().looked_at();
    if (slice.reply.slice().more() && (at == 0 || RankOf(*listing, at) <= from))
      slice.status = Internal("it does not go on");
  }
  NoteWhatIsMissing(listing->scope.router, slices, listing->reply);
  std::vector<engine::SliceEnd> ends;
  const engine::OnlyOf& own = listing->own;
  {
    const MutexLock lock(listing->mutex);
    Found& found = listing->shared;
    for (auto& slice : slices) {
      if (!slice.status.ok()) continue;
      const v1::MemberSliceReply& end = slice.reply.slice();
      listing->looks[slice.member.epoch] = end.look();
      found.visited_rows += end.rows();
      if (end.more()) ends.push_back({.serial = end.looked_at(), .more = true});
      const int rows = std::min(end.serials_size(), slice.reply.transactions_size());
      for (int i = 0; i < rows; ++i) {
        if (own != nullptr && slice.reply.transactions(i).initiator() != *own) continue;
        found.rows[RankOf(*listing, end.serials(i))].Swap(slice.reply.mutable_transactions(i));
      }
    }
  }
  OnSlice(listing, OkStatus(), ends);
}

void AskMembers(const ListingPtr& listing) {
  AskOthers<v1::ListReply>(
      listing->scope.router, listing->scope.peers, "TransactionService/List",
      [listing](const cluster::Member& member) {
        return SliceRequestFor(*listing, member.epoch).SerializeAsString();
      },
      [listing](Slices slices) {
        const std::uint64_t self = listing->scope.router.self();
        RunListOf(listing->own, listing->scope, SliceRequestFor(*listing, self),
                  [listing, self, slices = std::move(slices)](const Status& status,
                                                              v1::ListReply here) mutable {
                    if (!status.ok()) return listing->done(status, {});
                    slices.push_back({{.epoch = self}, status, std::move(here)});
                    Merge(listing, std::move(slices));
                  });
      });
}

void NextSlice(const ListingPtr& listing) {
  {
    const MutexLock lock(listing->mutex);
    listing->shared = std::move(listing->found);
    listing->shared.visited_rows = 0;
    listing->shared.cut = kLastRank;
  }
  if (listing->spans) return AskMembers(listing);
  engine::SliceRequest slice;
  slice.part = listing->part;
  slice.look = listing->look;
  slice.after = listing->slice_after;
  slice.max_rows = listing->slice_rows;
  slice.visit = [listing](std::uint64_t serial, const core::Transaction& txn, bool visible,
                          const core::Now& now) {
    const MutexLock lock(listing->mutex);
    VisitRow(*listing, listing->shared, RankOf(*listing, serial), txn, visible, now);
  };
  listing->engine.Visit(slice,
                        [listing](const Status& status, const std::vector<engine::SliceEnd>& ends) {
                          OnSlice(listing, status, ends);
                        });
}

}  // namespace

void RunList(const ListScope& scope, v1::ListRequest request,
             std::function<void(const Status&, v1::ListReply)> done) {
  RunListOf(nullptr, scope, std::move(request), std::move(done));
}

void RunListOf(const engine::OnlyOf& own, const ListScope& scope, v1::ListRequest request,
               std::function<void(const Status&, v1::ListReply)> done) {
  auto listing = std::make_shared<Listing>(scope);
  listing->own = own;
  listing->request = std::move(request);
  listing->done = std::move(done);
  const Status planned = Plan(*listing);
  if (!planned.ok()) return listing->done(planned, {});
  if (listing->kind == Kind::kFinished && !listing->is_slice)
    return ScanFinished(listing, kLastRank);
  NextSlice(listing);
}

}  // namespace assent::service
