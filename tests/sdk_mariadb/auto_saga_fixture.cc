#include "tests/sdk_mariadb/auto_saga_fixture.h"

#include <stdexcept>
#include <string_view>

namespace assent::mariadb::test {
namespace {

constexpr std::string_view kTry = "try ";

Reply RunPayload(Db& db, const Call& call) {
  for (std::string_view sql = call.payload; !sql.empty();) {
    const std::size_t end = sql.find("; ");
    const std::string_view one = sql.substr(0, end);
    sql = end == std::string_view::npos ? std::string_view() : sql.substr(end + 2);
    if (one == "refuse") return Reply::Refused("no");
    if (one == "throw") throw std::runtime_error("thrown");
    if (one.starts_with(kTry)) {
      (void)db.TryExec(one.substr(kTry.size()));
    } else {
      db.Exec(one);
    }
  }
  return Reply::Done("ok");
}

}  // namespace

Options AutoSagaFixture::With(const std::string& setup, std::vector<std::string> undo_tables) {
  Options options = MakeOptions();
  options.setup = [setup](Db& db) {
    if (!setup.empty()) db.ExecScript(setup);
  };
  options.undo_tables = std::move(undo_tables);
  return options;
}

void AutoSagaFixture::OpenWith(Options options) {
  Open(std::move(options), [](Store& store) {
    store.AutoSaga("sql", &RunPayload);
    store.TwoPhase("sql", &RunPayload);
    store.Tcc("sql", {.try_ = &RunPayload, .confirm = &RunPayload, .cancel = &RunPayload});
    EXPECT_EQ(store.Registration(), OkStatus());
  });
}

void AutoSagaFixture::ExpectRefused(const std::string& sql, const std::string& why) {
  SCOPED_TRACE(sql);
  const Reply reply = Act("refused-" + std::to_string(++refused_), sql);
  EXPECT_EQ(reply, Reply::Refused(why)) << reply.reason;
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_undo WHERE gid LIKE 'refused-%'"), "0");
}

std::string AutoSagaFixture::WhyNot(const std::string& table) {
  Options options = MakeOptions();
  options.undo_tables = {table};
  const Status status = Store::Open(std::move(options)).status();
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  const std::string names = "Options::undo_tables names " + table + ", which ";
  const std::size_t at = status.message().find(names);
  return at == std::string::npos ? status.ToString() : status.message().substr(at + names.size());
}

std::string AutoSagaFixture::Rows(const std::string& columns, const std::string& table) {
  std::string fields;
  for (std::string_view rest = columns; !rest.empty();) {
    const std::size_t end = rest.find(", ");
    fields += (fields.empty() ? "" : ", ',', ") + ("IFNULL(" + std::string(rest.substr(0, end))) +
              ", 'NULL')";
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 2);
  }
  return Sql(
      "SELECT IFNULL(GROUP_CONCAT(one ORDER BY one SEPARATOR ' '), '') FROM (SELECT "
      "CONCAT('(', " +
      fields + ", ')') AS one FROM " + table + ") rows_of");
}

}  // namespace assent::mariadb::test
