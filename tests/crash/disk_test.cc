// The real daemon on bad disks: a failing fsync, a full file system, damaged bytes, and a second
// daemon on the same folder.

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/mount.h>

#include <assent/client.h>
#include <assent/participant.h>

#include "coordinator/log/sqlite/sqlite_log.h"
#include "tests/log/forged_row.h"
#include "tests/support/process.h"

namespace assent::crash {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::Process;

constexpr int kExitDamaged = 65;
constexpr int kExitDataFolder = 73;
constexpr int kExitAddressInUse = 69;
constexpr int kExitLogFailed = 74;

class Disk : public ::testing::Test {
 protected:
  std::vector<std::string> Daemon(std::vector<std::string> more = {}) {
    std::vector<std::string> argv{test::BinDir() + "/assentd",
                                  "--http-listen",
                                  "none",
                                  "--listen",
                                  endpoint_,
                                  "--data",
                                  data_,
                                  "--drain-seconds",
                                  "0"};
    argv.insert(argv.end(), more.begin(), more.end());
    return argv;
  }
  static void WaitListening(Process& daemon) {
    ASSERT_TRUE(daemon.WaitForOutput("listening", seconds(30))) << daemon.Output();
  }

  // A participant that says yes to everything, in this process.
  std::unique_ptr<Participant> Yes() {
    ParticipantOptions options;
    options.service = "yes";
    options.endpoints = {endpoint_};
    options.reconnect_max_backoff = milliseconds(50);
    auto yes = std::make_unique<Participant>(std::move(options));
    const Handler done = [](const Call&) { return Reply::Done(); };
    yes->Tcc("act", {.try_ = done, .confirm = done, .cancel = done});
    EXPECT_TRUE(yes->Start().ok());
    EXPECT_TRUE(yes->WaitConnected(seconds(20)).ok());
    return yes;
  }
  static Transaction Order(std::string payload = {}) {
    Transaction txn;
    txn.Tcc("yes", "act", std::move(payload)).Deadline(seconds(20));
    return txn;
  }
  Client MakeClient() const {
    return Client({.endpoint = endpoint_, .retry = {.give_up_after = milliseconds(200)}});
  }

  // A row that the log takes and that is no transaction; nobody has the folder open.
  void WriteGarbage(const std::string& gid, bool finished) {
    log::SqliteOptions options;
    options.path = data_ + "/assent.db";
    auto log = log::SqliteLog::Open(options);
    ASSERT_TRUE(log.ok()) << log.status().ToString();
    const auto recovered = log::Recover(**log, [](const log::LiveRow&) { return OkStatus(); });
    ASSERT_TRUE(recovered.ok()) << recovered.status().ToString();
    log::Entry entry;
    entry.kind = log::EntryKind::kBegin;
    entry.serial = recovered->next_serial;
    entry.version = 1;
    entry.gid = gid;
    entry.spec = entry.state = "garbage";
    std::vector<log::Entry> entries{entry};
    if (finished) {
      entry.kind = log::EntryKind::kEnd;
      entry.version = 2;
      entries.push_back(entry);
    }
    std::promise<log::AppendResult> appended;
    (*log)->Append(entries, [&](log::AppendResult result) { appended.set_value(result); });
    ASSERT_TRUE(appended.get_future().get().status.ok());
  }

  test::TempDir dir_;
  std::string data_ = dir_ / "data";
  std::string endpoint_ = "127.0.0.1:" + std::to_string(test::FreePort());
};

TEST_F(Disk, ASecondDaemonOnTheSameFolderIsToldSo) {
  Process first({.argv = Daemon()});
  ASSERT_TRUE(first.Start().ok());
  WaitListening(first);
  const test::Finished second =
      test::RunToEnd({.argv = {test::BinDir() + "/assentd", "--http-listen", "none", "--listen",
                               "127.0.0.1:0", "--data", data_}},
                     seconds(20));
  EXPECT_EQ(second.exit_code, kExitDataFolder) << second.output;
  EXPECT_NE(second.output.find(data_ + "/assent.db"), std::string::npos) << second.output;
  EXPECT_NE(second.output.find("in use"), std::string::npos) << second.output;
  const Client client = MakeClient();
  EXPECT_EQ(client.Get("nobody").status().code(), Code::kNotFound) << "the first one was disturbed";
}

TEST_F(Disk, APortInUseNamesTheFlag) {
  Process first({.argv = Daemon()});
  ASSERT_TRUE(first.Start().ok());
  WaitListening(first);
  const test::Finished second =
      test::RunToEnd({.argv = {test::BinDir() + "/assentd", "--http-listen", "none", "--listen",
                               endpoint_, "--data", dir_ / "other"}},
                     seconds(20));
  EXPECT_EQ(second.exit_code, kExitAddressInUse) << second.output;
  EXPECT_NE(second.output.find("--listen"), std::string::npos) << second.output;
}

// A flipped bit in any row of an unfinished transaction: the daemon does not start, and names the
// row.
TEST_F(Disk, AFlippedByteStopsTheDaemonAndNamesTheRow) {
  const std::string mark = "find-me-in-the-file-0123456789";
  {
    Process daemon({.argv = Daemon()});
    ASSERT_TRUE(daemon.Start().ok());
    WaitListening(daemon);
    Transaction txn;
    txn.Tcc("absent", "act", mark).Deadline(seconds(600));
    ASSERT_TRUE(MakeClient().Submit(txn, {.wait = WaitFor::kAccepted}).ok());
    ASSERT_EQ(daemon.Stop(), 0) << daemon.Output();
  }
  const std::string file = data_ + "/assent.db";
  std::string bytes;
  {
    std::ifstream in(file, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  const std::size_t at = bytes.find(mark);
  ASSERT_NE(at, std::string::npos) << "the payload is not in the file";
  {
    std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
    out.seekp(static_cast<std::streamoff>(at));
    out.put('F');
  }
  const test::Finished damaged = test::RunToEnd({.argv = Daemon()}, seconds(20));
  EXPECT_EQ(damaged.exit_code, kExitDamaged) << damaged.output;
  EXPECT_NE(damaged.output.find("live"), std::string::npos) << damaged.output;
  EXPECT_NE(damaged.output.find("1"), std::string::npos) << damaged.output;
}

// Its checksums are right, and it is no transaction: it stopped the daemon at every start (issue 8,
// point 4). Named, asked for, counted; and everybody else is served.
TEST_F(Disk, ARowThatMakesNoSenseIsSetAsideAndTheRestRuns) {
  std::filesystem::create_directories(data_);
  WriteGarbage("order-11", /*finished=*/false);
  for (int start = 1; start <= 2; ++start) {
    Process daemon({.argv = Daemon()});
    ASSERT_TRUE(daemon.Start().ok());
    WaitListening(daemon);
    EXPECT_TRUE(daemon.WaitForOutput("order-11 (table live, row 1) is set aside", seconds(10)))
        << daemon.Output();
    auto participant = Yes();
    const Client client = MakeClient();
    const auto report = client.Submit(Order(), {.timeout = seconds(20)});
    ASSERT_TRUE(report.ok()) << report.status().ToString();
    EXPECT_TRUE(report->committed());
    const Status asked = client.Get("order-11").status();
    EXPECT_EQ(asked.code(), Code::kDataLoss) << asked.ToString();
    EXPECT_NE(asked.message().find("row 1"), std::string::npos) << asked.ToString();
    const test::Finished stats = test::RunToEnd(
        {.argv = {test::BinDir() + "/assentctl", "--endpoint", endpoint_, "stats"}}, seconds(20));
    EXPECT_NE(stats.output.find("set aside"), std::string::npos) << stats.output;
    participant->Stop();
    EXPECT_EQ(daemon.Stop(), 0) << daemon.Output();
  }
}

// Two rows have one serial: the daemon ended with 73 at every start, as soon as the unfinished one
// did.
TEST_F(Disk, ARowWhoseSerialIsTakenIsSetAsideAndTheRestRuns) {
  const Transaction held = Order();
  {
    Process daemon({.argv = Daemon()});
    ASSERT_TRUE(daemon.Start().ok());
    WaitListening(daemon);
    ASSERT_TRUE(MakeClient().Submit(held, {.wait = WaitFor::kAccepted}).ok());
    ASSERT_EQ(daemon.Stop(), 0) << daemon.Output();
  }
  WriteGarbage("order-12", /*finished=*/true);
  log::GiveFinishedTheSerialOfLive(data_ + "/assent.db");
  for (int start = 1; start <= 2; ++start) {
    Process daemon({.argv = Daemon()});
    ASSERT_TRUE(daemon.Start().ok());
    WaitListening(daemon);
    auto participant = Yes();
    EXPECT_TRUE(daemon.WaitForOutput("a finished one has this serial", seconds(30)))
        << daemon.Output();
    const auto report = MakeClient().Submit(Order(), {.timeout = seconds(20)});
    ASSERT_TRUE(report.ok()) << report.status().ToString();
    EXPECT_TRUE(report->committed());
    EXPECT_EQ(MakeClient().Get(held.gid()).status().code(), Code::kDataLoss);
    participant->Stop();
    EXPECT_EQ(daemon.Stop(), 0) << daemon.Output();
  }
}

// Nobody needs it but the next start, which was refused.
TEST_F(Disk, AStateFileThatIsDeletedUnderTheDaemonIsWrittenAnew) {
  {
    Process daemon({.argv = Daemon()});
    ASSERT_TRUE(daemon.Start().ok());
    WaitListening(daemon);
    std::filesystem::remove(data_ + "/assent.db-state");
    EXPECT_TRUE(daemon.WaitForOutput("event=log_state_renewed", seconds(20))) << daemon.Output();
    daemon.Kill();
  }
  Process again({.argv = Daemon()});
  ASSERT_TRUE(again.Start().ok());
  WaitListening(again);
  EXPECT_EQ(again.Stop(), 0) << again.Output();
}

// A restart loop under the documented unit: 73 is restarted, 65 is not (issue 8, point 22).
TEST_F(Disk, ANewerFormatEndsWithTheCodeThatIsNotRestarted) {
  {
    Process daemon({.argv = Daemon()});
    ASSERT_TRUE(daemon.Start().ok());
    WaitListening(daemon);
    ASSERT_EQ(daemon.Stop(), 0) << daemon.Output();
  }
  std::fstream file(data_ + "/assent.db", std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(60);  // user_version, big-endian
  file.write("\0\0\0\x63", 4);
  file.close();
  const test::Finished newer = test::RunToEnd({.argv = Daemon()}, seconds(20));
  EXPECT_EQ(newer.exit_code, kExitDamaged) << newer.output;
  EXPECT_NE(newer.output.find("format 99"), std::string::npos) << newer.output;
}

// The daemon started without a word: what it had told COMMITTED was not found (issue 8, point 3).
TEST_F(Disk, AWalThatIsLostAfterAKillStopsTheStartAndIsNamed) {
  std::string gid;
  {
    Process daemon({.argv = Daemon()});
    ASSERT_TRUE(daemon.Start().ok());
    WaitListening(daemon);
    auto participant = Yes();
    const Client client = MakeClient();
    for (int i = 0; i < 20; ++i) {
      const Transaction txn = Order();
      ASSERT_TRUE(client.Submit(txn, {.timeout = seconds(20)}).ok());
      gid = txn.gid();
    }
    daemon.Kill();
    participant->Stop();
  }
  const std::string wal = data_ + "/assent.db-wal";
  const std::string kept = dir_ / "kept";
  const auto again_and_all =
      std::filesystem::copy_options::overwrite_existing | std::filesystem::copy_options::recursive;
  std::filesystem::copy(data_, kept);
  const auto size = std::filesystem::file_size(wal);
  ASSERT_GT(size, 4096U) << "the log has come to rest before it was killed";
  for (const std::string how : {"missing", "empty", "header", "half", "frame", "byte"}) {
    SCOPED_TRACE(how);
    std::filesystem::copy(kept, data_, again_and_all);
    if (how == "missing") std::filesystem::remove(wal);
    if (how == "empty") std::filesystem::resize_file(wal, 0);
    if (how == "header") std::filesystem::resize_file(wal, 32);
    if (how == "half") std::filesystem::resize_file(wal, size / 2);
    if (how == "frame") std::filesystem::resize_file(wal, size - 4120);
    if (how == "byte") std::filesystem::resize_file(wal, size - 1);
    const test::Finished refused = test::RunToEnd({.argv = Daemon()}, seconds(20));
    EXPECT_EQ(refused.exit_code, kExitDamaged) << refused.output;
    EXPECT_NE(refused.output.find(wal), std::string::npos) << refused.output;
  }
  std::filesystem::copy(kept, data_, again_and_all);
  Process again({.argv = Daemon()});
  ASSERT_TRUE(again.Start().ok());
  WaitListening(again);
  const auto found = MakeClient().Get(gid);
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_EQ(found->outcome, Outcome::kCommitted);
  EXPECT_EQ(again.Stop(), 0);
}

// Beside what is left of a log an empty database is not a new one.
TEST_F(Disk, AnEmptyDatabaseBesideItsOtherFilesIsNotANewLog) {
  {
    Process daemon({.argv = Daemon()});
    ASSERT_TRUE(daemon.Start().ok());
    WaitListening(daemon);
    ASSERT_EQ(daemon.Stop(), 0) << daemon.Output();
  }
  std::filesystem::resize_file(data_ + "/assent.db", 0);
  for (const char* more : {"", "-state"}) {  // one after the other goes; the reserve is left
    if (*more != '\0') std::filesystem::remove(data_ + "/assent.db" + more);
    const test::Finished refused = test::RunToEnd({.argv = Daemon()}, seconds(20));
    EXPECT_EQ(refused.exit_code, kExitDamaged) << refused.output;
    EXPECT_NE(refused.output.find("assent.db: the database is missing or empty"), std::string::npos)
        << refused.output;
  }
}

// Device and inode stay the same: only the size tells. Nobody may hear of anything that is
// committed after it.
TEST_F(Disk, AFileThatIsShortenedUnderTheDaemonStopsIt) {
  for (const std::string file : {"assent.db", "assent.db-wal"}) {
    SCOPED_TRACE(file);
    data_ = dir_ / ("data-" + file);
    Process daemon({.argv = Daemon()});
    ASSERT_TRUE(daemon.Start().ok());
    WaitListening(daemon);
    auto participant = Yes();
    const Client client = MakeClient();
    ASSERT_TRUE(test::WaitUntil(
        [&] {
          EXPECT_TRUE(client.Submit(Order(), {.timeout = seconds(20)}).ok());
          return std::filesystem::file_size(data_ + "/" + file) > 0;
        },
        seconds(20)));
    std::filesystem::resize_file(data_ + "/" + file, 0);
    const auto report = client.Submit(Order(), {.timeout = milliseconds(1000)});
    EXPECT_FALSE(report.ok());
    EXPECT_EQ(daemon.WaitForExit(seconds(10)), kExitDamaged) << daemon.Output();
    EXPECT_NE(daemon.Output().find("shortened while in use"), std::string::npos) << daemon.Output();
    participant->Stop();
  }
}

// fdatasync fails at the n-th call of the running daemon, for several n. Then: exit code 74;
// whoever was told something was told the truth, which the next start shows.
TEST_F(Disk, AFailingFsyncStopsTheDaemonAndNobodyIsToldALie) {
  for (const int nth : {22, 28, 40, 90}) {
    data_ = dir_ / ("data-" + std::to_string(nth));
    std::vector<std::string> argv{
        "strace",
        "-f",
        "-qq",
        "-o",
        dir_ / "strace.log",
        "-e",
        "trace=fdatasync,fsync",
        "-e",
        "inject=fdatasync,fsync:error=EIO:when=" + std::to_string(nth) + "+"};
    for (const std::string& word : Daemon()) argv.push_back(word);
    Process daemon({.argv = argv});
    ASSERT_TRUE(daemon.Start().ok());
    WaitListening(daemon);
    auto participant = Yes();
    const Client client = MakeClient();
    std::vector<std::pair<std::string, Outcome>> told;
    std::vector<std::string> not_told;
    while (daemon.Running()) {
      const Transaction txn = Order();
      const auto report = client.Submit(txn, {.timeout = milliseconds(1000)});
      if (report.ok()) {
        told.emplace_back(txn.gid(), report->outcome);
      } else {
        not_told.push_back(txn.gid());
        EXPECT_TRUE(report.status().code() == Code::kUnknownOutcome ||
                    report.status().code() == Code::kUnavailable)
            << report.status().ToString();
      }
    }
    EXPECT_EQ(daemon.WaitForExit(seconds(10)), kExitLogFailed) << daemon.Output();
    EXPECT_NE(daemon.Output().find("event=log_failed"), std::string::npos) << daemon.Output();
    EXPECT_FALSE(not_told.empty());

    Process again({.argv = Daemon()});
    ASSERT_TRUE(again.Start().ok());
    WaitListening(again);
    const Client later({.endpoint = endpoint_});
    for (const auto& [gid, outcome] : told) {
      const auto truth = later.Wait(gid, {.timeout = seconds(20)});
      ASSERT_TRUE(truth.ok()) << gid << ": " << truth.status().ToString();
      EXPECT_EQ(truth->outcome, outcome) << gid;
    }
    participant->Stop();
    EXPECT_EQ(again.Stop(), 0);
  }
}

// The limit on the size of files (ulimit -f, LimitFSIZE=) ended the daemon without a word.
TEST_F(Disk, AFileThatMayNotGrowIsAnIoError) {
  std::vector<std::string> argv{"/bin/sh", "-c", "ulimit -f 600; exec \"$0\" \"$@\""};
  for (const std::string& word : Daemon({"--reserve-mib", "0"})) argv.push_back(word);
  Process daemon({.argv = argv});
  ASSERT_TRUE(daemon.Start().ok());
  WaitListening(daemon);
  const Client client = MakeClient();
  while (daemon.Running()) {
    (void)client.Submit(Order(std::string(100'000, 'p')),
                        {.wait = WaitFor::kAccepted, .timeout = milliseconds(1000)});
  }
  EXPECT_EQ(daemon.WaitForExit(seconds(10)), kExitLogFailed) << daemon.Output();
  EXPECT_NE(daemon.Output().find("event=log_failed"), std::string::npos) << daemon.Output();
  Process again({.argv = Daemon()});
  ASSERT_TRUE(again.Start().ok());
  WaitListening(again);
  EXPECT_EQ(again.Stop(), 0);
}

// A full file system: what is new is refused, what has begun ends, and when there is space again
// all goes on.
TEST_F(Disk, AFullDiskRefusesNewWorkAndRecoversByItself) {
  std::filesystem::create_directories(data_);
  if (mount("tmpfs", data_.c_str(), "tmpfs", 0, "size=24m") != 0)
    GTEST_SKIP() << "cannot mount a small file system here (needs root)";
  struct Unmount {
    std::string path;
    ~Unmount() { (void)umount2(path.c_str(), MNT_DETACH); }
  } unmount{data_};
  Process daemon({.argv = Daemon({"--reserve-mib", "8"})});
  ASSERT_TRUE(daemon.Start().ok());
  WaitListening(daemon);
  const Client client = MakeClient();

  // Begun while there is room, and held up by an absent participant.
  Transaction begun;
  begun.Tcc("yes", "act").Deadline(seconds(120));
  ASSERT_TRUE(client.Submit(begun, {.wait = WaitFor::kAccepted}).ok());

  // Somebody else fills the disk.
  const std::string ballast = data_ + "/ballast";
  const auto fill = [&] {
    std::ofstream out(ballast, std::ios::binary | std::ios::app);
    const std::string block(4096, 'x');
    while (out.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) continue;
  };
  Status refused;
  for (int i = 0; i < 4000 && refused.ok(); ++i) {
    fill();  // not after the refusal: the reserve, given up by then, is for the daemon
    refused = client
                  .Submit(Order(std::string(8000, 'p')),
                          {.wait = WaitFor::kAccepted, .timeout = seconds(5)})
                  .status();
  }
  // The client does not take the code for the word of assentd alone: a library says it too. It
  // names it.
  EXPECT_EQ(refused.code(), Code::kUnknownOutcome) << refused.ToString();
  EXPECT_NE(refused.message().find("RESOURCE_EXHAUSTED"), std::string::npos) << refused.message();
  EXPECT_NE(refused.message().find("disk"), std::string::npos) << refused.message();

  // What has begun ends on the reserve.
  auto participant = Yes();
  const auto ended = client.Wait(begun.gid(), {.wait = WaitFor::kDecided, .timeout = seconds(20)});
  ASSERT_TRUE(ended.ok()) << ended.status().ToString();
  EXPECT_TRUE(ended->committed());

  std::filesystem::remove(ballast);
  const bool recovered = test::WaitUntil(
      [&] { return client.Submit(Order(), {.timeout = seconds(2)}).ok(); }, seconds(20));
  EXPECT_TRUE(recovered) << "space is back, and new work is still refused:\n" << daemon.Output();
  EXPECT_TRUE(test::WaitUntil(
      [&] { return daemon.Output().find("event=disk_has_space") != std::string::npos; },
      seconds(60)));
  const std::size_t told = daemon.Output().find("event=disk_full path=" + data_ + "/assent.db");
  EXPECT_NE(told, std::string::npos) << daemon.Output();
  EXPECT_EQ(daemon.Output().find("event=disk_full", told + 1), std::string::npos) << "told twice";
  participant->Stop();
  EXPECT_EQ(daemon.Stop(), 0) << daemon.Output();
}

}  // namespace
}  // namespace assent::crash
