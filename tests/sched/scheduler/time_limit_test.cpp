// time_limit: which values convert, and how they become a deadline.
//
// Method: plain arithmetic, mostly at compile time, where an overflow is an error. What a limit
// does to a wait is tested on the scripted clock.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/time_limit.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <concepts>
#include <limits>
#include <ratio>

#include "sched/calls.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

constexpr steady_ns now = 1'000'000;

constexpr steady_ns deadline(time_limit timeout) { return timeout.resolve(now); }

template <class Rep, class Period = std::ratio<1>>
using duration = std::chrono::duration<Rep, Period>;
using time_point = std::chrono::steady_clock::time_point;

}  // namespace

TEST_SUITE_BEGIN("time_limit");

TEST_CASE("a duration counts from the start of the wait") {
  static_assert(deadline(5ms) == now + 5'000'000);
  static_assert(time_limit(5ms).resolve(0) == 5'000'000);
  static_assert(time_limit(1h).resolve(77) == 3'600'000'000'077);
  static_assert(!time_limit(5ms).is_forever());
}

TEST_CASE("a time point is the deadline, whenever the wait begins") {
  static_assert(deadline(time_point(5ms)) == 5'000'000);
  static_assert(time_limit(time_point(1ns)).resolve(now) == 1);
  static_assert(time_limit::at(42).resolve(now) == 42);
  static_assert(time_limit::at(0).resolve(now) == 0);
}

// row: TM-06
TEST_CASE("any duration and steady time points convert, and other numbers and clocks do not") {
  static_assert(std::convertible_to<std::chrono::seconds, time_limit>);
  static_assert(std::convertible_to<duration<double>, time_limit>);
  static_assert(std::convertible_to<duration<unsigned char, std::milli>, time_limit>);
  static_assert(std::convertible_to<time_point, time_limit>);
  static_assert(!std::convertible_to<int, time_limit>);
  static_assert(!std::constructible_from<time_limit, std::chrono::system_clock::time_point>);
}

TEST_CASE("fractions of a nanosecond are rounded up, so that no wait is too short") {
  static_assert(deadline(duration<double, std::nano>(0.25)) == now + 1);
  static_assert(deadline(duration<int, std::pico>(1001)) == now + 2);
  static_assert(deadline(duration<int, std::pico>(1000)) == now + 1);
  CHECK(deadline(duration<double>(0.5)) == now + 500'000'000);
}

TEST_CASE("zero and negative durations have passed when the wait begins") {
  static_assert(deadline(0ms) == now);
  static_assert(deadline(-1ns) == now);
  static_assert(deadline(-1h) == now);
  static_assert(deadline(duration<double, std::pico>(-1)) == now);
}

TEST_CASE("durations of any size below zero count as zero") {
  static_assert(deadline(std::chrono::nanoseconds::min()) == now);
  static_assert(deadline(std::chrono::milliseconds::min()) == now);
  static_assert(deadline(std::chrono::hours::min()) == now);
  CHECK(deadline(duration<double>(-1e300)) == now);
  CHECK(deadline(duration<double>(-std::numeric_limits<double>::infinity())) == now);
}

TEST_CASE("a duration that is not a number counts as zero") {
  CHECK(deadline(duration<double>(std::numeric_limits<double>::quiet_NaN())) == now);
}

TEST_CASE("time points before the beginning of the clock have passed") {
  static_assert(deadline(time_point(-1ns)) == 0);
  static_assert(deadline(time_point::min()) == 0);
  static_assert(!time_limit(time_point::min()).is_forever());
}

TEST_CASE("durations of 146 years and more are forever, shorter ones are not") {
  static_assert(time_limit(std::chrono::years(146)).is_forever());
  static_assert(!time_limit(std::chrono::years(145)).is_forever());
  static_assert(time_limit(std::chrono::nanoseconds::max()).is_forever());
  static_assert(time_limit(std::chrono::hours::max()).is_forever());
  CHECK(time_limit(duration<double>(1e300)).is_forever());
  CHECK(time_limit(duration<double>(std::numeric_limits<double>::infinity())).is_forever());
}

TEST_CASE("forever never passes, and neither does the last time point") {
  static_assert(forever.is_forever());
  static_assert(deadline(forever) == never);
  static_assert(time_limit(time_point::max()).is_forever());
  static_assert(time_limit::at(never).is_forever());
}

TEST_CASE("a deadline beyond the end of the clock is never") {
  static_assert(time_limit(1s).resolve(never - 1) == never);
  static_assert(time_limit(1ns).resolve(never - 2) == never - 1);
  static_assert(time_limit(std::chrono::years(145)).resolve(never / 2 + now) < never);
  static_assert(time_limit(std::chrono::years(145)).resolve(never - now) == never);
}

TEST_CASE("a call whose limit has passed still gets what comes in the same turn") {
  run_scripted([](scripted_engine& engine) -> task<> {
    queue<int> items;
    const steady_ns begin = engine.now();
    for (const time_limit passed : {time_limit(0s), time_limit(-1h), time_limit(time_point(1ns))}) {
      const fiber<> pusher = spawn([](auto& to) -> task<> { co_await to.push(1); }(items));
      const result<int> came = co_await as_result(items.pop(passed));
      CHECK(*came == 1);
      const result<int> late = co_await as_result(items.pop(passed));
      CHECK(late.error() == errc::timed_out);
    }
    CHECK(engine.now() == begin);
  });
}

TEST_CASE("a limit adds eight bytes to a wait") { static_assert(sizeof(time_limit) == 8); }

TEST_SUITE_END();
