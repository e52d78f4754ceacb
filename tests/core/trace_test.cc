// W3C Trace Context as it is read and written, and the ids of a transaction's spans.

#include "coordinator/core/trace.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "coordinator/core/codec.h"
#include "coordinator/core/spec.h"
#include "coordinator/core/transaction.h"

namespace assent::core {
namespace {

// The standard's own example.
const std::string kParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

Transaction Begun(const std::string& gid, std::shared_ptr<const TraceContext> trace,
                  Millis at = Millis(1000)) {
  TransactionSpec spec;
  spec.gid = gid;
  for (int i = 0; i < 2; ++i) {
    BranchSpec branch;
    branch.service = "inventory";
    branch.action = "reserve";
    spec.branches.push_back(branch);
  }
  EXPECT_EQ(Normalise(spec), OkStatus());
  spec.trace = std::move(trace);
  Transaction txn(std::move(spec));
  (void)txn.Apply(Begin{3}, Now{MonoTime(std::chrono::seconds(1)), WallTime(at), 0});
  return txn;
}

std::shared_ptr<const TraceContext> Given(bool sampled = true, std::string state = "") {
  auto context = ParseTraceparent(kParent);
  EXPECT_TRUE(context);
  context->sampled = sampled;
  context->state = std::move(state);
  return std::make_shared<TraceContext>(*context);
}

TEST(TraceContext, IsReadAsTheStandardSays) {
  const auto context = ParseTraceparent(kParent);
  ASSERT_TRUE(context);
  EXPECT_EQ(Hex(context->trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(Hex(context->span_id), "00f067aa0ba902b7");
  EXPECT_TRUE(context->sampled);
  EXPECT_EQ(Traceparent(context->trace_id, context->span_id, true), kParent);
  EXPECT_EQ(Traceparent(context->trace_id, context->span_id, false).substr(52), "-00");

  std::string other = kParent;
  other.replace(53, 2, "fe");  // flags that we do not know, and not sampled
  ASSERT_TRUE(ParseTraceparent(other));
  EXPECT_FALSE(ParseTraceparent(other)->sampled);
  // A later version says more: what we know of it counts.
  EXPECT_TRUE(ParseTraceparent("01" + kParent.substr(2)));
  EXPECT_TRUE(ParseTraceparent("cc" + kParent.substr(2) + "-what-comes"));
}

TEST(TraceContext, WhatIsIllFormedIsNone) {
  const auto with = [](std::size_t at, const std::string& text) {
    std::string changed = kParent;
    return changed.replace(at, text.size(), text);
  };
  const std::string bad[] = {
      "",
      kParent.substr(0, 54),
      kParent + "-",                             // version 00 has an end
      kParent + "-00",                           //
      "cc" + kParent.substr(2) + ".what-comes",  // a later one has a dash there
      with(0, "ff"),                             // no version
      with(0, "0x"),                             //
      with(3, "4BF9"),                           // upper case
      with(3, std::string(32, '0')),             // no trace
      with(36, std::string(16, '0')),            // no span
      with(36, "g0"),                            //
      with(53, "0g"),                            //
      with(2, "_"),
      with(35, "_"),
      with(52, "_"),  //
      " " + kParent,
  };
  for (const std::string& text : bad) EXPECT_FALSE(ParseTraceparent(text)) << text;
}

TEST(TraceContext, StateIsHandedOnAsItIs) {
  EXPECT_TRUE(IsTracestate(""));
  EXPECT_TRUE(IsTracestate("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
  EXPECT_TRUE(IsTracestate(std::string(limits::kMaxTracestateBytes, 'a')));
  EXPECT_FALSE(IsTracestate(std::string(limits::kMaxTracestateBytes + 1, 'a')));
  EXPECT_FALSE(IsTracestate("a=\n"));
  EXPECT_FALSE(IsTracestate("a=\x80"));
}

TEST(Trace, EachSpanHasAnIdOfItsOwnThatARestartDoesNotChange) {
  const Transaction one = Begun("g1", Given());
  const Transaction same = Begun("g1", Given());
  EXPECT_EQ(SpanOf(one), SpanOf(same));
  const auto decoded = Codec::Decode("g1", Codec::EncodeSpec(one), Codec::EncodeState(one));
  ASSERT_EQ(decoded.status(), OkStatus());
  EXPECT_EQ(SpanOf(one), SpanOf(*decoded));
  EXPECT_EQ(SpanOf(one, 1), SpanOf(*decoded, 1));
  EXPECT_EQ(SpanOf(one, 1, Operation::kTry, 2), SpanOf(*decoded, 1, Operation::kTry, 2));

  std::set<SpanId> ids{SpanOf(one),    SpanOf(Begun("g2", Given())), SpanOf(one, 0),
                       SpanOf(one, 1), SpanOfWrite(one, 1),          SpanOfWrite(one, 2)};
  for (const Operation operation : {Operation::kTry, Operation::kConfirm}) {
    for (const std::uint32_t attempt : {1U, 2U}) {
      for (const BranchIndex branch : {BranchIndex{0}, BranchIndex{1}})
        ids.insert(SpanOf(one, branch, operation, attempt));
    }
  }
  EXPECT_EQ(ids.size(), 6U + 8U);
  for (const SpanId& id : ids) EXPECT_FALSE(IsZero(id));
}

// After a crash the number of an attempt that was sent may be given again.
TEST(Trace, AnAttemptOfAnotherLifeIsAnotherSpan) {
  Transaction txn = Begun("g1", Given());
  const SpanId before = SpanOf(txn, 0, Operation::kTry, 1);
  (void)txn.Apply(Recover{kFirstStoreGeneration},
                  Now{MonoTime(std::chrono::seconds(1)), WallTime(Millis(2000)), 0});
  EXPECT_NE(SpanOf(txn, 0, Operation::kTry, 1), before);
}

// Its gid was forgotten, and the same trace begins it again: they were one tree with each id twice.
TEST(Trace, AGidThatIsBegunAnewHasOtherSpans) {
  const Transaction first = Begun("g1", Given());
  const Transaction second = Begun("g1", Given(), Millis(1001));
  EXPECT_NE(SpanOf(first), SpanOf(second));
  EXPECT_NE(SpanOf(first, 1), SpanOf(second, 1));
  EXPECT_NE(SpanOf(first, 1, Operation::kTry, 1), SpanOf(second, 1, Operation::kTry, 1));
  EXPECT_NE(SpanOfWrite(first, 1), SpanOfWrite(second, 1));
}

TEST(Trace, ACommandTakesItAlong) {
  const Send send{1, Operation::kTry, 1, false};
  const Transaction txn = Begun("g1", Given(true, "a=1"));
  EXPECT_EQ(TraceFor(txn, send, false).traceparent, kParent);
  EXPECT_EQ(TraceFor(txn, send, false).tracestate, "a=1");
  EXPECT_EQ(
      TraceFor(txn, send, true).traceparent,
      "00-4bf92f3577b34da6a3ce929d0e0e4736-" + Hex(SpanOf(txn, 1, Operation::kTry, 1)) + "-01");
  EXPECT_EQ(TraceFor(txn, send, true).tracestate, "a=1");
  // What nobody records has no span of ours in it.
  const Transaction unsampled = Begun("g1", Given(false));
  EXPECT_EQ(TraceFor(unsampled, send, true).traceparent, kParent.substr(0, 53) + "00");
  EXPECT_EQ(TraceFor(Begun("g1", nullptr), send, true).traceparent, "");
  EXPECT_EQ(TraceparentOf(Begun("g1", nullptr)), "");
  EXPECT_EQ(TraceparentOf(txn), kParent);
}

TEST(Trace, OneThatBeginsHereHasTheTransactionForItsFirstSpan) {
  const auto trace = NewTrace("g1", 3, 77);
  EXPECT_FALSE(IsZero(trace->trace_id));
  EXPECT_TRUE(IsZero(trace->span_id));
  EXPECT_TRUE(trace->sampled);
  EXPECT_NE(NewTrace("g1", 3, 78)->trace_id, trace->trace_id);
  EXPECT_NE(NewTrace("g2", 3, 77)->trace_id, trace->trace_id);
  EXPECT_NE(NewTrace("g1", 4, 77)->trace_id, trace->trace_id);
  const Transaction txn = Begun("g1", trace);
  EXPECT_EQ(TraceparentOf(txn), Traceparent(trace->trace_id, SpanOf(txn), true));
  EXPECT_EQ(TraceFor(txn, Send{}, false).traceparent, TraceparentOf(txn));
}

// ---- In the log ---------------------------------------------------------------------------------

TEST(TraceInTheLog, ComesBackAndIsNoPartOfWhatWasAsked) {
  const Transaction plain = Begun("g1", nullptr);
  EXPECT_EQ(Codec::EncodeState(plain)[0], 1);  // older programs read what has no trace
  const Transaction txn = Begun("g1", Given(true, "a=1"));
  EXPECT_EQ(Codec::EncodeSpec(txn), Codec::EncodeSpec(plain));
  const std::string state = Codec::EncodeState(txn);
  EXPECT_EQ(state[0], 3);
  const auto decoded = Codec::Decode("g1", Codec::EncodeSpec(txn), state);
  ASSERT_EQ(decoded.status(), OkStatus());
  const TraceContext& trace = *decoded->spec().trace;
  EXPECT_EQ(Traceparent(trace.trace_id, trace.span_id, trace.sampled), kParent);
  EXPECT_EQ(trace.state, "a=1");
  EXPECT_EQ(decoded->generation(), kFirstStoreGeneration);
  EXPECT_EQ(Codec::EncodeState(*decoded), state);
}

TEST(TraceInTheLog, WhatIsDamagedIsNotReadAsAnother) {
  const Transaction txn = Begun("g1", Given(false, "a=1"));
  const std::string spec = Codec::EncodeSpec(txn);
  const std::string state = Codec::EncodeState(txn);
  const std::size_t at = state.find("\x4b\xf9\x2f\x35");
  ASSERT_NE(at, std::string::npos);
  const auto refused = [&](std::size_t place, const std::string& bytes) {
    std::string bad = state;
    bad.replace(place, bytes.size(), bytes);
    return Codec::Decode("g1", spec, bad).status() ==
           DataLoss("transaction g1: its state cannot be decoded");
  };
  EXPECT_TRUE(refused(at, std::string(16, '\0')));  // no trace
  EXPECT_TRUE(refused(at - 1, "\x0f"));             // its id is shorter
  EXPECT_TRUE(refused(at + 16, "\x07"));            // its span's
  EXPECT_TRUE(refused(at + 25, "\x02"));            // a flag that is none
  EXPECT_TRUE(refused(state.find("a=1"), "\x01"));  // no tracestate
  EXPECT_FALSE(refused(at, "\x4b"));
}

}  // namespace
}  // namespace assent::core
