// Whatever is accepted can be looked at by a client with default settings, which takes messages of
// 4 MiB. A legal transaction was answered with 5.2 MB: nobody could see it.

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <assent/limits.h>

#include "coordinator/core/spec.h"
#include "coordinator/service/convert.h"

namespace assent::service {
namespace {

// Every limit drawn upon: as many branches as may be, each after all before it, with the longest
// names, headers as far as they go beside the payloads (or payloads as far as they go), and a
// result, attempts and people's deeds as long as they come.
core::Transaction Largest(std::size_t payload_bytes) {
  core::TransactionSpec spec;
  spec.gid = std::string(limits::kMaxGidBytes, 'g');
  spec.deadline = core::Millis(limits::kMaxDeadlineMs);
  std::size_t left = limits::kMaxTransactionBytes;
  const auto id = [](std::size_t i) {
    std::string name = std::to_string(i);
    return name + std::string(limits::kMaxBranchIdBytes - name.size(), 'i');
  };
  for (std::size_t i = 0; i < limits::kMaxBranchesCount; ++i) {
    core::BranchSpec& branch = spec.branches.emplace_back();
    branch.id = id(i);
    branch.protocol = core::Protocol::kSaga;
    branch.service = std::string(limits::kMaxServiceNameBytes, 's');
    branch.action = std::string(limits::kMaxActionNameBytes, 'a');
    branch.receive_results = true;
    for (std::size_t a = 0; a < i; ++a) branch.after_ids.push_back(id(a));
    branch.payload = std::string(std::min(left, payload_bytes), 'p');
    left -= branch.payload.size();
    for (std::size_t h = 0; h < limits::kMaxHeadersCount; ++h) {
      std::string key = std::to_string(h);
      key += std::string(limits::kMaxHeaderKeyBytes - key.size(), 'k');
      if (left < key.size()) break;
      left -= key.size();
      branch.headers.emplace_back(key,
                                  std::string(std::min(left, limits::kMaxHeaderValueBytes), 'v'));
      left -= branch.headers.back().second.size();
    }
  }
  for (std::size_t i = 0; i < limits::kMaxLabelsCount; ++i) {
    std::string key = std::to_string(i);
    key += std::string(limits::kMaxLabelKeyBytes - key.size(), 'l');
    spec.labels.emplace_back(key, std::string(limits::kMaxLabelValueBytes, 'v'));
  }
  EXPECT_EQ(core::Normalise(spec).ToString(), "OK");
  core::Transaction txn(std::move(spec));
  core::Now now{core::MonoTime(std::chrono::hours(1)),
                core::WallTime(core::Millis(1'700'000'000'000))};
  const std::string long_text(limits::kMaxReasonBytes, 'x');
  (void)txn.Apply(core::Begin{1}, now);
  for (core::BranchIndex i = 0; i < limits::kMaxBranchesCount; ++i) {
    for (std::uint32_t attempt = 1; attempt <= 40; ++attempt) {
      (void)txn.Apply(core::Answered{i,
                                     core::Operation::kAction,
                                     attempt,
                                     core::AttemptResult::kRetryLater,
                                     {},
                                     long_text,
                                     core::Millis(0)},
                      now);
      now.mono += std::chrono::minutes(1);
      now.wall += std::chrono::minutes(1);
      if (attempt == 1) (void)txn.Apply(core::Suspend{{long_text, long_text}}, now);
      if (attempt == 1) (void)txn.Apply(core::Resume{{long_text, long_text}}, now);
      (void)txn.Apply(core::RetryNow{{long_text, long_text}}, now);
    }
    const std::size_t result = limits::kMaxAllResultsBytes / limits::kMaxBranchesCount;
    (void)txn.Apply(core::Answered{i,
                                   core::Operation::kAction,
                                   41,
                                   core::AttemptResult::kDone,
                                   std::string(result, 'r'),
                                   {},
                                   core::Millis(0)},
                    now);
  }
  return txn;
}

class Size : public ::testing::TestWithParam<std::size_t> {};

TEST_P(Size, TheLargestTransactionFitsHoweverItIsAskedFor) {
  const core::Transaction txn = Largest(GetParam());
  std::size_t kept = 0;
  for (const core::Branch& branch : txn.branches()) kept += branch.history.kept().size();
  ASSERT_GT(kept, 1000u);
  for (const Detail& detail :
       {Detail::kSummary, Detail{.attempts = true}, Detail{true, true, false},
        Detail{true, false, true}, Detail::kFull}) {
    v1::Transaction shown;
    ToProto(txn, {}, detail, true, shown);
    EXPECT_LE(shown.ByteSizeLong(), limits::kMaxShownBytes);
    std::size_t attempts = 0;
    std::size_t left_out = 0;
    for (int i = 0; i < shown.branches_size(); ++i) {
      const v1::Branch& branch = shown.branches(i);
      const auto& history = txn.branches()[static_cast<std::size_t>(i)].history.kept();
      attempts += static_cast<std::size_t>(branch.attempts_size());
      left_out += branch.attempts_left_out();
      EXPECT_EQ(branch.spec().payload_bytes(),
                txn.spec().branches[static_cast<std::size_t>(i)].payload.size());
      EXPECT_EQ(branch.result_bytes(), txn.branches()[static_cast<std::size_t>(i)].result.size());
      if (!detail.attempts) continue;
      ASSERT_GT(branch.attempts_size(), 0);
      EXPECT_EQ(branch.attempts(branch.attempts_size() - 1).number(), history.back().number)
          << "the latest are shown, the oldest left out";
    }
    EXPECT_EQ(attempts, detail.attempts ? kept - left_out : 0);
    EXPECT_TRUE(detail.payloads || shown.branches(0).spec().payload().empty());
    EXPECT_TRUE(detail.results || shown.branches(0).result().empty());
  }
}

// What was left out can be had, branch by branch.
TEST_P(Size, ABranchAloneIsShownWhole) {
  const core::Transaction txn = Largest(GetParam());
  for (std::size_t i = 0; i < txn.branches().size(); ++i) {
    v1::GetRequest request;
    request.set_branch_id(txn.spec().branches[i].id);
    request.set_payloads(true);
    request.set_results(true);
    const Result<Detail> detail = DetailOf(request, txn);
    ASSERT_TRUE(detail.ok());
    v1::Transaction shown;
    ToProto(txn, {}, *detail, true, shown);
    EXPECT_LE(shown.ByteSizeLong(), limits::kMaxShownBytes);
    ASSERT_EQ(shown.branches_size(), 1);
    EXPECT_EQ(shown.branches(0).spec().payload(), txn.spec().branches[i].payload);
    EXPECT_EQ(shown.branches(0).result(), txn.branches()[i].result);
    EXPECT_EQ(shown.branches(0).attempts_left_out(), 0u);
    EXPECT_EQ(static_cast<std::size_t>(shown.branches(0).attempts_size()),
              txn.branches()[i].history.kept().size());
  }
}

INSTANTIATE_TEST_SUITE_P(PayloadsOf, Size,
                         ::testing::Values(0, 24 * 1024, limits::kMaxPayloadBytes));

TEST(ParticipantsPage, ManyServicesAndInstancesComeInPages) {
  std::vector<transport::ServiceInfo> services;
  for (int i = 0; i < 40; ++i) {
    transport::ServiceInfo& service = services.emplace_back();
    service.service = "s" + std::to_string(100 + i);
    for (std::size_t a = 0; a < limits::kMaxActionsPerParticipantCount; ++a)
      service.actions.push_back(std::to_string(a) +
                                std::string(limits::kMaxActionNameBytes - 4, 'a'));
    for (int n = 0; n < (i == 7 ? 10'000 : 3); ++n) {
      service.instances.push_back({std::string(limits::kMaxInstanceNameBytes, 'i'),
                                   "127.0.0.1:1",
                                   std::string(limits::kMaxAgentBytes, 'a'),
                                   {},
                                   0,
                                   false});
    }
  }
  std::vector<std::string> seen;
  std::string token;
  int pages = 0;
  do {
    v1::ListParticipantsReply page;
    FillPage(services, token, page);
    EXPECT_LE(page.ByteSizeLong(), limits::kMaxShownBytes);
    for (const v1::ParticipantInfo& one : page.participants()) {
      seen.push_back(one.service());
      EXPECT_EQ(one.instances_left_out() + static_cast<std::uint32_t>(one.instances_size()),
                one.service() == "s107" ? 10'000u : 3u);
    }
    token = page.next_page_token();
    ++pages;
  } while (!token.empty() && pages < 100);
  EXPECT_GT(pages, 1);
  ASSERT_EQ(seen.size(), services.size());
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

}  // namespace
}  // namespace assent::service
