// The demo is only as good as its look at the books. Here each thing that could be wrong with them
// is, and must be said.

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "examples/order/driver/books.h"
#include "examples/order/order.h"

namespace demo {
namespace {

using shop::Order;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Order kOrder{.id = "one", .customer = "Ada", .article = "lamp", .quantity = 2, .coins = 60};

Books Opening() {
  Books books;
  books.stock = {{"lamp", {100, 0, 0}}, {"violin", {1, 0, 0}}};
  books.accounts = {{"Ada", {5000, 0, 0}}, {"Bob", {20, 0, 0}}};
  books.held = {{"inventory.db: assent_prepared", 0}, {"inventory.db: assent_lock", 0}};
  return books;
}

Books AfterOrder() {
  Books books = Opening();
  books.stock["lamp"] = {98, 0, 2};
  books.accounts["Ada"] = {4940, 0, 60};
  books.orders["one"] = {"confirmed", "lamp", 2};
  books.bills["one"] = {"confirmed", "Ada", 60};
  books.reservations["one"] = {"sold", "lamp", 2};
  books.payments["one"] = {"paid", "Ada", 60};
  return books;
}

// Undone by TCC or Saga: rows remain, and say so.
Books AfterAbort() {
  Books books = Opening();
  books.orders["one"] = {"cancelled", "lamp", 2};
  books.bills["one"] = {"cancelled", "Ada", 60};
  books.reservations["one"] = {"released", "lamp", 2};
  return books;
}

TEST(CheckOrder, AcceptsExactlyTheOrder) {
  EXPECT_THAT(CheckOrder(Opening(), AfterOrder(), kOrder, true), IsEmpty());
}

TEST(CheckOrder, AcceptsExactlyNothing) {
  EXPECT_THAT(CheckOrder(Opening(), Opening(), kOrder, false), IsEmpty());
  EXPECT_THAT(CheckOrder(Opening(), AfterAbort(), kOrder, false), IsEmpty());
}

TEST(CheckOrder, SeesTheOtherOutcome) {
  EXPECT_THAT(CheckOrder(Opening(), AfterOrder(), kOrder, false),
              Contains(HasSubstr("should be absent or cancelled")));
  EXPECT_THAT(CheckOrder(Opening(), Opening(), kOrder, true),
              Contains(HasSubstr("the payment of one should be paid")));
}

TEST(CheckAll, AcceptsBooksThatBalance) {
  EXPECT_THAT(CheckAll(Opening(), AfterOrder(), {kOrder}), IsEmpty());
  EXPECT_THAT(CheckAll(Opening(), AfterAbort(), {}), IsEmpty());
}

struct Wrong {
  const char* name;
  void (*make)(Books& books);  // of AfterOrder()
  const char* said_of_order;   // a part of what CheckOrder says; null: nothing to say
  const char* said_of_all;     // and CheckAll
};

class WrongBooks : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongBooks, AreSeen) {
  Books books = AfterOrder();
  GetParam().make(books);
  EXPECT_THAT(CheckOrder(Opening(), books, kOrder, true),
              Contains(HasSubstr(GetParam().said_of_order)));
  if (GetParam().said_of_all != nullptr) {
    EXPECT_THAT(CheckAll(Opening(), books, {kOrder}), Contains(HasSubstr(GetParam().said_of_all)));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Each, WrongBooks,
    ::testing::Values(
        Wrong{"SoldTwice",
              [](Books& b) {
                b.stock["lamp"] = {96, 0, 4};
              },
              "stock of lamp should be 98 available + 0 frozen + 2 sold",
              "4 gone, but its orders say 2"},
        Wrong{"LostGoods",
              [](Books& b) {
                b.stock["lamp"] = {97, 0, 2};
              },
              "stock of lamp should", "in the beginning it was 100"},
        Wrong{"FrozenAtRest",
              [](Books& b) {
                b.stock["lamp"] = {96, 2, 2};
              },
              "stock of lamp should", "2 frozen at rest"},
        Wrong{"OtherArticle",
              [](Books& b) {
                b.stock["violin"] = {0, 0, 1};
              },
              "stock of violin should", "1 gone, but its orders say 0"},
        Wrong{"ArticleGone", [](Books& b) { b.stock.erase("violin"); }, "rows have come or gone",
              nullptr},
        Wrong{"ChargedTwice",
              [](Books& b) {
                b.accounts["Ada"] = {4880, 0, 120};
              },
              "account of Ada should", "120 gone, but its orders say 60"},
        Wrong{"ChargedAnother",
              [](Books& b) {
                b.accounts["Ada"] = {5000, 0, 0};
                b.accounts["Bob"] = {-40, 0, 60};
              },
              "account of Bob should", "account of Bob: 60 gone"},
        Wrong{"OrderMissing",
              [](Books& b) {
                b.orders.erase("one");
                b.bills.erase("one");
              },
              "the order of one should be confirmed", "1 orders were told to be committed"},
        Wrong{"OrderPending", [](Books& b) { b.orders["one"].status = "pending"; }, "is pending",
              "there are pending orders"},
        Wrong{"PaymentMissing", [](Books& b) { b.payments.erase("one"); },
              "the payment of one should be paid", "confirmed orders and payments"},
        Wrong{"PaymentOfOtherAmount", [](Books& b) { b.payments["one"].amount = 61; },
              "the payment of one should be paid for 60", "payments and the coins"},
        Wrong{"ReservationMissing", [](Books& b) { b.reservations.erase("one"); },
              "the reservation of one should be sold", "confirmed orders and sold reservations"},
        Wrong{"ReservationOfOtherAmount", [](Books& b) { b.reservations["one"].amount = 3; },
              "the reservation of one should be sold for 2", "reservations and the goods"},
        Wrong{"AnotherOrderTouched",
              [](Books& b) {
                b.payments["two"] = {"paid", "Ada", 60};
              },
              "the payment of another order than one has changed", "confirmed orders and payments"},
        Wrong{"PreparedAtRest", [](Books& b) { b.held["inventory.db: assent_prepared"] = 1; },
              "assent_prepared should be empty, holds 1", "holds 1"},
        Wrong{"LockedAtRest", [](Books& b) { b.held["inventory.db: assent_lock"] = 3; },
              "assent_lock should be empty, holds 3", "holds 3"}),
    [](const auto& test) { return test.param.name; });

TEST(CheckAll, SeesAnOrderThatNobodyWasToldOf) {
  EXPECT_THAT(CheckAll(Opening(), AfterOrder(), {}),
              Contains(HasSubstr("0 orders were told to be committed, 1 are confirmed")));
}

TEST(ReadBooks, SaysWhichDatabaseIsMissing) {
  const assent::Result<Books> books = ReadBooks("/nonexistent");
  ASSERT_FALSE(books.ok());
  EXPECT_THAT(books.status().message(), HasSubstr("/nonexistent/order.db"));
}

}  // namespace
}  // namespace demo
