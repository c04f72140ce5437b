// The wait in docs/writing_a_wait.md keeps the promises of all waits. tools/tidy.py compares the
// page with countdown.hpp and with this file.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "countdown.hpp"
#include "sched/calls.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<> note(countdown& starts, std::string& log, char name) {
  log += name;
  log += co_await starts.wait(1s) ? '+' : '-';
}

}  // namespace

TEST_SUITE_BEGIN("writing a wait");

TEST_CASE("all fibers that wait for a countdown come through at zero, in their order") {
  run_scripted([](scripted_engine&) -> task<> {
    countdown starts(2);
    std::string log;
    std::vector<fiber<>> all;
    for (const char name : {'a', 'b', 'c'}) all.push_back(spawn(note(starts, log, name)));
    co_await yield();
    starts.count_down();
    co_await yield();
    CHECK(log == "abc");
    starts.count_down();
    for (const fiber<>& each : all) co_await each.join();
    CHECK(log == "abc+++");
    CHECK(co_await starts.wait());
  });
}

TEST_CASE("a wait for a countdown that is late returns false") {
  run_scripted([](scripted_engine&) -> task<> {
    countdown starts(1);
    CHECK_FALSE(co_await starts.wait(1ms));
    CHECK_FALSE(*co_await as_result(starts.wait(1ms)));
    CHECK(starts.left() == 1);
  });
}

TEST_CASE("a fiber that is killed leaves the countdown, and success wins over a kill") {
  run_scripted([](scripted_engine&) -> task<> {
    countdown starts(1);
    std::string log;
    const fiber<> early = spawn(note(starts, log, 'a'));
    const fiber<> late = spawn(note(starts, log, 'b'));
    co_await yield();
    early.request_kill();
    starts.count_down();
    late.request_kill();
    co_await early.join();
    co_await late.join();
    CHECK(early.result() == outcome::cancelled);
    CHECK(log == "ab+");
  });
}

TEST_CASE("a countdown can be a part of a select()") {
  run_scripted([](scripted_engine&) -> task<> {
    countdown starts(1);
    CHECK((co_await select(starts.wait(), sleep(1ms))).index() == 1);
    starts.count_down();
    CHECK((co_await select(starts.wait(), sleep(1ms))).index() == 0);
  });
}

TEST_CASE("dump() shows how far a countdown is") {
  run_scripted([](scripted_engine&) -> task<> {
    countdown starts(3);
    std::string log;
    const fiber<> waiting = spawn(note(starts, log, 'a'));
    co_await yield();
    CHECK(dump().find("countdown with 3 to go") != std::string::npos);
    waiting.request_kill();
    co_await waiting.join();
  });
}

TEST_CASE("an exception that destroys a countdown ends the waits for it with closed") {
  run_scripted([](scripted_engine&) -> task<> {
    std::optional<std::error_code> error;
    const auto wait_for = [&](countdown& starts) -> task<> {
      const result<bool> came = co_await as_result(starts.wait());
      if (!came) error = came.error();
    };
    const auto fail = [&]() -> task<> {
      countdown starts(1);
      spawn(wait_for(starts));
      co_await yield();
      throw std::runtime_error("destroys it");
    };
    CHECK(co_await outcome_of(fail()) == "destroys it");
    co_await yield();
    CHECK(error == errc::closed);
  });
}

TEST_SUITE_END();
