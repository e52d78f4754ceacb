#include "tests/contract/subject.h"

#include <csignal>
#include <utility>

namespace assent::contract {

Subject::Subject(std::string command, std::map<std::string, std::string> env,
                 std::string output_file)
    : command_(std::move(command)), env_(std::move(env)), output_file_(std::move(output_file)) {}

Subject::~Subject() { Kill(); }

Status Subject::Start() {
  if (!ours()) return FailedPrecondition("there is no --start");
  if (Running()) return OkStatus();
  KillGroup();
  ++starts_;
  env_["ASSENT_CONTRACT_START"] = std::to_string(starts_);
  process_ = std::make_unique<test::Process>(test::ProcessOptions{
      .argv = {"/bin/sh", "-c", command_}, .env = env_, .output_file = output_file_});
  Status status = process_->Start();
  if (status.ok()) group_ = process_->pid();
  return status;
}

bool Subject::Running() { return !ours() || (process_ != nullptr && process_->Running()); }

void Subject::KillGroup() {
  if (group_ > 0) kill(-group_, SIGKILL);
  group_ = -1;
}

void Subject::Kill() {
  KillGroup();
  if (process_ != nullptr) process_->Kill();
}

void Subject::Terminate() {
  if (group_ > 0) kill(-group_, SIGTERM);
}

std::optional<int> Subject::WaitForExit(std::chrono::milliseconds timeout) {
  return process_ == nullptr ? std::nullopt : process_->WaitForExit(timeout);
}

std::string Subject::Output() const { return process_ == nullptr ? "" : process_->Output(); }

}  // namespace assent::contract
