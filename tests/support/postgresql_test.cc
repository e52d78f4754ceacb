// The server that other tests rest on: starts, is alone in its databases, dies and comes back, has
// a standby that takes over.

#include "tests/support/postgresql.h"

#include <gtest/gtest.h>

namespace assent::test {
namespace {

using std::chrono_literals::operator""s;

TEST(PostgresServer, EachDatabaseIsAlone) {
  PostgresServer& server = PostgresServer::OfThisBinary();
  const std::string first = server.NewDatabase();
  const std::string second = server.NewDatabase();
  EXPECT_NE(first, second);
  server.Sql(first, "CREATE TABLE a (n int); INSERT INTO a VALUES (7)");
  EXPECT_EQ(server.Sql(first, "SELECT n FROM a"), "7");
  EXPECT_FALSE(server.TrySql(second, "SELECT n FROM a").ok());
  EXPECT_EQ(server.Sql(first, "SHOW fsync"), "on");
}

TEST(PostgresServer, ComesBackAfterKillWithWhatWasCommitted) {
  PostgresServer& server = PostgresServer::OfThisBinary();
  const std::string database = server.NewDatabase();
  server.Sql(database, "CREATE TABLE a (n int); INSERT INTO a VALUES (7)");
  for (int i = 0; i < 2; ++i) {
    server.Kill();
    EXPECT_FALSE(server.TrySql(database, "SELECT n FROM a").ok());
    const Status started = server.Start();
    ASSERT_TRUE(started.ok()) << started.ToString();
    EXPECT_EQ(server.Sql(database, "SELECT n FROM a"), "7");
  }
}

TEST(PostgresServer, AStandbyIsPromoted) {
  PostgresServer& server = PostgresServer::OfThisBinary();
  const std::string database = server.NewDatabase();
  server.Sql(database, "CREATE TABLE a (n int); INSERT INTO a VALUES (7)");
  PostgresServer standby({.primary = &server});
  const Status started = standby.Start();
  ASSERT_TRUE(started.ok()) << started.ToString();
  EXPECT_FALSE(standby.TrySql(database, "INSERT INTO a VALUES (8)").ok());
  server.Sql(database, "INSERT INTO a VALUES (9)");
  EXPECT_TRUE(
      WaitUntil([&] { return standby.Sql(database, "SELECT count(*) FROM a") == "2"; }, 30s));
  const Status promoted = standby.Promote();
  ASSERT_TRUE(promoted.ok()) << promoted.ToString();
  EXPECT_TRUE(standby.TrySql(database, "INSERT INTO a VALUES (8)").ok());
}

TEST(PostgresServer, AGuestNeedsAPassword) {
  PostgresServer& server = PostgresServer::OfThisBinary();
  EXPECT_EQ(server.Sql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'guest'"), "1");
}

}  // namespace
}  // namespace assent::test
