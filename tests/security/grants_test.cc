#include "coordinator/security/grants.h"

#include <string>

#include <gtest/gtest.h>

#include "coordinator/security/rules.h"

namespace assent::security {
namespace {

class Granted {
 public:
  explicit Granted(const std::string& text) : rules_(Rules::Parse(text + "\n")) {}
  Grants of() const { return rules_->For("cn:x"); }

 private:
  const Result<Rules> rules_;
};

TEST(Grants, AnInitiatorHasItsServicesActionsAndGids) {
  const Granted rules("allow cn:x as initiator for payment, stock (reserve) with gids order-");
  const Grants x = rules.of();
  EXPECT_TRUE(x.MayBegin("order-1", "payment", "charge"));
  EXPECT_TRUE(x.MayBegin("order-1", "stock", "reserve"));
  EXPECT_FALSE(x.MayBegin("order-1", "stock", "steal"));
  EXPECT_FALSE(x.MayBegin("order-1", "mail", "send"));
  EXPECT_FALSE(x.MayBegin("other-1", "payment", "charge"));
  EXPECT_TRUE(x.MayBegin("order-1"));
  EXPECT_FALSE(x.MayBegin("other-1"));
  EXPECT_FALSE(x.sees_all());
  EXPECT_FALSE(x.MayServe("payment"));
}

// What one rule gives for one kind of gids another one does not widen.
TEST(Grants, TwoRulesAreNotMixed) {
  const Granted rules(
      "allow cn:x as initiator for payment with gids a-\n"
      "allow cn:x as initiator for stock with gids b-\n");
  const Grants x = rules.of();
  EXPECT_TRUE(x.MayBegin("a-1", "payment", "charge"));
  EXPECT_TRUE(x.MayBegin("b-1", "stock", "reserve"));
  EXPECT_FALSE(x.MayBegin("a-1", "stock", "reserve"));
  EXPECT_FALSE(x.MayBegin("b-1", "payment", "charge"));
}

TEST(Grants, AParticipantHasItsServicesAlone) {
  const Granted rules("allow cn:x as participant for payment");
  const Grants x = rules.of();
  EXPECT_TRUE(x.MayServe("payment"));
  EXPECT_FALSE(x.MayServe("payments"));
  EXPECT_FALSE(x.MayBegin("g", "payment", "charge"));
  EXPECT_FALSE(x.May(Permission::kFollow));
  EXPECT_FALSE(x.May(Permission::kLook));
}

TEST(Grants, PayloadsAreSeenByWhoHasThemInHisRule) {
  EXPECT_FALSE(Granted("allow cn:x as admin").of().sees_payloads());
  EXPECT_TRUE(Granted("allow cn:x as viewer with payloads").of().sees_payloads());
  EXPECT_FALSE(Granted("allow cn:x as initiator for *").of().sees_payloads());
}

TEST(Grants, AnInitiatorWhoIsAlsoAViewerSeesAll) {
  EXPECT_TRUE(Granted("allow cn:x as initiator for *\nallow cn:x as viewer").of().sees_all());
}

TEST(Grants, NobodyHasWhatNoRuleGives) {
  const Granted rules("allow cn:y as admin");
  const Grants x = rules.of();
  EXPECT_TRUE(x.empty());
  EXPECT_EQ(x.Roles(), "no role");
  for (std::size_t i = 0; i < kPermissionsCount; ++i)
    EXPECT_FALSE(x.May(static_cast<Permission>(i)));
}

}  // namespace
}  // namespace assent::security
