// Every call and every route of HTTP, with every role: derived from the descriptors, and held
// against the table of docs/security.md, which people read.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "assent/v1/batch.pb.h"
#include "assent/v1/cluster.pb.h"
#include "assent/v1/maintenance.pb.h"
#include "assent/v1/participant.pb.h"
#include "assent/v1/transaction.pb.h"
#include "coordinator/http/openapi.h"
#include "coordinator/http/routes.h"
#include "coordinator/security/permission.h"

namespace assent::security {
namespace {

// What participants serve themselves, and we dial.
const std::string kNotOurs = "assent.v1.Participant";

std::set<std::string> Methods() {
  std::set<std::string> methods;
  for (const auto* file :
       {v1::BatchRequest::descriptor()->file(), v1::GetClusterRequest::descriptor()->file(),
        v1::BackupRequest::descriptor()->file(), v1::ParticipantFrame::descriptor()->file(),
        v1::SubmitRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      const auto& service = *file->service(s);
      if (service.full_name() == kNotOurs) continue;
      for (int m = 0; m < service.method_count(); ++m)
        methods.insert("/" + service.full_name() + "/" + service.method(m)->name());
    }
  }
  return methods;
}

// Of the sources, so that a file that nobody has named above is noticed as well.
std::set<std::string> MethodsOfTheSources() {
  std::set<std::string> methods;
  const std::filesystem::path folder = std::string(ASSENT_SOURCE) + "/proto/assent/v1";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".proto") continue;
    std::ifstream file(entry.path());
    std::string service;
    std::smatch found;
    for (std::string line; std::getline(file, line);) {
      if (std::regex_search(line, found, std::regex("^service (\\w+)"))) service = found[1];
      if (std::regex_search(line, found, std::regex("^ *rpc (\\w+)")))
        methods.insert("/assent.v1." + service + "/" + found[1].str());
    }
  }
  return methods;
}

TEST(Matrix, EveryCallOfTheSourcesIsLookedAt) {
  std::set<std::string> methods = MethodsOfTheSources();
  EXPECT_EQ(methods.erase("/" + kNotOurs + "/Execute"), 1U);
  EXPECT_EQ(methods, Methods());
}

TEST(Matrix, EveryCallHasOneLine) {
  std::set<std::string> ruled;
  std::string last;
  for (const CallRule& rule : CallRules()) {
    EXPECT_LT(last, rule.method) << "the table is in order";
    last = std::string(rule.method);
    ruled.insert(last);
  }
  EXPECT_EQ(ruled, Methods());
  for (const std::string& method : Methods()) EXPECT_TRUE(NeededFor(method)) << method;
  EXPECT_FALSE(NeededFor("/assent.v1.TransactionService/Nothing"));
  EXPECT_FALSE(NeededFor(""));
}

TEST(Matrix, EveryRouteIsACallsTwin) {
  for (const http::Route& route : http::Routes()) {
    const auto& method = route.descriptor();
    const auto needed = NeededFor("/" + method.service()->full_name() + "/" + method.name());
    ASSERT_TRUE(needed) << route.path;
    EXPECT_EQ(route.needs, *needed) << route.path;
  }
}

// What has no twin, and so no line in the table: who may have it is in doors_test.py.
TEST(Matrix, PathsWithoutACallAreTheseAlone) {
  std::set<std::string> paths;
  for (const http::OtherRoute& route : http::OtherRoutes()) paths.insert(std::string(route.path));
  EXPECT_EQ(paths, (std::set<std::string>{"/livez", "/metrics", "/readyz", "/v1/openapi.json"}));
}

// "| `TransactionService/Get` | initiator (own), viewer, operator, admin |"
std::map<std::string, std::set<std::string>> OfThePage() {
  std::ifstream page(std::string(ASSENT_SOURCE) + "/docs/security.md");
  std::map<std::string, std::set<std::string>> table;
  for (std::string line; std::getline(page, line);) {
    const std::size_t end = line.find("` | ");
    if (!line.starts_with("| `") || end == std::string::npos) continue;
    const std::string_view call = std::string_view(line).substr(3, end - 3);
    if (call.find('/') == std::string_view::npos ||
        call.find_first_of(" :.") != std::string_view::npos)
      continue;  // of other tables
    std::istringstream roles(line.substr(end + 4));
    std::set<std::string>& row = table[std::string(call)];
    for (std::string role; roles >> role;) {
      role.erase(std::remove(role.begin(), role.end(), ','), role.end());
      if (role != "|" && !role.starts_with("(")) row.insert(role);
    }
  }
  return table;
}

TEST(Matrix, ThePageHasEveryPair) {
  const auto page = OfThePage();
  std::set<std::string> methods;
  for (const std::string& method : Methods()) {
    const std::string shown = method.substr(std::string("/assent.v1.").size());
    methods.insert(shown);
    ASSERT_TRUE(page.contains(shown)) << shown;
    for (const Role role : kRoles) {
      EXPECT_EQ(Has(role, *NeededFor(method)), page.at(shown).contains(std::string(Name(role))))
          << shown << " and " << Name(role);
    }
  }
  EXPECT_EQ(page.size(), methods.size());
}

}  // namespace
}  // namespace assent::security
