#include "participant-sdk/cpp/postgresql/outbox_listener.h"

#include <poll.h>
#include <unistd.h>
#include <utility>

#include <assent/status.h>

namespace assent::postgresql::internal {
namespace {

constexpr std::chrono::seconds kTryAgain{1};

void Ignore(void* /*self*/, const PGresult* /*notice*/) {}

}  // namespace

OutboxListener::OutboxListener(std::string connection, std::function<void()> news)
    : connection_(std::move(connection)), news_(std::move(news)) {
  ASSENT_CHECK(pipe(stop_.data()) == 0);
  thread_ = std::thread([this] { Loop(); });
}

OutboxListener::~OutboxListener() {
  close(stop_[1]);
  thread_.join();
  close(stop_[0]);
}

void OutboxListener::Loop() {
  while (true) {
    const Held connection = Connect();
    const bool go_on = connection ? Hear(connection.get()) : true;
    if (!go_on || !Rest(kTryAgain)) return;
  }
}

OutboxListener::Held OutboxListener::Connect() const {
  static constexpr std::array kNames = {"connect_timeout",
                                        "keepalives_idle",
                                        "keepalives_interval",
                                        "keepalives_count",
                                        "fallback_application_name",
                                        "dbname",
                                        static_cast<const char*>(nullptr)};
  const std::array values = {
      "5", "5", "2", "3", "assent relay", connection_.c_str(), static_cast<const char*>(nullptr)};
  Held connection(PQconnectdbParams(kNames.data(), values.data(), 1));
  if (PQstatus(connection.get()) != CONNECTION_OK) return nullptr;
  PQsetNoticeReceiver(connection.get(), Ignore, nullptr);
  PGresult* const listening = PQexec(connection.get(), "LISTEN assent_outbox");
  const bool ok = PQresultStatus(listening) == PGRES_COMMAND_OK;
  PQclear(listening);
  return ok ? std::move(connection) : nullptr;
}

bool OutboxListener::Hear(PGconn* connection) const {
  news_();  // what was notified before nobody has heard
  while (true) {
    std::array<pollfd, 2> fds = {{{PQsocket(connection), POLLIN, 0}, {stop_[0], POLLIN, 0}}};
    (void)poll(fds.data(), fds.size(), -1);
    if (fds[1].revents != 0) return false;
    if (PQconsumeInput(connection) == 0) return true;
    bool heard = false;
    while (PGnotify* const notice = PQnotifies(connection)) {
      heard = true;
      PQfreemem(notice);
    }
    if (heard) news_();
  }
}

bool OutboxListener::Rest(std::chrono::milliseconds time) const {
  pollfd stop{stop_[0], POLLIN, 0};
  (void)poll(&stop, 1, static_cast<int>(time.count()));
  return stop.revents == 0;
}

}  // namespace assent::postgresql::internal
