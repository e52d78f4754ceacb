#pragma once

// How output looks: decided once from flags and terminal, then handed to the pure rendering
// functions.

#include <cstdint>
#include <string>
#include <string_view>

namespace assent::ctl {

enum class Output : std::uint8_t { kTable, kWide, kJson, kJsonl, kYaml, kId };
enum class TimeStyle : std::uint8_t { kRelative, kIso };
// How bytes that are not text are written.
enum class BytesStyle : std::uint8_t { kBase64, kHex };

struct Style {
  Output output = Output::kTable;
  TimeStyle time = TimeStyle::kRelative;
  bool color = false;
  // Columns of the terminal; 0: unlimited, nothing is cut.
  std::size_t columns = 0;
  // The moment that relative times count from.
  std::int64_t now_unix_ms = 0;
  // Show payloads, and results that are not text.
  bool payloads = false;
  BytesStyle bytes = BytesStyle::kBase64;

  bool wide() const { return output == Output::kWide; }
  bool table() const { return output == Output::kTable || output == Output::kWide; }
};

// What a piece of text means to the reader; a colour when there are colours.
enum class Tone : std::uint8_t { kPlain, kGood, kBad, kWarn, kDim, kStrong };

std::string Paint(std::string_view text, Tone tone, const Style& style);

// "14 s ago" or "in 8 s", or ISO; "-" for 0.
std::string Moment(std::int64_t unix_ms, const Style& style);

}  // namespace assent::ctl
