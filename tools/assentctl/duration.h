#pragma once

// Durations and moments as people write and read them.

#include <cstdint>
#include <string>
#include <string_view>

#include <assent/status.h>

namespace assent::ctl {

// "250ms", "5s", "2m", "1h", "7d" and sums from large to small such as "1h30m", in milliseconds. A
// bare "0" is fine, any other number needs its unit.
Result<std::int64_t> ParseDuration(std::string_view text);

// The two largest units that matter: "8 s", "2 min 5 s", "3 h", "4 d 2 h". Below a second: "120
// ms".
std::string FormatDuration(std::int64_t ms);

// Three digits and a unit: "850 us", "12.4 ms", "3.02 s", from a minute on as FormatDuration.
std::string FormatLatency(std::int64_t us);

// To the millisecond, for columns of times: "0.019 s", "1:20.000", "1:02:03.004".
std::string FormatStopwatch(std::int64_t ms);

// "2026-11-20T09:00:01.123Z".
std::string FormatIso(std::int64_t unix_ms);

}  // namespace assent::ctl
