#pragma once

namespace assent::daemon {

inline constexpr const char* kVersion = ASSENT_VERSION;

}  // namespace assent::daemon
