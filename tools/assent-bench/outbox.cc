// What it costs to begin transactions by an outbox: the same number published and relayed, and
// submitted directly, in turn.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <sqlite3.h>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <assent/client.h>
#include <assent/outbox_sqlite.h>

#include "tools/assent-bench/fleet.h"
#include "tools/assent-bench/report.h"
#include "tools/assent-bench/side.h"
#include "tools/assent-bench/trials.h"

namespace assent::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kPerCommit = 100;
constexpr std::uint64_t kTransactions = 20'000;
constexpr std::chrono::milliseconds kLook{2};

double PerSecond(std::uint64_t count, const std::function<void()>& work) {
  const auto began = Clock::now();
  work();
  return static_cast<double>(count) / std::chrono::duration<double>(Clock::now() - began).count();
}

Transaction OneOf(const Load& load) {
  Transaction transaction;
  for (int i = 0; i < load.branches; ++i) {
    transaction.Tcc(ServiceName(load, i % load.participants), "act",
                    std::string(static_cast<std::size_t>(load.payload_bytes), 'x'));
  }
  return transaction;
}

void Sql(sqlite3* db, const char* sql) {
  if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) Die(sqlite3_errmsg(db));
}

void Publish(sqlite3* db, const Load& load, std::uint64_t count) {
  static const sqlite::Outbox outbox(OutboxOptions{.max_waiting_count = 0});
  if (Status s = outbox.CreateTable(db); !s.ok()) Die(s.ToString());
  for (std::uint64_t done = 0; done < count; done += kPerCommit) {
    Sql(db, "BEGIN IMMEDIATE");
    for (std::uint64_t i = 0; i < std::min(kPerCommit, count - done); ++i) {
      if (Status s = outbox.Publish(db, OneOf(load)); !s.ok()) Die(s.ToString());
    }
    Sql(db, "COMMIT");
  }
}

void Hand(const Client& client, const std::string& path, std::uint64_t count) {
  Relay relay(client, sqlite::OpenOutboxTable({.path = path}), {.log = [](const std::string&) {}});
  while (relay.Stats().handed_over < count) Pass(kLook);
  relay.Stop();
}

// What was begun before has ended: nothing of it runs beside what is measured next.
void Drain(Side& side) {
  for (;; Pass(kLook)) {
    v1::ListRequest request;
    request.set_page_size(1);
    const v1::ListReply page = side.Page(request);
    if (page.transactions_size() == 0 && page.next_page_token().empty()) return;
  }
}

}  // namespace

int BesideOutbox(const Load& load, int rounds, bool json) {
  Side side(load);
  const Folder folder("");
  const Client client(ClientOptions{.endpoint = side.endpoint()});
  const std::uint64_t count = load.count > 0 ? load.count : kTransactions;
  std::vector<double> published;
  std::vector<double> relayed;
  std::vector<double> submitted;
  std::vector<double> ratios;
  for (int round = 0; round < rounds; ++round) {
    ShowProgress("outbox", round, rounds);
    const std::string path = folder.path() + "/outbox-" + std::to_string(round) + ".db";
    sqlite3* db = nullptr;
    if (sqlite3_open(path.c_str(), &db) != SQLITE_OK) Die("cannot open " + path);
    Sql(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL");
    published.push_back(PerSecond(count, [&] { Publish(db, load, count); }));
    sqlite3_close(db);
    Drain(side);
    relayed.push_back(PerSecond(count, [&] { Hand(client, path, count); }));
    Drain(side);
    submitted.push_back(PerSecond(count, [&] {
      SubmitAll(client, count, static_cast<std::uint64_t>(load.in_flight), WaitFor::kAccepted,
                [&] { return OneOf(load); });
    }));
    ratios.push_back(relayed.back() / submitted.back());
  }
  EndProgress();
  const nlohmann::json out{{"transactions", count},
                           {"rounds", rounds},
                           {"published_per_second", Median(published)},
                           {"relayed_per_second", Median(relayed)},
                           {"submitted_per_second", Median(submitted)},
                           {"ratio", Median(ratios)}};
  if (json) {
    std::cout << out.dump() << "\n";
    return 0;
  }
  std::printf(
      "%llu transactions: published %.0f/s, relayed %.0f/s, submitted directly %.0f/s, "
      "ratio %.2f\n",
      static_cast<unsigned long long>(count), Median(published), Median(relayed), Median(submitted),
      Median(ratios));
  return 0;
}

}  // namespace assent::bench
