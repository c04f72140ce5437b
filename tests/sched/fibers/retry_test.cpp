// retry: how often a call is made, how long the pauses are, and which errors end it.
// SPDX-License-Identifier: MIT
#include <ringlet/retry.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "sched/calls.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// A service that refuses the first calls, and then answers with the number of the call.
struct service {
  int refuses = 0;
  std::chrono::nanoseconds takes{0};
  int calls = 0;

  task<int> ask() {
    const int number = ++calls;
    if (takes != 0ns) co_await sleep(takes);
    if (number <= refuses) {
      throw std::system_error(std::make_error_code(std::errc::connection_refused),
                              "call " + std::to_string(number));
    }
    co_return number;
  }
};

std::chrono::nanoseconds since_start(scripted_engine& engine) {
  return std::chrono::nanoseconds(engine.now() - scripted_engine::start_time);
}

constexpr retry_policy exact{.jitter = 0};

}  // namespace

TEST_SUITE_BEGIN("retry");

TEST_CASE("retry() makes a call until it succeeds, after pauses that double") {
  run_scripted([](scripted_engine& engine) -> task<> {
    service one{.refuses = 3};
    std::string log;
    const auto ask = [&] { return one.ask(); };
    const auto note = [&](const retry_event& event) {
      log += std::to_string(event.attempt) + ":" + std::to_string(event.pause / 1ms) + " ";
      CHECK(text_of(event.error).find("call " + std::to_string(event.attempt)) == 0);
    };
    const int answer = co_await retry(exact, ask, is_system_error, note);
    CHECK(answer == 4);
    CHECK(log == "1:100 2:200 3:400 ");
    CHECK(since_start(engine) == 700ms);
    const int at_once = co_await retry(exact, ask);
    CHECK(at_once == 5);
    CHECK(since_start(engine) == 700ms);
  });
}

TEST_CASE("pauses grow by the factor, up to the longest") {
  run_scripted([](scripted_engine& engine) -> task<> {
    service one{.refuses = 6};
    std::string log;
    const auto ask = [&] { return one.ask(); };
    const auto note = [&](const retry_event& event) {
      log += std::to_string(event.pause / 1ms) + " ";
    };
    const retry_policy policy{
        .attempts_max = 7, .pause_first = 10ms, .pause_max = 100ms, .growth = 3, .jitter = 0};
    const int answer = co_await retry(policy, ask, is_system_error, note);
    CHECK(answer == 7);
    CHECK(log == "10 30 90 100 100 100 ");
    CHECK(since_start(engine) == 430ms);
    // Thousands of pauses do not overflow.
    service other{.refuses = 3000};
    const auto ask_other = [&] { return other.ask(); };
    const retry_policy patient{
        .attempts_max = 5000, .pause_max = std::chrono::hours(1), .growth = 1000};
    const int late = co_await retry(patient, ask_other);
    CHECK(late == 3001);
  });
}

TEST_CASE("after the last attempt its error is thrown") {
  run_scripted([](scripted_engine& engine) -> task<> {
    service one{.refuses = 100};
    const auto ask = [&]() -> task<> { co_await one.ask(); };
    const retry_policy policy{.attempts_max = 3, .jitter = 0};
    const std::string words = co_await outcome_of(retry(policy, ask));
    CHECK(words.find("call 3") == 0);
    CHECK(one.calls == 3);
    CHECK(since_start(engine) == 300ms);  // no pause after the last
    const retry_policy once{.attempts_max = 1};
    const std::string first = co_await outcome_of(retry(once, ask));
    CHECK(first.find("call 4") == 0);
  });
}

TEST_CASE("only errors that are worth it are retried: those of the system, or those it is told") {
  run_scripted([](scripted_engine&) -> task<> {
    int calls = 0;
    const auto fails = [&]() -> task<> {
      ++calls;
      throw std::logic_error("a bug");
      co_return;
    };
    std::string words = co_await outcome_of(retry(exact, fails));
    CHECK(words == "a bug");
    CHECK(calls == 1);
    const auto always = [](const std::exception_ptr&) { return true; };
    words = co_await outcome_of(retry(exact, fails, always));
    CHECK(words == "a bug");
    CHECK(calls == 6);
    service one{.refuses = 100};
    const auto ask = [&]() -> task<> { co_await one.ask(); };
    const auto twice = [&](const std::exception_ptr&) { return one.calls < 2; };
    words = co_await outcome_of(retry(exact, ask, twice));
    CHECK(one.calls == 2);
    CHECK(is_system_error(std::make_exception_ptr(timed_out("call"))));
    CHECK_FALSE(is_system_error(std::make_exception_ptr(cancelled())));
    CHECK_FALSE(is_system_error(nullptr));
  });
}

TEST_CASE("the budget limits calls and pauses together") {
  run_scripted([](scripted_engine& engine) -> task<> {
    SUBCASE("a pause that would last longer is not begun") {
      service one{.refuses = 100};
      const auto ask = [&]() -> task<> { co_await one.ask(); };
      const retry_policy policy{.budget = 500ms, .jitter = 0};
      const std::string words = co_await outcome_of(retry(policy, ask));
      CHECK(words.find("call 3") == 0);
      CHECK(since_start(engine) == 300ms);
    }
    SUBCASE("a call that lasts longer is ended") {
      service one{.refuses = 100, .takes = 200ms};
      const auto ask = [&]() -> task<> { co_await one.ask(); };
      const retry_policy policy{.budget = 500ms, .jitter = 0};
      const std::string words = co_await outcome_of(retry(policy, ask));
      CHECK(words == "timed out");
      CHECK(one.calls == 2);
      CHECK(since_start(engine) == 500ms);
    }
    SUBCASE("a call that succeeds in time returns") {
      service one{.refuses = 1, .takes = 200ms};
      const auto ask = [&] { return one.ask(); };
      const retry_policy policy{.budget = 501ms, .jitter = 0};
      const int answer = co_await retry(policy, ask);
      CHECK(answer == 2);
    }
  });
}

TEST_CASE("jitter shortens pauses at random, by at most its part") {
  run_scripted([](scripted_engine&) -> task<> {
    for (const double jitter : {0.5, 1.0}) {
      service one{.refuses = 1000};
      std::vector<std::chrono::nanoseconds> pauses;
      const auto ask = [&] { return one.ask(); };
      const auto note = [&](const retry_event& event) { pauses.push_back(event.pause); };
      const retry_policy policy{.attempts_max = 2000, .growth = 1, .jitter = jitter};
      co_await retry(policy, ask, is_system_error, note);
      CHECK(pauses.size() == 1000);
      std::chrono::nanoseconds least = 100ms, longest{0}, sum{0};
      for (const std::chrono::nanoseconds pause : pauses) {
        least = std::min(least, pause);
        longest = std::max(longest, pause);
        sum += pause;
      }
      const auto part = std::chrono::nanoseconds(static_cast<std::int64_t>(1e8 * jitter));
      CHECK(least >= 100ms - part);
      CHECK(least < 100ms - part + 5ms);
      CHECK(longest <= 100ms);
      CHECK(longest > 95ms);
      const std::chrono::nanoseconds mean = sum / 1000;
      CHECK(mean > 95ms - part / 2);
      CHECK(mean < 105ms - part / 2);
    }
  });
}

TEST_CASE("a kill ends retry() in a call and in a pause, and is never retried") {
  run_scripted([](scripted_engine&) -> task<> {
    service one{.refuses = 100, .takes = 10ms};
    const auto always = [](const std::exception_ptr&) { return true; };
    const auto ask = [&]() -> task<> { co_await one.ask(); };
    const fiber<> caller = spawn([&]() -> task<> { co_await retry(exact, ask, always); });
    SUBCASE("in a call") { co_await sleep(5ms); }
    SUBCASE("in a pause") { co_await sleep(50ms); }
    co_await caller.kill();
    CHECK(caller.result() == outcome::cancelled);
    CHECK(one.calls == 1);
  });
}

TEST_CASE("a policy with a value out of range throws, with the range") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto ask = []() -> task<> { co_return; };
    for (const retry_policy& wrong :
         {retry_policy{.attempts_max = 0}, retry_policy{.pause_first = -1ns},
          retry_policy{.pause_max = -1ns}, retry_policy{.growth = 0.5},
          retry_policy{.jitter = -0.1}, retry_policy{.jitter = 1.1}}) {
      CHECK_THROWS_AS(co_await retry(wrong, ask), std::invalid_argument);
    }
    const retry_policy wrong{.jitter = 2};
    CHECK_THROWS_WITH(co_await retry(wrong, ask),
                      "the jitter of a retry_policy is 2: it must be from 0 to 1");
  });
}

TEST_CASE("the longest pause may be without limit, and no pause is too long for a duration") {
  run_scripted([](scripted_engine& engine) -> task<> {
    int calls = 0;
    const auto fail_thrice = [&]() -> task<int> {
      if (++calls < 4) throw_error(errc::closed, "call");
      co_return calls;
    };
    std::vector<std::chrono::nanoseconds> pauses;
    const auto always = [](const std::exception_ptr&) { return true; };
    const auto log = [&](const retry_event& event) { pauses.push_back(event.pause); };
    constexpr auto longest = std::chrono::nanoseconds::max();
    const retry_policy doubling{.pause_first = 1ms, .pause_max = longest, .jitter = 0};
    CHECK(co_await retry(doubling, fail_thrice, always, log) == 4);
    CHECK(pauses == std::vector<std::chrono::nanoseconds>{1ms, 2ms, 4ms});
    const retry_policy too_long{
        .budget = 1s, .pause_first = longest, .pause_max = longest, .jitter = 0};
    calls = 0;
    const steady_ns begin = engine.now();
    CHECK_THROWS_AS(co_await retry(too_long, fail_thrice, always, log), std::system_error);
    CHECK(engine.now() == begin);
    pauses.clear();
    calls = 0;
    const retry_policy endless{.pause_first = longest, .pause_max = longest, .jitter = 0};
    const auto retries = [&]() -> task<> {
      (void)co_await retry(endless, fail_thrice, always, log);
    };
    const fiber<> waits = spawn(retries());
    co_await yield();
    REQUIRE(pauses.size() == 1);
    CHECK(pauses.front() > std::chrono::hours(24 * 365 * 290));
    co_await waits.kill();
  });
}

TEST_SUITE_END();
