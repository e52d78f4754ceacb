#include "coordinator/daemon/visitor_log.h"

#include <chrono>
#include <cstdint>
#include <string_view>

#include <spdlog/spdlog.h>

#include <assent/text.h>

#include "coordinator/core/spec.h"

namespace assent::daemon {
namespace {

// Of what nobody has checked.
constexpr std::size_t kMaxUncheckedBytes = 128;

// What somebody else wrote, as a value of the log: nothing in it ends the value or the line.
std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = Utf8Length(text.substr(i));
    const bool plain = length != 0 && text[i] != '"' && text[i] != '\\' &&
                       !IsUnseen(CodePoint(text.substr(i), length));
    quoted += plain ? text.substr(i, length) : "?";
    i += length == 0 ? 1 : length;
  }
  return quoted + '"';
}

std::string Shown(const transport::Visitor& v) {
  return "service=" + v.service + (v.unary ? " dialled" : " session") + "=" + v.address +
         " instance=" + Quoted(v.instance) + (v.agent.empty() ? "" : " agent=" + Quoted(v.agent));
}

// A name that is none is shown in quotes, and not all of it.
std::string Unchecked(const transport::Visitor& v) {
  std::string shown;
  if (core::CheckServiceName(v.service, "service").ok()) {
    shown += "service=" + v.service + " ";
  } else if (!v.service.empty()) {
    shown += "service=" + Quoted(OneLine(v.service, kMaxUncheckedBytes)) + " ";
  }
  shown += "address=" + v.address;
  if (!v.instance.empty()) shown += " instance=" + Quoted(OneLine(v.instance, kMaxUncheckedBytes));
  return shown;
}

void SayLeftOut(std::uint64_t lines) {
  if (lines > 0) spdlog::warn("event=session_refused more={}", lines);
}

}  // namespace

void VisitorLog::OnCame(const transport::Visitor& visitor) {
  spdlog::info("event=participant_came {}", Shown(visitor));
}

void VisitorLog::OnLeft(const transport::Visitor& visitor, const std::string& why) {
  spdlog::info("event=participant_left {} why={}", Shown(visitor), Quoted(why));
}

void VisitorLog::OnUnreachable(const transport::Visitor& visitor, const std::string& why) {
  spdlog::warn("event=participant_unreachable {} why={}", Shown(visitor), Quoted(why));
}

void VisitorLog::OnRefused(const transport::Visitor& visitor, const std::string& why) {
  std::uint64_t left_out = 0;
  if (!refusals_.Admit(std::chrono::steady_clock::now(), left_out)) return;
  SayLeftOut(left_out);
  spdlog::warn("event=session_refused {} why={}", Unchecked(visitor), Quoted(why));
}

void VisitorLog::Tick() { SayLeftOut(refusals_.TakeLeftOut()); }

}  // namespace assent::daemon
