// per_scheduler: one value per scheduler, constructed, used and destroyed on its thread.
// SPDX-License-Identifier: MIT
#include <ringlet/per_scheduler.hpp>
#include <ringlet/run.hpp>
#include <ringlet/runtime.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "sched/calls.hpp"
#include "support/aborts.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Notes whether it was destroyed on the thread that constructed it.
struct resident {
  explicit resident(std::atomic<int>* ended_at_home) : count(ended_at_home) {}
  resident(const resident&) = delete;
  resident& operator=(const resident&) = delete;
  ~resident() {
    if (std::this_thread::get_id() == home) ++*count;
  }
  std::atomic<int>* count;
  int value = 0;
  std::thread::id home = std::this_thread::get_id();
};

void on_first_of(std::size_t count, const std::function<task<>()>& body) {
  const auto main = [&](std::size_t k) -> task<> {
    if (k == 0) co_await body();
  };
  runtime all(main, {.threads = count});
  all.join();
}

}  // namespace

TEST_SUITE_BEGIN("per_scheduler");

TEST_CASE("each scheduler has a value of its own, which is destroyed on its thread") {
  std::atomic<int> at_home = 0;
  int sum = 0;
  bool are_apart = true;
  on_first_of(3, [&]() -> task<> {
    auto values = co_await per_scheduler<resident>::make(&at_home);
    CHECK(values.size() == 3);
    values.local().value = 1;
    const auto set = [](resident& its, int to) {
      its.value = to;
      return its.home == std::this_thread::get_id();
    };
    are_apart = co_await values.on(1, set, 10) && co_await values.on(2, set, 100);
    const auto get = [](resident& its) -> task<int> {
      co_await yield();
      co_return its.value;
    };
    for (std::size_t k = 0; k < values.size(); ++k) sum += co_await values.on(k, get);
  });
  CHECK(are_apart);
  CHECK(sum == 111);
  CHECK(at_home == 3);
}

TEST_CASE("values are destroyed while their schedulers run, soon after the per_scheduler") {
  std::atomic<int> at_home = 0;
  on_first_of(2, [&]() -> task<> {
    {
      auto first = co_await per_scheduler<resident>::make(&at_home);
      auto moved = std::move(first);
      first = co_await per_scheduler<resident>::make(&at_home);
    }
    while (at_home != 4) co_await yield();
  });
  CHECK(at_home == 4);
}

TEST_CASE("a per_scheduler that outlives its runtime has its values destroyed at the end of that") {
  std::atomic<int> at_home = 0;
  std::optional<per_scheduler<resident>> kept;
  on_first_of(2,
              [&]() -> task<> { kept.emplace(co_await per_scheduler<resident>::make(&at_home)); });
  CHECK(at_home == 2);
  kept.reset();
  CHECK(at_home == 2);
}

TEST_CASE("make throws what a constructor throws, and destroys the other values") {
  static std::atomic<int> alive;
  alive = 0;
  struct picky {
    picky() {
      if (scheduler_index() == 1) throw std::runtime_error("not here");
      ++alive;
    }
    picky(const picky&) = delete;
    picky& operator=(const picky&) = delete;
    ~picky() { --alive; }
  };
  std::string got;
  on_first_of(3, [&]() -> task<> {
    const auto call = []() -> task<> { co_await per_scheduler<picky>::make(); };
    got = co_await outcome_of(call());
  });
  CHECK(got == "not here");
  CHECK(alive == 0);
}

TEST_CASE("without a runtime there is one value") {
  std::atomic<int> at_home = 0;
  const auto main = [&]() -> task<int> {
    const auto values = co_await per_scheduler<resident>::make(&at_home);
    values.local().value = 5;
    const auto get = [](resident& its) { return its.value; };
    co_return co_await values.on(0, get);
  };
  CHECK(run(main()) == 5);
  CHECK(at_home == 1);
}

TEST_CASE("a per_scheduler that is used in another runtime aborts") {
  CHECK(aborts_with("a per_scheduler was used on a scheduler of another runtime", [] {
    std::atomic<int> at_home = 0;
    std::optional<per_scheduler<resident>> kept;
    const auto main = [&]() -> task<> {
      kept.emplace(co_await per_scheduler<resident>::make(&at_home));
    };
    run(main());
    const auto second = [&]() -> task<> {
      kept->local();
      co_return;
    };
    run(second());
  }));
}

TEST_SUITE_END();
