#include "coordinator/daemon/sealing.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include <spdlog/spdlog.h>

#include "coordinator/base/clock.h"
#include "coordinator/core/codec.h"
#include "coordinator/daemon/logging.h"

namespace assent::daemon {
namespace {

std::string ActiveOf(const crypt::Keys& keys) {
  return keys.active() == nullptr ? std::string(crypt::kPlaintext) : keys.active()->id();
}

std::string Words(const log::KeyCounts& rows) {
  std::string words;
  for (const auto& [key, count] : rows)
    words += (words.empty() ? "" : " ") + key + ":" + std::to_string(count);
  return words;
}

// As a row that a person has taken out of service: every start and every reader knows such a one.
std::string SetAside(const std::string& gid, const std::string& why, const std::string& state) {
  if (core::Codec::DecodeOutOfService(state)) return state;
  return core::Codec::EncodeState(core::OutOfService{
      .actor = {"the encryption of the log", why}, .at = base::WallNow(), .gid = gid});
}

// Rows whose key is not there: who asks for one is told, and others may be asked for never.
void TellMissing(const crypt::Keys& keys, const log::KeyCounts& rows) {
  for (const auto& [key, count] : rows) {
    const bool there =
        key == crypt::kPlaintext ? keys.takes_plaintext() : keys.Find(key) != nullptr;
    if (there || count == 0) continue;
    spdlog::error(
        "event=encryption_key_missing key={} rows={} hint=\"nobody can read them: start with a "
        "file of keys that has it\"",
        key, count);
  }
}

// So many lines a minute: who lists a thousand rows tells of each.
class Few {
 public:
  bool Take() {
    constexpr int kMostCount = 20;
    const auto now = std::chrono::steady_clock::now();
    if (now >= until_) {
      until_ = now + std::chrono::minutes(1);
      count_ = 0;
    }
    return ++count_ <= kMostCount;
  }

 private:
  std::chrono::steady_clock::time_point until_{};
  int count_ = 0;
};

bool SameKeys(const crypt::Keys& a, const crypt::Keys& b) {
  const auto same = [](const crypt::Key& one, const crypt::Key& other) {
    return one.id() == other.id() && one.print() == other.print();
  };
  return ActiveOf(a) == ActiveOf(b) && a.takes_plaintext() == b.takes_plaintext() &&
         std::equal(a.all().begin(), a.all().end(), b.all().begin(), b.all().end(), same);
}

}  // namespace

Result<crypt::Keys> ReadEncryptionKeys(const Config& config) {
  if (config.encryption_keys.empty()) return crypt::Keys();
  Result<crypt::Keys> keys = crypt::ReadKeys(config.encryption_keys);
  if (keys.ok()) return keys;
  return InvalidArgument("encryption-keys is " + keys.status().message());
}

Status Sealing::Start(const Config& config) {
  Result<crypt::Keys> keys = ReadEncryptionKeys(config);
  if (!keys.ok()) return keys.status();
  if (!keys->empty())
    spdlog::info("event=encryption keys=\"{}\" active={}", keys->Names(), ActiveOf(*keys));
  keyring_->Set(*std::move(keys));
  return OkStatus();
}

log::StoreWrap Sealing::Wrap() const {
  return [keyring = keyring_, report = report_](std::unique_ptr<log::RowStore> store) {
    log::SealedOptions options{.keyring = keyring, .report = report, .set_aside = SetAside};
    options.on_walked = [keyring](const log::KeyCounts& rows, std::uint64_t sealed_anew) {
      spdlog::info("event=encryption_walk rows=\"{}\" sealed_anew={}", Words(rows), sealed_anew);
      TellMissing(*keyring->Get(), rows);
    };
    options.on_set_aside = [told = Few()](const std::string& gid, const std::string& why) mutable {
      if (!told.Take()) return;
      spdlog::error(
          "event=set_aside what=\"transaction {} (table finished) is set aside: {}\" "
          "hint=\"everything else goes on; keep the files, and start with its key\"",
          gid, why);
    };
    return std::make_unique<log::SealedStore>(std::move(store), std::move(options));
  };
}

Status Sealing::CheckNothingIsLost(const crypt::Keys& next) const {
  const auto now = keyring_->Get();
  const bool counted = report_->Counted(now);
  const log::KeyCounts counts = report_->Get().rows;
  const auto needs = [&](const crypt::Key& key) {
    if (!counted || &key == now->active()) return true;
    const auto rows = counts.find(key.id());
    return rows != counts.end() && rows->second > 0;
  };
  const auto clear = counts.find(crypt::kPlaintext);
  const bool none_is_clear = counted && (clear == counts.end() || clear->second == 0);
  if (now->takes_plaintext() && !next.takes_plaintext() && !none_is_clear) {
    return InvalidArgument(
        "it lacks the line plaintext, and rows may be in the clear: it can go when "
        "event=encryption_walk has said that none is");
  }
  for (const crypt::Key& key : now->all()) {
    const crypt::Key* there = next.Find(key.id());
    if (there != nullptr && there->print() == key.print()) continue;
    if (!needs(key)) continue;
    return InvalidArgument(
        (there == nullptr ? "it lacks key " : "another key is now called ") + key.id() +
        ", which rows may need: a key can go when another is active and event=encryption_walk has "
        "said that no rows are under it");
  }
  return OkStatus();
}

Status Sealing::Reload(const Config& config) {
  constexpr std::size_t kMaxBytes = 400;
  if (config.encryption_keys.empty()) return OkStatus();
  Result<crypt::Keys> keys = ReadEncryptionKeys(config);
  Status status = keys.status();
  if (status.ok()) status = CheckNothingIsLost(*keys);
  if (!status.ok()) {
    spdlog::error(
        "event=encryption_reload_failed error=\"{}\" hint=\"the keys that were read before stay\"",
        OneLine(status.message(), kMaxBytes));
    return status;
  }
  spdlog::info("event=encryption_reloaded keys=\"{}\" active={}", keys->Names(), ActiveOf(*keys));
  if (!SameKeys(*keys, *keyring_->Get())) keyring_->Set(*std::move(keys));
  return OkStatus();
}

}  // namespace assent::daemon
