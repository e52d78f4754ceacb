// The test kit's face, and what tests plan.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <assent/testkit.h>

#include "participant-sdk/cpp/testkit/testkit_impl.h"

namespace assent::testkit {
namespace {

const char* NameOf(CrashPoint point) {
  switch (point) {
    case CrashPoint::kAfterFirstForward: return "kAfterFirstForward";
    case CrashPoint::kBeforeDecision: return "kBeforeDecision";
    case CrashPoint::kAfterDecision: return "kAfterDecision";
    case CrashPoint::kAfterFirstFinish: return "kAfterFirstFinish";
  }
  return "?";
}

const char* NameOf(Loss loss) {
  switch (loss) {
    case Loss::kCommand: return "kCommand";
    case Loss::kReply: return "kReply";
    case Loss::kDuplicate: return "kDuplicate";
    case Loss::kLate: return "kLate";
  }
  return "?";
}

}  // namespace

Coordinator::Coordinator() : impl_(std::make_shared<Impl>()) {}
Coordinator::~Coordinator() {
  if (impl_->unreached_said || std::uncaught_exceptions() > 0) return;
  const std::vector<std::string> unreached = impl_->Unreached();
  for (const std::string& plan : unreached)
    std::fprintf(stderr, "assent test kit: %s\n", plan.c_str());
  if (!unreached.empty()) std::abort();
}

Coordinator& Coordinator::Serve(std::string service, Resource& resource) {
  impl_->Serve(std::move(service), resource);
  return *this;
}

Client Coordinator::client() { return Client(impl_); }
void Coordinator::LoseNext(Operation operation, Loss loss, std::string branch_id) {
  impl_->losses.push_back({operation, loss, std::move(branch_id)});
}
void Coordinator::CrashAt(CrashPoint point) { impl_->Plan(point); }
bool Coordinator::crashed() const { return impl_->crashed; }
void Coordinator::Restart() { impl_->Restart(); }
void Coordinator::Advance(std::chrono::milliseconds by) { impl_->Advance(by); }
void Coordinator::DeliverLate() { impl_->DeliverLate(); }
const std::vector<Event>& Coordinator::history() const { return impl_->history; }
const std::vector<std::string>& Coordinator::violations() const { return impl_->Said(); }

void Coordinator::Impl::Plan(CrashPoint point) {
  if (crash_at_)
    violations_.push_back(Unreached().front() + " before CrashAt(" + NameOf(point) +
                          ") replaced it");
  crash_at_ = point;
}

std::vector<std::string> Coordinator::Impl::Unreached() const {
  std::vector<std::string> sentences;
  if (crash_at_)
    sentences.push_back(std::string("CrashAt(") + NameOf(*crash_at_) + ") was never reached");
  for (const PlannedLoss& loss : losses) {
    sentences.push_back(
        std::string("LoseNext(") + OperationName(loss.operation) + ", " + NameOf(loss.loss) +
        ") was never reached" +
        (loss.branch_id.empty() ? "" : ": no such message of branch " + loss.branch_id));
  }
  return sentences;
}

const std::vector<std::string>& Coordinator::Impl::Said() {
  said_ = violations_;
  for (std::string& sentence : Unreached()) {
    unreached_said = true;
    said_.push_back(std::move(sentence));
  }
  return said_;
}

}  // namespace assent::testkit
