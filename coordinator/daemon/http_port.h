#pragma once

// The HTTP port of the daemon: open before the log is, so that who asks how far the start has come
// is told, and serving when everything else does.

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <assent/status.h>

#include "coordinator/daemon/config.h"
#include "coordinator/daemon/listener.h"
#include "coordinator/engine/engine.h"
#include "coordinator/http/desk.h"
#include "coordinator/http/door.h"
#include "coordinator/log/log.h"
#include "coordinator/log/sealed/sealed_store.h"
#include "coordinator/service/service.h"
#include "coordinator/service/way.h"
#include "coordinator/tracing/otlp/exporter.h"
#include "coordinator/transport/switchboard.h"
#include "coordinator/webhook/sender.h"

namespace assent::daemon {

class Certificates;

// So many of the files that this process may open.
std::size_t HttpConnections(const Config& config);

class HttpPort {
 public:
  // What it serves from. Everything outlives Close; the log is closed behind it.
  struct Behind {
    service::Service& service;
    log::Log& log;
    bool shared = false;  // others have a part of the log
    const transport::Switchboard& board;
    const webhook::Sender* webhook = nullptr;    // there is none
    const tracing::Exporter* tracing = nullptr;  // likewise
    const log::SealReport* sealed = nullptr;     // likewise
    std::chrono::microseconds recovered_in{};
  };

  // nullptr: there is to be none. The certificates and the guard outlive it.
  static Result<std::unique_ptr<HttpPort>> Open(const Config& config,
                                                const Certificates& certificates,
                                                security::Guard& guard);
  HttpPort(const Config& config, const Certificates& certificates,
           std::unique_ptr<Listener> listener, security::Guard& guard);
  HttpPort(const HttpPort&) = delete;
  HttpPort& operator=(const HttpPort&) = delete;

  // It recovers. The engine outlives Close.
  void Recovering(const engine::Engine& engine) { engine_ = &engine; }
  void Serve(const Behind& behind, std::unique_ptr<service::Way> way);
  void Draining() { draining_ = true; }
  // Whoever waits is told; nothing is asked of anybody any more. What others still hold of it is
  // released when they are: after that it may be destroyed.
  void Close() { door_.Close(); }

  // What /metrics says. Any thread.
  std::string Metrics() const;
  const std::string& address() const { return listener_->address(); }
  // Of its pages, without a path.
  std::string url() const { return (tls_ ? "https://" : "http://") + address(); }

 private:
  std::vector<http::Check> Look() const;

  const std::unique_ptr<Listener> listener_;
  const Certificates& certificates_;
  security::Guard& guard_;
  const bool tls_;
  std::atomic<const engine::Engine*> engine_ = nullptr;
  std::atomic<bool> serving_ = false;
  std::optional<Behind> behind_;  // there when it is serving
  std::atomic<bool> draining_ = false;
  std::unique_ptr<service::Way> way_;
  http::Desk desk_;
  http::Door door_;
};

}  // namespace assent::daemon
