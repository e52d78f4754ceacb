#pragma once

// The door for participants that dial in: who may open a stream, for how long without a word, and
// the end of all of them.
//
// A stream that has not said Hello is nobody yet. There are few of those, in all, from one address
// and on one connection, none stays silent for long, and its first frame is small: what may be held
// for people we do not know is bounded. A Hello comes within milliseconds, so that the one that has
// been silent longest gives way to who comes: nobody who says nothing keeps others out.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <assent/thread_safety.h>

#include "coordinator/transport/carrier.h"
#include "coordinator/transport/switchboard.h"

namespace assent::transport {

struct SessionHubOptions {
  // Streams that have not said Hello: in all, from one address (a host; all of a Unix socket are
  // one), and on one connection (those of a Unix socket cannot be told apart).
  std::size_t max_silent_count = 256;
  std::size_t max_silent_per_address_count = 64;
  std::size_t max_silent_per_connection_count = 8;
  core::Millis hello_timeout{10'000};
  // A whole Hello: 1024 actions with the longest names are 140 KiB.
  std::size_t max_hello_bytes = std::size_t{256} << 10;
  // Questions whose answers have not been written: of one session, and of all. Beyond it no more is
  // read from who has some.
  std::size_t max_open_questions_count = 4096;
  std::size_t max_all_open_questions_count = 262'144;
};

class Session;

class SessionHub final : public StreamDoor {
 public:
  // `board` outlives the hub, and the hub every stream's Finish.
  SessionHub(SessionHubOptions options, Switchboard& board);
  ~SessionHub() override;

  std::shared_ptr<FrameSink> OnStream(FrameStream& stream, StreamPeer peer) override;

  // Recovery is done: who we are goes into every Welcome and command. Streams that come before are
  // told UNAVAILABLE.
  void Open(std::uint32_t coordinator_id, std::uint64_t epoch);
  // Of several coordinators that share a log: the version of what they see of each other, for every
  // Welcome from now on. 0: there is one.
  void SetClusterVersion(std::uint64_t version);
  // Ends every stream, with a word. Call before the server's Shutdown.
  void Close();
  // Ends streams that have been silent for too long; call about once a second.
  void Tick();
  std::size_t silent_count() const;

 private:
  friend class Session;
  struct Identity {
    bool open = false;
    std::uint32_t coordinator_id = 0;
    std::uint64_t epoch = 0;
    std::uint64_t cluster_version = 0;
  };
  struct Silent {
    core::MonoTime since;
    std::string address;
    std::string connection;  // the address: which one is not known
  };

  // For sessions.
  Identity identity() const;
  void NoLongerSilent(std::uint64_t stream);
  void Forget(std::uint64_t stream);
  void ForgetSilent(std::uint64_t stream) ASSENT_REQUIRES(mutex_);
  // The one that gives way to `silent`, no longer among the silent ones, and in `why` what to tell
  // it. Null: there is room.
  std::shared_ptr<Session> MakeRoomFor(const Silent& silent, std::string& why)
      ASSENT_REQUIRES(mutex_);
  // Counts questions, or answers; true: there are too many.
  bool CountQuestions(std::ptrdiff_t change);

  const SessionHubOptions options_;
  Switchboard& board_;

  mutable Mutex mutex_;
  Identity identity_ ASSENT_GUARDED_BY(mutex_);
  std::uint64_t next_stream_ ASSENT_GUARDED_BY(mutex_) = 1;
  // Those that have not ended; of them the silent ones, in the order of their coming; and these by
  // address, and by connection.
  std::map<std::uint64_t, std::shared_ptr<Session>> streams_ ASSENT_GUARDED_BY(mutex_);
  std::map<std::uint64_t, Silent> silent_ ASSENT_GUARDED_BY(mutex_);
  std::map<std::string, std::set<std::uint64_t>> silent_of_ ASSENT_GUARDED_BY(mutex_);
  std::size_t open_questions_ ASSENT_GUARDED_BY(mutex_) = 0;
};

}  // namespace assent::transport
