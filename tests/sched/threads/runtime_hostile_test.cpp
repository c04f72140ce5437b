// runtime: it ends in time from any state, whatever its main tasks do.
//
// Method: each run starts a runtime whose main tasks are chosen at random from the worst ones, and
// ends it in a random way at a random moment. A run that does not end within twice the shutdown
// timeout aborts the program. RINGLET_TEST_SEED runs one such program. RINGLET_TEST_SCALE makes the
// normal run that many times longer, and prints each seed before its run: 25 gives 1,000 runs.
// SPDX-License-Identifier: MIT
#include <ringlet/event.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run_on.hpp>
#include <ringlet/runtime.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/shutdown.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/random.hpp"
#include "support/sanitized.hpp"
#include "support/scale.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// What the main tasks of one run share.
struct hostile_run {
  explicit hostile_run(std::uint64_t seed) : random(seed) {}

  random_numbers random;  // before the start only
  std::vector<int> kinds;
  std::vector<std::uint64_t> seeds;
  runtime* all = nullptr;
  std::atomic<bool> has_begun = false;
  std::atomic<int> alive = 0;  // objects in the frames of all fibers
};

// In the frames of fibers, to see that all of them are unwound.
struct presence {
  explicit presence(hostile_run& run) : of(run) { ++of.alive; }
  presence(const presence& other) : of(other.of) { ++of.alive; }
  presence& operator=(const presence&) = delete;
  ~presence() { --of.alive; }
  hostile_run& of;
};

task<> wait_in_shields(hostile_run& run, int depth) {
  const presence here(run);
  if (depth == 0) {
    co_await sleep(1h);
  } else {
    co_await shield(1h, wait_in_shields(run, depth - 1));
  }
}

task<> spawn_storm(hostile_run& run, int depth) {
  const presence here(run);
  for (;;) {
    for (int i = 0; i < 3 && depth > 0; ++i) spawn(spawn_storm, std::ref(run), depth - 1);
    co_await sleep(500us);
  }
}

task<> spawn_elsewhere(hostile_run& run, std::uint64_t seed) {
  const presence here(run);
  random_numbers random(seed);
  for (;;) {
    const std::size_t k = random.below(scheduler_count());
    const auto guest = [](presence its, bool is_short) -> task<> {
      if (!is_short) co_await sleep(1h);
      co_await yield();
      static_cast<void>(its);
    };
    const auto begun = run.all->spawn(k, guest, presence(run), !random.once_in(3));
    if (random.once_in(2)) co_await begun.join(1ms);
    if (random.once_in(3)) begun.request_kill();
    co_await yield();
    if (random.once_in(4)) co_await sleep(200us);
  }
}

task<> compute_for_a_while(hostile_run& run) {
  const presence here(run);
  for (;;) {
    const auto end = std::chrono::steady_clock::now() + 3ms;
    while (std::chrono::steady_clock::now() < end) {
    }
    co_await yield();
  }
}

// Each scheduler waits for a callee on the next one, which does the same.
task<> call_in_circles(hostile_run& run, int depth) {
  const presence here(run);
  event never_set;
  if (depth == 0) {
    co_await never_set.wait();
    co_return;
  }
  const std::size_t next = (scheduler_index() + 1) % scheduler_count();
  co_await run_on(next, call_in_circles, std::ref(run), depth - 1);
}

task<> call_and_limit(hostile_run& run, std::uint64_t seed) {
  const presence here(run);
  random_numbers random(seed);
  for (;;) {
    const std::size_t k = random.below(scheduler_count());
    const auto guest = [](presence its, int turns) -> task<> {
      for (; turns > 0; --turns) co_await yield();
      static_cast<void>(its);
    };
    const auto call = [&]() -> task<> {
      co_await run_on(k, guest, presence(run), static_cast<int>(random.below(30)));
    };
    try {
      co_await with_timeout(random.below(300) * 1us, call());
    } catch (const timed_out&) {
    }
    co_await yield();
  }
}

task<> shielded_calls(hostile_run& run) {
  const presence here(run);
  for (;;) {
    const auto call = [](hostile_run& of) -> task<> {
      const auto guest = [](presence its) -> task<> {
        co_await sleep(300us);
        static_cast<void>(its);
      };
      co_await run_on((scheduler_index() + 1) % scheduler_count(), guest, presence(of));
    };
    co_await shield(5ms, call(run));
    co_await sleep(100us);
  }
}

task<> shielded_groups(hostile_run& run) {
  const presence here(run);
  const auto member = [](hostile_run& of) -> task<> {
    const presence its(of);
    for (int i = 0; i < 2; ++i) {
      const auto guest = [](presence there) -> task<> {
        co_await sleep(300us);
        static_cast<void>(there);
      };
      co_await run_on((scheduler_index() + 1) % scheduler_count(), guest, presence(of));
    }
  };
  const auto body = [&](task_group& group) -> task<> {
    for (int i = 0; i < 3; ++i) group.spawn(member, std::ref(run));
    co_return;
  };
  for (;;) {
    co_await shield(5ms, with_group(body));
    co_await sleep(100us);
  }
}

task<> groups_elsewhere(hostile_run& run) {
  const presence here(run);
  const auto everywhere = [&run](std::size_t) -> task<> {
    const presence there(run);
    const auto body = [&run](task_group& group) -> task<> {
      for (int i = 0; i < 3; ++i) {
        group.spawn(
            [](hostile_run& of) -> task<> {
              const presence member(of);
              co_await sleep(1h);
            },
            std::ref(run));
      }
      co_await sleep(1h);
    };
    co_await with_group(body);
  };
  co_await run_on_all(everywhere);
}

task<> fail_soon(hostile_run& run) {
  const presence here(run);
  co_await sleep(2ms);
  throw std::runtime_error("on purpose");
}

task<> return_soon(hostile_run& run) {
  const presence here(run);
  spawn(spawn_storm, std::ref(run), 1);
  co_await sleep(1ms);
}

constexpr int kinds_count = 11;

task<> hostile_main(hostile_run& run, std::size_t k) {
  while (!run.has_begun) co_await sleep(50us);
  const std::uint64_t seed = run.seeds[k];
  switch (run.kinds[k]) {
    case 0:
      co_return co_await wait_in_shields(run, 3);
    case 1:
      co_return co_await spawn_storm(run, 2);
    case 2:
      co_return co_await spawn_elsewhere(run, seed);
    case 3:
      co_return co_await compute_for_a_while(run);
    case 4:
      co_return co_await call_in_circles(run, 5);
    case 5:
      co_return co_await call_and_limit(run, seed);
    case 6:
      co_return co_await shielded_calls(run);
    case 7:
      co_return co_await groups_elsewhere(run);
    case 8:
      co_return co_await fail_soon(run);
    case 9:
      co_return co_await shielded_groups(run);
    default:
      co_return co_await return_soon(run);
  }
}

void run_hostile(std::uint64_t seed) {
  hostile_run run(seed);
  const std::size_t count = 1 + run.random.below(3);
  for (std::size_t k = 0; k < count; ++k) {
    int kind = static_cast<int>(run.random.below(kinds_count));
    // Never-ending shields end when the shutdown timeout has passed, which makes the run long.
    if (kind == 0 && !run.random.once_in(5)) kind = 1;
    run.kinds.push_back(kind);
    run.seeds.push_back(run.random.next());
  }
  const auto delay = run.random.below(4000) * 1us;
  const bool is_stopped_inside = run.random.once_in(3);
  const auto main = [&](std::size_t k) -> task<> { co_await hostile_main(run, k); };
  options each;
  each.shutdown_timeout = sanitized ? 3s : 1s;
  each.on_unhandled_error = [](const unhandled_error&) {};
  {
    runtime all(main, {.threads = count, .each = each});
    run.all = &all;
    run.has_begun = true;
    std::this_thread::sleep_for(delay);
    try {
      if (is_stopped_inside) {
        const auto stop = [](runtime& whole) -> task<> {
          whole.stop();
          co_return;
        };
        all.spawn(0, stop, std::ref(all));  // throws if all schedulers have ended
      } else {
        all.stop();
      }
      all.join();
    } catch (const std::exception&) {
    }
  }
  CHECK_MESSAGE(run.alive == 0, "seed ", seed);
}

}  // namespace

TEST_SUITE_BEGIN("hostile runtime");

TEST_CASE("a runtime ends in time from any state, and unwinds every fiber") {
  if (test_seed() != 0) return run_hostile(test_seed());
  const std::uint64_t runs = 40 * test_scale();
  for (std::uint64_t seed = 1; seed <= runs; ++seed) {
    if (test_scale() > 1)
      std::fprintf(stderr, "seed %llu\n", static_cast<unsigned long long>(seed));
    run_hostile(seed);
  }
}

TEST_SUITE_END();
