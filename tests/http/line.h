#pragma once

// A caller without a socket.

#include <string>
#include <vector>

#include <assent/thread_safety.h>

#include "coordinator/http/exchange.h"
#include "tests/service/inbox.h"

namespace assent::http {

// Of one thread.
class Line final : public Exchange {
 public:
  using Exchange::Reply;
  void Reply(Made made, bool /*large*/) override { answers.push_back(made()); }
  void Show(Event made) override { events.push_back(made()); }
  void End(Event made) override { events.push_back(made()); }
  void Abort() override { aborted = true; }

  std::vector<Answer> answers;
  std::vector<std::string> events;
  bool aborted = false;
};

// Of several: whoever waits for what is said gets it.
class Phone final : public Exchange {
 public:
  using Exchange::Reply;
  void Reply(Made made, bool /*large*/) override { answers.Put(made()); }
  void Show(Event made) override { events.Put(made()); }
  void End(Event made) override { events.Put(made()); }
  void Abort() override {}

  service::Inbox<Answer> answers;
  service::Inbox<std::string> events;
};

}  // namespace assent::http
