// The result of one run of the chat load generator: JSON for chat.py, a few lines for people.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "chat_check.hpp"
#include "chat_load_options.hpp"
#include "histogram.hpp"

namespace bench {

struct chat_load_report {
  // In the measured window.
  double duration_s = 0;                       // As measured, not as requested.
  std::uint64_t sent = 0;                      // Messages given to the system.
  std::uint64_t deliveries = 0;                // Messages received, by all members.
  histogram latency_ns;                        // From due time, of messages due in the window.
  std::optional<std::uint64_t> server_cpu_ns;  // Spent by the server.
  std::uint64_t load_cpu_ns = 0;               // Spent by this process.
  std::uint64_t late = 0;                      // Messages sent later than due by more than late_ns.
  std::uint64_t latest_ns = 0;                 // The longest delay of a message after its due time.

  // In the whole run.
  chat_tally tally;
  std::uint64_t members_dropped = 0;
  std::uint64_t silent_dropped = 0;             // Not a fault: a server may drop them.
  std::string foreign_line;                     // The first foreign line.
  std::map<std::string, std::uint64_t> errors;  // Error -> number of times.

  /// Messages sent later than due by more than this count as late.
  static constexpr std::uint64_t late_ns = 10'000'000;

  double per_s(std::uint64_t number) const {
    return duration_s > 0 ? static_cast<double>(number) / duration_s : 0;
  }
  std::optional<double> per_delivery(std::uint64_t total) const {
    if (deliveries == 0) return std::nullopt;
    return static_cast<double>(total) / static_cast<double>(deliveries);
  }
  /// A run is good only if there were no faults and something was measured.
  bool is_good() const {
    return errors.empty() && tally.is_good() && members_dropped == 0 && deliveries > 0;
  }
  int exit_status() const { return is_good() ? 0 : 1; }
};

/// Writes the report where the options say. Throws std::runtime_error if that fails.
void write_report(const chat_load_options& options, const chat_load_report& report);

}  // namespace bench
