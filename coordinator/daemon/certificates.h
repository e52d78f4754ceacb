#pragma once

// The daemon's certificates, by its settings: what its listeners show, and what it dials others
// with.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <assent/status.h>

#include "coordinator/daemon/config.h"
#include "coordinator/post/poster.h"
#include "coordinator/tls/keeper.h"

namespace grpc {
class ChannelCredentials;
class ServerCredentials;
namespace experimental {
class CertificateVerifier;
}
}  // namespace grpc

namespace assent::daemon {

class Certificates {
 public:
  // Reads every file that the settings name. A failure names the setting, the file, and what is
  // wrong with it. `of_peers` looks at the certificates of other coordinators; nullptr: the name
  // that was dialled is enough.
  static Result<std::unique_ptr<Certificates>> Open(
      const Config& config,
      std::shared_ptr<grpc::experimental::CertificateVerifier> of_peers = nullptr);

  // nullptr: there is no TLS here.
  const tls::Keeper* keeper() const { return keeper_.get(); }
  // Of the gRPC listener, if there is TLS here. This outlives the server.
  std::shared_ptr<grpc::ServerCredentials> OfServer() const;
  // nullptr: they are dialled without TLS.
  const std::shared_ptr<grpc::ChannelCredentials>& OfPeers() const { return peers_; }
  const std::shared_ptr<grpc::ChannelCredentials>& OfParticipants() const { return participants_; }

  // nullptr: etcd is not dialled over TLS.
  const std::shared_ptr<grpc::ChannelCredentials>& OfEtcd() const { return etcd_; }

  // Of a receiver that is to be dialled over TLS; empty: there is none. What they return is the
  // newest, for as long as this lives.
  post::Dialling OfWebhook() const;
  post::Dialling OfTracing() const;
  // Likewise, of participants that --unary names as https://.
  post::Dialling OfHttpParticipants() const;
  // When the first CA of its file expires; none: it has no file.
  using Expiry = std::optional<std::chrono::system_clock::time_point>;
  Expiry WebhookCaExpires() const;
  Expiry TraceCaExpires() const;

  // Reads the files of the listeners and the receivers again: those that have changed, or all.
  // What is wrong is said in the log, and the old ones stay (false). From one thread.
  void Look();
  bool Reload();
  // Told when others are served from now on, or could not be read. On the thread of Look.
  void SetListener(std::function<void(const Status& read)> listener) {
    listener_ = std::move(listener);
  }

 private:
  Certificates() = default;
  bool ReloadServer();
  bool ReloadDial(tls::DialKeeper& keeper);
  bool TellOfFailure(const Status& failed) const;

  std::unique_ptr<tls::Keeper> keeper_;
  std::unique_ptr<tls::DialKeeper> webhook_;            // nullptr: it is not dialled over TLS
  std::unique_ptr<tls::DialKeeper> tracing_;            // likewise
  std::unique_ptr<tls::DialKeeper> http_participants_;  // likewise
  std::function<void(const Status& read)> listener_;
  std::shared_ptr<grpc::ChannelCredentials> peers_;
  std::shared_ptr<grpc::ChannelCredentials> participants_;
  std::shared_ptr<grpc::ChannelCredentials> etcd_;
};

// Whether the listener of gRPC has TLS: a Unix socket has none.
bool HasTls(const Config& config);
bool HttpHasTls(const Config& config);

}  // namespace assent::daemon
