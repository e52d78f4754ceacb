#pragma once

// A coordinator without doors, and its desk.

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "coordinator/http/desk.h"
#include "tests/service/service_rig.h"

namespace assent::http {

class DeskRig : public service::ServiceRig {
 protected:
  DeskRig() { desk_.Open({.service = *service_}); }

  void AnswerNext() { Reply(participants_.asked.Take(), core::AttemptResult::kDone); }

  static constexpr char kOne[] =
      R"({"gid": "g", "branches": [{"protocol": "SAGA", "service": "s", "action": "a"}]})";

  std::function<void()> on_look_ = [] {};  // whenever somebody asks whether it is ready
  Desk desk_{{.health = {.look =
                             [this] {
                               on_look_();
                               return std::vector<Check>();
                             }},
              .version = "1"}};
};

}  // namespace assent::http
