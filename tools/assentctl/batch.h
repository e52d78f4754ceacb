#pragma once

// One deed for all transactions that match a filter: they are listed, counted and shown, then it
// asks, and acts on exactly those that were counted, many at a time.

#include <functional>
#include <string>
#include <vector>

#include "tools/assentctl/session.h"

namespace assent::ctl {

// A transaction, or one branch of it.
struct Target {
  std::string gid;
  std::string branch_id{};
};

struct Batch {
  std::string verb;  // "abort"
  v1::ListRequest which;
  Intent intent;
  // What is to be done to one that was listed; nothing: it is none of its business.
  std::function<std::vector<Target>(const v1::Transaction&)> choose;
  std::function<OperatorRequest(const Target&, const v1::OperatorAction&)> request;
  // Asked once all have been counted. What was passed over; what the deed means, for whoever is
  // asked, or does it unasked.
  std::function<std::string()> left_out;
  std::function<std::string()> meaning;
  // What a reason has to say; empty: there need not be one.
  std::string wanted_reason{};
};

// 0: done to all, or they had ended by themselves; 7: not to all.
Exit RunBatch(const Batch& batch, Session& session);

}  // namespace assent::ctl
