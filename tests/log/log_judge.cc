#include "tests/log/log_judge.h"

#include <algorithm>

#include "coordinator/log/epoch.h"

namespace assent::log {

Timeline::Timeline(Books books) : books_(std::move(books)) { Note(); }

std::vector<std::size_t> Timeline::Add(const EntryBatch& batch) {
  std::vector<std::size_t> refused = books_.Apply(batch);
  Note();
  return refused;
}

void Timeline::Note() {
  digests_.push_back(books_.digest());
  next_serials_.push_back(books_.next_serial());
  if (may_expire_.size() == books_.may_expire().size()) return;
  for (const std::uint64_t hash : books_.may_expire()) may_expire_.try_emplace(hash, length());
}

std::optional<std::size_t> Timeline::Match(const Contents& found, std::size_t at_least,
                                           std::size_t at_most) const {
  std::uint64_t digest = 0;
  std::size_t since = 0;
  for (const std::uint64_t hash : found.live) digest += hash;
  for (const std::uint64_t hash : found.finished) {
    const auto may_expire = may_expire_.find(hash);
    if (may_expire == may_expire_.end()) {
      digest += hash;
    } else {
      since = std::max(since, may_expire->second);
    }
  }
  for (std::size_t n = std::max(at_least, since); n <= std::min(at_most, length()); ++n) {
    if (digests_[n] == digest && next_serials_[n] == found.recovered.next_serial) return n;
  }
  return std::nullopt;
}

void Told::Heed(const Recovered& recovered, std::size_t batches) {
  log_id = recovered.log_id;
  epochs.push_back(recovered.epoch);
  batches_at_least = batches_at_most = batches;
}

Result<std::size_t> Judge(const Contents& found, const Timeline& timeline, const Told& told) {
  if (!found.status.ok()) return found.status;
  const Recovered& recovered = found.recovered;
  const std::string says =
      ": the log has" + found.text + "; next serial " + std::to_string(recovered.next_serial);
  if (told.log_id != 0 && recovered.log_id != told.log_id) {
    return DataLoss("another coordinator id: " + std::to_string(recovered.log_id));
  }
  if (recovered.live_rows != found.live.size()) return DataLoss("live_rows is wrong" + says);
  const std::vector<std::uint64_t>& epochs = *recovered.epochs;
  if (!std::is_sorted(epochs.begin(), epochs.end()) || epochs.back() != recovered.epoch ||
      StartNumber(recovered.epoch) != epochs.size()) {
    return DataLoss("the epochs are not those of a log");
  }
  if (!std::includes(epochs.begin(), epochs.end() - 1, told.epochs.begin(), told.epochs.end())) {
    return DataLoss("a life is missing, or has come again");
  }
  const std::optional<std::size_t> n =
      timeline.Match(found, told.batches_at_least, told.batches_at_most);
  if (n) return *n;
  const std::optional<std::size_t> other = timeline.Match(found, 0, timeline.length());
  return DataLoss("acknowledged " + std::to_string(told.batches_at_least) +
                  " batches, handed over " + std::to_string(told.batches_at_most) + ", found " +
                  (other ? std::to_string(*other) : "what no number of them gives") + says);
}

}  // namespace assent::log
