#include "coordinator/security/limit_line.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

#include <assent/text.h>

#include "coordinator/security/rules.h"

namespace assent::security {
namespace {

constexpr std::string_view kTakes =
    "N requests per second, N calls, N streams, N sessions, N transactions, or N bytes, KiB, MiB "
    "or GiB";

struct Unit {
  std::string_view name;
  std::uint64_t Quota::*figure;
  std::uint64_t factor = 1;
};
constexpr auto kUnits = std::to_array<Unit>({
    {"requests", &Quota::requests},
    {"calls", &Quota::calls},
    {"streams", &Quota::streams},
    {"sessions", &Quota::sessions},
    {"transactions", &Quota::transactions},
    {"bytes", &Quota::bytes},
    {"KiB", &Quota::bytes, std::uint64_t{1} << 10},
    {"MiB", &Quota::bytes, std::uint64_t{1} << 20},
    {"GiB", &Quota::bytes, std::uint64_t{1} << 30},
});

std::string Quoted(std::string_view word) {
  return word.empty() ? "the line's end" : "\"" + CleanText(word, 100) + "\"";
}

class Words {
 public:
  explicit Words(const std::vector<std::string_view>& words) : words_(words) {}
  std::string_view Next() { return at_ < words_.size() ? words_[at_++] : std::string_view(); }
  bool over() const { return at_ == words_.size(); }

 private:
  const std::vector<std::string_view>& words_;
  std::size_t at_ = 0;
};

Status ReadFigure(Words& words, Quota& quota) {
  const std::string_view number = words.Next();
  std::uint64_t figure = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), figure);
  if (number.empty() || error != std::errc() || end != number.data() + number.size())
    return InvalidArgument(Quoted(number) + " is no number: it takes " + std::string(kTakes));
  if (figure == 0)
    return InvalidArgument("0 is no limit: who may not do this at all has no rule that allows it");
  const std::string_view name = words.Next();
  for (const Unit& unit : kUnits) {
    if (unit.name != name) continue;
    if (name == "requests" && (words.Next() != "per" || words.Next() != "second"))
      return InvalidArgument("requests are so many \"per second\"");
    if (figure > kMaxQuotaFigure / unit.factor) {
      return InvalidArgument(std::string(number) + " " + std::string(name) +
                             " are more than a limit can be");
    }
    if (quota.*unit.figure != 0)
      return InvalidArgument("what " + std::string(name) + " limits is limited twice");
    quota.*unit.figure = figure * unit.factor;
    return OkStatus();
  }
  return InvalidArgument(Quoted(name) + " is nothing that has a limit: it takes " +
                         std::string(kTakes));
}

}  // namespace

Status ReadLimit(const std::vector<std::string_view>& text, Limit& limit) {
  Words words(text);
  (void)words.Next();  // "limit"
  limit.identity = std::string(words.Next());
  if (const Status named = CheckIdentity(limit.identity); !named.ok()) return named;
  if (const std::string_view to = words.Next(); to != "to")
    return InvalidArgument(Quoted(to) + " stands where there should be: to " + std::string(kTakes));
  do {
    if (const Status read = ReadFigure(words, limit.quota); !read.ok()) return read;
    if (words.over()) return OkStatus();
  } while (words.Next() == ",");
  return InvalidArgument("between two limits of a line there is a comma, and nothing behind them");
}

}  // namespace assent::security
