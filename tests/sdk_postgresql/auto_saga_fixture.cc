#include "tests/sdk_postgresql/auto_saga_fixture.h"

#include <string_view>
#include <utility>

namespace assent::postgresql::test {
namespace {

constexpr std::string_view kTry = "try ";

Reply RunPayload(Db& db, const Call& call) {
  for (std::string_view sql = call.payload; !sql.empty();) {
    const std::size_t end = sql.find("; ");
    const std::string_view one = sql.substr(0, end);
    sql = end == std::string_view::npos ? std::string_view() : sql.substr(end + 2);
    if (one == "refuse") return Reply::Refused("no");
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
  options.setup = [setup](Db& db) { db.ExecScript(setup); };
  options.undo_tables = std::move(undo_tables);
  return options;
}

void AutoSagaFixture::OpenWith(Options options) {
  Open(std::move(options), [](Store& store) {
    store.AutoSaga("sql", &RunPayload);
    store.TwoPhase("sql", &RunPayload);
    EXPECT_EQ(store.Registration(), OkStatus());
  });
}

void AutoSagaFixture::ExpectRefused(const std::string& sql, const std::string& why) {
  SCOPED_TRACE(sql);
  const Reply reply = Act("refused-" + std::to_string(++refused_), sql);
  EXPECT_EQ(reply, Reply::Refused(why));
  EXPECT_EQ(Sql("SELECT count(*) FROM assent_undo WHERE gid LIKE 'refused-%'"), "0");
}

}  // namespace assent::postgresql::test
