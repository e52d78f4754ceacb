// The codec: what goes in comes out, and what is damaged is noticed or harmless, never believed
// blindly and never a crash.

#include "coordinator/core/codec.h"

#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include <assent/limits.h>
#include <assent/text.h>

#include "coordinator/core/bytes.h"
#include "coordinator/core/soundness.h"
#include "coordinator/core/spec.h"
#include "coordinator/core/trace.h"

namespace assent::core {
namespace {

Now At(std::int64_t ms) {
  Now now;
  now.mono = MonoTime(Millis(ms));
  now.wall = WallTime(Millis(1'700'000'000'000 + ms));
  return now;
}

BranchSpec Branch(std::string id, Protocol protocol) {
  BranchSpec branch;
  branch.id = std::move(id);
  branch.protocol = protocol;
  branch.service = "inventory";
  branch.action = "reserve";
  branch.payload = "three";
  return branch;
}

TransactionSpec Spec() {
  TransactionSpec spec;
  spec.gid = "g1";
  spec.labels = {{"customer", "7"}};
  spec.branches = {Branch("a", Protocol::kTwoPhase), Branch("b", Protocol::kTcc),
                   Branch("p", Protocol::kSaga), Branch("c", Protocol::kSaga)};
  spec.branches[1].headers = {{"trace", "x"}};
  spec.branches[2].pivot = true;
  spec.branches[3].receive_results = true;
  spec.branches[3].retry = {Millis(7), Millis(70), 3};
  EXPECT_EQ(Normalise(spec), OkStatus());
  return spec;
}

Answered Answer(BranchIndex branch, Operation operation, AttemptResult result) {
  return Answered{branch, operation, 1, result, "result", "reason", Millis(0)};
}

// Half-way through, with a bit of everything in it.
Transaction Lived() {
  Transaction t(Spec());
  (void)t.Apply(Begin{3}, At(0));
  (void)t.Apply(Answer(0, Operation::kPrepare, AttemptResult::kDone), At(5));
  (void)t.Apply(Answer(1, Operation::kTry, AttemptResult::kUnknown), At(7));
  (void)t.Apply(RetryNow{{"ann", "hurry"}}, At(9));
  (void)t.Apply(Answer(1, Operation::kTry, AttemptResult::kDone), At(11));
  (void)t.Apply(Answer(2, Operation::kAction, AttemptResult::kDone), At(15));
  (void)t.Apply(Answer(0, Operation::kCommit, AttemptResult::kRefused), At(20));
  (void)t.Apply(Suspend{{"bob", "look"}}, At(21));
  EXPECT_EQ(t.phase(), Phase::kCommitting);
  EXPECT_TRUE(t.branches()[0].hazard);
  return t;
}

Result<Transaction> Decode(const std::string& spec, const std::string& state) {
  return Codec::Decode("g1", spec, state);
}

TEST(Codec, RoundTrip) {
  const Transaction t = Lived();
  const std::string spec = Codec::EncodeSpec(t);
  const std::string state = Codec::EncodeState(t);
  const Result<Transaction> decoded = Decode(spec, state);
  ASSERT_EQ(decoded.status(), OkStatus());
  const Transaction& d = decoded.value();
  EXPECT_EQ(Codec::EncodeSpec(d), spec);
  EXPECT_EQ(Codec::EncodeState(d), state);
  EXPECT_EQ(d.gid(), "g1");
  EXPECT_EQ(d.began_epoch(), 3U);
  EXPECT_EQ(d.outcome(), Outcome::kHazard);
  EXPECT_TRUE(d.suspended());
  EXPECT_EQ(d.began_at(), t.began_at());
  EXPECT_EQ(d.deadline_at(), t.deadline_at());
  EXPECT_EQ(d.decided_at(), t.decided_at());
  EXPECT_EQ(d.spec().labels, t.spec().labels);
  EXPECT_EQ(d.spec().branches[1].headers, t.spec().branches[1].headers);
  EXPECT_EQ(d.spec().branches[3].retry.max_attempts, 3U);
  EXPECT_TRUE(d.spec().branches[2].pivot);
  EXPECT_EQ(d.branches()[1].result, "result");
  EXPECT_EQ(d.branches()[1].history.kept().size(), t.branches()[1].history.kept().size());
  EXPECT_EQ(d.branches()[0].last_error, "reason");
  ASSERT_EQ(d.interventions().size(), 2U);
  EXPECT_EQ(d.interventions()[1].who, "bob");
}

// An older program must not take it for a step that it may send, and give up, as any other.
TEST(Codec, WhatChecksBackHasAVersionOfItsOwn) {
  TransactionSpec plain;
  plain.gid = "g1";
  plain.branches = {Branch("a", Protocol::kSaga)};
  plain.branches[0].pivot = true;
  TransactionSpec checked = plain;
  checked.branches[0].check_back = true;
  ASSERT_EQ(Normalise(plain), OkStatus());
  ASSERT_EQ(Normalise(checked), OkStatus());
  std::string spec = Codec::EncodeSpec(checked);
  EXPECT_EQ(Codec::EncodeSpec(plain)[0], 1);
  ASSERT_EQ(spec[0], 2);
  Transaction t(checked);
  (void)t.Apply(Begin{1}, At(0));
  const std::string state = Codec::EncodeState(t);
  const Result<Transaction> read = Decode(spec, state);
  ASSERT_EQ(read.status(), OkStatus());
  EXPECT_TRUE(read->spec().branches[0].check_back);
  EXPECT_EQ(Codec::EncodeSpec(*read), spec);
  for (const char version : {'\0', '\1', '\3'}) {
    spec[0] = version;
    EXPECT_EQ(Decode(spec, state).status().code(), Code::kDataLoss) << int{version};
  }
  std::string none = Codec::EncodeSpec(plain);
  none[0] = 2;
  EXPECT_EQ(Decode(none, state).status().code(), Code::kDataLoss);
}

// The example of FORMAT.md. If this fails the format has changed: it needs a new version, and the
// old one must still be read.
TEST(Codec, TheFormatIsTheDocumentedOne) {
  TransactionSpec spec;
  spec.gid = "g1";
  spec.branches = {Branch("a", Protocol::kTcc)};
  ASSERT_EQ(Normalise(spec), OkStatus());
  Transaction t(std::move(spec));
  (void)t.Apply(Begin{1}, At(0));
  const auto hex = [](const std::string& bytes) {
    std::string text;
    for (const char c : bytes) {
      text += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
      text += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
    }
    return text;
  };
  EXPECT_EQ(hex(Codec::EncodeSpec(t)),
            "0100c0a90700000101610209696e76656e746f727907726573657276650574687265650000c801e0d4"
            "0300a09c0100");
  EXPECT_EQ(
      hex(Codec::EncodeState(t)),
      "010100010080a0abfef962c0c9b2fef9620000010000020100010000000001040180a0abfef96200010000");
}

TEST(Codec, ARowOutOfService) {
  const std::string state = Codec::EncodeState(OutOfService{.actor = {"ann", "ticket 812"},
                                                            .at = At(7).wall,
                                                            .sound = false,
                                                            .gid = "g\xff",
                                                            .state = Codec::EncodeState(Lived())});
  const auto row = Codec::DecodeOutOfService(state);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->actor.who + row->actor.reason, "annticket 812");
  EXPECT_EQ(row->at, At(7).wall);
  EXPECT_FALSE(row->sound);
  EXPECT_EQ(row->gid, "g\xff");
  EXPECT_EQ(row->state, Codec::EncodeState(Lived()));
  EXPECT_EQ(Decode("whatever", state).status(), DataLoss("ann took it out of service: ticket 812"));
  for (std::size_t n = 0; n < state.size(); ++n)
    EXPECT_FALSE(Codec::DecodeOutOfService(state.substr(0, n))) << n;
  EXPECT_FALSE(Codec::DecodeOutOfService(Codec::EncodeState(Lived())));
}

TEST(Codec, CutAnywhereItIsDataLoss) {
  const Transaction t = Lived();
  const std::string spec = Codec::EncodeSpec(t);
  const std::string state = Codec::EncodeState(t);
  for (std::size_t n = 0; n < spec.size(); ++n)
    EXPECT_EQ(Decode(spec.substr(0, n), state).status().code(), Code::kDataLoss) << n;
  for (std::size_t n = 0; n < state.size(); ++n)
    EXPECT_EQ(Decode(spec, state.substr(0, n)).status().code(), Code::kDataLoss) << n;
  EXPECT_EQ(Decode(spec + "x", state).status().code(), Code::kDataLoss);
  EXPECT_EQ(Decode(spec, state + "x").status().code(), Code::kDataLoss);
  EXPECT_EQ(Decode("", "").status().code(), Code::kDataLoss);
}

// The log's checksum is what tells damaged bytes from sound ones. Should damage get past it,
// decoding gives a failure, or a transaction in which nothing can go wrong but what it says.
void LiveThrough(Transaction t) {
  ASSERT_EQ(BrokenRule(t), "");
  if (t.finished()) return;
  (void)t.Apply(Recover{}, At(100));
  for (int i = 0; i < 50 && !t.finished(); ++i) {
    (void)t.Apply(Resume{}, At(1000 * i));
    (void)t.Apply(Tick{}, At(1000 * i));
    for (BranchIndex b = 0; b < t.branches().size(); ++b) {
      (void)t.Apply(
          Answered{b, t.Due(b), t.branches()[b].attempts, AttemptResult::kDone, {}, {}, Millis(0)},
          At(1000 * i));
    }
    ASSERT_EQ(BrokenRule(t), "");
  }
}

TEST(Codec, NoFlippedBitBreaksMoreThanItself) {
  const Transaction t = Lived();
  const std::string spec = Codec::EncodeSpec(t);
  const std::string state = Codec::EncodeState(t);
  int refused = 0;
  int believed = 0;
  for (std::size_t bit = 0; bit < (spec.size() + state.size()) * 8; ++bit) {
    std::string both[2] = {spec, state};
    const bool in_state = bit >= spec.size() * 8;
    const std::size_t at = in_state ? bit - spec.size() * 8 : bit;
    char& byte = both[in_state ? 1 : 0][at / 8];
    byte = static_cast<char>(byte ^ (1 << (at % 8)));
    Result<Transaction> decoded = Decode(both[0], both[1]);
    if (!decoded.ok()) {
      EXPECT_EQ(decoded.status().code(), Code::kDataLoss);
      ++refused;
      continue;
    }
    // Taken as it is, not as something else.
    EXPECT_TRUE(Codec::EncodeSpec(decoded.value()) == both[0]) << "bit " << bit;
    EXPECT_TRUE(Codec::EncodeState(decoded.value()) == both[1]) << "bit " << bit;
    ++believed;
    LiveThrough(std::move(decoded).value());
  }
  EXPECT_GT(refused, 500);
  EXPECT_GT(believed, 500);
}

TEST(Codec, VersionsThatNobodyHasWritten) {
  const Transaction t = Lived();
  const std::string spec = Codec::EncodeSpec(t);
  const std::string state = Codec::EncodeState(t);
  for (const char version : {'\0', '\5', '\x7f'}) {
    const std::string number = std::to_string(static_cast<int>(version));
    EXPECT_EQ(
        Decode(version + spec.substr(1), state).status(),
        DataLoss("transaction g1: its spec has version " + number + ", this program knows 1 to 2"));
    EXPECT_EQ(Decode(spec, version + state.substr(1)).status(),
              DataLoss("transaction g1: its state has version " + number +
                       ", this program knows 1 to 4"));
  }
}

// Older programs read what has nothing to say of a store's generation.
TEST(Codec, OnlyWhatIsOfALaterGenerationOrHeldHasTheSecondVersion) {
  TransactionSpec spec = Spec();
  Transaction t(spec);
  (void)t.Apply(Begin{1}, At(0));
  t.NoteGeneration(1);
  EXPECT_EQ(Codec::EncodeState(t)[0], 1);
  t.NoteGeneration(7);
  const std::string state = Codec::EncodeState(t);
  EXPECT_EQ(state[0], 2);
  auto same = Codec::Decode("g1", Codec::EncodeSpec(t), state);
  ASSERT_EQ(same.status(), OkStatus());
  EXPECT_EQ(same->generation(), 7U);
  (void)same->Apply(Recover{7}, At(1));
  EXPECT_FALSE(same->held());
  auto decoded = Codec::Decode("g1", Codec::EncodeSpec(t), state);
  (void)decoded->Apply(Recover{8}, At(1));
  ASSERT_TRUE(decoded->held());
  decoded->NoteGeneration(8);
  EXPECT_EQ(decoded->generation(), 7U);
  const auto held = Codec::Decode("g1", Codec::EncodeSpec(t), Codec::EncodeState(*decoded));
  ASSERT_EQ(held.status(), OkStatus());
  EXPECT_TRUE(held->held());
  EXPECT_TRUE(held->needs_operator());
}

TEST(Codec, TheSecondVersionWithoutAReasonIsNone) {
  const Transaction t = Lived();
  std::string state = Codec::EncodeState(t);
  state[0] = 2;
  state.insert(4, 1, 1);  // behind the flags: generation 1
  EXPECT_EQ(Decode(Codec::EncodeSpec(t), state).status(),
            DataLoss("transaction g1: its state cannot be decoded"));
}

// With a trace and without; of each a byte less, or more, or another, is noticed.
TEST(Codec, WhoBeganItIsKeptWithIt) {
  for (const bool traced : {false, true}) {
    TransactionSpec spec = Spec();
    spec.initiator = std::make_shared<const std::string>("spiffe://shop/checkout");
    if (traced) spec.trace = NewTrace("g1", 1, 7);
    Transaction t(spec);
    (void)t.Apply(Begin{1}, At(0));
    const std::string bytes = Codec::EncodeSpec(t);
    const std::string state = Codec::EncodeState(t);
    EXPECT_EQ(state[0], 4);
    const auto same = Codec::Decode("g1", bytes, state);
    ASSERT_EQ(same.status(), OkStatus());
    ASSERT_NE(same->spec().initiator, nullptr);
    EXPECT_EQ(*same->spec().initiator, "spiffe://shop/checkout");
    EXPECT_EQ(same->spec().trace != nullptr, traced);
    EXPECT_EQ(Codec::EncodeState(*same), state);
    // One that says it has a trace, and has none that can be read, is no state.
    std::string other = state;
    const std::size_t flag = state.find("spiffe://") + std::string("spiffe://shop/checkout").size();
    ASSERT_EQ(other[flag], traced ? 1 : 0);
    other[flag] = traced ? 0 : 1;
    EXPECT_EQ(Codec::Decode("g1", bytes, other).status().code(), Code::kDataLoss);
    // The same request, whoever makes it.
    Transaction nobodys(Spec());
    (void)nobodys.Apply(Begin{1}, At(0));
    EXPECT_EQ(Codec::EncodeSpec(nobodys), bytes);
    EXPECT_EQ(Codec::EncodeState(nobodys)[0], 1);
  }
}

// Where rules let anyone begin, an empty name is that of all who are not known. Such a state was
// written, and no start could read it: the transaction was set aside.
TEST(Codec, WhoIsNotKnownMayHaveBegunIt) {
  for (const bool traced : {false, true}) {
    TransactionSpec spec = Spec();
    spec.initiator = std::make_shared<const std::string>();
    if (traced) spec.trace = NewTrace("g1", 1, 7);
    Transaction t(spec);
    (void)t.Apply(Begin{1}, At(0));
    const std::string state = Codec::EncodeState(t);
    const auto same = Codec::Decode("g1", Codec::EncodeSpec(t), state);
    ASSERT_EQ(same.status(), OkStatus());
    ASSERT_NE(same->spec().initiator, nullptr) << "not anybody's who knows its gid";
    EXPECT_EQ(*same->spec().initiator, "");
    EXPECT_EQ(same->spec().trace != nullptr, traced);
    EXPECT_EQ(Codec::EncodeState(*same), state);
  }
}

// A state that could be written down but never comes about.
TEST(Codec, WhatMakesNoSenseIsSaid) {
  Transaction t(Spec());
  (void)t.Apply(Begin{}, At(0));
  const std::string spec = Codec::EncodeSpec(t);
  std::string state = Codec::EncodeState(t);
  state[2] = 2;  // decided abort, and still active
  EXPECT_EQ(Decode(spec, state).status(),
            DataLoss("transaction g1: its state makes no sense: active, and decided"));
}

// Whatever participants and people say, the row can be read back: longer texts are cut where they
// come in, between two characters.
TEST(Codec, LongTextsAreCut) {
  TransactionSpec spec = Spec();
  Transaction t(std::move(spec));
  (void)t.Apply(Begin{}, At(0));
  Answered no = Answer(0, Operation::kPrepare, AttemptResult::kUnknown);
  no.reason = std::string(1023, 'x') + "€uro";
  (void)t.Apply(no, At(1));
  EXPECT_EQ(t.branches()[0].last_error, std::string(1023, 'x'));
  EXPECT_EQ(t.branches()[0].history.kept()[0].error, std::string(1023, 'x'));
  (void)t.Apply(RetryNow{{std::string(3000, 'w'), std::string(3000, 'y')}}, At(2));
  EXPECT_EQ(t.interventions()[0].who.size(), limits::kMaxReasonBytes);
  EXPECT_EQ(t.interventions()[0].reason.size(), limits::kMaxReasonBytes);
  no.result = AttemptResult::kRefused;
  (void)t.Apply(no, At(3));
  EXPECT_EQ(t.abort_reason().size(), limits::kMaxReasonBytes);
  EXPECT_EQ(Decode(Codec::EncodeSpec(t), Codec::EncodeState(t)).status(), OkStatus());
}

// All results of a transaction fit into one message, and into its row.
TEST(Codec, ResultsAreBoundedTogether) {
  TransactionSpec spec;
  spec.gid = "g1";
  for (int i = 0; i < 9; ++i) spec.branches.push_back(Branch(std::to_string(i), Protocol::kTcc));
  ASSERT_EQ(Normalise(spec), OkStatus());
  Transaction t(std::move(spec));
  (void)t.Apply(Begin{}, At(0));
  Answered yes{0, Operation::kTry, 1, AttemptResult::kDone, {}, {}, Millis(0)};
  yes.bytes.assign(limits::kMaxResultBytes, 'r');
  for (; yes.branch < 8; ++yes.branch) (void)t.Apply(yes, At(1));
  EXPECT_EQ(t.branches()[7].state, BranchState::kExecuted);
  yes.bytes = "r";
  (void)t.Apply(yes, At(1));
  EXPECT_EQ(t.branches()[8].state, BranchState::kExecuting);
  EXPECT_EQ(t.branches()[8].last_error,
            "answered with a result of 1 bytes: with those of the other branches it is over the "
            "limit of 2097152");
  EXPECT_EQ(Decode(Codec::EncodeSpec(t), Codec::EncodeState(t)).status(), OkStatus());
  yes.attempt = 2;
  yes.bytes.clear();
  (void)t.Apply(Tick{}, At(5000));
  (void)t.Apply(yes, At(5001));
  EXPECT_EQ(t.decision(), Decision::kCommit);
}

TEST(Codec, CutsBetweenCharacters) {
  const std::string x(limits::kMaxReasonBytes, 'x');
  EXPECT_EQ(CutReason(x), x);
  EXPECT_EQ(CutReason(x + "x"), x);
  for (std::size_t before = 1; before <= 4; ++before) {
    const std::string start = x.substr(before);
    EXPECT_EQ(CutReason(start + "\xf0\x9f\x8d\x8e!"),
              before == 4 ? start + "\xf0\x9f\x8d\x8e" : start);
  }
}

TEST(Bytes, EveryNumberComesBack) {
  for (int bit = 0; bit < 64; ++bit) {
    const std::uint64_t base = std::uint64_t{1} << bit;
    for (const std::uint64_t value : {base - 1, base, base + 1, ~base}) {
      ByteWriter out;
      out.U64(value);
      out.I64(static_cast<std::int64_t>(value));
      const std::string bytes = out.Take();
      ByteReader in(bytes);
      EXPECT_EQ(in.U64(), value);
      EXPECT_EQ(in.I64(), static_cast<std::int64_t>(value));
      EXPECT_TRUE(in.done());
    }
  }
}

TEST(Bytes, WhatIsNotANumberFails) {
  const std::string too_long(10, '\xff');
  ByteReader in(too_long);
  EXPECT_EQ(in.U64(), 0U);
  EXPECT_FALSE(in.ok());
  // One number has one way to be written: equal specs have equal bytes.
  ByteReader padded(std::string_view("\x81\x00", 2));
  EXPECT_EQ(padded.U64(), 0U);
  EXPECT_FALSE(padded.ok());
  // A text longer than what is left, and than what is allowed.
  ByteReader text(
      std::string_view("\x05"
                       "abc",
                       4));
  EXPECT_EQ(text.Text(100), "");
  EXPECT_FALSE(text.ok());
  ByteReader allowed(
      std::string_view("\x03"
                       "abc",
                       4));
  EXPECT_EQ(allowed.Text(2), "");
  EXPECT_FALSE(allowed.ok());
}

}  // namespace
}  // namespace assent::core
