// A statement that is known and returns no rows travels in text, with what was added before it:
// what it writes, and how it fails, is the same as in binary. TryExec always adds something.

#include <cstdint>
#include <limits>

#include "tests/sdk_mariadb/store_fixture.h"

namespace assent::mariadb::test {
namespace {

class TextTest : public StoreTest {
 protected:
  void OpenKept() {
    Options options = MakeOptions();
    options.setup = [](Db& db) {
      db.Exec(
          "CREATE TABLE kept(id int PRIMARY KEY, t text, b blob, n bigint, u bigint unsigned, f "
          "boolean, d double) CHARACTER SET utf8mb4");
    };
    Open(std::move(options), [](Store&) {});
  }
  // How often the server was told EXECUTE in text.
  std::int64_t InText() {
    return std::stoll(
        Sql("SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = "
            "'COM_EXECUTE_SQL'"));
  }
  // Writes the same row three times in one local transaction, and says how many rows differ.
  template <typename... Args>
  std::string Differing(std::int64_t in_text, const Args&... args) {
    const std::int64_t before = InText();
    const Status written = store().Local([&](Db& db) {
      for (int id = 1; id <= 3; ++id) {
        const auto changed =
            db.TryExec("INSERT INTO kept VALUES(?, ?, ?, ?, ?, ?, ?)", id, args...);
        EXPECT_EQ(changed.ok() ? *changed : -1, 1) << changed.status().ToString();
      }
      return OkStatus();
    });
    EXPECT_EQ(written, OkStatus());
    EXPECT_EQ(InText() - before, in_text);
    const std::string count = Sql(
        "SELECT count(DISTINCT CONCAT_WS('/', IFNULL(HEX(t), '-'), IFNULL(HEX(b), '-'), IFNULL(n, "
        "'-'), IFNULL(u, '-'), IFNULL(f, '-'), IFNULL(d, '-'))) FROM kept");
    return count + " of " + Sql("SELECT count(*) FROM kept");
  }
};

TEST_F(TextTest, WhatIsWrittenIsTheSame) {
  OpenKept();
  const std::string bytes("\x00\xff\x01 \\x'", 7);
  constexpr auto kLeast = std::numeric_limits<std::int64_t>::min();
  constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(Differing(2, "it's \\ \"ü🙂\"; COMMIT", Blob{bytes}, kLeast, kMost, true, nullptr),
            "1 of 3");
  EXPECT_EQ(Sql("SELECT CONCAT(t, n, u, f, HEX(b)) FROM kept WHERE id = 3"),
            "it's \\ \"ü🙂\"; COMMIT-9223372036854775808184467440737095516151"
            "00FF01205C7827");
  EXPECT_EQ(Sql("SELECT d FROM kept WHERE id = 3"), "");
}

// As the server takes one for the other: text that is a number, bytes that are one, numbers.
TEST_F(TextTest, WhatIsTakenForSomethingElseIsTakenForTheSame) {
  OpenKept();
  EXPECT_EQ(Differing(2, 17, "", "-42", Blob{"9"}, false, "0.5"), "1 of 3");
  EXPECT_EQ(Sql("SELECT CONCAT(t, ',', b, ',', n, ',', u, ',', f, ',', d) FROM kept WHERE id = 3"),
            "17,,-42,9,0,0.5");
}

// Fractions have a form of their own in binary, and great values are not written twice as long.
TEST_F(TextTest, WhatCannotBeTheSameGoesInBinary) {
  OpenKept();
  EXPECT_EQ(Differing(0, "", Blob{""}, 0, 0U, true, 0.1), "1 of 3");
  (void)Sql("DELETE FROM kept");
  EXPECT_EQ(Differing(0, "", Blob{std::string(20'000, 'x')}, 0, 0U, true, 1), "1 of 3");
}

TEST_F(TextTest, AFailureIsTheStatementsOwnAndTheNextWorks) {
  OpenKept();
  constexpr char kInsert[] = "INSERT INTO kept(id) VALUES(?)";
  const Status written = store().Local([&](Db& db) {
    for (const int id : {1, 2}) EXPECT_TRUE(db.TryExec(kInsert, id).ok());
    for (int again = 0; again < 2; ++again) {
      EXPECT_EQ(db.TryExec(kInsert, 2).status().code(), Code::kFailedPrecondition);
      EXPECT_EQ(db.TryExec(kInsert, "three").status().code(), Code::kInternal);
    }
    EXPECT_TRUE(db.TryExec(kInsert, 3).ok());
    return db.status();
  });
  EXPECT_EQ(written, OkStatus());
  EXPECT_EQ(Sql("SELECT GROUP_CONCAT(id ORDER BY id) FROM kept"), "1,2,3");
}

// Many that are known: each keeps the name that the server knows it by.
TEST_F(TextTest, StatementsAreNotTakenForEachOther) {
  OpenKept();
  const Status written = store().Local([&](Db& db) {
    EXPECT_TRUE(db.TryExec("INSERT INTO kept(id, n) VALUES(1, 0)").ok());
    for (int round = 0; round < 3; ++round) {
      for (int i = 1; i <= 10; ++i) {
        const std::string sql = "UPDATE kept SET n = ? + n + " + std::to_string(i);
        EXPECT_TRUE(db.TryExec(sql, 0).ok());
        // One that fails is forgotten, and its name given to another.
        EXPECT_FALSE(db.TryExec(sql, "no number").ok());
      }
    }
    return db.status();
  });
  EXPECT_EQ(written, OkStatus());
  EXPECT_EQ(Sql("SELECT n FROM kept"), "165");
}

}  // namespace
}  // namespace assent::mariadb::test
