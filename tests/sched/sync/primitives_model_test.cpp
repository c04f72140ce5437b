// Locks, counters, flags, futures and queues together: random schedules, compared with a sequential
// model of each that follows its header.
//
// Method: a program is a few fibers and a few primitives. Fibers wait, alone or in a select(), with
// limits, wake each other, kill each other, let time pass, close and replace what no fiber uses.
// See primitives_model.hpp. A difference is reported with the seed and the last steps; then
// RINGLET_TEST_SEED runs that program alone. RINGLET_TEST_SCALE makes the normal run that many
// times longer.
//
// It was seen to find these faults, which other libraries have had. Each was planted alone:
//
//   | fault                                                         | found after steps |
//   |---------------------------------------------------------------|-------------------|
//   | a fiber is notified by a condition and killed: the            |               809 |
//   |   notification is lost                                        |                   |
//   | a fiber that is killed in a condition returns without its lock |              610 |
//   | the first of a semaphore is killed: those behind stay asleep  |                26 |
//   | set() of an event for more than 256 waits ends one that       |           214,561 |
//   |   begins later                                                |                   |
//   | pop() of a closed queue strands the items in it               |             8,320 |
//   | permits that come back wake no fiber                          |               160 |
#include <ringlet/run.hpp>

#include <doctest/doctest.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "count_models.hpp"
#include "lock_models.hpp"
#include "primitives_waits.hpp"
#include "primitives_world.hpp"
#include "queue_models.hpp"
#include "sched/scripted_run.hpp"
#include "signal_models.hpp"
#include "support/sanitized.hpp"
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

void add_one(primitives_world& world, std::size_t which) {
  const std::size_t unlimited = queue_model::unlimited;
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
    case 4: {
      auto& lock = add<mutex_model<recursive_mutex>>(world);
      add<condition_model<recursive_mutex>>(world, lock);
      break;
    }
    case 5:
      add<mutex_model<mutex>>(world);
      break;
    case 6:
      add<mutex_model<recursive_mutex>>(world);
      break;
    case 7:
      add<shared_mutex_model>(world);
      break;
    case 8:
      add<semaphore_model<semaphore>>(world);
      break;
    case 9:
      add<semaphore_model<bounded_semaphore>>(world);
      break;
    case 10:
      add<barrier_model>(world);
      break;
    case 11:
      add<auto_reset_event_model>(world);
      break;
    case 12:
      add<queue_model>(world, "queue", 1 + world.random.below(3), unlimited);
      break;
    case 13:
      add<queue_model>(world, "queue by weight", unlimited, 1 + world.random.below(6));
      break;
    case 14:
      add<queue_model>(world, "unlimited queue", unlimited, unlimited);
      break;
    default:
      add<queue_model>(world, "rendezvous", 0, unlimited);
      break;
  }
}

// Few primitives, so that the fibers meet at them. In a crowd, more fibers wait than one slice of a
// wake-up has, and only for what wakes all of them.
void fill(primitives_world& world) {
  add<event_model>(world);
  add<semaphore_model<semaphore>>(world);
  const std::size_t count = 1 + world.random.below(3);
  for (std::size_t i = 0; i < count; ++i)
    add_one(world, world.random.below(world.is_crowd() ? 4 : 16));
  add<pause_model>(world);
}

// doctest prints nothing when an assertion of the library ends the program.
class story_printed_on_abort {
 public:
  explicit story_printed_on_abort(const primitives_world& world)
      : before_(std::signal(SIGABRT, &story_printed_on_abort::print)) {
    running_ = &world;
  }
  story_printed_on_abort(const story_printed_on_abort&) = delete;
  ~story_printed_on_abort() { std::signal(SIGABRT, before_); }

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
  void (*before_)(int);
};

// What the fibers of a program with a difference hold is not given back: it may be wrong.
bool agrees(std::uint64_t seed) {
  random_numbers random(seed);
  const bool is_crowd = seed % 64 == 0;
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

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

}  // namespace

TEST_SUITE_BEGIN("primitives model");

TEST_CASE("primitives do what the model predicts in random programs") {
  reached = {};
  if (const std::uint64_t seed = number_from("RINGLET_TEST_SEED", 0)) {
    agrees(seed);
    return;
  }
  const std::size_t tenths = sanitized ? 1 : 10;
  const std::size_t steps = 100'000 * tenths * number_from("RINGLET_TEST_SCALE", 1);
  for (std::uint64_t seed = 1; reached.steps < steps; ++seed) {
    if (!agrees(seed)) return;
  }
  CHECK(reached.suspended > 15'000 * tenths);
  CHECK(reached.late > 2'500 * tenths);
  CHECK(reached.killed > 2'500 * tenths);
  CHECK(reached.outlived_kill > 250 * tenths);
  CHECK(reached.selects > 2'500 * tenths);
  CHECK(reached.closed > 500 * tenths);
  CHECK(reached.broken > 150 * tenths);
  CHECK(reached.recreated > 700 * tenths);
}

TEST_SUITE_END();
