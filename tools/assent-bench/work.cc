#include "tools/assent-bench/work.h"

#include <algorithm>
#include <cstdio>

#include "tools/assent-bench/report.h"

namespace assent::bench {
namespace {

std::vector<double> ValuesOf(const Measurement& m) {
  const double count = std::max<double>(1, static_cast<double>(m.committed + m.aborted));
  const Usage coordinators = m.coordinators();
  const auto cpu = [&](const char* name) { return m.usage.at(name).cpu_seconds * 1e6 / count; };
  std::vector<double> all{m.messages,
                          m.tcp_bytes,
                          m.tcp_segments,
                          m.log_records,
                          m.log_commits,
                          static_cast<double>(coordinators.written_bytes) / count,
                          coordinators.cpu_seconds * 1e6 / count,
                          cpu("participants"),
                          cpu("initiators")};
  if (m.usage.count("postgresql") > 0) all.push_back(cpu("postgresql"));
  return all;
}

}  // namespace

void WorkTable::Add(const Measurement& left, const Measurement& right) {
  if (rows_.empty()) {
    for (const char* name :
         {"messages", "TCP bytes", "TCP segments", "log records", "log commits", "bytes to the log",
          "coordinator CPU us", "participants CPU us", "initiators CPU us"})
      rows_.push_back({.name = name, .left = {}, .right = {}});
    if (left.usage.count("postgresql") > 0)
      rows_.push_back({.name = "postgresql CPU us", .left = {}, .right = {}});
  }
  const std::vector<double> l = ValuesOf(left);
  const std::vector<double> r = ValuesOf(right);
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    rows_[i].left.push_back(l[i]);
    rows_[i].right.push_back(r[i]);
  }
}

nlohmann::json WorkTable::ToJson(const char* left, const char* right) const {
  nlohmann::json json = nlohmann::json::array();
  for (const Row& row : rows_)
    json.push_back({{"what", row.name}, {left, Median(row.left)}, {right, Median(row.right)}});
  return json;
}

void WorkTable::Print(const std::string& title, const char* left, const char* right) const {
  std::printf("\nper transaction, %-18s %10s %10s\n", title.c_str(), left, right);
  for (const Row& row : rows_)
    std::printf("  %-32s %10.2f %10.2f\n", row.name.c_str(), Median(row.left), Median(row.right));
}

}  // namespace assent::bench
