// An exporter on strings, for scripts: a command on each line of stdin, an answer on each of
// stdout.
//
//   offer_spans URL [--queue N] [--wait MS] [--pause MS] [--age MS] [--headers FILE]
//
//   open          from now on it sends
//   offer N       N spans, numbered on
//   strange       some of each kind that there is, and some that are none
//   figures       as JSON, with what was said
//   close         how many are left

#include <array>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <assent/thread_safety.h>

#include "coordinator/post/target.h"
#include "coordinator/tracing/otlp/exporter.h"

namespace {

using namespace assent::tracing;  // NOLINT: the subject of this file

constexpr std::array<const char*, 6> kTroubles = {"back",    "away",     "full",
                                                  "gave up", "rejected", "remark"};

class Said {
 public:
  void Add(TracingTrouble trouble, const std::string& words) {
    const assent::MutexLock lock(mutex_);
    said_.push_back(std::string(kTroubles.at(static_cast<std::size_t>(trouble))) + ": " + words);
  }
  std::vector<std::string> all() {
    const assent::MutexLock lock(mutex_);
    return said_;
  }

 private:
  assent::Mutex mutex_;
  std::vector<std::string> said_ ASSENT_GUARDED_BY(mutex_);
};

Span Numbered(std::uint64_t number) {
  Span span;
  span.trace_id.fill(0xa0);
  span.span_id[0] = 1;
  for (std::size_t i = 0; i < 7; ++i)
    span.span_id[i + 1] = static_cast<std::uint8_t>(number >> (8 * (6 - i)));
  span.flags = 1;
  span.name = "numbered";
  span.start_unix_us = 1'700'000'000'000'001;
  span.end_unix_us = span.start_unix_us + 5;
  span.attributes = {{"n", static_cast<std::int64_t>(number)}};
  return span;
}

std::vector<Span> Strange() {
  std::vector<Span> spans;
  const auto next = [&]() -> Span& { return spans.emplace_back(Numbered(1000 + spans.size())); };
  {
    Span& whole = next();
    whole.parent_id.fill(0xb0);
    whole.tracestate = "vendor=value";
    whole.flags = 0xff;
    whole.name = "whole";
    whole.kind = SpanKind::kServer;
    whole.status = SpanStatus::kError;
    whole.message = "because";
    whole.attributes = {{"text", "it is \xc3\xa9"},
                        {"number", std::int64_t{-7}},
                        {"none", std::int64_t{0}},
                        {"yes", true},
                        {"no", false},
                        {"empty", std::string()}};
  }
  next().kind = SpanKind::kClient;
  next().kind = SpanKind::kProducer;
  next().kind = SpanKind::kConsumer;
  next().status = SpanStatus::kOk;
  next().end_unix_us = 1;
  next().attributes = {{"text", std::string("no \xff text")}};
  next().name = std::string(kMaxTextBytes - 1, 'x') + "\xc3\xa9";
  next().tracestate = std::string(kMaxTracestateBytes + 1, 'x');
  static const std::string kMany(2 * kMaxAttributesCount, 'k');
  Span& many = next();
  many.attributes.clear();
  for (std::size_t i = 0; i < kMaxAttributesCount + 3; ++i)
    many.attributes.push_back({std::string_view(kMany).substr(0, i + 1), true});
  next().name.clear();
  next().trace_id.fill(0);
  next().span_id.fill(0);
  return spans;
}

ExporterOptions OptionsOf(const std::vector<std::string>& words, Said& said) {
  ExporterOptions options;
  auto target = assent::post::ParseUrl(words.at(0));
  if (!target.ok()) std::exit(2);
  options.target = std::move(target).value();
  options.agent = "offer_spans/1";
  for (std::size_t i = 1; i + 1 < words.size(); i += 2) {
    const std::string& value = words[i + 1];
    if (words[i] == "--queue") options.max_queued_spans_count = std::stoul(value);
    if (words[i] == "--wait") options.max_batch_wait = std::chrono::milliseconds(std::stol(value));
    if (words[i] == "--pause") options.first_pause = std::chrono::milliseconds(std::stol(value));
    if (words[i] == "--age") options.max_age = std::chrono::milliseconds(std::stol(value));
    if (words[i] == "--headers") options.headers = ReadHeaders(value).value();
  }
  options.on_trouble = [&said](TracingTrouble trouble, const std::string& text) {
    said.Add(trouble, text);
  };
  return options;
}

std::string Shown(const ExporterFigures& figures, Said& said) {
  return nlohmann::json{{"exported", figures.exported},
                        {"queue_full", figures.queue_full},
                        {"rejected", figures.rejected},
                        {"gave_up", figures.gave_up},
                        {"failed_tries", figures.failed_tries},
                        {"queued", figures.queued},
                        {"said", said.all()}}
      .dump();
}

}  // namespace

int main(int argc, char** argv) {
  Said said;
  Exporter exporter(OptionsOf(std::vector<std::string>(argv + 1, argv + argc), said));
  std::uint64_t offered = 0;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string command;
    std::uint64_t count = 0;
    words >> command >> count;
    std::string answer = "done";
    if (command == "open") exporter.Open({"tested", "number 7", "1.2.3"});
    for (; command == "offer" && count > 0; --count) exporter.Offer(Numbered(offered++));
    if (command == "strange") {
      for (Span& span : Strange()) exporter.Offer(std::move(span));
    }
    if (command == "figures") answer = Shown(exporter.Figures(), said);
    if (command == "close") answer = std::to_string(exporter.Close());
    std::cout << answer << '\n' << std::flush;
  }
}
