// Decides when to restart, and when to give up.
// SPDX-License-Identifier: MIT
#include <ringlet/supervise.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string>

namespace ringlet {
using namespace extend;
using namespace detail;

std::chrono::nanoseconds detail::restart_count::pause_after(steady_ns begin,
                                                            const std::exception_ptr& error) {
  const steady_ns now = current_scheduler().now();
  while (!restarts_.empty() && now - restarts_.front() >= options_.per.count()) {
    restarts_.pop_front();
  }
  if (restarts_.size() >= options_.restarts_max) std::rethrow_exception(error);
  restarts_.push_back(now);
  const bool went_well = now - begin >= options_.per.count();
  pause_ = went_well || pause_.count() == 0 ? options_.pause_first : 2 * pause_;
  pause_ = std::min(pause_, options_.pause_max);
  report(error);
  return pause_;
}

void detail::restart_count::report(const std::exception_ptr& error) const {
  const fiber_base& failed = current();
  const auto milliseconds = static_cast<double>(pause_.count()) / 1e6;
  const bool is_long = milliseconds >= 1000;
  const std::string then =
      fmt::format("again in {:g} {} ({} of {})", is_long ? milliseconds / 1000 : milliseconds,
                  is_long ? "s" : "ms", restarts_.size(), options_.restarts_max);
  failure_trail& trail = last_failure();
  const bool is_known = trail.chain == &failed && trail.owner == 0;
  // The next failure, which may leave no awaits, must not inherit these.
  if (is_known) trail.owner = failed.id();
  report_unhandled({failed.id(), failed.name(), error, failed.spawned_at(),
                    std::span(trail.sites, is_known ? trail.count : 0), then});
}

}  // namespace ringlet
