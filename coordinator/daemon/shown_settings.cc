#include "coordinator/daemon/shown_settings.h"

#include <utility>

namespace assent::daemon {

void ShownSettings::Set(const Config& config) {
  door::Settings settings;
  settings.file = config.file;
  for (SettingNow& one : SettingsNow(config)) {
    settings.settings.push_back(
        {std::move(one.name), std::move(one.value), std::move(one.source), one.at_once});
  }
  const MutexLock lock(mutex_);
  settings_ = std::move(settings);
}

door::Settings ShownSettings::Get() const {
  const MutexLock lock(mutex_);
  return settings_;
}

}  // namespace assent::daemon
