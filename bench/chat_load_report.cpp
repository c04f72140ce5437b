// Prints a chat_load_report and writes it as JSON.
// SPDX-License-Identifier: MIT
#include "chat_load_report.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

#include "result_file.hpp"

namespace bench {
namespace {

nlohmann::json to_json(const chat_load_options& options, const chat_load_report& report) {
  const auto or_null = [](std::optional<double> value) {
    return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
  };
  const auto& latency = report.latency_ns;
  return {
      {"members", options.members},
      {"rooms", options.rooms},
      {"size", options.size},
      {"silent", options.silent},
      {"idle", options.idle},
      {"duration_s", report.duration_s},
      {"offered_per_s", options.messages_per_s()},
      {"sent_per_s", report.per_s(report.sent)},
      {"late", report.late},
      {"latest_ns", report.latest_ns},
      {"deliveries", report.deliveries},
      {"deliveries_per_s", report.per_s(report.deliveries)},
      {"latency_ns",
       {{"p50", latency.percentile(50)},
        {"p99", latency.percentile(99)},
        {"p99_9", latency.percentile(99.9)},
        {"max", latency.max()},
        {"mean", latency.mean()}}},
      {"server_cpu_ns_per_delivery",
       or_null(report.server_cpu_ns ? report.per_delivery(*report.server_cpu_ns) : std::nullopt)},
      {"load_cpu_ns_per_delivery", or_null(report.per_delivery(report.load_cpu_ns))},
      {"load_core_share", report.per_s(report.load_cpu_ns) / 1e9},
      {"members_dropped", report.members_dropped},
      {"silent_dropped", report.silent_dropped},
      {"lost", report.tally.lost},
      {"doubled", report.tally.doubled},
      {"out_of_order", report.tally.out_of_order},
      {"foreign", report.tally.foreign},
      {"errors", report.errors},
      {"exit", report.exit_status()},
  };
}

void print(const chat_load_options& options, const chat_load_report& report) {
  const auto milliseconds = [&](double percent) {
    return static_cast<double>(report.latency_ns.percentile(percent)) / 1e6;
  };
  if (report.duration_s == 0) {
    std::printf("nothing was measured\n");
    return;
  }
  std::printf("%zu members in %zu room%s, text of %zu bytes, %.2f s\n", options.members,
              options.rooms, options.rooms == 1 ? "" : "s", options.size, report.duration_s);
  std::printf("  %.1f messages/s sent of %.1f offered, %.0f deliveries/s\n",
              report.per_s(report.sent), options.messages_per_s(), report.per_s(report.deliveries));
  if (report.late > 0) {
    std::printf("  %llu messages went out late, by %.1f ms at most\n",
                static_cast<unsigned long long>(report.late),
                static_cast<double>(report.latest_ns) / 1e6);
  }
  if (report.deliveries > 0) {
    std::printf("  latency ms: p50 %.2f, p99 %.2f, p99.9 %.2f, max %.2f\n", milliseconds(50),
                milliseconds(99), milliseconds(99.9), milliseconds(100));
    if (report.server_cpu_ns) {
      std::printf("  server CPU: %.0f ns per delivery, %.0f %% of a core\n",
                  *report.per_delivery(*report.server_cpu_ns),
                  report.per_s(*report.server_cpu_ns) / 1e7);
    }
    std::printf("  load CPU: %.0f ns per delivery, %.0f %% of a core\n",
                *report.per_delivery(report.load_cpu_ns), report.per_s(report.load_cpu_ns) / 1e7);
  } else {
    std::printf("  nothing was delivered in this time\n");
  }
  if (options.silent > 0) {
    std::printf("  members that never read: %zu, of which the server dropped %llu\n",
                options.silent, static_cast<unsigned long long>(report.silent_dropped));
  }
}

// Prints one line per kind of fault to standard error.
void print_faults(const chat_load_report& report) {
  const auto line = [](std::uint64_t count, const char* what, const std::string& more = {}) {
    if (count == 0) return;
    std::fprintf(stderr, "  WRONG: %llu %s%s\n", static_cast<unsigned long long>(count), what,
                 more.c_str());
  };
  line(report.members_dropped, "members were dropped");
  line(report.tally.lost, "deliveries were lost");
  line(report.tally.doubled, "deliveries arrived twice");
  line(report.tally.out_of_order, "deliveries arrived after a later one of their sender");
  line(report.tally.foreign,
       "lines were not sent by a member of the room; the first: ", report.foreign_line);
  for (const auto& [kind, times] : report.errors) {
    std::fprintf(stderr, "  %s (%llu times)\n", kind.c_str(),
                 static_cast<unsigned long long>(times));
  }
}

}  // namespace

void write_report(const chat_load_options& options, const chat_load_report& report) {
  if (options.json_path != "-") print(options, report);
  std::fflush(stdout);
  print_faults(report);
  write_result(options.json_path, to_json(options, report));
}

}  // namespace bench
