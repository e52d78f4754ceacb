#include "tools/assentctl/alike.h"

#include <algorithm>
#include <utility>

#include "tools/assentctl/words.h"

namespace assent::ctl {
namespace {

constexpr std::size_t kShortNameBytes = 5;

// How many characters differ, two that are turned round counted as one (optimal string alignment).
std::size_t Difference(const std::string& a, const std::string& b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t other = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + other});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

}  // namespace

std::vector<std::string> NamesLike(const std::string& name, const std::vector<std::string>& names) {
  const std::size_t most = name.size() < kShortNameBytes ? 1 : 2;
  std::vector<std::pair<std::size_t, std::string>> found;
  for (const std::string& other : names) {
    const std::size_t longer = std::max(other.size(), name.size());
    if (other == name || longer - std::min(other.size(), name.size()) > most) continue;
    const std::size_t difference = Difference(Lower(name), Lower(other));
    if (difference <= most) found.emplace_back(difference, other);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> like;
  for (const auto& [difference, other] : found) {
    if (like.size() < kMostAlikeCount) like.push_back(other);
  }
  return like;
}

Alikes AlikesOf(const v1::ListParticipantsReply& participants) {
  std::vector<std::string> there;
  std::vector<std::string> absent;
  for (const v1::ParticipantInfo& one : participants.participants()) {
    if (!one.instances().empty()) {
      there.push_back(one.service());
    } else if (absent.size() < kMostComparedCount) {
      absent.push_back(one.service());
    }
  }
  Alikes alikes;
  for (const std::string& service : absent) {
    std::string words;
    for (const std::string& like : NamesLike(service, there))
      words += (words.empty() ? "like: " : ", ") + like;
    if (!words.empty()) alikes[service] = words;
  }
  return alikes;
}

std::string AlikeTo(const Alikes& alikes, const std::string& service) {
  const auto found = alikes.find(service);
  return found == alikes.end() ? "" : found->second;
}

}  // namespace assent::ctl
