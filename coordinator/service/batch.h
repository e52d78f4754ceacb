#pragma once

// One deed for all unfinished transactions that match a filter: counted, or done to each of them as
// if it had been asked for alone.

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>

#include <assent/status.h>

#include "assent/v1/batch.pb.h"
#include "assent/v1/transaction.pb.h"
#include "coordinator/service/list.h"

namespace assent::service {

inline constexpr std::size_t kMaxBatchesCount = 4;  // that are asked of one coordinator at a time
inline constexpr std::size_t kMaxBatchInFlightCount = 64;  // deeds of one, at one coordinator
inline constexpr std::size_t kMaxBatchSampleCount = 5;
inline constexpr std::size_t kMaxBatchFailuresCount = 20;
inline constexpr std::chrono::milliseconds kDefaultBatchTime{20'000};
inline constexpr std::chrono::milliseconds kMaxBatchTime{3'600'000};

// Does it to one transaction; `done` is called once, from any thread, perhaps from here.
using OneDone = std::function<void(const Status&, bool had_ended)>;
using ActOnOne = std::function<void(const std::string& gid, OneDone done)>;

// What is asked makes sense, but for who asks.
Status CheckBatch(const v1::BatchRequest& request);

// Walks the shards in slices, and acts on what each has found before it looks for more; all other
// coordinators are asked to do the same with theirs. With a slice, a part of what this one has.
// `abandoned` is asked now and then: whoever left stops it. `done` is called once, from another
// thread.
void RunBatch(const ListScope& scope, const v1::BatchRequest& request, ActOnOne act,
              std::function<bool()> abandoned,
              std::function<void(const Status&, v1::BatchReply)> done);

}  // namespace assent::service
