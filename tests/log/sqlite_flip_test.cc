// Every byte of a small log is changed, one at a time: of the database, and of a WAL that a death
// has left. A start then refuses and says what it found, or reads just what was there: it never
// misreads, and never takes what is damaged for absent.
//
// One change cannot be told from a crash: in the last commit of a WAL it looks like a torn write,
// and exactly that commit is missing (coordinator/log/FORMAT.md, limits). The short form flips one
// bit of each byte, ASSENT_CRASH_LONG=1 each bit.

#include <cstdio>
#include <optional>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "coordinator/log/sqlite/sqlite_log.h"
#include "coordinator/log/sqlite/sqlite_store.h"
#include "tests/log/crash_settings.h"
#include "tests/log/crash_vfs.h"
#include "tests/log/crash_workload.h"
#include "tests/log/log_rig.h"

namespace assent::log {
namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kWalHeaderBytes = 32;
constexpr std::size_t kFrameHeaderBytes = 24;
constexpr std::size_t kFrameBytes = kFrameHeaderBytes + kPageBytes;

// All that a start can tell.
struct Content {
  std::vector<std::uint64_t> live;
  std::set<std::uint64_t> finished;
  std::uint32_t coordinator_id = 0;
  std::uint64_t next_serial = 0;
  std::vector<std::uint64_t> lives;  // before this one
  friend bool operator==(const Content&, const Content&) = default;
};

class FlipTest : public testing::Test {
 protected:
  SqliteOptions Options() {
    SqliteOptions options = CrashOptions(vfs_.name());
    options.retention_age = std::chrono::milliseconds(0);
    options.retention_bytes = 0;
    return options;
  }

  // Transactions in each state, in a few commits.
  static void Fill(LogClient& log, std::uint64_t first) {
    const auto gid = [first](std::uint64_t n) { return "gid-" + std::to_string(first + n); };
    const auto ok = [&log](std::vector<Entry> batch) {
      EXPECT_TRUE(log.Append(std::move(batch)).status.ok());
    };
    ok(Batch(Begin(first, gid(0)), Begin(first + 1, gid(1)), Begin(first + 2, gid(2))));
    ok(Batch(Update(first, 2, gid(0), "COMMIT"), End(first + 1, 2, gid(1), 1)));
    ok(Batch(Update(first, 3, gid(0), "one has committed"), Begin(first + 3, gid(3))));
  }

  // A log of two lives, in the database; and of a third, in the WAL, if `dies`. The last group has
  // two frames, or more if it is `large`.
  SimDisk Write(bool dies, bool large = false) {
    SimDisk disk;
    vfs_.Insert({});
    for (std::uint64_t life = 1; life <= (dies ? 3u : 2u); ++life) {
      auto opened = SqliteLog::Open(Options());
      EXPECT_TRUE(opened.ok()) << opened.status().ToString();
      LogClient log(*std::move(opened));
      EXPECT_TRUE(log.Recover().ok());
      Fill(log, 10 * life);
      if (large && life == 3) {
        const std::string text(5 * kPageBytes, 'x');
        EXPECT_TRUE(log.Append(Batch(Update(32, 2, "gid-32", text))).status.ok());
      }
      disk = vfs_.disk();
    }
    return dies ? disk : vfs_.disk();
  }

  Status Start(const std::string& database, const std::string& wal, Content& content) {
    SimDisk disk;
    disk.Put(Options().path + "-state", state_);
    disk.Put(Options().path, database);
    disk.Put(Options().path + "-wal", wal);
    vfs_.Insert(std::move(disk));
    // The part of the log that has no thread: tens of thousands of starts.
    const SqliteOptions options = Options();
    Result<std::unique_ptr<SqliteStore>> opened = SqliteStore::Open(options, Migrations());
    if (!opened.ok()) return opened.status();
    SqliteStore& store = **opened;
    content = Content();
    Result<Joined> joined = store.Join();
    if (!joined.ok()) return joined.status();
    const Status loaded = store.Load([&content](const LiveRow& row) {
      content.live.push_back(HashOf(row));
      return OkStatus();
    });
    if (!loaded.ok()) return loaded;
    const Result<std::vector<FinishedRow>> rows = store.Scan(0, 1000);
    if (!rows.ok()) return rows.status();
    for (const FinishedRow& row : rows.value()) content.finished.insert(HashOf(row));
    content.coordinator_id = joined.value().log_id;
    content.next_serial = joined.value().next_serial;
    content.lives = *joined.value().epochs;
    content.lives.pop_back();
    return OkStatus();
  }

  CrashVfs vfs_;
  Random random_{CrashSeed()};
  std::string state_;  // PATH-state
};

// The bits to try in one byte.
std::vector<int> Bits(Random& random) {
  if (CrashLong()) return {0, 1, 2, 3, 4, 5, 6, 7};
  return {static_cast<int>(random() % 8)};
}

TEST_F(FlipTest, EveryByteOfTheDatabase) {
  const SimDisk disk = Write(/*dies=*/false);
  state_ = disk.Content(Options().path + "-state");
  const std::string sound = disk.Content(Options().path);
  const std::string wal = disk.Content(Options().path + "-wal");
  ASSERT_EQ(wal, "");
  Content whole;
  ASSERT_TRUE(Start(sound, wal, whole).ok());
  ASSERT_EQ(whole.live.size(), 6u);
  ASSERT_EQ(whole.finished.size(), 2u);
  std::size_t refused = 0;
  std::size_t harmless = 0;
  for (std::size_t at = 0; at < sound.size(); ++at) {
    for (const int bit : Bits(random_)) {
      std::string damaged = sound;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      Content content;
      const Status status = Start(damaged, wal, content);
      if (status.ok()) {
        ++harmless;
        ASSERT_EQ(content, whole) << "misread: byte " << at << ", bit " << bit;
        continue;
      }
      ++refused;
      ASSERT_TRUE(status.code() == Code::kDataLoss || status.code() == Code::kFailedPrecondition ||
                  status.code() == Code::kUnimplemented)
          << "byte " << at << ", bit " << bit << ": " << status.ToString();
      ASSERT_NE(status.message().find(Options().path), std::string::npos) << status.ToString();
    }
  }
  std::printf("database of %zu bytes: %zu changes refused, %zu harmless\n", sound.size(), refused,
              harmless);
  EXPECT_GT(refused, 1000u);
}

TEST_F(FlipTest, EveryByteOfTheWal) {
  const SimDisk disk = Write(/*dies=*/true);
  state_ = disk.Content(Options().path + "-state");
  const std::string database = disk.Content(Options().path);
  const std::string sound = disk.Content(Options().path + "-wal");
  Content whole;
  ASSERT_TRUE(Start(database, sound, whole).ok());
  ASSERT_EQ(whole.live.size(), 9u);
  // Where the frames of the last commit begin: behind the mark of the one before.
  std::size_t last_commit = 0;
  const auto is_commit = [&sound](std::size_t frame) {
    return sound.compare(frame + 4, 4, std::string(4, '\0')) != 0;
  };
  for (std::size_t at = kWalHeaderBytes; at + kFrameBytes < sound.size(); at += kFrameBytes) {
    if (is_commit(at)) last_commit = at + kFrameBytes;
  }
  // The last commit was acknowledged, and PATH-state knows it. A power cut may have lost that note,
  // and then nothing can tell damage to that commit from a torn write.
  Content without_last;
  EXPECT_EQ(Start(database, sound.substr(0, last_commit), without_last).code(), Code::kDataLoss);
  const std::string noted = std::exchange(state_, state_.substr(0, 2 * 4096));
  ASSERT_TRUE(Start(database, sound.substr(0, last_commit), without_last).ok());
  state_ = noted;
  ASSERT_NE(whole, without_last);
  ASSERT_EQ(without_last.live.size(), 8u);

  std::size_t refused = 0;
  std::size_t harmless = 0;
  for (std::size_t at = 0; at < sound.size(); ++at) {
    for (const int bit : Bits(random_)) {
      std::string damaged = sound;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      Content content;
      const Status status = Start(database, damaged, content);
      if (status.ok()) {
        ++harmless;
        ASSERT_EQ(content, whole) << "misread: byte " << at << ", bit " << bit;
        continue;
      }
      ++refused;
      ASSERT_EQ(status.code(), Code::kDataLoss) << "byte " << at << ": " << status.ToString();
      ASSERT_NE(status.message().find("-wal"), std::string::npos) << status.ToString();
    }
  }
  std::printf(
      "WAL of %zu bytes, %zu of them the last commit's: %zu changes refused, %zu harmless\n",
      sound.size(), sound.size() - last_commit, refused, harmless);
  EXPECT_GT(refused, sound.size() * 9 / 10);
}

// A torn write of the last group, which nobody was told of: of its first frame, which is no commit,
// the sector with the mark is still as the generation before left it. That is no loss.
TEST_F(FlipTest, AMarkOfAnEarlierGenerationIsNoCommit) {
  const SimDisk disk = Write(/*dies=*/true, /*large=*/true);
  const std::string database = disk.Content(Options().path);
  const std::string sound = disk.Content(Options().path + "-wal");
  // The note is younger than the group, and was lost with it.
  state_ = disk.Content(Options().path + "-state").substr(0, 2 * 4096);
  std::size_t last_group = 0;
  const auto mark = [&sound](std::size_t frame) { return sound.substr(frame + 4, 4); };
  const std::string none(4, '\0');
  for (std::size_t at = kWalHeaderBytes; at + kFrameBytes < sound.size(); at += kFrameBytes) {
    if (mark(at) != none) last_group = at + kFrameBytes;
  }
  ASSERT_EQ(mark(last_group), none) << "the last group has one frame";
  Content without_last;
  ASSERT_TRUE(Start(database, sound.substr(0, last_group), without_last).ok());
  for (const char size : {'\x05', '\x10', '\x7f'}) {
    std::string torn = sound;
    torn[last_group + 7] = size;
    Content content;
    const Status status = Start(database, torn, content);
    ASSERT_TRUE(status.ok()) << status.ToString();
    EXPECT_EQ(content, without_last);
  }
  // Nor is it one in a frame behind the first that does not fit.
  const std::size_t behind = last_group + kFrameBytes;
  ASSERT_LT(behind + kFrameBytes, sound.size());
  ASSERT_EQ(mark(behind), none) << "the last group has no more frames";
  for (const char size : {'\x05', '\x10', '\x7f'}) {
    std::string torn = sound;
    torn[last_group + kFrameHeaderBytes + 100] ^= 1;
    torn[behind + 7] = size;
    Content content;
    const Status status = Start(database, torn, content);
    ASSERT_TRUE(status.ok()) << status.ToString();
    EXPECT_EQ(content, without_last);
  }
  // A damaged mark of the commit itself is one commit more than a torn write leaves behind it.
  std::string damaged = sound;
  const std::size_t commit = last_group - kFrameBytes;
  ASSERT_NE(mark(commit), none);
  damaged.replace(commit + 4, 4, none);
  Content content;
  EXPECT_EQ(Start(database, damaged, content).code(), Code::kDataLoss);
}

// Whatever becomes of PATH-state: the log is read as it is, or the start refuses.
TEST_F(FlipTest, EveryByteOfTheState) {
  for (const bool dies : {false, true}) {
    const SimDisk disk = Write(dies);
    const std::string sound = disk.Content(Options().path + "-state");
    const std::string database = disk.Content(Options().path);
    const std::string wal = disk.Content(Options().path + "-wal");
    state_ = sound;
    Content whole;
    ASSERT_TRUE(Start(database, wal, whole).ok());
    std::size_t refused = 0;
    for (std::size_t at = 0; at < sound.size(); ++at) {
      if (sound[at] == '\n' && at % 64 != 0) continue;
      state_ = sound;
      state_[at] = static_cast<char>(state_[at] ^ (1 << (random_() % 8)));
      Content content;
      const Status status = Start(database, wal, content);
      if (status.ok()) {
        ASSERT_EQ(content, whole) << "byte " << at;
      } else {
        ++refused;
        ASSERT_EQ(status.code(), Code::kDataLoss) << "byte " << at << ": " << status.ToString();
      }
    }
    EXPECT_EQ(refused, 0u) << "one damaged block takes none of the others along";
    // All of it: of a life that ended in order the database says so.
    state_.assign(sound.size(), 'x');
    Content content;
    EXPECT_EQ(Start(database, wal, content).ok(), !dies);
  }
}

}  // namespace
}  // namespace assent::log
