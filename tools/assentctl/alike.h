#pragma once

// What somebody who misspelt the name of a service may have meant: names of services that are
// there, or are dialled. Pure.

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "assent/v1/transaction.pb.h"

namespace assent::ctl {

inline constexpr std::size_t kMostAlikeCount = 3;
// Services of which nobody is there, and that are compared with those that are.
inline constexpr std::size_t kMostComparedCount = 50;

// Those of `names` that differ from `name` in two characters, or in one if it has fewer than five:
// one too many, one missing, another one, two turned round. Case is no difference. Nearest first.
std::vector<std::string> NamesLike(const std::string& name, const std::vector<std::string>& names);

// By service that has no instance: "like: payment". Without those that are like none.
using Alikes = std::map<std::string, std::string>;
Alikes AlikesOf(const v1::ListParticipantsReply& participants);

// The words for a service, or none.
std::string AlikeTo(const Alikes& alikes, const std::string& service);

}  // namespace assent::ctl
