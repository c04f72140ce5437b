// options: what run() can be told.
#pragma once

#include <ringlet/engine.hpp>

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

/// A fiber that failed, and whose failure was not looked at before its last handle went.
struct unobserved_error {
  std::uint64_t id;
  std::string_view name;  // empty when it has none
  std::exception_ptr error;
  /// Where it was spawned; line 0 where there is no such place, as for posted work.
  std::source_location spawned_at = {};
  /// The awaits that the exception has left, innermost first: at most eight, and none where memory
  /// ran out, or where no coroutine threw. Valid during the call.
  std::span<const std::source_location> awaits = {};
  /// What is done about it, such as "again in 50 ms (2 of 4)" by supervise(); mostly empty.
  std::string_view then = {};
};

/// Options of run() and run_main(). All have safe defaults.
struct options {
  /// See make_engine(). What a program names here, the environment does not change.
  engine_kind engine = engine_kind::automatic;
  /// Sizes of the ring and of the buffers that receive() lends.
  engine_options sizes = {};
  /// How long an end may take, counted from a signal or from the end of the main task: at half of
  /// it starters are no longer held for their fibers, at this time the fibers that are left are
  /// listed on standard error and shields end, and after as much again the program ends. See
  /// run_main().
  std::chrono::nanoseconds grace = std::chrono::seconds(5);
  /// Called on the scheduler's thread for each failure that was not looked at; must not throw. The
  /// default prints at most 10 lines a second to standard error, with the place of the spawn and
  /// the awaits that are known, and the count of the rest when the second is over, at the latest
  /// when run() ends; peers that went away (is_disconnect()) are not printed.
  std::function<void(const unobserved_error&)> on_unobserved = {};
  /// How many functions may wait in the scheduler's mailbox: at this number, remote::post() refuses
  /// more until some have run. What the library itself sends is never refused.
  std::size_t posts_max = 65'536;
  /// What dump() and messages call this scheduler.
  std::string name = {};
};

}  // namespace ringlet
