// Page tokens name the last row of the page before: "L<needs operator: 0|1>.<serial>" among the unfinished ones, "F<serial>" among
// the finished ones.

#include "coordinator/api/list.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include <assent/limits.h>

#include "coordinator/api/convert.h"
#include "coordinator/base/clock.h"
#include "coordinator/core/codec.h"

namespace assent::api {
namespace {

// Rows of the history that one page looks at before it answers with what it has, so that a rare filter cannot hold up the log.
constexpr std::size_t kMaxScannedRows = 2000;

struct Listing {
  v1::ListRequest request;
  std::size_t page_size = 0;
  bool want_live = true;
  bool want_finished = false;
  std::pair<int, std::uint64_t> after_live{-1, 0};  // (0: needs a person, 1: does not; serial)
  std::uint64_t before_finished = 0;
  std::mutex mutex;
  // What may stand on the page, and one more, to know whether there is a next one.
  std::map<std::pair<int, std::uint64_t>, v1::Transaction>
      live;                    // guarded by mutex while shards are visited
  std::size_t live_bytes = 0;  // likewise
  v1::ListReply reply;
  std::size_t reply_bytes = 0;
  std::function<void(const Status&, v1::ListReply)> done;
};

std::size_t BytesOf(const v1::Transaction& row) { return row.ByteSizeLong() + 8; }

// Whether `rows` of so many bytes are more than a page. One alone never is.
bool IsMoreThanAPage(const Listing& listing, std::size_t rows, std::size_t bytes) {
  return rows > listing.page_size || (rows > 1 && bytes > limits::kMaxPageBytes);
}

// Adds a row to the page, if it has room.
bool Add(Listing& listing, v1::Transaction&& row) {
  const auto rows = static_cast<std::size_t>(listing.reply.transactions_size());
  const std::size_t bytes = BytesOf(row);
  if (IsMoreThanAPage(listing, rows + 1, listing.reply_bytes + bytes)) return false;
  listing.reply_bytes += bytes;
  *listing.reply.add_transactions() = std::move(row);
  return true;
}

bool Matches(const v1::ListRequest& r, const core::Transaction& txn, bool visible,
             core::WallTime now) {
  if (!r.gid_prefix().empty() && txn.gid().compare(0, r.gid_prefix().size(), r.gid_prefix()) != 0)
    return false;
  const auto state = visible ? static_cast<int>(txn.phase()) : static_cast<int>(v1::ACTIVE);
  if (r.states_size() > 0 &&
      std::find(r.states().begin(), r.states().end(), state) == r.states().end())
    return false;
  const core::Outcome outcome = visible ? txn.outcome() : core::Outcome::kNone;
  if (r.outcome() != v1::OUTCOME_UNSPECIFIED &&
      static_cast<int>(outcome) != static_cast<int>(r.outcome()))
    return false;
  if (r.needs_operator() && !txn.needs_operator()) return false;
  if (r.min_age_ms() > 0 && now - txn.began_at() < core::Millis(r.min_age_ms())) return false;
  const auto& branches = txn.spec().branches;
  if (r.protocol() != v1::PROTOCOL_UNSPECIFIED &&
      std::none_of(branches.begin(), branches.end(), [&](const core::BranchSpec& b) {
        return static_cast<int>(b.protocol) == static_cast<int>(r.protocol());
      })) {
    return false;
  }
  if (!r.service().empty() &&
      std::none_of(branches.begin(), branches.end(),
                   [&](const core::BranchSpec& b) { return b.service == r.service(); })) {
    return false;
  }
  for (const auto& [key, value] : r.labels()) {
    const auto& labels = txn.spec().labels;
    if (std::find(labels.begin(), labels.end(), std::pair<std::string, std::string>(key, value)) ==
        labels.end())
      return false;
  }
  return true;
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
  listing.want_finished =
      r.all() || finished_named || (r.states_size() == 0 && r.outcome() != v1::OUTCOME_UNSPECIFIED);
  listing.want_live = !(finished_named && r.states_size() == 1);
  const std::string& token = r.page_token();
  if (token.empty()) return OkStatus();
  unsigned long long serial = 0;
  int rank = 0;
  char end = 0;
  if (std::sscanf(token.c_str(), "L%d.%llu%c", &rank, &serial, &end) == 2 && rank >= 0 &&
      rank <= 1) {
    listing.after_live = {rank, serial};
  } else if (std::sscanf(token.c_str(), "F%llu%c", &serial, &end) == 1) {
    listing.want_live = false;
    listing.before_finished = serial;
    if (serial == 0) listing.before_finished = 0;
  } else {
    return InvalidArgument("page_token is not one that a List of this coordinator gave");
  }
  return OkStatus();
}

void ScanFinished(engine::Engine& engine, const std::shared_ptr<Listing>& listing) {
  const std::size_t room =
      listing->page_size - static_cast<std::size_t>(listing->reply.transactions_size());
  const std::size_t rows = std::min(kMaxScannedRows, std::max<std::size_t>(room * 4, 64));
  engine.log().Scan(
      listing->before_finished, rows, [listing](Result<std::vector<log::FinishedRow>> found) {
        if (!found.ok()) return listing->done(found.status(), {});
        std::uint64_t last = listing->before_finished;
        bool full = false;
        for (const log::FinishedRow& row : *found) {
          Result<core::Transaction> txn = core::Codec::Decode(row.gid, row.spec, row.state);
          if (!txn.ok()) return listing->done(txn.status(), {});
          if (Matches(listing->request, *txn, true, base::WallNow())) {
            v1::Transaction shown;
            ToProto(*txn, core::Now{}, Detail::kSummary, true, shown);
            full = !Add(*listing, std::move(shown));
            if (full) break;
          }
          last = row.serial;
        }
        // A short page says nothing; below serial 1 there is nothing.
        const bool more = full || (!found->empty() && last > 1);
        if (more) listing->reply.set_next_page_token("F" + std::to_string(last));
        listing->done(OkStatus(), std::move(listing->reply));
      });
}

void AfterLive(engine::Engine& engine, const std::shared_ptr<Listing>& listing) {
  std::pair<int, std::uint64_t> last;
  while (!listing->live.empty()) {
    const auto first = listing->live.begin();
    if (!Add(*listing, std::move(first->second))) break;
    last = first->first;
    listing->live.erase(first);
  }
  if (!listing->live.empty()) {
    listing->reply.set_next_page_token("L" + std::to_string(last.first) + "." +
                                       std::to_string(last.second));
    return listing->done(OkStatus(), std::move(listing->reply));
  }
  if (!listing->want_finished) return listing->done(OkStatus(), std::move(listing->reply));
  if (static_cast<std::size_t>(listing->reply.transactions_size()) == listing->page_size) {
    listing->reply.set_next_page_token("F0");  // the page is full: the history begins on the next
    return listing->done(OkStatus(), std::move(listing->reply));
  }
  ScanFinished(engine, listing);
}

}  // namespace

void RunList(engine::Engine& engine, v1::ListRequest request,
             std::function<void(const Status&, v1::ListReply)> done) {
  auto listing = std::make_shared<Listing>();
  listing->request = std::move(request);
  listing->done = std::move(done);
  const Status planned = Plan(*listing);
  if (!planned.ok()) return listing->done(planned, {});
  if (!listing->want_live) return ScanFinished(engine, listing);
  engine.Visit(
      [listing](std::uint64_t serial, const core::Transaction& txn, bool visible,
                const core::Now& now) {
        const std::pair<int, std::uint64_t> key{txn.needs_operator() ? 0 : 1, serial};
        const std::lock_guard lock(listing->mutex);
        auto& live = listing->live;
        const bool full = IsMoreThanAPage(*listing, live.size(), listing->live_bytes);
        if (key <= listing->after_live || (full && key > live.rbegin()->first)) return;
        if (!Matches(listing->request, txn, visible, now.wall)) return;
        v1::Transaction& shown = live[key];
        ToProto(txn, now, Detail::kSummary, visible, shown);
        listing->live_bytes += BytesOf(shown);
        while (true) {
          const auto latest = std::prev(live.end());
          const std::size_t without = listing->live_bytes - BytesOf(latest->second);
          if (!IsMoreThanAPage(*listing, live.size() - 1, without)) break;
          listing->live_bytes = without;
          live.erase(latest);
        }
      },
      [&engine, listing] { AfterLive(engine, listing); });
}

}  // namespace assent::api
