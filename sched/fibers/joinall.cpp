// Waits for some of several fibers.
// SPDX-License-Identifier: MIT
#include <ringlet/joinall.hpp>

#include <optional>

namespace ringlet {
using namespace extend;
using namespace detail;

task<std::vector<std::size_t>> detail::wait_for_ends(std::vector<fiber_base*> targets,
                                                     join_options options) {
  const time_limit deadline = time_limit::at(options.timeout.resolve(current_scheduler().now()));
  ended_fibers ends(targets);
  const std::size_t wanted = std::min(options.count, targets.size());
  std::vector<std::size_t> places;
  places.reserve(wanted);  // allocates now, because a failure later would lose an end
  while (places.size() < wanted) {
    const std::optional<std::size_t> place = co_await ends.next(deadline);
    if (!place) break;
    places.push_back(*place);
    fiber_base& ended = *targets[*place];
    if (options.raise && ended.result() == outcome::error) throw_failure(ended);
  }
  co_return places;
}

}  // namespace ringlet
