#pragma once

// What has to do with who may what, as values: part of command.h. Neither needs a coordinator.

#include <string>

namespace assent::ctl {

struct AuthTokenCommand {
  std::string name;
  std::string until;   // "2027-01-31"; empty: it does not end
  std::string append;  // the file that its line is added to; empty: the line is told
};

struct AuthExplainCommand {
  std::string rules;
  std::string identity;
  std::string verb;
  // Of begin and serve.
  std::string service;
  std::string action;
  std::string gid;
};

}  // namespace assent::ctl
