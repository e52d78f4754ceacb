// Who is let near the log, and what the others are told; and how the tables come about.

#include <atomic>
#include <csignal>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/log/postgresql/connection.h"
#include "coordinator/log/postgresql/schema.h"
#include "tests/support/postgresql.h"

namespace assent::log {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;
using test::PostgresServer;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class PostgresConnection : public testing::Test {
 protected:
  Status Refused(const std::string& url) {
    const auto connection = Connection::Open({.url = url});
    EXPECT_FALSE(connection.ok()) << url;
    return connection.status();
  }
  std::unique_ptr<Connection> Open() {
    auto connection = Connection::Open({.url = server_.Url(database_)});
    EXPECT_TRUE(connection.ok()) << connection.status().ToString();
    return *std::move(connection);
  }
  std::string Show(const std::string& setting) {
    const Answer answer = Open()->Run("SHOW " + setting);
    return answer.ok() ? answer.rows.Text(0, 0) : answer.message;
  }

  PostgresServer& server_ = PostgresServer::OfThisBinary();
  const std::string database_ = server_.NewDatabase();
};

TEST_F(PostgresConnection, ValuesGoThereAndComeBack) {
  auto connection = Open();
  const std::string bytes("\0\xFF'\\\n", 5);
  Column numbers;
  Column texts;
  Column blobs;
  for (const std::int64_t number : {INT64_MIN, std::int64_t{-1}, INT64_MAX}) {
    numbers.Add(number);
    texts.Add(std::string_view("\u00e9,{}\""));
    blobs.Add(bytes);
  }
  const Answer answer = connection->Query(
      "SELECT n, t, b, n::text, $4::bigint::smallint, $5::bytea, true, null::int"
      " FROM unnest($1::bigint[], $2::text[], $3::bytea[]) AS u(n, t, b)",
      Params().Ints(numbers).Texts(texts).Blobs(blobs).Int(std::int64_t{-7}).Bytes(bytes));
  ASSERT_TRUE(answer.ok()) << answer.message;
  ASSERT_EQ(answer.rows.size(), 3);
  EXPECT_EQ(answer.rows.Int(0, 0), INT64_MIN);
  EXPECT_EQ(answer.rows.Int(2, 0), INT64_MAX);
  EXPECT_EQ(answer.rows.Text(1, 1), "\u00e9,{}\"");
  EXPECT_EQ(answer.rows.Bytes(1, 2), bytes);
  EXPECT_EQ(answer.rows.Text(1, 3), "-1");
  EXPECT_EQ(answer.rows.Int(1, 4), -7);
  EXPECT_EQ(answer.rows.Bytes(1, 5), bytes);
  EXPECT_EQ(answer.rows.Int(1, 6), 1);
  EXPECT_TRUE(answer.rows.IsNull(1, 7));
  const Answer none =
      connection->Query("SELECT * FROM unnest($1::bigint[])", Params().Ints(Column()));
  EXPECT_EQ(none.rows.size(), 0) << none.message;
}

// A message larger than what the ways hold in either direction goes through.
TEST_F(PostgresConnection, AMessageIsAnsweredStatementByStatement) {
  auto connection = Open();
  connection->AddPrepare("echo", "SELECT $1::bytea");
  connection->AddPrepare("divide", "SELECT 1 / $1::bigint");
  for (const Answer& answer : connection->Exchange()) ASSERT_TRUE(answer.ok()) << answer.message;
  const std::string large(3'000'000, 'x');
  for (int i = 0; i < 5; ++i) connection->Add("echo", Params().Bytes(large));
  std::vector<Answer> answers = connection->Exchange();
  ASSERT_EQ(answers.size(), 5u);
  for (const Answer& answer : answers) EXPECT_EQ(answer.rows.Bytes(0, 0), large);
  connection->Add("divide", Params().Int(std::int64_t{1}));
  connection->Add("divide", Params().Int(std::int64_t{0}));
  connection->Add("echo", Params().Bytes("behind"));
  answers = connection->Exchange();
  ASSERT_EQ(answers.size(), 3u);
  EXPECT_EQ(answers[0].verdict, Verdict::kDone);
  EXPECT_EQ(answers[1].verdict, Verdict::kCondition);
  EXPECT_EQ(answers[2].verdict, Verdict::kSkipped);
  EXPECT_TRUE(connection->Run("SELECT 1").ok());
}

TEST_F(PostgresConnection, RowsCanBeTakenOneByOne) {
  auto connection = Open();
  int seen = 0;
  const auto count = [&seen](const Rows& rows) { return seen += rows.size(), true; };
  const std::string many = "SELECT n FROM generate_series(1, $1::bigint) AS n";
  EXPECT_TRUE(connection->QueryRows(many, Params().Int(std::int64_t{1000}), count).ok());
  EXPECT_EQ(seen, 1000);
  EXPECT_EQ(
      connection->QueryRows("SELECT 1 / (5 - n) FROM generate_series(1, 9) AS n", Params(), count)
          .verdict,
      Verdict::kCondition);
  // libpq went on row by row in a message that came next.
  EXPECT_TRUE(connection->QueryRows(many, Params().Int(std::int64_t{10}), count).ok());
  connection->AddPrepare("many", many.c_str());
  connection->Add("many", Params().Int(std::int64_t{10}));
  EXPECT_EQ(connection->Exchange().at(1).rows.size(), 10);
  const auto stop = [](const Rows&) { return false; };
  EXPECT_FALSE(connection->QueryRows(many, Params().Int(std::int64_t{1000}), stop).ok());
  EXPECT_TRUE(connection->broken());
}

TEST_F(PostgresConnection, WhatTheServerSaysComesDownToAVerdict) {
  auto connection = Open();
  server_.Sql(database_, "CREATE SCHEMA assent; CREATE TABLE assent.a (n int PRIMARY KEY)");
  EXPECT_TRUE(connection->Run("INSERT INTO a VALUES (1)").ok());
  EXPECT_EQ(connection->Run("INSERT INTO a VALUES (1)").verdict, Verdict::kDuplicate);
  EXPECT_EQ(connection->Run("SELECT 1/0").verdict, Verdict::kCondition);
  EXPECT_EQ(connection->Run("SELECT nothing").verdict, Verdict::kRefused);
  EXPECT_EQ(VerdictOf("40P01"), Verdict::kAgain);
  EXPECT_EQ(VerdictOf("53100"), Verdict::kNoSpace);
  EXPECT_EQ(VerdictOf("55P03"), Verdict::kLocked);
  for (const char* state : {"", "08006", "57P01", "57014", "40003", "25006", "XX001"})
    EXPECT_EQ(VerdictOf(state), Verdict::kUnknown) << state;
}

// It is how the server says that a commit is here, and perhaps nowhere else.
TEST_F(PostgresConnection, AWarningIsHeard) {
  auto connection = Open();
  std::string words;
  EXPECT_FALSE(connection->TakeWarning(words));
  EXPECT_TRUE(connection->Run("DO $$ BEGIN RAISE NOTICE 'by the way'; END $$").ok());
  EXPECT_FALSE(connection->TakeWarning(words));
  EXPECT_TRUE(connection->Run("DO $$ BEGIN RAISE WARNING 'look here'; END $$").ok());
  EXPECT_TRUE(connection->TakeWarning(words));
  EXPECT_THAT(words, HasSubstr("look here"));
  EXPECT_FALSE(connection->TakeWarning(words));
}

TEST_F(PostgresConnection, ALostSessionIsUnknownAndStaysSo) {
  auto connection = Open();
  server_.Sql(database_,
              "SELECT pg_terminate_backend(" + std::to_string(connection->backend_pid()) + ")");
  EXPECT_EQ(connection->Run("SELECT 1").verdict, Verdict::kUnknown);
  EXPECT_TRUE(connection->broken());
  EXPECT_EQ(connection->Run("SELECT 1").verdict, Verdict::kUnknown);
  connection->Add("whatever", Params());
  EXPECT_EQ(connection->Exchange().at(0).verdict, Verdict::kUnknown);
}

TEST_F(PostgresConnection, AWaitEndsWhenItIsToldTo) {
  std::atomic<bool> stop = false;
  auto connection = Connection::Open({.url = server_.Url(database_), .stop = &stop}).value();
  std::thread waits(
      [&] { EXPECT_EQ(connection->Run("SELECT pg_sleep(1000)").verdict, Verdict::kUnknown); });
  EXPECT_TRUE(test::WaitUntil(
      [&] {
        return server_.Sql(database_,
                           "SELECT count(*) FROM pg_stat_activity WHERE query LIKE "
                           "'SELECT pg_sleep(%' AND pid <> pg_backend_pid()") == "1";
      },
      30s));
  stop = true;
  waits.join();
  connection.reset();
  auto impatient = Connection::Open({.url = server_.Url(database_), .answer_within = 50ms}).value();
  EXPECT_EQ(impatient->Run("SELECT pg_sleep(1000)").verdict, Verdict::kUnknown);
}

// ---- Bad days -----------------------------------------------------------------------------------

TEST_F(PostgresConnection, AWrongPassword) {
  const std::string guest = "postgresql://guest:xyzzy@127.0.0.1:" + std::to_string(server_.port());
  const Status wrong = Refused(guest + "/" + database_);
  EXPECT_EQ(wrong.code(), Code::kPermissionDenied);
  EXPECT_THAT(wrong.message(), AllOf(HasSubstr("password authentication failed"),
                                     HasSubstr("PGPASSFILE"), Not(HasSubstr("xyzzy"))));
  const Status none = Refused(server_.Url(database_, "guest"));
  EXPECT_EQ(none.code(), Code::kPermissionDenied) << none.ToString();
  EXPECT_TRUE(Connection::HasPassword(guest));
  EXPECT_FALSE(Connection::HasPassword(server_.Url(database_)));
  EXPECT_EQ(Connection::Place(guest + "/books"),
            "127.0.0.1:" + std::to_string(server_.port()) + "/books");
}

TEST_F(PostgresConnection, NoSuchDatabase) {
  const Status status = Refused(server_.Url("nowhere"));
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("'nowhere' does not exist"), HasSubstr("createdb")));
}

// What hides a password was looked at again, and so for ever.
TEST_F(PostgresConnection, APasswordLikeWhatHidesIt) {
  const Status status =
      Refused("postgresql://assent:%2A@127.0.0.1:" + std::to_string(server_.port()) + "/%2A");
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("'***' does not exist"));
}

TEST_F(PostgresConnection, NobodyThere) {
  const Status status =
      Refused("postgresql://127.0.0.1:" + std::to_string(test::FreePort()) + "/books");
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("Connection refused"));
}

TEST_F(PostgresConnection, AnAddressThatIsNone) {
  for (const char* url : {"postgresql://u:secret@[::1/x", "host=a password=secret nonsense",
                          "postgresql://u:secret@h/d?nosuchword=1"}) {
    const Status status = Refused(url);
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << url;
    EXPECT_THAT(status.ToString(), Not(HasSubstr("secret")));
  }
}

TEST_F(PostgresConnection, AStandby) {
  PostgresServer standby({.primary = &server_});
  ASSERT_TRUE(standby.Start().ok());
  const Status status = Refused(standby.Url(database_));
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("takes no writes"), HasSubstr("name the primary")));
  // Of both, the one that takes writes.
  const auto both =
      Connection::Open({.url = "postgresql://assent@127.0.0.1:" + std::to_string(standby.port()) +
                               ",127.0.0.1:" + std::to_string(server_.port()) + "/" + database_});
  ASSERT_TRUE(both.ok()) << both.status().ToString();
  EXPECT_EQ((*both)->Run("SHOW port").rows.Text(0, 0), std::to_string(server_.port()));
}

TEST_F(PostgresConnection, ASettingThatLosesCommits) {
  EXPECT_EQ(Show("synchronous_commit"), "on");
  for (const char* setting : {"fsync", "full_page_writes"}) {
    ASSERT_TRUE(server_.Set(setting, "off").ok());
    EXPECT_TRUE(test::WaitUntil(
        [&] { return server_.Sql(database_, std::string("SHOW ") + setting) == "off"; }, 30s));
    const Status status = Refused(server_.Url(database_));
    EXPECT_EQ(status.code(), Code::kFailedPrecondition);
    EXPECT_THAT(status.message(), HasSubstr(std::string(setting) + " = off"));
    ASSERT_TRUE(server_.Set(setting, "on").ok());
    EXPECT_TRUE(test::WaitUntil(
        [&] { return server_.Sql(database_, std::string("SHOW ") + setting) == "on"; }, 30s));
  }
  // Which is ours to set, is set; and what is stronger stays.
  server_.Sql(database_, "ALTER ROLE assent SET synchronous_commit = off");
  EXPECT_EQ(Show("synchronous_commit"), "on");
  server_.Sql(database_, "ALTER ROLE assent SET synchronous_commit = remote_apply");
  EXPECT_EQ(Show("synchronous_commit"), "remote_apply");
  server_.Sql(database_, "ALTER ROLE assent RESET synchronous_commit");
}

// A pooler of the whole database, in front of it.
class Pooler {
 public:
  Pooler(const PostgresServer& server, const std::string& mode) : port_(test::FreePort()) {
    const std::string file = server.folder() + "/pooler-" + mode + ".ini";
    std::ofstream(file) << "[databases]\n* = host=127.0.0.1 port=" << server.port()
                        << " user=assent\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = "
                        << port_ << "\nunix_socket_dir =\nauth_type = any\npool_mode = " << mode
                        << "\n";
    std::vector<std::string> argv = {"setpriv", "--pdeathsig", "KILL"};
    if (geteuid() == 0) {
      for (const char* word : {"--reuid=postgres", "--regid=postgres", "--init-groups"})
        argv.emplace_back(word);
    }
    argv.insert(argv.end(), {"--", "/usr/sbin/pgbouncer", file});
    process_ = std::make_unique<test::Process>(
        test::ProcessOptions{.argv = argv, .directory = server.folder()});
    EXPECT_TRUE(process_->Start().ok());
    EXPECT_TRUE(process_->WaitForOutput("process up", 30s)) << process_->Output();
  }
  std::string Url(const std::string& database) const {
    return "postgresql://assent@127.0.0.1:" + std::to_string(port_) + "/" + database;
  }

 private:
  const std::uint16_t port_;
  std::unique_ptr<test::Process> process_;
};

TEST_F(PostgresConnection, APooler) {
  const Pooler transactions(server_, "transaction");
  const Status status = Refused(transactions.Url(database_));
  EXPECT_EQ(status.code(), Code::kFailedPrecondition) << status.ToString();
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("a pooler stands between"), HasSubstr("pool_mode = session")));
  const Pooler sessions(server_, "session");
  const auto connection = Connection::Open({.url = sessions.Url(database_)});
  EXPECT_TRUE(connection.ok()) << connection.status().ToString();
}

// ---- The tables ---------------------------------------------------------------------------------

TEST_F(PostgresConnection, TheFirstMakesTheTablesAndAllUseThem) {
  constexpr int kMembers = 8;
  std::vector<std::thread> members;
  std::vector<Result<LogRow>> rows(kMembers, Status(Code::kInternal, "not yet"));
  for (int i = 0; i < kMembers; ++i) {
    members.emplace_back([&, i] {
      auto connection = Connection::Open({.url = server_.Url(database_)});
      ASSERT_TRUE(connection.ok()) << connection.status().ToString();
      rows[static_cast<std::size_t>(i)] = OpenSchema(**connection, "assent");
    });
  }
  for (std::thread& member : members) member.join();
  for (const Result<LogRow>& row : rows) {
    ASSERT_TRUE(row.ok()) << row.status().ToString();
    EXPECT_EQ(row.value().log_id, rows[0].value().log_id);
    EXPECT_NE(row.value().log_id, 0u);
    EXPECT_EQ(row.value().slots_count, 1024);
    EXPECT_EQ(row.value().format, kPostgresFormat);
    EXPECT_EQ(row.value().starts, 0u);
    EXPECT_EQ(row.value().generation, 1u);
  }
  EXPECT_EQ(server_.Sql(database_, "SELECT count(*) FROM assent.slot WHERE owner = 0"), "1024");
  // As it was made, whatever is wanted now; another schema is another log.
  auto connection = Open();
  EXPECT_EQ(OpenSchema(*connection, "assent", {.slots_count = 16}).value().slots_count, 1024);
  auto other = Connection::Open({.url = server_.Url(database_), .schema = "other"}).value();
  const LogRow made = OpenSchema(*other, "other", {.slots_count = 16, .log_id = 77}).value();
  EXPECT_EQ(made.slots_count, 16);
  EXPECT_EQ(made.log_id, 77u);
}

// Within error="..." of a line of the log.
TEST_F(PostgresConnection, OneLineOfWhatLibpqSays) {
  EXPECT_EQ(Open()->Run("SELECT 1 FROM nowhere").message,
            "ERROR: relation 'nowhere' does not exist");
  EXPECT_EQ(OneLine("server closed the connection unexpectedly\n\tThis probably means the server "
                    "terminated abnormally\n\tbefore or while processing the request.\n"),
            "server closed the connection unexpectedly; This probably means the server terminated "
            "abnormally before or while processing the request.");
  EXPECT_EQ(OneLine("ERROR:  a \"b\"\nLINE 1: SELECT b\n               ^\nHINT:  c\n"),
            "ERROR: a 'b'; HINT: c");
  EXPECT_EQ(OneLine(""), "");
}

TEST_F(PostgresConnection, ANewerFormatIsNotTouched) {
  auto connection = Open();
  ASSERT_TRUE(OpenSchema(*connection, "assent").ok());
  server_.Sql(database_, "UPDATE assent.log SET format = 3");
  const Status status = OpenSchema(*connection, "assent").status();
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("has format 3, this program knows up to 2"));
}

// Whoever comes first takes it along; who wrote it may go on meanwhile.
TEST_F(PostgresConnection, AnOlderFormatBecomesOurs) {
  auto connection = Open();
  ASSERT_TRUE(OpenSchema(*connection, "assent", {.log_id = 77}).ok());
  server_.Sql(database_,
              "SET search_path = assent; DROP TABLE pin; DROP TABLE asked;"
              " UPDATE log SET format = 1, starts = 5");
  auto other = Open();
  ASSERT_TRUE(other->Run("BEGIN; UPDATE slot SET wanted = 0; SELECT 1 FROM member").ok());
  const Result<LogRow> row = OpenSchema(*connection, "assent");
  ASSERT_TRUE(row.ok()) << row.status().ToString();
  EXPECT_EQ(row.value().format, 2);
  EXPECT_EQ(row.value().log_id, 77u);
  EXPECT_EQ(row.value().starts, 5u);
  EXPECT_TRUE(other->Run("COMMIT").ok());
  EXPECT_EQ(server_.Sql(database_, "SELECT count(*) FROM assent.pin, assent.asked"), "0");
  std::vector<std::thread> members;
  server_.Sql(database_, "DROP TABLE assent.pin; UPDATE assent.log SET format = 1");
  for (int i = 0; i < 6; ++i) {
    members.emplace_back([this] {
      const Result<LogRow> seen = OpenSchema(*Open(), "assent");
      EXPECT_EQ(seen.ok() ? seen.value().format : 0, 2) << seen.status().ToString();
    });
  }
  for (std::thread& member : members) member.join();
}

TEST_F(PostgresConnection, NoRights) {
  ASSERT_TRUE(OpenSchema(*Open(), "assent").ok());
  const std::string url =
      "postgresql://guest:open%20sesame@127.0.0.1:" + std::to_string(server_.port()) + "/" +
      database_;
  auto connection = Connection::Open({.url = url});
  ASSERT_TRUE(connection.ok()) << connection.status().ToString();
  Status status = OpenSchema(**connection, "assent").status();
  EXPECT_EQ(status.code(), Code::kPermissionDenied);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("permission denied"), HasSubstr("GRANT")));
  auto other = Connection::Open({.url = url, .schema = "other"}).value();
  status = OpenSchema(*other, "other").status();
  EXPECT_EQ(status.code(), Code::kPermissionDenied) << status.ToString();
  server_.Sql(database_, "REVOKE CONNECT ON DATABASE " + database_ + " FROM public");
  status = Refused(url);
  EXPECT_EQ(status.code(), Code::kPermissionDenied);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("GRANT CONNECT"), Not(HasSubstr("sesame"))));
}

}  // namespace
}  // namespace assent::log
