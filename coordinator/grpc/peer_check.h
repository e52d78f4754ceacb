#pragma once

// Whether who answers at another coordinator's address is one, by its certificate and the rules
// that are in force: asked in the handshake, before anything is sent. Host and CA alone would let
// any service of the same CA and host pose as a coordinator, and be handed calls and payloads.

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <grpcpp/security/tls_certificate_verifier.h>

#include "coordinator/security/guard.h"

namespace assent::door {

// The same stranger is told of again after so long.
inline constexpr std::chrono::minutes kStrangerToldAgain{1};

class PeerCheck {
 public:
  // `host` is what was dialled, without its port. `name` is empty: it is nobody that a rule could
  // name. From any thread; must be quick.
  using OnStranger = std::function<void(const std::string& host, const std::string& name)>;

  // The guard outlives this. Without rules everybody passes whose certificate has the host's name.
  PeerCheck(security::Guard& guard, OnStranger on_stranger);
  // From then on nobody passes: handshakes go on for a moment when their channel is gone.
  ~PeerCheck();
  PeerCheck(const PeerCheck&) = delete;
  PeerCheck& operator=(const PeerCheck&) = delete;

  // For the credentials of channels to other coordinators, which may outlive this. Takes what has
  // the name that was dialled, and the role coordinator; rules that are read again count for the
  // next handshake.
  std::shared_ptr<grpc::experimental::CertificateVerifier> Verifier() const;

 private:
  struct State;
  class Verifies;
  const std::shared_ptr<State> state_;
};

}  // namespace assent::door
