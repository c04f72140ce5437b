// Wake-ups between threads: none is lost, however often a scheduler sleeps; and random programs on
// several schedulers that start, share, kill and stop leave nothing behind.
//
// Method: a lost wake-up hangs the program until the time limit of the test ends it.
// RINGLET_TEST_SCALE makes the runs that many times longer: 500 gives 10^8 posts and 10^6 sleeps.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/concurrent_event.hpp>
#include <ringlet/concurrent_queue.hpp>
#include <ringlet/concurrent_semaphore.hpp>
#include <ringlet/run.hpp>
#include <ringlet/scheduler_handle.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "support/random.hpp"
#include "support/scale.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Work that is posted again when it has run.
struct ball : posted_work {
  std::atomic<bool> is_free = true;
  std::uint64_t* count = nullptr;
  static void on_run(posted_work& self) noexcept {
    auto& mine = static_cast<ball&>(self);
    ++*mine.count;
    mine.is_free.store(true, std::memory_order_release);
  }
};

void post_balls(engine& to, std::uint64_t& count, std::uint64_t posts, std::uint64_t seed) {
  std::array<ball, 32> balls;
  for (ball& one : balls) {
    one.run = &ball::on_run;
    one.count = &count;
  }
  random_numbers random(seed);
  for (std::uint64_t i = 0; i < posts; ++i) {
    ball& next = balls[i % balls.size()];
    while (!next.is_free.load(std::memory_order_acquire)) std::this_thread::yield();
    next.is_free.store(false, std::memory_order_relaxed);
    to.post(next);
    // Sometimes long enough for the scheduler to sleep.
    if (random.once_in(64)) std::this_thread::yield();
  }
  for (ball& one : balls) {
    while (!one.is_free.load(std::memory_order_acquire)) std::this_thread::yield();
  }
}

// What the schedulers of a storm share.
struct shared_things {
  concurrent_queue<std::uint64_t> items{4};
  concurrent_semaphore seats{2};
  concurrent_event signal;
  std::atomic<std::uint64_t> pushed = 0;
  std::atomic<std::uint64_t> popped = 0;
  std::mutex mutex;  // of the handles
  std::array<std::optional<scheduler_handle>, 3> handles;
};

time_limit some_limit(random_numbers& random) {
  if (random.once_in(3)) return forever;
  return std::chrono::microseconds(random.below(100));
}

task<> share_once(shared_things& all, random_numbers& random) {
  const time_limit limit = some_limit(random);
  switch (random.below(6)) {
    case 0: {
      if (co_await as_result(all.items.push(1, limit))) ++all.pushed;
      break;
    }
    case 1: {
      if (co_await as_result(all.items.pop(limit))) ++all.popped;
      break;
    }
    case 2: {
      const auto seat = co_await as_result(all.seats.acquire(1 + random.below(2), limit));
      co_await yield();
      break;
    }
    case 3: {
      co_await all.signal.wait(limit);
      break;
    }
    case 4: {
      auto first = co_await select(all.items.pop(), all.signal.wait(), all.seats.acquire(),
                                   sleep(std::chrono::microseconds(random.below(100))));
      if (first.index() == 0) ++all.popped;
      break;
    }
    default: {
      if (random.once_in(2)) all.signal.set();
      all.signal.reset();
      if (all.items.try_push(1)) ++all.pushed;
      co_await yield();
      if (all.items.try_pop()) ++all.popped;
      break;
    }
  }
}

// A run with many fibers, of which some are killed, and some are left when the main task ends.
task<> storm(shared_things& all, std::size_t mine, random_numbers& random) {
  {
    const std::lock_guard lock(all.mutex);
    all.handles[mine].emplace();
  }
  std::vector<fiber<>> fibers;
  for (int step = 0; step < 100; ++step) {
    if (random.once_in(2) || fibers.empty()) {
      fibers.push_back(spawn(share_once(all, random)));
    } else if (random.once_in(2)) {
      fibers[random.below(fibers.size())].request_kill();
    } else {
      const std::lock_guard lock(all.mutex);
      const auto& other = all.handles[random.below(all.handles.size())];
      if (other) static_cast<void>(other->post([&all] { all.signal.set(); }));
    }
    if (random.once_in(3)) co_await yield();
  }
  {
    const std::lock_guard lock(all.mutex);
    all.handles[mine].reset();
  }
}

}  // namespace

TEST_SUITE_BEGIN("wake storm");

TEST_CASE("posts of two threads all run, although the scheduler sleeps in between") {
  const std::uint64_t posts = std::uint64_t{100'000} * test_scale();
  std::array<std::uint64_t, 2> ran{};
  std::uint64_t wakes = 0;
  const auto main = [&]() -> task<> {
    concurrent_semaphore ended(0);
    engine& here = current_scheduler().engine();
    const auto work = [&](std::size_t index) {
      post_balls(here, ran[index], posts, index + 1);
      ended.release();
    };
    std::thread one([&] { work(0); });
    std::thread two([&] { work(1); });
    const auto both = co_await ended.acquire(2);
    one.join();
    two.join();
    wakes = here.statistics().wakes;
  };
  run(main());
  CHECK(ran == std::array<std::uint64_t, 2>{posts, posts});
  MESSAGE("sleeps that a post has ended: " << wakes);
}

TEST_CASE("two schedulers that wake each other in turn never both sleep") {
  const std::size_t turns = 1'000 * test_scale();
  concurrent_semaphore ping(0);
  concurrent_semaphore pong(0);
  std::atomic<std::uint64_t> wakes = 0;
  const auto main = [&](concurrent_semaphore& mine, concurrent_semaphore& others) -> task<> {
    for (std::size_t i = 0; i < turns; ++i) {
      others.release();
      auto turn = co_await mine.acquire();
      turn.consume();
    }
    wakes += current_scheduler().engine().statistics().wakes;
  };
  std::thread other([&] { run(main(ping, pong)); });
  run(main(pong, ping));
  other.join();
  MESSAGE("sleeps that the other scheduler has ended: " << wakes.load());
}

TEST_CASE("schedulers that share, post, kill and stop at random leave nothing behind") {
  const int runs = 20 * static_cast<int>(test_scale());
  shared_things all;
  std::atomic<bool> ended = false;
  const auto work = [&](std::size_t index) {
    random_numbers random(index + 1);
    for (int i = 0; i < runs; ++i) run(storm(all, index, random));
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < all.handles.size(); ++i) threads.emplace_back([&, i] { work(i); });
  // Ends what the schedulers wait for without a limit, and takes part itself.
  std::thread plain([&] {
    while (!ended) {
      if (all.items.try_pop()) ++all.popped;
      all.signal.set();
      const auto seat = all.seats.try_acquire();
      all.signal.reset();
      std::this_thread::yield();
    }
  });
  for (std::thread& one : threads) one.join();
  ended = true;
  plain.join();
  while (all.items.try_pop()) ++all.popped;
  CHECK(all.pushed == all.popped);
  CHECK(all.seats.available() == 2);
  CHECK(all.items.waiting_to_pop() + all.items.waiting_to_push() + all.seats.waiting() == 0);
  MESSAGE("items handed over: " << all.popped.load());
}

TEST_SUITE_END();
