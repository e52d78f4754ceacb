// Spans of what a shard does: each told once, when it has ended, under the one it belongs to.

#include "coordinator/engine/spans.h"

#include <map>
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/core/trace.h"
#include "tests/engine/shard_rig.h"

namespace assent::engine {
namespace {

using core::AttemptResult;
using core::Millis;
using tracing::Span;

const std::string kParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

struct Heard {
  std::vector<Span> spans;

  ShardOptions Options(double ratio = 0) {
    ShardOptions options;
    options.trace_sample_ratio = ratio;
    options.on_span = [this](Span&& span) {
      EXPECT_TRUE(tracing::IsSound(span));
      EXPECT_LE(span.start_unix_us, span.end_unix_us) << span.name;
      spans.push_back(std::move(span));
    };
    return options;
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const Span& span : spans) names.push_back(span.name);
    return names;
  }
  const Span& Named(const std::string& name) const {
    for (const Span& span : spans) {
      if (span.name == name) return span;
    }
    ADD_FAILURE() << "no span " << name;
    return spans.front();
  }
};

std::string Of(const Span& span, std::string_view key) {
  for (const tracing::Attribute& attribute : span.attributes) {
    if (attribute.key != key) continue;
    if (const auto* text = std::get_if<std::string>(&attribute.value)) return *text;
    if (const auto* number = std::get_if<std::int64_t>(&attribute.value))
      return std::to_string(*number);
  }
  return "none";
}

core::TransactionSpec Traced(const std::string& gid, core::Protocol protocol, int branches,
                             const std::string& traceparent = kParent) {
  core::TransactionSpec spec = ShardRig::Spec(gid, protocol, branches);
  spec.trace = std::make_shared<TraceContext>(*ParseTraceparent(traceparent));
  return spec;
}

void Finish(ShardRig& rig) {
  for (int i = 0; i < 3; ++i) {
    rig.CompleteAll();
    rig.Pass(Millis(3));
    rig.AnswerAll(AttemptResult::kDone);
    rig.Pass(Millis(30));  // what gates nothing is written as well
  }
  rig.CompleteAll();
}

TEST(Spans, ATransactionIsATree) {
  Heard heard;
  ShardRig rig(heard.Options());
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(Traced("g", core::Protocol::kTcc, 2), WaitFor::kDecided, told));
  rig.Pass(Millis(2));
  rig.Complete();
  ASSERT_EQ(heard.Names(), std::vector<std::string>{"log begin"});
  EXPECT_EQ(heard.spans[0].end_unix_us - heard.spans[0].start_unix_us, 2000);
  ASSERT_EQ(rig.sent.size(), 2U);
  const std::string carried = rig.sent[0].traceparent;
  Finish(rig);
  EXPECT_EQ(heard.Names(),
            (std::vector<std::string>{"log begin", "TRY s1/act", "TRY s2/act", "log decision",
                                      "CONFIRM s1/act", "CONFIRM s2/act", "log end",
                                      "branch s1/act", "branch s2/act", "transaction"}));

  const Span& whole = heard.Named("transaction");
  EXPECT_EQ(Hex(whole.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(Hex(whole.parent_id), "00f067aa0ba902b7");
  EXPECT_EQ(Of(whole, "assent.gid"), "g");
  EXPECT_EQ(Of(whole, "assent.outcome"), "COMMITTED");
  EXPECT_EQ(whole.status, tracing::SpanStatus::kUnset);
  const Span& branch = heard.Named("branch s1/act");
  EXPECT_EQ(branch.parent_id, whole.span_id);
  EXPECT_EQ(Of(branch, "assent.state"), "DONE");
  const Span& attempt = heard.Named("TRY s1/act");
  EXPECT_EQ(attempt.parent_id, branch.span_id);
  EXPECT_EQ(attempt.kind, tracing::SpanKind::kClient);
  EXPECT_EQ(attempt.end_unix_us - attempt.start_unix_us, 3000);
  EXPECT_EQ(Of(attempt, "assent.result"), "DONE");
  EXPECT_EQ(Of(attempt, "assent.attempt"), "1");
  // What the participant did is under it.
  EXPECT_EQ(carried, Traceparent(whole.trace_id, attempt.span_id, true));
  EXPECT_EQ(heard.Named("log decision").parent_id, whole.span_id);
  std::map<SpanId, int> ids;
  for (const Span& span : heard.spans) ++ids[span.span_id];
  EXPECT_EQ(ids.size(), heard.spans.size());
}

TEST(Spans, WhatFailsIsToldAsItFails) {
  Heard heard;
  ShardRig rig(heard.Options());
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(Traced("g", core::Protocol::kTcc, 1), WaitFor::kDecided, told));
  rig.CompleteAll();
  rig.AnswerAll(AttemptResult::kRetryLater, "warming up");
  const Span& first = heard.Named("TRY s1/act");
  EXPECT_EQ(first.status, tracing::SpanStatus::kError);
  EXPECT_EQ(first.message, "warming up");
  rig.Pass(Millis(500));
  rig.CompleteAll();
  heard.spans.clear();
  rig.Pass(Millis(10'000));  // no answer
  EXPECT_EQ(heard.Named("TRY s1/act").message, "no answer within 10000 ms");
  EXPECT_EQ(Of(heard.Named("TRY s1/act"), "assent.attempt"), "2");
  rig.sent.clear();
  rig.Pass(Millis(500));
  heard.spans.clear();
  rig.AnswerAll(AttemptResult::kRefused, "out of stock");
  EXPECT_EQ(heard.Named("TRY s1/act").status, tracing::SpanStatus::kUnset);  // an answer
  EXPECT_EQ(Of(heard.Named("TRY s1/act"), "assent.reason"), "out of stock");
  Finish(rig);
  EXPECT_EQ(Of(heard.Named("transaction"), "assent.outcome"), "ABORTED");
  EXPECT_NE(Of(heard.Named("transaction"), "assent.abort_reason").find("out of stock"),
            std::string::npos);
}

// What was on its way in another life has ended with it, under the id that went with the command.
TEST(Spans, AnotherLifeGoesOnInTheSameTree) {
  Heard heard;
  ShardRig rig(heard.Options());
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(Traced("g", core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
  const std::string spec = rig.appends.front().entries.front().spec;
  rig.CompleteAll();
  ASSERT_EQ(rig.sent.size(), 1U);
  const std::string carried = rig.sent[0].traceparent;
  rig.Do(OperatorRequest{.gid = "g",
                         .verb = OperatorVerb::kRetryNow,
                         .actor = {.who = "ann", .reason = "now"},
                         .branch_id = {},
                         .done = told.Callback()});
  ASSERT_FALSE(rig.appends.empty());
  log::LiveRow row = ShardRig::RowOf(rig.appends.back().entries.back());
  row.gid = "g";
  row.spec = spec;
  rig.sent.clear();
  Heard later;
  Shard next(later.Options(), rig);
  rig.Start(next, {row}, ShardRig::Recovered(ShardRig::kEpochs));
  const Span& lost = later.Named("TRY s1/act");
  EXPECT_EQ(carried, Traceparent(lost.trace_id, lost.span_id, true));
  EXPECT_EQ(lost.message, "its coordinator restarted, or another took over");
}

TEST(Spans, WithoutATraceSomeGetOneOfTheirOwn) {
  for (const double ratio : {0.0, 0.5, 1.0}) {
    Heard heard;
    ShardRig rig(heard.Options(ratio));
    ShardRig::Told told;
    for (int i = 0; i < 400; ++i) {
      const std::string gid = "g" + std::to_string(i);
      rig.Do(
          ShardRig::Begin(ShardRig::Spec(gid, core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
    }
    rig.CompleteAll();
    std::size_t traced = 0;
    for (const transport::Command& command : rig.sent)
      traced += command.traceparent.empty() ? 0 : 1;
    EXPECT_EQ(traced, heard.spans.size());  // "log begin" of each
    if (ratio == 0.5) {
      EXPECT_GT(traced, 120U);
      EXPECT_LT(traced, 280U);
    } else {
      EXPECT_EQ(traced, ratio == 0 ? 0U : 400U);
    }
  }
}

// A trace that is not recorded, or nobody to tell: it is handed on, and costs nothing else.
TEST(Spans, WhatIsNotRecordedIsHandedOn) {
  const std::string unsampled = kParent.substr(0, 53) + "00";
  Heard heard;
  ShardRig rig(heard.Options(1));
  ShardRig silent;
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(Traced("g", core::Protocol::kTcc, 1, unsampled), WaitFor::kDecided, told));
  silent.Do(ShardRig::Begin(Traced("g", core::Protocol::kTcc, 1), WaitFor::kDecided, told));
  rig.CompleteAll();
  silent.CompleteAll();
  ASSERT_EQ(rig.sent.size(), 1U);
  EXPECT_EQ(rig.sent[0].traceparent, unsampled);
  ASSERT_EQ(silent.sent.size(), 1U);
  EXPECT_EQ(silent.sent[0].traceparent, kParent);
  Finish(rig);
  EXPECT_EQ(heard.spans.size(), 0U);
}

TEST(Spans, WhoAsksAgainWithAnotherTraceAsksForTheSame) {
  Heard heard;
  ShardRig rig(heard.Options());
  ShardRig::Told told;
  rig.Do(ShardRig::Begin(Traced("g", core::Protocol::kTcc, 1), WaitFor::kAccepted, told));
  rig.CompleteAll();
  const std::string other = "00-11111111111111111111111111111111-2222222222222222-01";
  rig.Do(ShardRig::Begin(Traced("g", core::Protocol::kTcc, 1, other), WaitFor::kAccepted, told));
  EXPECT_EQ(told.words, (std::vector<std::string>{"OK UNDECIDED", "OK UNDECIDED"}));
  Finish(rig);
  for (const Span& span : heard.spans)
    EXPECT_EQ(Hex(span.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
}

}  // namespace
}  // namespace assent::engine
