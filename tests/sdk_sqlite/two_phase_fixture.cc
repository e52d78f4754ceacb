#include "tests/sdk_sqlite/two_phase_fixture.h"

namespace assent::sqlite::test {
namespace {

// Runs statements separated by "; "; false when the last one is `refuse`.
bool RunStatements(Db& db, std::string_view sql) {
  while (!sql.empty()) {
    const std::size_t end = sql.find("; ");
    const std::string_view one = sql.substr(0, end);
    sql = end == std::string_view::npos ? std::string_view() : sql.substr(end + 2);
    if (one == "refuse") return false;
    db.Exec(one);
  }
  return true;
}

}  // namespace

Reply RunPayload(Db& db, const Call& call) {
  return RunStatements(db, call.payload) ? Reply::Done("ok") : Reply::Refused("no");
}

void TwoPhaseFixture::RegisterSql(Store& store) {
  const DbHandler nothing = [](Db&, const Call&) { return Reply::Done(); };
  store.TwoPhase("sql", &RunPayload);
  store.Tcc("sql", {.try_ = &RunPayload, .confirm = nothing, .cancel = nothing});
  store.AutoSaga("sql", &RunPayload);
}

Call TwoPhaseFixture::PrepareCall(const std::string& gid, const std::string& sql,
                                  const Extra& extra) const {
  const Branch branch{gid, extra.branch_id, Protocol::kTwoPhase, "sql", sql};
  Call call = branch.To(Operation::kPrepare);
  call.one_phase = extra.one_phase;
  return call;
}

Reply TwoPhaseFixture::Prepare(const std::string& gid, const std::string& sql, const Extra& extra) {
  return Ask(store(), PrepareCall(gid, sql, extra));
}

Reply TwoPhaseFixture::Commit(const std::string& gid, const std::string& branch_id) {
  return Ask(store(),
             Branch{gid, branch_id, Protocol::kTwoPhase, "sql", {}}.To(Operation::kCommit));
}

Reply TwoPhaseFixture::Rollback(const std::string& gid, const std::string& branch_id) {
  return Ask(store(),
             Branch{gid, branch_id, Protocol::kTwoPhase, "sql", {}}.To(Operation::kRollback));
}

Reply TwoPhaseFixture::Try(const std::string& gid, const std::string& sql) {
  return Ask(store(), Branch{gid, "b1", Protocol::kTcc, "sql", sql}.To(Operation::kTry));
}

Reply TwoPhaseFixture::Act(const std::string& gid, const std::string& sql) {
  return Ask(store(), Branch{gid, "b1", Protocol::kSaga, "sql", sql}.To(Operation::kAction));
}

Reply TwoPhaseFixture::Compensate(const std::string& gid) {
  return Ask(store(), Branch{gid, "b1", Protocol::kSaga, "sql", {}}.To(Operation::kCompensate));
}

Status TwoPhaseFixture::Local(const std::string& sql, std::chrono::milliseconds wait) {
  return store().Local(
      [&](Db& db) {
        RunStatements(db, sql);
        return OkStatus();
      },
      wait);
}

}  // namespace assent::sqlite::test
