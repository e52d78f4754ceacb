#include "tests/log/crash_workload.h"

#include <algorithm>
#include <future>
#include <string_view>
#include <thread>
#include <utility>

#include "coordinator/log/sqlite/sqlite_log.h"
#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

constexpr std::int64_t kRecentMs = Books::kNowMs - 10;
constexpr std::int64_t kOldMs = 1000;

std::string Bytes(Random& random) {
  // Most are small; some take a page, or a few.
  const std::uint64_t kind = random() % 64;
  const std::size_t size = kind == 0   ? 9000 + random() % 9000
                           : kind < 3  ? 3000 + random() % 3000
                           : kind < 40 ? random() % 60
                                       : random() % 400;
  return std::string(size, static_cast<char>('a' + random() % 26));
}

class Maker {
 public:
  explicit Maker(std::uint64_t seed) : random_(seed) {}

  WorkloadLife Make(int transactions) {
    WorkloadLife life;
    int to_begin = transactions;
    while (to_begin > 0 || active_.size() > 6) {
      Group group;
      const std::size_t batches = Below(4) == 0 ? 1 : 1 + Below(9);
      for (std::size_t i = 0; i < batches; ++i) group.push_back(MakeBatch(to_begin));
      std::erase_if(group, [](const EntryBatch& batch) { return batch.empty(); });
      if (!group.empty()) life.groups.push_back(std::move(group));
    }
    // A log remembers what it refused for as long as it lives.
    std::erase_if(active_, [](const Active& one) { return one.refused; });
    life.ends_orderly = Below(2) == 0;
    return life;
  }

 private:
  struct Active {
    std::uint64_t serial = 0;
    std::uint64_t version = 1;
    std::string gid;
    std::string spec;
    bool refused = false;  // it used the gid of a finished one
  };
  std::size_t Below(std::size_t n) { return random_() % n; }

  EntryBatch MakeBatch(int& to_begin) {
    EntryBatch batch;
    const std::size_t entries = 1 + Below(3);
    for (std::size_t i = 0; i < entries; ++i) {
      const std::size_t dice = Below(12);
      if (to_begin > 0 && (dice < 4 || active_.empty())) {
        batch.push_back(MakeBegin());
        --to_begin;
      } else if (dice == 11 && !kept_.empty()) {
        batch.push_back(MakeForget());
      } else if (!active_.empty()) {
        batch.push_back(MoveOn(Below(active_.size())));
      }
    }
    return batch;
  }

  Entry MakeBegin() {
    Active one;
    one.serial = next_serial_++;
    one.gid =
        (Below(3) == 0 ? std::to_string(random_()) + "-" : "order-") + std::to_string(one.serial);
    one.spec = Bytes(random_);
    Entry entry = Begin(one.serial, one.gid, Bytes(random_));
    if (!kept_.empty() && Below(10) == 0) {
      one.gid = kept_[Below(kept_.size())];
      one.refused = true;
      entry.gid = one.gid;
    }
    entry.spec = one.spec;
    active_.push_back(std::move(one));
    return entry;
  }

  Entry MoveOn(std::size_t which) {
    Active& one = active_[which];
    ++one.version;
    if (one.version < 2 + Below(4)) return Update(one.serial, one.version, one.gid, Bytes(random_));
    Entry entry = End(one.serial, one.version, one.gid, static_cast<std::uint8_t>(1 + Below(3)),
                      Below(4) == 0 ? kOldMs : kRecentMs);
    entry.spec = one.spec;
    entry.state = Bytes(random_);
    if (!one.refused && entry.finished_unix_ms != kOldMs) kept_.push_back(one.gid);
    active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(which));
    return entry;
  }

  // Now and then of what is forgotten already: that is refused.
  Entry MakeForget() {
    if (!forgotten_.empty() && Below(4) == 0) return Forget(forgotten_);
    const std::size_t which = Below(kept_.size());
    forgotten_ = kept_[which];
    kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(which));
    return Forget(forgotten_);
  }

  Random random_;
  std::uint64_t next_serial_ = 1;
  std::vector<Active> active_;
  std::vector<std::string> kept_;  // finished, and not for retention to remove
  std::string forgotten_;
};

class Hash {
 public:
  Hash& Add(std::uint64_t number) {
    bytes_.append(reinterpret_cast<const char*>(&number), sizeof number);
    return *this;
  }
  Hash& Add(const std::string& bytes) {
    Add(bytes.size());
    bytes_ += bytes;
    return *this;
  }
  std::uint64_t Sum() const { return std::hash<std::string_view>()(bytes_); }

 private:
  std::string bytes_;
};

}  // namespace

std::vector<WorkloadLife> MakeWorkload(std::uint64_t seed, int lives, int transactions_a_life) {
  Maker maker(seed);
  std::vector<WorkloadLife> workload;
  for (int i = 0; i < lives; ++i) workload.push_back(maker.Make(transactions_a_life));
  return workload;
}

std::uint64_t HashOf(const LiveRow& row) {
  return Hash()
      .Add(1)
      .Add(row.serial)
      .Add(row.version)
      .Add(row.gid)
      .Add(row.spec)
      .Add(row.state)
      .Sum();
}

std::uint64_t HashOf(const FinishedRow& row) {
  return Hash()
      .Add(2)
      .Add(row.serial)
      .Add(row.outcome)
      .Add(static_cast<std::uint64_t>(row.finished_unix_ms))
      .Add(row.gid)
      .Add(row.spec)
      .Add(row.state)
      .Sum();
}

std::vector<std::size_t> Books::Apply(const EntryBatch& batch) {
  std::vector<std::size_t> refused;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const Entry& entry = batch[i];
    if (entry.kind == EntryKind::kForget) {
      const auto found = finished_.find(entry.gid);
      if (found == finished_.end()) {
        refused.push_back(i);
      } else {
        digest_ -= found->second;
        finished_.erase(found);
      }
      continue;
    }
    if (entry.kind == EntryKind::kBegin && finished_.contains(entry.gid)) {
      never_begun_.insert(entry.serial);
    }
    if (never_begun_.contains(entry.serial)) {
      refused.push_back(i);
      continue;
    }
    Row& row = live_[entry.serial];
    if (entry.kind == EntryKind::kBegin) {
      row.row.serial = entry.serial;
      row.row.gid = entry.gid;
      row.row.spec = entry.spec;
      next_serial_ = std::max(next_serial_, entry.serial + 1);
    }
    digest_ -= row.hash;
    if (entry.kind == EntryKind::kEnd) {
      live_.erase(entry.serial);
      const std::uint64_t hash = HashOf(FinishedRow{
          entry.serial, entry.gid, entry.spec, entry.state, entry.outcome, entry.finished_unix_ms});
      if (entry.finished_unix_ms < kNowMs - kRetentionMs) {
        may_expire_.insert(hash);
      } else {
        finished_[entry.gid] = hash;
        digest_ += hash;
      }
      continue;
    }
    row.row.version = entry.version;
    row.row.state = entry.state;
    row.hash = HashOf(row.row);
    digest_ += row.hash;
  }
  return refused;
}

std::string Books::ToString() const {
  std::string text;
  for (const auto& [serial, row] : live_) {
    text += " " + std::to_string(serial) + "/" + std::to_string(row.row.version);
  }
  text += " | finished";
  for (const auto& [gid, hash] : finished_) text += " " + gid;
  return text;
}

Driver::History Driver::Run() {
  std::promise<void> done;
  done_ = [&done] { done.set_value(); };
  // From the log's own thread on: what is appended there is one group.
  log_.Find("no such gid", [this](const Result<Found>&) { AppendGroup(); });
  done.get_future().wait();
  return std::move(history_);
}

void Driver::AppendGroup() {
  std::vector<const EntryBatch*> batches = std::exchange(again_, {});
  if (batches.empty() && !history_.stopped && next_group_ < life_.groups.size()) {
    for (const EntryBatch& batch : life_.groups[next_group_]) batches.push_back(&batch);
    ++next_group_;
  }
  if (batches.empty() || history_.stopped) return done_();
  AppendAll(batches);
}

void Driver::AppendAll(const std::vector<const EntryBatch*>& batches) {
  outstanding_ = batches.size();
  for (const EntryBatch* batch : batches) {
    history_.open.push_back(batch);
    if (on_append) on_append();
    log_.Append(*batch, [this, batch](const AppendResult& result) { Answered(batch, result); });
  }
}

void Driver::Answered(const EntryBatch* batch, const AppendResult& result) {
  --outstanding_;
  auto& open = history_.open;
  const auto position = std::find(open.begin(), open.end(), batch);
  if (result.status.ok()) {
    open.erase(position);
    history_.accepted.push_back(batch);
    std::vector<std::size_t> refused;
    for (const RefusedEntry& one : result.refused) refused.push_back(one.index);
    refused_entries_.push_back(std::move(refused));
    if (on_accepted) on_accepted();
  } else if (result.status.code() == Code::kResourceExhausted) {
    open.erase(position);
    ++history_.refused;
    again_.push_back(batch);
  } else {
    history_.stopped = true;
    if (history_.why.ok()) history_.why = result.status;
    // kUnavailable: certainly not written. kUnknownOutcome: stays open.
    if (result.status.code() == Code::kUnavailable) open.erase(position);
  }
  if (outstanding_ == 0) AppendGroup();
}

SqliteOptions CrashOptions(const std::string& vfs) {
  SqliteOptions options;
  options.path = "/disk/assent.db";
  options.vfs = vfs;
  options.reserve_bytes = 0;
  options.checkpoint_pages = 32;
  options.space_probe_interval = std::chrono::milliseconds(1);
  options.retention_age = std::chrono::milliseconds(Books::kRetentionMs);
  options.retention_interval = std::chrono::hours(1);  // once in each life, at its beginning
  options.unix_now_ms = [] { return Books::kNowMs; };
  return options;
}

Contents StartAndRead(const SqliteOptions& options,
                      const std::function<void(const Recovered&)>& recovered,
                      const std::function<void(Log&, const Contents&)>& then) {
  Contents found;
  Result<std::unique_ptr<SqliteLog>> opened = SqliteLog::Open(options);
  found.status = opened.status();
  if (!opened.ok()) return found;
  LogClient log(*std::move(opened));
  found.status = log.Recover();
  if (!found.status.ok()) return found;
  found.recovered = log.recovered();
  if (recovered) recovered(found.recovered);
  for (const LiveRow& row : log.replayed()) {
    found.live.push_back(HashOf(row));
    found.text += " " + std::to_string(row.serial) + "/" + std::to_string(row.version);
  }
  found.text += " | finished";
  for (std::uint64_t before = 0; found.finished.size() < found.recovered.finished_rows;) {
    Result<std::vector<FinishedRow>> rows = log.Scan(before, 1000);
    if (!rows.ok()) {
      found.status = rows.status();
      return found;
    }
    if (rows.value().empty()) break;  // retention was at work
    for (const FinishedRow& row : rows.value()) {
      found.finished.push_back(HashOf(row));
      found.text += " " + row.gid;
    }
    before = rows.value().back().serial;
  }
  if (then) then(log.log(), found);
  return found;
}

}  // namespace assent::log
