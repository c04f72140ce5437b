// options: settings of run() and run_main().
//
//     void work_quietly() {
//       options quiet;
//       quiet.name = "worker";
//       quiet.shutdown_timeout = 500ms;
//       quiet.on_unhandled_error = [](const unhandled_error&) { ++failures; };
//       run(work(), quiet);
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/engine_options.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <source_location>
#include <span>
#include <string>
#include <string_view>

namespace ringlet {

/// An error of a fiber, or of a future, that was not handled before the last handle was dropped.
/// get(), error() and joinall() with `raise`, for instance, handle an error.
struct unhandled_error {
  /// The id of the fiber; 0 if the error was not a fiber's.
  std::uint64_t id;
  /// The name of the fiber; empty if it has none. Valid during the call.
  std::string_view name;
  /// What it threw, never null.
  std::exception_ptr error;
  /// Where the fiber was spawned, or the promise made; line 0 if there is no such place, as for
  /// posted work.
  std::source_location spawned_at = {};
  /// The await sites that the exception has passed, innermost first: at most eight; none if memory
  /// ran out or no coroutine threw. Valid during the call.
  std::span<const std::source_location> awaits = {};
  /// What happens next, such as "again in 50 ms (2 of 4)" from supervise(), or where it was thrown,
  /// such as "on scheduler "runtime/1"" from run_on_all(); usually empty. Valid during the call.
  std::string_view then = {};
};

/// Options of run() and run_main(). All have safe defaults.
struct options {
  /// With `automatic`, the environment variable RINGLET_ENGINE, "uring" or "epoll", decides; else
  /// io_uring, or epoll if that is refused. A choice here overrides the environment.
  engine_kind engine = engine_kind::automatic;
  /// Sizes of the ring and of the buffers that receive() lends.
  engine_options sizes = {};
  /// How long the end of a run may take, counted from a signal or from the end of the main task. At
  /// half of it, starters are no longer held for their fibers. At this time, the fibers that are
  /// left are listed on standard error, and shields end. At twice this time, the program ends. See
  /// run_main(). With zero or less, all of this is due at once.
  std::chrono::nanoseconds shutdown_timeout = std::chrono::seconds(5);
  /// Called on the scheduler's thread for each unhandled error; must not throw. The default prints
  /// at most 10 lines a second to standard error, with the place of the spawn and the known await
  /// sites. When the second is over, at the latest when run() ends, it prints the number of errors
  /// that it left out. It does not print disconnected peers (is_disconnect()).
  std::function<void(const unhandled_error&)> on_unhandled_error = {};
  /// How many functions may wait in the scheduler's mailbox. At this number,
  /// scheduler_handle::post() refuses more until some have run. The library's own messages are
  /// never refused.
  std::size_t posts_max = 65'536;
  /// The name of this scheduler in dump() and messages.
  std::string name = {};
};

}  // namespace ringlet
