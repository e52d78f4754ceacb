#include "coordinator/log/sealed/sealed_store.h"

#include <algorithm>
#include <set>
#include <utility>

namespace assent::log {
namespace {

constexpr char kWhatToStartWith[] =
    ". Nothing is lost: start with a file of --encryption-keys that has the key, or that lets "
    "through what is in the clear; a row that nobody will ever open is put out of service by "
    "assentctl doctor";

std::string KeyOf(std::string_view value) {
  const crypt::Cover cover = crypt::CoverOf(value);
  if (!cover.sealed) return std::string(crypt::kPlaintext);
  return cover.whole ? std::string(cover.key_id) : "?";
}

}  // namespace

// ---- What is told -------------------------------------------------------------------------------

SealReport::Now SealReport::Get() const {
  const MutexLock lock(mutex_);
  Now now{.sealed_anew = sealed_anew_, .unopened = unopened_};
  for (const Lane& lane : lanes_) {
    now.walking |= lane.walking;
    for (const auto& [key, rows] : lane.rows) now.rows[key] += rows;
  }
  return now;
}

std::size_t SealReport::Add() {
  const MutexLock lock(mutex_);
  lanes_.emplace_back();
  return lanes_.size() - 1;
}

void SealReport::Expect(std::size_t lane) {
  const MutexLock lock(mutex_);
  lanes_[lane].has_rows = true;
  lanes_[lane].counted_under.reset();
}

void SealReport::Begin(std::size_t lane) {
  const MutexLock lock(mutex_);
  lanes_[lane].walking = true;
}

void SealReport::End(std::size_t lane, std::shared_ptr<const crypt::Keys> keys, KeyCounts rows) {
  const MutexLock lock(mutex_);
  lanes_[lane].walking = false;
  lanes_[lane].counted_under = std::move(keys);
  lanes_[lane].rows = std::move(rows);
}

bool SealReport::Counted(const std::shared_ptr<const crypt::Keys>& keys) const {
  const MutexLock lock(mutex_);
  return std::all_of(lanes_.begin(), lanes_.end(), [&](const Lane& lane) {
    return !lane.has_rows || lane.counted_under == keys;
  });
}

void SealReport::NoteSealedAnew(std::uint64_t rows) {
  const MutexLock lock(mutex_);
  sealed_anew_ += rows;
}

void SealReport::NoteUnopened() {
  const MutexLock lock(mutex_);
  ++unopened_;
}

// ---- Reading ------------------------------------------------------------------------------------

SealedStore::SealedStore(std::unique_ptr<RowStore> inner, SealedOptions options)
    : inner_(std::move(inner)), options_(std::move(options)), lane_(options_.report->Add()) {}

Result<Joined> SealedStore::Join() {
  Result<Joined> joined = inner_->Join();
  if (joined.ok()) log_id_ = joined->log_id;
  if (joined.ok()) by_serial_ = joined->slots_count == 1;
  return joined;
}

std::optional<std::string> SealedStore::Open(const std::string& gid, std::string& spec,
                                             std::string& state, bool& lacks_key) {
  const auto keys = options_.keyring->Get();
  const bool any = crypt::CoverOf(spec).sealed || crypt::CoverOf(state).sealed;
  if (!any && keys->takes_plaintext()) return {};
  std::string opened_spec = spec;
  std::string opened_state = state;
  const std::string* at = &spec;
  auto fault = sealer_.Open(*keys, PlaceOf(Field::kSpec, gid), opened_spec);
  if (fault == crypt::SealFault::kNone && !IsOutOfService(gid, state)) {
    at = &state;
    fault = sealer_.Open(*keys, PlaceOf(Field::kState, gid), opened_state);
  }
  if (fault == crypt::SealFault::kNone) {
    spec = std::move(opened_spec);
    state = std::move(opened_state);
    return {};
  }
  lacks_key = fault != crypt::SealFault::kForged;
  return std::string(at == &spec ? "its spec is " : "its state is ") +
         crypt::Describe(fault, crypt::CoverOf(*at).key_id) + " (there are: " + keys->Names() + ")";
}

bool SealedStore::IsOutOfService(const std::string& gid, const std::string& state) const {
  return !crypt::CoverOf(state).sealed && options_.set_aside(gid, "", state) == state;
}

void SealedStore::OpenOrSetAside(const std::string& gid, std::string& spec, std::string& state) {
  bool lacks_key = false;
  const auto why = Open(gid, spec, state, lacks_key);
  if (!why) return;
  options_.report->NoteUnopened();
  if (options_.on_set_aside && !IsOutOfService(gid, state)) options_.on_set_aside(gid, *why);
  state = options_.set_aside(gid, *why, state);
}

Status SealedStore::Load(const std::vector<Slot>& slots, const Log::LiveVisitor& visit,
                         std::vector<DamagedSlot>& damaged) {
  if (!loaded_) {
    if (Status status = CheckFinishedKeys(); !status.ok()) return status;
  }
  const bool takes_plaintext = options_.keyring->Get()->takes_plaintext();
  LiveRow opened;
  const auto open = [&](const LiveRow& row) {
    last_serial_ = std::max(last_serial_, row.serial);
    const bool any = crypt::CoverOf(row.spec).sealed || crypt::CoverOf(row.state).sealed;
    if (!any && takes_plaintext) return visit(row);
    opened = row;
    bool lacks_key = false;
    const auto why = Open(opened.gid, opened.spec, opened.state, lacks_key);
    if (!why) return visit(opened);
    options_.report->NoteUnopened();
    opened.state = options_.set_aside(row.gid, *why, row.state);
    const bool set_aside_before = opened.state == row.state;
    if (lacks_key && !loaded_ && !set_aside_before) {
      return FailedPrecondition("transaction " + row.gid + ": " + *why + kWhatToStartWith);
    }
    return visit(opened);
  };
  if (Status status = inner_->Load(slots, open, damaged); !status.ok()) return status;
  loaded_ = true;
  // Rows have come that no walk has seen.
  options_.report->Expect(lane_);
  walk_keys_.reset();
  next_step_ = Clock::now();
  return OkStatus();
}

// Of what others have written lately, too: a coordinator without their keys, or with other keys of
// the same names, is no use to them.
Status SealedStore::CheckFinishedKeys() {
  if (Status status = inner_->BeforeReads(); !status.ok()) return status;
  Result<std::vector<FinishedRow>> found = inner_->Scan(0, SealedOptions::kStartRows);
  if (!found.ok()) return found.status();
  const auto keys = options_.keyring->Get();
  for (FinishedRow& row : *found) {
    if (IsOutOfService(row.gid, row.state)) continue;  // a person has looked
    bool lacks_key = false;
    const auto why = Open(row.gid, row.spec, row.state, lacks_key);
    if (why && lacks_key)
      return FailedPrecondition("finished transaction " + row.gid + ": " + *why + kWhatToStartWith);
  }
  return OkStatus();
}

Result<Found> SealedStore::Find(const std::string& gid) {
  Result<Found> found = inner_->Find(gid);
  if (found.ok() && found->what == Found::What::kFinished)
    OpenOrSetAside(found->row.gid, found->row.spec, found->row.state);
  return found;
}

Result<std::vector<FinishedRow>> SealedStore::Scan(std::uint64_t before_serial,
                                                   std::size_t max_rows) {
  Result<std::vector<FinishedRow>> found = inner_->Scan(before_serial, max_rows);
  if (!found.ok()) return found;
  for (FinishedRow& row : *found) OpenOrSetAside(row.gid, row.spec, row.state);
  return found;
}

// ---- Writing ------------------------------------------------------------------------------------

Status SealedStore::Write(const std::vector<const std::vector<Entry>*>& batches,
                          const Unwritten& unwritten, GroupOutcome& outcome) {
  const auto keys = options_.keyring->Get();
  const crypt::Key* key = keys->active();
  for (const std::vector<Entry>* batch : batches) {
    for (const Entry& entry : *batch) last_serial_ = std::max(last_serial_, entry.serial);
  }
  if (key == nullptr) return inner_->Write(batches, unwritten, outcome);
  sealed_.resize(batches.size());
  std::vector<const std::vector<Entry>*> sealed_batches;
  for (std::size_t b = 0; b < batches.size(); ++b) {
    sealed_[b].clear();
    for (const Entry& entry : *batches[b]) {
      Entry& sealed = sealed_[b].emplace_back();
      sealed.kind = entry.kind;
      sealed.serial = entry.serial;
      sealed.version = entry.version;
      sealed.slot = entry.slot;
      sealed.gid = entry.gid;
      sealed.outcome = entry.outcome;
      sealed.finished_unix_ms = entry.finished_unix_ms;
      if (entry.kind == EntryKind::kForget) continue;
      ASSENT_CHECK(!entry.gid.empty());  // what is sealed for no gid opens nowhere
      sealed.state = sealer_.Seal(*key, PlaceOf(Field::kState, entry.gid), entry.state);
      if (entry.kind == EntryKind::kUpdate) continue;
      sealed.spec = sealer_.Seal(*key, PlaceOf(Field::kSpec, entry.gid), entry.spec);
    }
    sealed_batches.push_back(&sealed_[b]);
  }
  return inner_->Write(sealed_batches, unwritten, outcome);
}

// ---- Rotation -----------------------------------------------------------------------------------

// What does not open stays as it is; so does a row that is out of service, for it has to be what it
// was when it is put back.
bool SealedStore::SealAnew(const std::string& gid, std::string& spec, std::string& state) {
  const crypt::Key* key = walk_keys_->active();
  const std::string wanted(key == nullptr ? crypt::kPlaintext : std::string_view(key->id()));
  const bool is_out = IsOutOfService(gid, state);
  std::set<std::string> under{KeyOf(spec)};
  if (!is_out) under.insert(KeyOf(state));
  bool lacks_key = false;
  std::string new_spec = spec;
  std::string new_state = state;
  const bool stays = under == std::set<std::string>{wanted} || is_out;
  if (stays || Open(gid, new_spec, new_state, lacks_key)) {
    for (const std::string& one : under) ++walk_rows_[one];
    return false;
  }
  if (key != nullptr) {
    new_spec = sealer_.Seal(*key, PlaceOf(Field::kSpec, gid), new_spec);
    new_state = sealer_.Seal(*key, PlaceOf(Field::kState, gid), new_state);
  }
  spec = std::move(new_spec);
  state = std::move(new_state);
  ++walk_rows_[wanted];
  ++walk_sealed_;
  return true;
}

Result<WalkPlace> SealedStore::Walk(const WalkPlace& from, std::size_t max_rows,
                                    const RowEditor& edit) {
  return inner_->Walk(from, max_rows, edit);
}

Status SealedStore::BeginWalk() {
  if (Status status = inner_->BeforeReads(); !status.ok()) return status;
  const Result<std::vector<FinishedRow>> newest = inner_->Scan(0, 1);
  if (!newest.ok()) return newest.status();
  walk_to_ = newest->empty() ? last_serial_ : std::max(last_serial_, newest->front().serial);
  walk_keys_ = options_.keyring->Get();
  walk_.reset();
  walk_rows_.clear();
  walk_sealed_ = 0;
  next_step_ = Clock::now();
  if (walk_keys_->empty()) return OkStatus();
  walk_.emplace();
  options_.report->Begin(lane_);
  return OkStatus();
}

Status SealedStore::StepWalk() {
  if (!loaded_) return OkStatus();
  if (walk_keys_ != options_.keyring->Get()) {
    if (Status status = BeginWalk(); !status.ok()) return status;
  }
  const auto now = Clock::now();
  next_look_ = now + SealedOptions::kLookEvery;
  if (!walk_ || now < next_step_) return OkStatus();
  next_step_ = now + SealedOptions::kWalkEvery;
  const KeyCounts rows_before = walk_rows_;
  const std::uint64_t sealed_before = walk_sealed_;
  const auto edit = [this](const std::string& gid, std::string& spec, std::string& state) {
    return SealAnew(gid, spec, state);
  };
  const Result<WalkPlace> walked = inner_->Walk(*walk_, SealedOptions::kWalkRows, edit);
  if (!walked.ok()) {
    if (walked.status().code() != Code::kResourceExhausted) return walked.status();
    walk_rows_ = rows_before;
    walk_sealed_ = sealed_before;
    next_step_ = now + SealedOptions::kFullPause;
    return OkStatus();
  }
  *walk_ = *walked;
  using Among = WalkPlace::Among;
  const bool is_beyond = walk_->serial >= walk_to_;
  if (walk_->among == Among::kFinished && is_beyond) walk_->among = Among::kEnd;
  if (walk_->among == Among::kLive && is_beyond && by_serial_) *walk_ = {.among = Among::kFinished};
  options_.report->NoteSealedAnew(walk_sealed_ - sealed_before);
  if (walk_->among != WalkPlace::Among::kEnd) return OkStatus();
  walk_.reset();
  options_.report->End(lane_, walk_keys_, walk_rows_);
  if (options_.on_walked) options_.on_walked(walk_rows_, walk_sealed_);
  return OkStatus();
}

Status SealedStore::Upkeep() {
  if (Status status = inner_->Upkeep(); !status.ok()) return status;
  return StepWalk();
}

Result<bool> SealedStore::UpkeepIdle() {
  if (Status status = StepWalk(); !status.ok()) return status;
  return inner_->UpkeepIdle();
}

RowStore::Clock::time_point SealedStore::NextDue() const {
  if (!loaded_) return inner_->NextDue();
  if (walk_ || walk_keys_ == nullptr) return std::min(inner_->NextDue(), next_step_);
  // A log without keys stays so until the next start.
  return walk_keys_->empty() ? inner_->NextDue() : std::min(inner_->NextDue(), next_look_);
}

}  // namespace assent::log
