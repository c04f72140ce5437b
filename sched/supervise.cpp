// When to begin again, and when to give up.
#include <ringlet/supervise.hpp>

#include <algorithm>

namespace ringlet {

std::chrono::nanoseconds detail::restart_count::pause_after(steady_ns begin,
                                                            const std::exception_ptr& error) {
  const steady_ns now = current_scheduler().now();
  while (!restarts_.empty() && now - restarts_.front() >= options_.per.count()) {
    restarts_.pop_front();
  }
  if (restarts_.size() >= options_.restarts_max) std::rethrow_exception(error);
  restarts_.push_back(now);
  const fiber_base& failed = current();
  report_unobserved({failed.id(), failed.name(), error});
  const bool went_well = now - begin >= options_.per.count();
  pause_ = went_well || pause_.count() == 0 ? options_.pause_first : 2 * pause_;
  pause_ = std::min(pause_, options_.pause_max);
  return pause_;
}

}  // namespace ringlet
