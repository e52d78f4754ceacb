// A page of List has a size in bytes, not only in rows: else a few hundred transactions with many headers make a reply that no
// client takes, and the operator sees nothing at all.

#include <map>
#include <string>

#include <gtest/gtest.h>

#include <assent/limits.h>

#include "tests/api/api_rig.h"

namespace assent::test {
namespace {

class ListTest : public ApiRig {
 protected:
  // For a service that is not there; each branch has as many headers as it may.
  void SubmitLarge(const std::string& gid, int branches) {
    v1::SubmitRequest request;
    request.mutable_transaction()->set_gid(gid);
    request.set_wait_for(v1::WAIT_ACCEPTED);
    for (int i = 1; i <= branches; ++i) {
      v1::BranchSpec* branch = AddBranch(request, "b" + std::to_string(i), "absent");
      for (std::size_t h = 0; h < limits::kMaxHeadersCount; ++h)
        (*branch->mutable_headers())["h" + std::to_string(h)] = std::string(1000, 'h');
    }
    ASSERT_EQ(TrySubmit(request), "OK");
  }
  void Abort(const std::string& gid) {
    v1::AbortRequest abort;
    abort.mutable_action()->set_who("ann");
    abort.mutable_action()->set_gid(gid);
    v1::OperatorReply reply;
    ASSERT_EQ(Text(stub_->Abort(Context().get(), abort, &reply)), "OK");
  }
};

TEST_F(ListTest, APageEndsBeforeItIsTooLargeAndTheNextGoesOn) {
  // 160 kB each, half of them finished; one is larger than a page.
  for (int i = 0; i < 40; ++i) {
    const std::string gid = "g" + std::to_string(i);
    SubmitLarge(gid, i == 20 ? 80 : 10);
    if (i % 2 == 0) Abort(gid);
  }
  std::map<std::string, int> seen;
  int pages = 0;
  v1::ListRequest request;
  request.set_all(true);
  request.set_page_size(limits::kMaxPageSizeCount);
  do {
    v1::ListReply page;
    ASSERT_EQ(Text(stub_->List(Context().get(), request, &page)), "OK");
    EXPECT_TRUE(page.ByteSizeLong() < limits::kMaxPageBytes + 64 || page.transactions_size() == 1)
        << page.ByteSizeLong();
    for (const v1::Transaction& row : page.transactions()) ++seen[row.gid()];
    request.set_page_token(page.next_page_token());
    ASSERT_LT(++pages, 41);
  } while (!request.page_token().empty());
  EXPECT_GE(pages, 7);
  EXPECT_EQ(seen.size(), 40U);
  for (const auto& [gid, times] : seen) EXPECT_EQ(times, 1) << gid;
}

}  // namespace
}  // namespace assent::test
