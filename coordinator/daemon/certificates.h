#pragma once

// The daemon's certificates, by its settings: what its listeners show, and what it dials others
// with.

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <assent/status.h>

#include "coordinator/daemon/config.h"
#include "coordinator/tls/keeper.h"

namespace grpc {
class ChannelCredentials;
class ServerCredentials;
}  // namespace grpc

namespace assent::daemon {

class Certificates {
 public:
  // Reads every file that the settings name. A failure names the setting, the file, and what is
  // wrong with it.
  static Result<std::unique_ptr<Certificates>> Open(const Config& config);

  // nullptr: there is no TLS here.
  const tls::Keeper* keeper() const { return keeper_.get(); }
  // Of the gRPC listener, if there is TLS here. This outlives the server.
  std::shared_ptr<grpc::ServerCredentials> OfServer() const;
  // nullptr: they are dialled without TLS.
  const std::shared_ptr<grpc::ChannelCredentials>& OfPeers() const { return peers_; }
  const std::shared_ptr<grpc::ChannelCredentials>& OfParticipants() const { return participants_; }

  // Reads the files of the listeners again: when they have changed, or now. What is wrong is said
  // in the log, and the old ones stay. From one thread.
  void Look();
  void Reload();
  // Told when others are served from now on, or could not be read. On the thread of Look.
  void SetListener(std::function<void(const Status& read)> listener) {
    listener_ = std::move(listener);
  }

 private:
  Certificates() = default;

  std::unique_ptr<tls::Keeper> keeper_;
  std::function<void(const Status& read)> listener_;
  std::shared_ptr<grpc::ChannelCredentials> peers_;
  std::shared_ptr<grpc::ChannelCredentials> participants_;
};

// Whether the listener of gRPC has TLS: a Unix socket has none.
bool HasTls(const Config& config);
bool HttpHasTls(const Config& config);

}  // namespace assent::daemon
