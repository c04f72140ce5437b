// select_each: one call of each element of a range, of which one is taken.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/event.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/select_each.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <deque>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <vector>

#include "sched/queues.hpp"
#include "support/allocations.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

constexpr auto pop_of = [](queue<int>& from) { return from.pop(); };
constexpr auto sleep_of = [](int milliseconds) {
  return sleep(std::chrono::milliseconds(milliseconds));
};

}  // namespace

TEST_SUITE_BEGIN("select each");

// row: JN-04
TEST_CASE("select_each() takes the call that is over first, and leaves the rest") {
  run_scripted([](scripted_engine&) -> task<> {
    std::deque<queue<int>> inboxes(5);
    const fiber<> pusher = spawn([&]() -> task<> {
      co_await sleep(1ms);
      CHECK(inboxes[3].try_push(3));
      CHECK(inboxes[1].try_push(1));
    });
    const auto [which, item] = co_await select_each(inboxes, pop_of);
    CHECK(which == 3);
    CHECK(item == 3);
    CHECK(inboxes[1].size() == 1);
    const auto [next, other] = co_await select_each(inboxes, pop_of);
    CHECK(next == 1);
    CHECK(other == 1);
    for (queue<int>& inbox : inboxes) {
      CHECK(inbox.try_push(1));
      CHECK(inbox.size() == 1);
    }
  });
}

TEST_CASE("select_each() takes any range, and calls without a value") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const auto times =
        std::views::iota(1, 4) | std::views::transform([](int number) { return 10 - number; });
    const auto slept = co_await select_each(times, sleep_of);
    CHECK(slept.index == 2);
    CHECK(engine.now() == scripted_engine::start_time + 7'000'000);
  });
}

TEST_CASE("select_each() throws the error of the call that was taken") {
  run_scripted([](scripted_engine&) -> task<> {
    std::deque<queue<int>> inboxes(2);
    inboxes[1].close();
    CHECK_THROWS_AS(co_await select_each(inboxes, pop_of), std::system_error);
    const auto taken = co_await as_result(select_each(inboxes, pop_of));
    CHECK(taken.error() == errc::closed);
    const fiber<> failing = spawn(fail_after, 1ms, "expected");
    const std::vector<fiber<>> all{spawn(sleep_for, 1h), failing};
    CHECK_THROWS_WITH(co_await select_each(all, [](const fiber<>& one) { return one.get(); }),
                      "expected");
    all[0].request_kill();
  });
}

TEST_CASE("select_each() of an empty range throws") {
  run_scripted([](scripted_engine&) -> task<> {
    std::deque<queue<int>> none;
    CHECK_THROWS_AS(co_await select_each(none, pop_of), std::invalid_argument);
  });
}

TEST_CASE("a fiber killed in select_each() takes nothing") {
  run_scripted([](scripted_engine&) -> task<> {
    std::deque<queue<int>> inboxes(10'000);
    const fiber<> chooser = spawn([&]() -> task<> { co_await select_each(inboxes, pop_of); });
    co_await yield();
    const std::size_t before = allocations();
    chooser.request_kill();
    CHECK(allocations() == before);
    for (queue<int>& inbox : inboxes) REQUIRE(inbox.try_push(1));
    co_await chooser.join();
    for (queue<int>& inbox : inboxes) REQUIRE(inbox.size() == 1);
    CHECK(chooser.result() == outcome::cancelled);
  });
}

TEST_SUITE_END();
