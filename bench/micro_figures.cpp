// The command line and the output of micro.cpp and micro_threads.cpp.
// SPDX-License-Identifier: MIT
#include "micro_figures.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "command_line.hpp"

namespace bench {

std::optional<int> read_command_line(int argc, char** argv, micro_options& options) {
  CLI::App app("Measures the cost of single operations");
  app.add_option("--json", options.json_path, "File for the figures as JSON");
  app.add_option("--only", options.only, "Names of the workloads to measure (default all)");
  app.add_option("--rounds", options.rounds, "Rounds of each workload")
      ->check(CLI::Range(1, 1'000))
      ->capture_default_str();
  return parse(app, argc, argv);
}

figure figure_of(const char* name, std::vector<double> rounds) {
  std::sort(rounds.begin(), rounds.end());
  return {name, rounds[rounds.size() / 2], rounds.front()};
}

bool micro_options::ask_for(const char* name) const {
  return only.empty() || std::find(only.begin(), only.end(), name) != only.end();
}

namespace {

void print(std::span<const figure> figures) {
  std::printf("compiler %s\n%-34s %10s %10s\n", __VERSION__, "ns per operation", "median", "least");
  for (const auto& [name, median, least] : figures) {
    std::printf("%-34s %10.1f %10.1f\n", name, median, least);
  }
}

// Writes nothing if `path` is empty. Prints an error and returns false if that fails.
bool write_json(const std::string& path, std::span<const figure> figures) {
  if (path.empty()) return true;
  nlohmann::json json;
  for (const auto& [name, median, least] : figures) {
    json[name] = {{"median_ns", median}, {"least_ns", least}};
  }
  std::ofstream file(path);
  file << json.dump(2) << '\n' << std::flush;
  if (file) return true;
  std::fprintf(stderr, "cannot write %s\n", path.c_str());
  return false;
}

}  // namespace

int report(const char* program, std::span<const figure> figures, const micro_options& options) {
  if (figures.empty()) {
    std::fprintf(stderr, "%s: --only names no workload\n", program);
    return 2;
  }
  print(figures);
  return write_json(options.json_path, figures) ? 0 : 1;
}

}  // namespace bench
