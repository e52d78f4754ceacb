#pragma once

// What the parts of the campaign share: what was asked for, what is counted, what was found wrong.

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace assent::crash {

using Clock = std::chrono::steady_clock;

struct Options {
  std::uint64_t seed = 0;
  double minutes = 1;         // at least
  long kills = 0;             // at least; they are spread over the minutes
  double round_seconds = 40;  // of faults, before everything heals and is checked
  int rest_seconds = 60;      // the bound within which everything must end once faults stop
  int initiators = 2;
  int shards = 3;
  std::string folder = {};        // empty: a new one, removed when nothing was found
  std::set<std::string> without;  // faults left out on purpose; see FaultNames
  std::string plant = {};         // a planted fault, to test the campaign itself
  bool json = false;
  bool keep = false;
};

// What was done and seen, by name: "kill coordinator", "stop bank", "proxy cut", "disk
// eio-fdatasync", …
using Tally = std::map<std::string, long>;
long SumOf(const Tally& tally, const std::string& prefix);

// What is wrong, in words. Only the first few are kept; all are counted.
class Findings {
 public:
  void Add(std::string sentence) {
    if (++count_ <= kKeptCount) sentences_.push_back(std::move(sentence));
  }
  bool empty() const { return count_ == 0; }
  long count() const { return count_; }
  const std::vector<std::string>& sentences() const { return sentences_; }

 private:
  static constexpr long kKeptCount = 50;
  long count_ = 0;
  std::vector<std::string> sentences_;
};

}  // namespace assent::crash
