// Normalise: every limit stepped over, and messages that name the field and the limit.

#include "coordinator/core/spec.h"

#include <functional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <assent/limits.h>

#include "coordinator/core/codec.h"
#include "coordinator/core/transaction.h"

namespace assent::core {
namespace {

BranchSpec Step(std::string id, std::vector<std::string> after = {}) {
  BranchSpec branch;
  branch.id = std::move(id);
  branch.protocol = Protocol::kSaga;
  branch.service = "inventory";
  branch.action = "take";
  branch.after_ids = std::move(after);
  return branch;
}

TransactionSpec Two() {
  TransactionSpec spec;
  spec.gid = "g1";
  spec.branches = {Step("a"), Step("b")};
  return spec;
}

// ---- What is wrong, and what is said about it ---------------------------------------------------

struct Wrong {
  std::string name;
  std::function<void(TransactionSpec&)> spoil;
  std::string message;
  // The same, one less: within the limit.
  std::function<void(TransactionSpec&)> just_right = nullptr;
};

std::ostream& operator<<(std::ostream& out, const Wrong& wrong) { return out << wrong.name; }

StringPairs Pairs(std::size_t count) {
  StringPairs pairs;
  for (std::size_t i = 0; i < count; ++i) pairs.emplace_back("k" + std::to_string(i), "v");
  return pairs;
}

void Fill(TransactionSpec& spec, std::size_t branches) {
  spec.branches.clear();
  for (std::size_t i = 0; i < branches; ++i) spec.branches.push_back(Step(""));
}

std::vector<Wrong> Gids() {
  return {
      {"GidEmpty", [](auto& s) { s.gid.clear(); },
       "gid is empty: it takes 1 to 64 of [A-Za-z0-9._:-]"},
      {"GidLong", [](auto& s) { s.gid.assign(65, 'g'); }, "gid has 65 bytes, the limit is 64",
       [](auto& s) { s.gid.assign(64, 'g'); }},
      {"GidOddCharacters", [](auto& s) { s.gid = "order 17\n"; },
       "gid is \"order 17?\": only [A-Za-z0-9._:-] are allowed",
       [](auto& s) { s.gid = "Order.17_a:b-c"; }},
      {"GidNoSlash", [](auto& s) { s.gid = "a/b"; },
       "gid is \"a/b\": only [A-Za-z0-9._:-] are allowed"},
  };
}

std::vector<Wrong> Counts() {
  return {
      {"NoBranches", [](auto& s) { s.branches.clear(); },
       "branches is empty: a transaction needs at least one"},
      {"OpenWithBranches", [](auto& s) { s.open = true; },
       "branches must be empty for Begin: add them with ExecuteBranch, or use Submit"},
      {"TooManyBranches", [](auto& s) { Fill(s, 129); },
       "branches has 129 entries, the limit is 128", [](auto& s) { Fill(s, 128); }},
      {"DeadlineLong", [](auto& s) { s.deadline = Millis(604'800'001); },
       "deadline_ms is 604800001, the limit is 604800000",
       [](auto& s) { s.deadline = Millis(604'800'000); }},
      {"DeadlineNegative", [](auto& s) { s.deadline = Millis(-1); },
       "deadline_ms is -1: it cannot be negative"},
      {"TooManyLabels", [](auto& s) { s.labels = Pairs(17); },
       "labels has 17 entries, the limit is 16", [](auto& s) { s.labels = Pairs(16); }},
      {"LabelKeyLong",
       [](auto& s) {
         s.labels = {{std::string(65, 'k'), "v"}};
       },
       "labels key has 65 bytes, the limit is 64",
       [](auto& s) {
         s.labels = {{std::string(64, 'k'), "v"}};
       }},
      {"LabelKeyEmpty",
       [](auto& s) {
         s.labels = {{"", "v"}};
       },
       "labels key is empty: it takes 1 to 64 of [A-Za-z0-9._:/-]"},
      {"LabelValueLong",
       [](auto& s) {
         s.labels = {{"k", std::string(257, 'v')}};
       },
       "labels[k] has 257 bytes, the limit is 256",
       [](auto& s) {
         s.labels = {{"k", std::string(256, 'v')}};
       }},
      {"AllPayloadsLong",
       [](auto& s) {
         Fill(s, 4);
         for (auto& b : s.branches) b.payload.assign(786'433, 'p');
       },
       "payloads and headers have 3145732 bytes together, the limit is 3145728",
       [](auto& s) {
         Fill(s, 4);
         for (auto& b : s.branches) b.payload.assign(786'432, 'p');
       }},
  };
}

std::vector<Wrong> Branches() {
  return {
      {"IdLong", [](auto& s) { s.branches[1].id.assign(65, 'b'); },
       "branches[1].branch_id has 65 bytes, the limit is 64",
       [](auto& s) { s.branches[1].id.assign(64, 'b'); }},
      {"IdOddCharacters", [](auto& s) { s.branches[1].id = "ü"; },
       "branches[1].branch_id is \"??\": only [A-Za-z0-9._:-] are allowed"},
      {"IdTwice", [](auto& s) { s.branches[1].id = "a"; },
       "branches[1].branch_id \"a\" is used twice: branch ids are unique within a transaction"},
      {"IdTakenByPosition", [](auto& s) { s.branches[0].id = "2", s.branches[1].id = ""; },
       "branches[1].branch_id is empty, which stands for its position \"2\", and branches[0] is "
       "called so: give it an id of its own"},
      {"PositionTakenByALaterId", [](auto& s) { s.branches[0].id = "", s.branches[1].id = "1"; },
       "branches[0].branch_id is empty, which stands for its position \"1\", and branches[1] is "
       "called so: give it an id of its own"},
      {"NoProtocol", [](auto& s) { s.branches[0].protocol = static_cast<Protocol>(0); },
       "branches[0].protocol is 0: it takes TWO_PHASE, TCC or SAGA"},
      {"UnknownProtocol", [](auto& s) { s.branches[0].protocol = static_cast<Protocol>(4); },
       "branches[0].protocol is 4: it takes TWO_PHASE, TCC or SAGA"},
      {"NoService", [](auto& s) { s.branches[0].service.clear(); },
       "branches[0].service is empty: it takes 1 to 128 of [A-Za-z0-9._:/-]"},
      {"ServiceLong", [](auto& s) { s.branches[0].service.assign(129, 's'); },
       "branches[0].service has 129 bytes, the limit is 128",
       [](auto& s) { s.branches[0].service.assign(128, 's'); }},
      {"ActionLong", [](auto& s) { s.branches[0].action.assign(129, 's'); },
       "branches[0].action has 129 bytes, the limit is 128",
       [](auto& s) { s.branches[0].action.assign(128, 's'); }},
      {"NoAction", [](auto& s) { s.branches[0].action.clear(); },
       "branches[0].action is empty: it takes 1 to 128 of [A-Za-z0-9._:/-]"},
      {"PayloadLong", [](auto& s) { s.branches[0].payload.assign(1'048'577, 'p'); },
       "branches[0].payload has 1048577 bytes, the limit is 1048576",
       [](auto& s) { s.branches[0].payload.assign(1'048'576, 'p'); }},
      {"TooManyHeaders", [](auto& s) { s.branches[0].headers = Pairs(17); },
       "branches[0].headers has 17 entries, the limit is 16",
       [](auto& s) { s.branches[0].headers = Pairs(16); }},
      {"HeaderValueLong",
       [](auto& s) {
         s.branches[0].headers = {{"k", std::string(1025, 'v')}};
       },
       "branches[0].headers[k] has 1025 bytes, the limit is 1024",
       [](auto& s) {
         s.branches[0].headers = {{"k", std::string(1024, 'v')}};
       }},
      {"TimeoutLong", [](auto& s) { s.branches[0].attempt_timeout = Millis(3'600'001); },
       "branches[0].attempt_timeout_ms is 3600001, the limit is 3600000",
       [](auto& s) { s.branches[0].attempt_timeout = Millis(3'600'000); }},
      {"BackoffLong", [](auto& s) { s.branches[0].retry.initial_backoff = Millis(3'600'001); },
       "branches[0].retry.initial_backoff_ms is 3600001, the limit is 3600000",
       [](auto& s) { s.branches[0].retry.initial_backoff = Millis(3'600'000); }},
      {"BackoffNegative", [](auto& s) { s.branches[0].retry.initial_backoff = Millis(-5); },
       "branches[0].retry.initial_backoff_ms is -5: it cannot be negative"},
      {"CeilingLong", [](auto& s) { s.branches[0].retry.max_backoff = Millis(3'600'001); },
       "branches[0].retry.max_backoff_ms is 3600001, the limit is 3600000",
       [](auto& s) { s.branches[0].retry.max_backoff = Millis(3'600'000); }},
      {"AttemptsMany", [](auto& s) { s.branches[0].retry.max_attempts = 1'000'001; },
       "branches[0].retry.max_attempts is 1000001, the limit is 1000000",
       [](auto& s) { s.branches[0].retry.max_attempts = 1'000'000; }},
  };
}

std::vector<Wrong> Orders() {
  return {
      {"AfterNobody", [](auto& s) { s.branches[1].after_ids = {"z"}; },
       "branches[1].after names \"z\", which is no branch of this transaction"},
      {"AfterItself", [](auto& s) { s.branches[1].after_ids = {"b"}; },
       "branches follow one another in a circle: `after` must not have cycles"},
      {"AfterEachOther",
       [](auto& s) { s.branches[0].after_ids = {"b"}, s.branches[1].after_ids = {"a"}; },
       "branches follow one another in a circle: `after` must not have cycles"},
      // Steps are sequential by default: the first waits for the third, which waits for the second,
      // ...
      {"AfterAgainstTheDefault",
       [](auto& s) {
         Fill(s, 3);
         s.branches[0].after_ids = {"3"};
       },
       "branches follow one another in a circle: `after` must not have cycles",
       [](auto& s) {
         Fill(s, 3);
         s.branches[2].after_ids = {"1"};
       }},
      {"TwoPivots", [](auto& s) { s.branches[0].pivot = s.branches[1].pivot = true; },
       "branches[1].pivot is set, and so is that of branches[0]: at most one step is the pivot",
       [](auto& s) { s.branches[1].pivot = true; }},
      {"PivotInTcc",
       [](auto& s) { s.branches[0].pivot = true, s.branches[0].protocol = Protocol::kTcc; },
       "branches[0].pivot is set on a tcc branch: only a SAGA step can be a pivot"},
      {"CheckBackAlone", [](auto& s) { s.branches[0].check_back = true; },
       "branches[0].check_back is set, and pivot is not: only the pivot, as the first step, can "
       "stand for the initiator's own local transaction"},
      {"CheckBackLater", [](auto& s) { s.branches[1].pivot = s.branches[1].check_back = true; },
       "branches[1].check_back is set, and branches[0] does not come after it: what the initiator "
       "commits by itself is the first step, and all others follow it"},
      {"TccAfterThePivot",
       [](auto& s) {
         s.branches[0].pivot = true;
         s.branches[1].protocol = Protocol::kTcc;
         s.branches[1].after_ids = {"a"};
       },
       "branches[1] comes after the pivot but is a tcc branch: only SAGA steps may",
       [](auto& s) {
         s.branches[0].pivot = true;
         s.branches[1].protocol = Protocol::kTcc;
       }},
  };
}

class WrongTest : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongTest, IsSaidWithFieldAndLimit) {
  TransactionSpec spec = Two();
  GetParam().spoil(spec);
  EXPECT_EQ(Normalise(spec), InvalidArgument(GetParam().message));
  if (GetParam().just_right == nullptr) return;
  TransactionSpec within = Two();
  GetParam().just_right(within);
  EXPECT_EQ(Normalise(within), OkStatus());
}

std::string NameOf(const ::testing::TestParamInfo<Wrong>& wrong) { return wrong.param.name; }
INSTANTIATE_TEST_SUITE_P(Gid, WrongTest, ::testing::ValuesIn(Gids()), NameOf);
INSTANTIATE_TEST_SUITE_P(Counts, WrongTest, ::testing::ValuesIn(Counts()), NameOf);
INSTANTIATE_TEST_SUITE_P(Branch, WrongTest, ::testing::ValuesIn(Branches()), NameOf);
INSTANTIATE_TEST_SUITE_P(Order, WrongTest, ::testing::ValuesIn(Orders()), NameOf);

// ---- What is made explicit ----------------------------------------------------------------------

using Indices = std::vector<BranchIndex>;

TEST(Normalise, FillsInDefaults) {
  TransactionSpec spec = Two();
  spec.branches[0].id.clear();
  ASSERT_EQ(Normalise(spec), OkStatus());
  EXPECT_EQ(spec.deadline, Millis(60'000));
  EXPECT_EQ(spec.branches[0].id, "1");
  EXPECT_EQ(spec.branches[0].attempt_timeout, Millis(10'000));
  EXPECT_EQ(spec.branches[0].retry.initial_backoff, Millis(100));
  EXPECT_EQ(spec.branches[0].retry.max_backoff, Millis(30'000));
  EXPECT_EQ(spec.branches[0].retry.max_attempts, 0U);
}

// A ceiling below the default first wait used to be raised to it.
TEST(Normalise, AGivenCeilingHolds) {
  TransactionSpec spec = Two();
  spec.branches[0].retry.max_backoff = Millis(20);
  spec.branches[1].retry.initial_backoff = Millis(60'000);
  ASSERT_EQ(Normalise(spec), OkStatus());
  EXPECT_EQ(spec.branches[0].retry.initial_backoff, Millis(20));
  EXPECT_EQ(spec.branches[0].retry.max_backoff, Millis(20));
  EXPECT_EQ(spec.branches[1].retry.max_backoff, Millis(60'000));
}

TEST(Normalise, OrdersByProtocolByDefault) {
  TransactionSpec spec = Two();
  spec.branches.push_back(Step("c"));
  spec.branches[1].protocol = Protocol::kTcc;
  ASSERT_EQ(Normalise(spec), OkStatus());
  EXPECT_EQ(spec.branches[0].after, Indices{});
  EXPECT_EQ(spec.branches[1].after, Indices{});
  EXPECT_EQ(spec.branches[2].after, Indices{0});
}

TEST(Normalise, OrdersAsDeclared) {
  TransactionSpec spec = Two();
  spec.ordering = Ordering::kDeclared;
  spec.branches.push_back(Step("c", {"b", "a", "b"}));
  ASSERT_EQ(Normalise(spec), OkStatus());
  EXPECT_EQ(spec.branches[1].after, Indices{});
  EXPECT_EQ(spec.branches[2].after, (Indices{0, 1}));
  EXPECT_TRUE(spec.branches[2].after_ids.empty());
}

TEST(Normalise, ThePivotFollowsWhatDoesNotFollowIt) {
  TransactionSpec spec = Two();
  spec.ordering = Ordering::kDeclared;
  spec.branches.push_back(Step("p"));
  spec.branches.push_back(Step("d", {"p"}));
  spec.branches.push_back(Step("e", {"d", "a"}));
  spec.branches.push_back(Step("f"));
  spec.branches[2].pivot = true;
  ASSERT_EQ(Normalise(spec), OkStatus());
  EXPECT_EQ(spec.branches[2].after, (Indices{0, 1, 5}));
  EXPECT_EQ(spec.branches[4].after, (Indices{0, 3}));
}

// Said twice in another order, it is the same transaction.
TEST(Normalise, EqualContentHasEqualBytes) {
  TransactionSpec one = Two();
  one.labels = {{"b", "2"}, {"a", "1"}};
  one.branches[1].headers = {{"y", "2"}, {"x", "1"}};
  one.branches.push_back(Step("c", {"b", "a"}));
  TransactionSpec other = Two();
  other.labels = {{"a", "1"}, {"b", "2"}};
  other.branches[1].headers = {{"x", "1"}, {"y", "2"}};
  other.branches.push_back(Step("c", {"a", "b"}));
  other.deadline = Millis(60'000);
  ASSERT_EQ(Normalise(one), OkStatus());
  ASSERT_EQ(Normalise(other), OkStatus());
  EXPECT_EQ(Codec::EncodeSpec(one), Codec::EncodeSpec(other));
}

// ---- One more branch ----------------------------------------------------------------------------

class AddedTest : public ::testing::Test {
 protected:
  AddedTest() : transaction_(Open()) { (void)transaction_.Apply(Begin{}, Now{}); }

  static TransactionSpec Open() {
    TransactionSpec spec;
    spec.gid = "g1";
    spec.open = true;
    EXPECT_EQ(Normalise(spec), OkStatus());
    return spec;
  }
  Status Add(BranchSpec branch) {
    Status status = NormaliseAdded(branch, transaction_);
    if (status.ok()) (void)transaction_.Apply(AddBranch{std::move(branch)}, Now{});
    return status;
  }
  std::string BytesOfRepeat(BranchSpec branch) {
    EXPECT_EQ(NormaliseAdded(branch, transaction_), OkStatus());
    return Codec::EncodeBranchSpec(branch);
  }

  Transaction transaction_;
};

TEST_F(AddedTest, NamesFieldAndLimit) {
  ASSERT_EQ(Add(Step("a")), OkStatus());
  EXPECT_EQ(Add(Step("b", {"z"})),
            InvalidArgument("branch.after names \"z\", which is no branch of this transaction"));
  EXPECT_EQ(Add(Step("b", {"b"})),
            InvalidArgument("branch.after names \"b\", which is no branch of this transaction"));
  BranchSpec pivot = Step("b");
  pivot.pivot = true;
  EXPECT_EQ(Add(pivot), InvalidArgument("branch.pivot is set: an open transaction is committed by "
                                        "its initiator, not by a pivot"));
  BranchSpec nowhere = Step("b");
  nowhere.service.clear();
  EXPECT_EQ(Add(nowhere),
            InvalidArgument("branch.service is empty: it takes 1 to 128 of [A-Za-z0-9._:/-]"));
}

TEST_F(AddedTest, CountsWhatIsThere) {
  for (int i = 0; i < 3; ++i) {
    BranchSpec large = Step("large-" + std::to_string(i));
    large.payload.assign(1'048'576, 'p');
    ASSERT_EQ(Add(large), OkStatus());
  }
  BranchSpec one_more = Step("more");
  one_more.payload = "p";
  EXPECT_EQ(Add(one_more), InvalidArgument("payloads and headers have 3145729 bytes together, the "
                                           "limit is 3145728"));
  for (std::size_t i = 3; i < limits::kMaxBranchesCount; ++i)
    ASSERT_EQ(Add(Step("small-" + std::to_string(i))), OkStatus());
  EXPECT_EQ(Add(Step("last")),
            InvalidArgument("the transaction has 128 branches, the limit is 128"));
}

// It used to be given a number. Said again after a lost answer it was then given another one, and
// ran twice.
TEST_F(AddedTest, NeedsAnId) {
  EXPECT_EQ(Add(Step("")),
            InvalidArgument("branch.branch_id is empty: a branch that is added needs one, so that "
                            "the call, repeated after a lost answer, means the same branch"));
  EXPECT_TRUE(transaction_.spec().branches.empty());
}

// The default order of a step is "after the steps before it": said again, it must not follow itself
// and those that came later, or a repeat would look like other content.
TEST_F(AddedTest, ARepeatHasTheBytesOfTheFirstTime) {
  ASSERT_EQ(Add(Step("a")), OkStatus());
  ASSERT_EQ(Add(Step("b")), OkStatus());
  ASSERT_EQ(Add(Step("c", {"b", "a", "b"})), OkStatus());
  const auto& branches = transaction_.spec().branches;
  EXPECT_EQ(branches[1].after, Indices{0});
  EXPECT_EQ(BytesOfRepeat(Step("b")), Codec::EncodeBranchSpec(branches[1]));
  EXPECT_EQ(BytesOfRepeat(Step("c", {"a", "b"})), Codec::EncodeBranchSpec(branches[2]));
  EXPECT_NE(BytesOfRepeat(Step("c", {"a"})), Codec::EncodeBranchSpec(branches[2]));
}

}  // namespace
}  // namespace assent::core
