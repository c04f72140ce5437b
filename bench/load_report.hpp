// The result of one run of the load generator: JSON for compare.py, a few lines for people.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "histogram.hpp"
#include "load_options.hpp"

namespace bench {

struct load_report {
  double duration_s = 0;                        // As measured, not as requested.
  histogram latency_ns;                         // One value per echo completed in the window.
  std::optional<std::uint64_t> server_cpu_ns;   // Spent by the server in the window.
  std::uint64_t load_cpu_ns = 0;                // Spent by this process in the window.
  std::uint64_t wrong_bytes = 0;                // Bytes that came back changed.
  std::map<std::string, std::uint64_t> errors;  // "connect: Connection refused" -> number of times.

  /// Adds what the connections of another thread have measured.
  void merge(const load_report& other) {
    latency_ns.merge(other.latency_ns);
    wrong_bytes += other.wrong_bytes;
    for (const auto& [kind, times] : other.errors) errors[kind] += times;
  }

  /// A run is good only if there were no faults and something was measured.
  bool is_good() const { return errors.empty() && wrong_bytes == 0 && latency_ns.count() > 0; }
  int exit_status() const { return is_good() ? 0 : 1; }
};

/// Writes the report where the options say. Throws std::runtime_error if that fails.
void write_report(const load_options& options, const load_report& report);

}  // namespace bench
