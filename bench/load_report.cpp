// Prints a load_report and writes it as JSON.
// SPDX-License-Identifier: MIT
#include "load_report.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

#include "result_file.hpp"

namespace bench {
namespace {

nlohmann::json to_json(const load_options& options, const load_report& report) {
  const auto& latency = report.latency_ns;
  const auto messages = static_cast<double>(latency.count());
  const auto per_message = [&](std::uint64_t total) -> nlohmann::json {
    if (latency.count() == 0) return nullptr;
    return static_cast<double>(total) / messages;
  };
  return {
      {"connections", options.connections},
      {"size", options.size},
      {"depth", options.depth},
      {"threads", options.threads},
      {"duration_s", report.duration_s},
      {"messages", latency.count()},
      {"messages_per_s", messages / report.duration_s},
      {"bytes_per_s", messages * static_cast<double>(options.size) / report.duration_s},
      {"latency_ns",
       {{"p50", latency.percentile(50)},
        {"p90", latency.percentile(90)},
        {"p99", latency.percentile(99)},
        {"p99_9", latency.percentile(99.9)},
        {"max", latency.max()},
        {"mean", latency.mean()}}},
      {"server_cpu_ns_per_message",
       report.server_cpu_ns ? per_message(*report.server_cpu_ns) : nlohmann::json(nullptr)},
      {"load_cpu_ns_per_message", per_message(report.load_cpu_ns)},
      {"errors", report.errors},
      {"wrong_bytes", report.wrong_bytes},
      {"exit", report.exit_status()},
  };
}

void print(const load_options& options, const load_report& report) {
  const auto& latency = report.latency_ns;
  const auto microseconds = [&](double percent) {
    return static_cast<double>(latency.percentile(percent)) / 1000;
  };
  const double per_s = static_cast<double>(latency.count()) / report.duration_s;
  std::printf("%zu connections, %zu bytes, depth %zu, %.2f s", options.connections, options.size,
              options.depth, report.duration_s);
  if (options.threads > 1) std::printf(", %zu threads", options.threads);
  std::printf("\n");
  if (latency.count() > 0) {
    std::printf("  %.0f messages/s, %.1f MB/s each way\n", per_s,
                per_s * static_cast<double>(options.size) / 1e6);
    std::printf("  latency us: p50 %.1f, p99 %.1f, p99.9 %.1f, max %.1f\n", microseconds(50),
                microseconds(99), microseconds(99.9), microseconds(100));
  } else {
    std::printf("  no message came back\n");
  }
  if (report.server_cpu_ns && latency.count() > 0) {
    std::printf("  server CPU: %.0f ns per message\n",
                static_cast<double>(*report.server_cpu_ns) / static_cast<double>(latency.count()));
  }
  for (const auto& [kind, times] : report.errors) {
    std::fprintf(stderr, "  %s (%llu times)\n", kind.c_str(),
                 static_cast<unsigned long long>(times));
  }
  if (report.wrong_bytes > 0) {
    std::fprintf(stderr, "  %llu bytes came back wrong\n",
                 static_cast<unsigned long long>(report.wrong_bytes));
  }
}

}  // namespace

void write_report(const load_options& options, const load_report& report) {
  if (options.json_path != "-") print(options, report);
  write_result(options.json_path, to_json(options, report));
}

}  // namespace bench
