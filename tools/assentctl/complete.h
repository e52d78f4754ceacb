#pragma once

// What could stand where the cursor is. The shell scripts only ask (assentctl __complete WORDS...)
// and show.

#include <functional>
#include <string>
#include <vector>

namespace assent::ctl {

struct Candidate {
  std::string value;
  std::string description;
  friend bool operator==(const Candidate&, const Candidate&) = default;
};

// Values that only the coordinator knows: kind "GID", "SERVICE", "NODE" or "BRANCH" (of `gid`),
// beginning with `prefix`.
using Lookup = std::function<std::vector<Candidate>(
    const std::string& kind, const std::string& prefix, const std::string& gid)>;

// A single candidate of this value asks the shell for file names.
inline constexpr const char* kFilesPlease = "";

// `words` follow "assentctl"; the last one is being typed and may be empty.
std::vector<Candidate> Complete(const std::vector<std::string>& words, const Lookup& lookup);

// One per line, "value<TAB>description".
std::string RenderCandidates(const std::vector<Candidate>& candidates);

}  // namespace assent::ctl
