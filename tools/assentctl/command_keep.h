#pragma once

// What keeps a log alive, as values: part of command.h.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tools/assentctl/intent.h"

namespace assent::ctl {

struct BackupCommand {
  std::string folder;
};

struct ConfigShowCommand {
  bool changed = false;  // only what is not at its default
};

struct DebugBundleCommand {
  std::string file;
  std::string log;  // empty: without one
};

// The record as it is kept. Files: those of former exports, which are gone on behind.
struct AuditExportCommand {
  std::vector<std::string> after;
};
// Files: exports, in their order, or the coordinator's own audit.db; none: it is asked.
struct AuditVerifyCommand {
  std::vector<std::string> files;
  std::vector<std::string> expected;
};

struct RestoreCommand {
  std::string backup;
  std::string data;
  std::string keys;  // the file; empty: the backup is in the clear
  Intent intent{};
};

// Of `certs`: of one name, of one host, and services at once.
inline constexpr std::size_t kMaxCertsNameBytes = 64;
inline constexpr std::size_t kMaxCertsHostBytes = 253;
inline constexpr std::size_t kMaxCertsCount = 64;

struct CertsCommand {
  bool is_new = true;  // with a CA of their own, in an empty folder; else of the CA that is in it
  bool renew = false;  // also in the place of those that are there
  std::string folder;
  std::string domain;              // empty: the CA's, of a new one "assent"
  std::vector<std::string> hosts;  // the coordinators'; none: this machine's own names for itself
  std::vector<std::string> coordinators;
  std::vector<std::string> people;
  std::vector<std::string> services;
  std::vector<std::string> unary;  // services that are dialled: "payment=10.0.0.7"
  int days = 365;
};

// A row by its gid, or as "#17".
struct DoctorCommand {
  std::string data;
  std::string out;   // to go out of service
  std::string back;  // to go back
  std::string keys;  // the file; empty: what is sealed is not looked into
  Intent intent{};
  bool bytes = false;
};

// Of `keys`.
struct KeysCommand {
  enum class Do : std::uint8_t { kInit, kAdd, kUse, kList };
  Do what = Do::kInit;
  std::string file;
  std::string id;
};

}  // namespace assent::ctl
