#include "coordinator/daemon/sealing.h"

#include <algorithm>
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

bool SameKeys(const crypt::Keys& a, const crypt::Keys& b) {
  const auto same = [](const crypt::Key& one, const crypt::Key& other) {
    return one.id() == other.id() && one.print() == other.print();
  };
  return ActiveOf(a) == ActiveOf(b) &&
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
    options.on_walked = [](const log::KeyCounts& rows, std::uint64_t sealed_anew) {
      spdlog::info("event=encryption_walk rows=\"{}\" sealed_anew={}", Words(rows), sealed_anew);
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
