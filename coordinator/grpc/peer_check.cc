#include "coordinator/grpc/peer_check.h"

#include <utility>

#include <assent/thread_safety.h>

#include "coordinator/base/clock.h"
#include "coordinator/tls/material.h"

namespace assent::door {

namespace lib = grpc::experimental;

struct PeerCheck::State {
  State(security::Guard& asked, OnStranger told) : on_stranger(std::move(told)), guard(&asked) {}

  grpc::Status Look(const std::string& host, const tls::Names& names) ASSENT_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    if (guard == nullptr) return {grpc::StatusCode::UNAVAILABLE, "this coordinator is stopping"};
    if (!guard->enforces()) return grpc::Status::OK;
    const auto visitor = guard->Admit(
        {.uris = names.uris, .dns_names = names.dns_names, .common_name = names.common_name},
        base::UnixNowMs());
    if (visitor.ok() && CheckCall(*visitor, security::Permission::kHandOn).ok())
      return grpc::Status::OK;
    const std::string name =
        visitor.ok() && visitor->name != nullptr ? *visitor->name : std::string();
    Tell(host, name);
    return {grpc::StatusCode::PERMISSION_DENIED,
            (name.empty() ? "whoever answers there is nobody that a rule could name"
                          : name + ", which answers there, has not the role coordinator")};
  }

  void Tell(const std::string& host, const std::string& name) ASSENT_REQUIRES(mutex) {
    const auto now = std::chrono::steady_clock::now();
    if (host == told_host && name == told_name && now < told_until) return;
    told_host = host;
    told_name = name;
    told_until = now + kStrangerToldAgain;
    if (on_stranger) on_stranger(host, name);
  }

  const OnStranger on_stranger;
  Mutex mutex;
  security::Guard* guard ASSENT_GUARDED_BY(mutex);  // nullptr: it may be gone
  std::string told_host ASSENT_GUARDED_BY(mutex);
  std::string told_name ASSENT_GUARDED_BY(mutex);
  std::chrono::steady_clock::time_point told_until ASSENT_GUARDED_BY(mutex);
};

class PeerCheck::Verifies final : public lib::ExternalCertificateVerifier {
 public:
  explicit Verifies(std::shared_ptr<State> state) : state_(std::move(state)) {}

  bool Verify(lib::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* status) override {
    *status = grpc::Status::OK;
    // It is done at once.
    if (!host_name_.Verify(request, {}, status)) {
      *status = {grpc::StatusCode::INTERNAL, "the host's name was not looked at"};
      return true;
    }
    if (!status->ok()) return true;
    const grpc::string_ref pem = request->peer_cert();
    const grpc::string_ref host = request->target_name();
    *status = state_->Look({host.data(), host.size()},
                           tls::NamesOf(std::string_view(pem.data(), pem.size())));
    return true;
  }
  void Cancel(lib::TlsCustomVerificationCheckRequest*) override {}

 private:
  const std::shared_ptr<State> state_;
  lib::HostNameCertificateVerifier host_name_;
};

PeerCheck::PeerCheck(security::Guard& guard, OnStranger on_stranger)
    : state_(std::make_shared<State>(guard, std::move(on_stranger))) {}

PeerCheck::~PeerCheck() {
  const MutexLock lock(state_->mutex);
  state_->guard = nullptr;
}

std::shared_ptr<lib::CertificateVerifier> PeerCheck::Verifier() const {
  return lib::ExternalCertificateVerifier::Create<Verifies>(state_);
}

}  // namespace assent::door
