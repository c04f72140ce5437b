// bounded_semaphore: a semaphore that cannot get more permits than at first.
// SPDX-License-Identifier: MIT
#include <ringlet/bounded_semaphore.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>

#include "sched/sync/semaphores.hpp"
#include "support/aborts.hpp"

using namespace ringlet;
using namespace ringlet::test;

TEST_SUITE_BEGIN("bounded_semaphore");

// rows: LK-02 TH-06
TEST_CASE("a bounded semaphore hands out its permits like a semaphore") {
  run_scripted([](scripted_engine&) -> task<> {
    bounded_semaphore slots(2);
    CHECK(slots.bound() == 2);
    std::string log;
    {
      const semaphore::permit both = co_await slots.acquire(2);
      CHECK(slots.available() == 0);
      const fiber<> waiter = spawn(note(slots, log, 'a', 1));
      co_await yield();
      CHECK(log.empty());
    }
    co_await sleep(std::chrono::milliseconds(1));
    CHECK(log == "a");
    CHECK(slots.available() == 2);
  });
}

// rows: LK-02 TH-06
TEST_CASE("one release too many aborts and names the bound") {
  constexpr auto rule =
      "release() of 1 would give a bounded_semaphore of at most 2 permits more than that";
  CHECK(aborts_with(rule, [] {
    bounded_semaphore slots(2);
    slots.release();
  }));
  CHECK(aborts_with("release() of 2 would give a bounded_semaphore of at most 2 permits", [] {
    bounded_semaphore slots(2);
    slots.try_acquire(1).consume();
    slots.release(2);
  }));
  // In the call that is wrong, not where the permit goes back.
  CHECK(aborts_with("1 are free and 1 are held, and those come back by themselves", [] {
    bounded_semaphore slots(2);
    const semaphore::permit held = slots.try_acquire(1);
    slots.release();
  }));
}

// row: LK-02
TEST_CASE("permits that were used up may be released") {
  run_scripted([](scripted_engine&) -> task<> {
    bounded_semaphore slots(2);
    (co_await slots.acquire(2)).consume();
    slots.release();
    slots.release();
    CHECK(slots.available() == 2);
  });
}

// row: LK-02
TEST_CASE("more permits than the bound are refused, and named") {
  bounded_semaphore slots(3);
  const auto refusal = [](auto call) {
    try {
      call();
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(refusal([&] { (void)slots.acquire(4); }) ==
        "4 permits were asked for, but a bounded_semaphore of 3 gives 0 to 3 at once");
  CHECK(refusal([&] { (void)slots.try_acquire(4); }) ==
        "4 permits were asked for, but a bounded_semaphore of 3 gives 0 to 3 at once");
  CHECK(refusal([] { bounded_semaphore bad(static_cast<std::size_t>(-1)); }) ==
        "the permits of a bounded_semaphore are 18446744073709551615, but must be 0 to "
        "9223372036854775807");
}

TEST_CASE("dump shows how full a bounded semaphore is") {
  run_scripted([](scripted_engine&) -> task<> {
    bounded_semaphore slots(3);
    semaphore::permit held = co_await slots.acquire(2);
    std::string log;
    const fiber<> waiter = spawn(note(slots, log, 'a', 2));
    co_await yield();
    char where[96];
    std::snprintf(where, sizeof where,
                  "2 of bounded_semaphore %p with 1 of 3 free and 1 waiting (at most 1)",
                  static_cast<void*>(&slots));
    CHECK(dump().find(where) != std::string::npos);
    held.release();
    co_await waiter.join();
  });
}

TEST_SUITE_END();
