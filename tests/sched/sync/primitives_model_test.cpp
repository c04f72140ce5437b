// Locks, counters, flags, futures, queues, channels, watches and broadcasts together: random
// schedules, compared with a sequential model of each that follows its header.
//
// Method: a program is a few fibers and a few primitives. Fibers wait, alone or in a select(), with
// limits, wake each other, kill each other, let time pass, close and replace what no fiber uses.
// See primitives_model.hpp. A difference is reported with the seed and the last steps; then
// RINGLET_TEST_SEED runs that program alone. RINGLET_TEST_SCALE makes the normal run that many
// times longer.
//
// It was seen to find these faults, which other libraries have had. Each was planted alone:
//
//   | fault                                                                   | found after steps |
//   |-------------------------------------------------------------------------|-------------------|
//   | a fiber is notified by a condition and killed: the notification is lost |             4,941 |
//   | a fiber that is killed in a condition returns without its lock          |             6,692 |
//   | the first of a semaphore is killed: those behind stay asleep            |             1,861 |
//   | permits that come back wake no fiber                                    |               222 |
//   | set() of an event for more than 256 waits ends one that begins later    |            63,649 |
//   | pop() of a closed queue strands the items in it                         |             6,165 |
//   | a push that waits, with room for 0 items, wakes no wait_peek()          |               887 |
//   | what the comparator throws for a push that waits is lost                |            56,273 |
//   | join() forgets an item that is handed to a fiber in pop()               |             2,359 |
//   | a place of a channel that is given back wakes no fiber                  |               816 |
//   | a fiber is killed when reserve() has succeeded: the place is lost       |           146,878 |
//   | the last sender goes: the items in the channel are stranded             |           403,947 |
//   | a watch shows an older value after a newer one                          |            23,407 |
//   | a broadcast counts one missed item too few                              |            19,684 |
//   | the slowest subscriber goes: the senders stay asleep                    |            35,152 |
// SPDX-License-Identifier: MIT
#include <ringlet/run.hpp>

#include <doctest/doctest.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "channel_model.hpp"
#include "count_models.hpp"
#include "lock_models.hpp"
#include "primitives_waits.hpp"
#include "primitives_world.hpp"
#include "queue_models.hpp"
#include "reader_models.hpp"
#include "sched/scripted_run.hpp"
#include "signal_models.hpp"
#include "support/sanitized.hpp"
#include "support/scale.hpp"
#include "support/scripted_engine.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

namespace {

template <class Model, class... Args>
Model& add(primitives_world& world, Args&&... args) {
  auto made = std::make_unique<Model>(world, std::forward<Args>(args)...);
  Model& added = *made;
  added.index = world.primitives.size();
  world.primitives.push_back(std::move(made));
  return added;
}

void add_lock(primitives_world& world, std::size_t which) {
  switch (which) {
    case 0: {
      auto& lock = add<mutex_model<recursive_mutex>>(world);
      add<condition_model<recursive_mutex>>(world, lock);
      break;
    }
    case 1:
      add<mutex_model<mutex>>(world);
      break;
    case 2:
      add<mutex_model<recursive_mutex>>(world);
      break;
    case 3:
      add<shared_mutex_model>(world);
      break;
    case 4:
      add<semaphore_model<semaphore>>(world);
      break;
    case 5:
      add<semaphore_model<bounded_semaphore>>(world);
      break;
    case 6:
      add<barrier_model>(world);
      break;
    default:
      add<auto_reset_event_model>(world);
      break;
  }
}

void add_queue(primitives_world& world, std::size_t which) {
  using items = queue<numbered_item, weigh_number>;
  using stack = lifo_queue<numbered_item, weigh_number>;
  using sorted = priority_queue<numbered_item, less_by_rank, weigh_number>;
  using tasks = joinable_queue<numbered_item, weigh_number>;
  constexpr std::size_t unlimited = items::unlimited;
  const std::size_t few = world.random.below(4);
  switch (which) {
    case 0:
      add<queue_model<items>>(world, "queue", 1 + few, unlimited);
      break;
    case 1:
      add<queue_model<items>>(world, "queue by weight", unlimited, 1 + few * 2);
      break;
    case 2:
      add<queue_model<items>>(world, "unlimited queue", unlimited, unlimited);
      break;
    case 3:
      add<queue_model<items>>(world, "rendezvous", std::size_t{0}, unlimited);
      break;
    case 4:
      add<queue_model<stack>>(world, "lifo_queue", few, unlimited);
      break;
    case 5:
      add<queue_model<sorted>>(world, "priority_queue", few * 2, 1 + world.random.below(12));
      break;
    case 6:
      add<queue_model<tasks>>(world, "joinable_queue", few, unlimited);
      break;
    default:
      add<channel_model>(world);
      break;
  }
}

// The first that_wake_all are for a crowd, too.
constexpr std::size_t that_wake_all = 6, locks = 8, queues = 8;
constexpr std::size_t kinds = that_wake_all + locks + queues;

void add_one(primitives_world& world, std::size_t which) {
  switch (which) {
    case 0:
      add<latch_model>(world);
      break;
    case 1:
      add<promise_model>(world);
      break;
    case 2:
      add<event_model>(world);
      break;
    case 3: {
      auto& lock = add<mutex_model<mutex>>(world);
      add<condition_model<mutex>>(world, lock);
      break;
    }
    case 4:
      add<watch_model>(world);
      break;
    case 5:
      add<broadcast_model>(world);
      break;
    default:
      if (which < that_wake_all + locks) {
        add_lock(world, which - that_wake_all);
      } else {
        add_queue(world, which - that_wake_all - locks);
      }
  }
}

// Few primitives, so that the fibers meet at them. In a crowd, more fibers wait than one slice of a
// wake-up has, and only for what wakes all of them.
void fill(primitives_world& world) {
  add<event_model>(world);
  add<semaphore_model<semaphore>>(world);
  const std::size_t count = 1 + world.random.below(3);
  for (std::size_t i = 0; i < count; ++i)
    add_one(world, world.random.below(world.is_crowd() ? that_wake_all : kinds));
  add<pause_model>(world);
}

// doctest prints nothing when an assertion of the library ends the program, and no seed when the
// program crashes.
class story_printed_on_abort {
 public:
  explicit story_printed_on_abort(const primitives_world& world)
      : before_abort_(std::signal(SIGABRT, &story_printed_on_abort::print)),
        before_crash_(std::signal(SIGSEGV, &story_printed_on_abort::print)) {
    running_ = &world;
  }
  story_printed_on_abort(const story_printed_on_abort&) = delete;
  ~story_printed_on_abort() {
    std::signal(SIGABRT, before_abort_);
    std::signal(SIGSEGV, before_crash_);
  }

 private:
  static void print(int number) {
    std::fprintf(
        stderr, "primitives model: aborted with RINGLET_TEST_SEED=%llu after %zu steps; %s%s\n",
        static_cast<unsigned long long>(running_->seed), reached.steps, running_->broken.c_str(),
        running_->broken.empty() ? running_->story().c_str() : "");
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
  static inline const primitives_world* running_ = nullptr;
  void (*before_abort_)(int);
  void (*before_crash_)(int);
};

// What the fibers of a program with a difference hold is not given back: it may be wrong.
bool agrees(std::uint64_t seed) {
  random_numbers random(seed);
  const bool is_crowd = seed % 128 == 0;
  auto engine = std::make_unique<scripted_engine>();
  auto world =
      std::make_unique<primitives_world>(seed, *engine, is_crowd ? 400 : 2 + random.below(10));
  fill(*world);
  const story_printed_on_abort mark(*world);
  options settings;
  settings.on_unhandled_error = [](const unhandled_error&) {};
  try {
    run_on(*engine, world->main(is_crowd ? 6'000 : 400), std::move(settings));
  } catch (const std::exception& error) {
    world->fail(error.what());
  }
  if (world->broken.empty()) return true;
  FAIL_CHECK(world->broken);
  static_cast<void>(world.release());
  return false;
}

}  // namespace

TEST_SUITE_BEGIN("primitives model");

TEST_CASE("primitives do what the model predicts in random programs") {
  reached = {};
  if (const std::uint64_t seed = test_seed()) {
    agrees(seed);
    return;
  }
  const std::size_t scale = test_scale();
  const std::size_t tenths = sanitized && scale == 1 ? 1 : 10 * scale;
  for (std::uint64_t seed = 1; reached.steps < 100'000 * tenths; ++seed) {
    if (!agrees(seed)) return;
  }
  CHECK(reached.suspended > 15'000 * tenths);
  CHECK(reached.late > 2'500 * tenths);
  CHECK(reached.killed > 2'500 * tenths);
  CHECK(reached.outlived_kill > 250 * tenths);
  CHECK(reached.selects > 2'500 * tenths);
  CHECK(reached.closed > 500 * tenths);
  CHECK(reached.lagged > 10 * tenths);
  CHECK(reached.broken > 150 * tenths);
  CHECK(reached.recreated > 700 * tenths);
}

TEST_SUITE_END();
