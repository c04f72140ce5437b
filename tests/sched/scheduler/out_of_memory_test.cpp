// What must work without memory: cancelling, waking, limits, passing items and slots on, and
// ending. And what may fail: each allocation fails in turn, one per round.
//
// Method: operator new throws from before a fiber acts until it has seen the effects. In noexcept
// functions that would end the program. (Exceptions do not use operator new: the runtime has memory
// for them.) Under sanitizers operator new cannot fail, and these tests prove nothing.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/detail/frame_pool.hpp>
#include <ringlet/event.hpp>
#include <ringlet/fiber_set.hpp>
#include <ringlet/generator.hpp>
#include <ringlet/pool.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/scheduler_handle.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/spawn_after.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/when_all.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "support/allocations.hpp"
#include "support/engines.hpp"
#include "support/sockets.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Everything that fibers wait for here, and the outcomes.
struct world {
  event door, never;
  queue<int> items, full{1}, closing, selected;
  fiber_set crowd;
  int woken = 0, cancelled_ones = 0, late = 0, moved_on = 0, popped = 0, closed = 0, chosen = 0;
  std::optional<out_of_memory> shortage;

  task<> wait_for_door() {
    co_await door.wait(1h);
    ++woken;
  }
  task<> be_killed(bool pushing) {
    try {
      if (pushing) co_await full.push(2);
      if (!pushing) co_await select(never.wait(), items.pop(), sleep(1h));
    } catch (const cancelled&) {
      ++cancelled_ones;
      throw;
    }
  }
  task<> be_late() {
    const bool came = co_await never.wait(1ms);
    late += came ? 0 : 1;
  }
  task<> move_on() {
    const bool in_time = co_await move_on_after(1ms, sleep_for(1h));
    moved_on += in_time ? 0 : 1;
  }
  task<> pop_one() { popped += co_await items.pop(); }
  task<> pop_closed() {
    const result<int> got = co_await as_result(closing.pop());
    closed += got ? 0 : 1;
  }
  task<> choose() {
    const auto taken = co_await select(never.wait(), selected.pop(), full.push(3));
    if (taken.index() == 1) ++chosen;
  }
  task<> join_others(fiber<> other) {
    co_await other.join();
    co_await crowd.join();
    ++woken;
  }

  task<> run() {
    full.try_push(1);
    closing.try_push(1);
    selected.try_push(1);
    selected.try_pop();
    std::vector<fiber<>> all = {
        spawn(wait_for_door()), spawn(be_killed(true)), spawn(be_killed(false)), spawn(be_late()),
        spawn(move_on()),       spawn(pop_one()),       spawn(choose()),
    };
    const fiber<> poppers = spawn(pop_closed());
    crowd.add(all[0]);
    all.push_back(spawn(join_others(all[3])));
    closing.try_pop();
    co_await yield();
    const fiber<> unstarted = spawn(sleep_for(1h));
    const std::array<int, 3> numbers{1, 2, 3};

    shortage.emplace();
    door.set();
    all[1].request_kill();
    all[2].request_kill();
    unstarted.request_kill();
    items.try_push(numbers[2]);
    selected.try_push(numbers[0]);
    const std::optional<int> left = full.try_pop();
    closing.close();
    items.close_now();
    for (std::size_t i = 0; i < all.size(); ++i) co_await all[i].join();
    co_await poppers.join();
    co_await unstarted.join();
    shortage.reset();

    CHECK(left == 1);
    CHECK(all[1].result() == outcome::cancelled);
    CHECK(unstarted.result() == outcome::cancelled);
  }

  void check() const {
    CHECK(woken == 2);
    CHECK(cancelled_ones == 2);
    CHECK(late == 1);
    CHECK(moved_on == 1);
    CHECK(popped == 3);
    CHECK(closed == 1);
    CHECK(chosen == 1);
  }
};

// Ends while others wait and there is no memory.
task<> leave_others(world& left) {
  left.full.try_push(1);
  spawn(left.wait_for_door());
  spawn(left.be_killed(true));
  spawn(left.be_killed(false));
  spawn(left.choose());
  spawn(sleep_for(1h));
  co_await yield();
  spawn(sleep_for(1h));
  left.shortage.emplace();
}

// Sets `begun` if it runs, and its frame holds a copy during its lifetime.
task<> keep(std::shared_ptr<int> begun) {
  ++*begun;
  co_return;
}

// Whether spawn(keep(...)), when it fails for lack of memory, neither runs nor keeps anything. Each
// size of the frame pool in turn has no free block: one of them is the fiber's, others are those
// that its group and its call need.
template <class Spawn>
task<> fail_to_spawn(Spawn spawn) {
  const auto begun = std::make_shared<int>(0);
  spawn(keep(begun));  // the pool has memory for one more now
  co_await yield();
  int failures = 0;
  for (std::size_t size = detail::frame_pool::step; size <= 512; size += detail::frame_pool::step) {
    *begun = 0;
    bool failed = false;
    {
      const empty_frame_pool none_left(size);
      const out_of_memory shortage;
      try {
        spawn(keep(begun));
      } catch (const std::bad_alloc&) {
        failed = true;
      }
    }
    failures += failed ? 1 : 0;
    co_await yield();
    CHECK(*begun == (failed ? 0 : 1));
    CHECK(begun.use_count() == 1);
  }
  CHECK(failures >= 2);
}

// Runs `call` with the first allocation failing, then with the second, and so on until `call` ends
// without reaching the failing one: each time before, it threw std::bad_alloc. Returns the number
// of rounds.
int fail_one_after_the_other(auto&& call) {
  for (int number = 0;; ++number) {
    detail::frames.hand_over();  // or the pool would not have to allocate
    bool failed = false;
    {
      failing_allocation one(number);
      try {
        call();
      } catch (const std::bad_alloc&) {
        failed = true;
      }
      REQUIRE(failed == one.has_failed());
    }
    if (!failed) return number;
  }
}

// The same for calls that create a fiber: when one throws, the body never runs, and nothing is left
// of the fiber.
task<> fail_to_make_a_fiber(auto&& make, int least) {
  const auto begun = std::make_shared<int>(0);
  int before = 0;
  const int failures = fail_one_after_the_other([&] {
    before = *begun;
    make(begun);
  });
  CHECK(failures >= least);
  co_await sleep(1s);
  CHECK(before == 0);
  CHECK(*begun == 1);
  CHECK(begun.use_count() == 1);
}

[[gnu::noinline]] task<int> give(int value, std::shared_ptr<int> kept) {
  static_cast<void>(kept);
  co_return value;
}
[[gnu::noinline]] generator<int> yield_two(std::shared_ptr<int> kept) {
  co_yield *kept;
  co_yield *kept;
}

// Waits for an event that never comes, without memory for a report.
task<> wait_for_nothing(event& never, std::optional<out_of_memory>& shortage, bool in_fiber) {
  const fiber<> other = spawn([](event& door) -> task<> { co_await door.wait(); }, std::ref(never));
  co_await yield();
  shortage.emplace();
  if (in_fiber) co_await other.join();
  if (!in_fiber) co_await never.wait();
}

}  // namespace

TEST_SUITE_BEGIN("out of memory");

TEST_CASE("cancelling, waking, limits and hand-overs need no memory") {
  if (!allocations_are_counted()) return;
  world all;
  SUBCASE("on the scripted engine") {
    run_scripted([&](scripted_engine&) -> task<> { return all.run(); });
  }
  SUBCASE("on a real engine") { run(all.run()); }
  all.check();
}

// The ring used to be left open when there was no memory for its name.
TEST_CASE("an engine that lacks memory for any part leaves nothing behind") {
  if (!allocations_are_counted()) return;
  for_each_kernel_engine([](const engine_maker& make) {
    if (make.is_rung()) return;
    make();  // probes the kernel's features
    const std::size_t before = count_open_descriptors();
    bool made = false;
    for (std::size_t first = 0; !made; ++first) {
      CAPTURE(first);
      try {
        const out_of_memory shortage(first);
        make();
        made = true;
      } catch (const std::bad_alloc&) {
      }
      CHECK(count_open_descriptors() == before);
    }
  });
}

TEST_CASE("ending a run with fibers left needs no memory") {
  if (!allocations_are_counted()) return;
  world all;
  SUBCASE("on the scripted engine") {
    scripted_engine engine;
    run_on(engine, leave_others(all));
    all.shortage.reset();
  }
  SUBCASE("on a real engine") {
    run(leave_others(all));
    all.shortage.reset();
  }
  CHECK(all.cancelled_ones == 2);
  CHECK(all.woken == 0);
}

TEST_CASE("a fiber for which a group has no memory never begins, and leaves nothing behind") {
  if (!allocations_are_counted()) return;
  SUBCASE("of with_group()") {
    run_scripted([](scripted_engine&) -> task<> {
      auto body = [](task_group& all) -> task<> {
        co_await fail_to_spawn([&all](task<> call) { all.spawn(std::move(call)); });
        CHECK(all.size() == 0);
      };
      co_await with_group(body);
    });
  }
  SUBCASE("of a fiber_set") {
    run_scripted([](scripted_engine&) -> task<> {
      fiber_set all;
      co_await fail_to_spawn([&all](task<> call) { all.spawn(std::move(call)); });
      CHECK(all.empty());
    });
  }
  SUBCASE("of a pool") {
    run_scripted([](scripted_engine&) -> task<> {
      pool all(1);
      co_await fail_to_spawn([&all](task<> call) { all.try_spawn(std::move(call)); });
      CHECK(all.empty());
      CHECK(all.free() == 1);
    });
  }
  SUBCASE("of a slot, which stays reserved") {
    run_scripted([](scripted_engine&) -> task<> {
      pool all(1);
      co_await fail_to_spawn([&all](task<> call) {
        pool::slot taken = all.try_reserve();
        try {
          taken.spawn(std::move(call));
        } catch (const std::bad_alloc&) {
          CHECK(taken);
          throw;
        }
      });
      CHECK(all.free() == 1);
    });
  }
  SUBCASE("of a fiber_set that is being killed with an exception") {
    run_scripted([](scripted_engine&) -> task<> {
      fiber_set all;
      const fiber<> stubborn = all.spawn([]() -> task<> {
        try {
          co_await sleep(1h);
        } catch (const std::runtime_error&) {
        }
        co_await sleep(1ms);
      });
      co_await yield();
      const auto error = std::make_exception_ptr(std::runtime_error("given"));
      const fiber<> killer = spawn([&]() -> task<> { co_await all.kill(error); });
      co_await yield();
      const auto begun = std::make_shared<int>(0);
      task<> call = keep(begun);
      {
        const out_of_memory shortage;
        all.spawn(std::move(call));
      }
      co_await killer.join();
      CHECK(*begun == 0);
      CHECK(all.empty());
    });
  }
}

TEST_CASE("a spawn that fails throws, its body never runs, and nothing of it remains") {
  if (!allocations_are_counted()) return;
  run_scripted([](scripted_engine&) -> task<> {
    auto plain = [](const std::shared_ptr<int>& begun) { spawn(keep(begun)); };
    auto of_arguments = [](const std::shared_ptr<int>& begun) { spawn(&keep, begun); };
    auto later = [](const std::shared_ptr<int>& begun) { spawn_after(10ms, &keep, begun); };
    co_await fail_to_make_a_fiber(plain, 2);
    co_await fail_to_make_a_fiber(of_arguments, 2);
    co_await fail_to_make_a_fiber(later, 2);
  });
}

TEST_CASE("a spawn into a group that fails throws, and its body never runs") {
  if (!allocations_are_counted()) return;
  run_scripted([](scripted_engine&) -> task<> {
    auto body = [](task_group& all) -> task<> {
      auto into = [&all](const std::shared_ptr<int>& begun) { all.spawn(keep(begun)); };
      co_await fail_to_make_a_fiber(into, 2);
      CHECK(all.size() == 0);
    };
    co_await with_group(body);
    fiber_set those;
    auto into = [&those](const std::shared_ptr<int>& begun) { those.spawn(keep(begun)); };
    co_await fail_to_make_a_fiber(into, 2);
    CHECK(those.empty());
  });
}

TEST_CASE("calls of tasks and generators that find no memory throw, and keep no argument") {
  if (!allocations_are_counted()) return;
  run_scripted([](scripted_engine&) -> task<> {
    const auto kept = std::make_shared<int>(1);
    CHECK(fail_one_after_the_other([&] { static_cast<void>(give(1, kept)); }) == 1);
    CHECK(fail_one_after_the_other([&] { static_cast<void>(yield_two(kept)); }) == 1);
    int sum = 0;
    CHECK(fail_one_after_the_other([&] {
            for (const int value : yield_two(kept)) sum += value;
          }) == 1);
    CHECK(sum == 2);
    CHECK(kept.use_count() == 1);
    co_return;
  });
}

TEST_CASE("with_group, when_all and similar calls that find no memory throw, and begin no fiber") {
  if (!allocations_are_counted()) return;
  run_scripted([](scripted_engine&) -> task<> {
    const auto kept = std::make_shared<int>(0);
    const auto until_it_works = [](auto make_call, int least) -> task<> {
      int failures = 0;
      for (bool failed = true; failed; ++failures) {
        detail::frames.hand_over();
        failing_allocation one(failures);
        try {
          co_await make_call();
        } catch (const std::bad_alloc&) {
        } catch (const group_error& error) {
          CHECK(texts_of(error) == "group: std::bad_alloc");
        }
        failed = one.has_failed();
      }
      CHECK(failures - 1 >= least);
    };
    int bodies = 0;
    auto group_of_two = [&]() -> task<> {
      auto body = [&](task_group& all) -> task<> {
        all.spawn(keep(kept));
        all.spawn(keep(kept));
        ++bodies;
        co_return;
      };
      co_await with_group(body);
    };
    co_await until_it_works(group_of_two, 6);
    CHECK(bodies == 1);
    CHECK(kept.use_count() == 1);
    auto two = [&]() -> task<> { co_await when_all(give(1, kept), give(2, kept)); };
    co_await until_it_works(two, 4);
    CHECK(kept.use_count() == 1);
    auto limited = [&]() -> task<> { co_await with_timeout(1s, give(1, kept)); };
    co_await until_it_works(limited, 2);
    CHECK(kept.use_count() == 1);
  });
}

TEST_CASE("a callback, a name and a post that find no memory throw, and are not stored") {
  if (!allocations_are_counted()) return;
  run_scripted([](scripted_engine&) -> task<> {
    const auto kept = std::make_shared<int>(0);
    const fiber<> sleeper = spawn(sleep_for(1ms));
    const int failures = fail_one_after_the_other([&] { sleeper.on_done([kept] { ++*kept; }); });
    CHECK(failures >= 1);
    CHECK(kept.use_count() == 2);
    CHECK(fail_one_after_the_other(
              [&] { sleeper.set_name("a name that does not fit into the string"); }) >= 1);
    CHECK(sleeper.name() == "a name that does not fit into the string");
    co_await sleeper.join();
    co_await yield();
    CHECK(*kept == 1);
    CHECK(kept.use_count() == 1);
    const scheduler_handle here;
    CHECK(fail_one_after_the_other([&] { static_cast<void>(here.post([kept] { ++*kept; })); }) >=
          1);
    co_await sleep(1ms);
    CHECK(*kept == 2);
    CHECK(kept.use_count() == 1);
  });
}

TEST_CASE("a push that finds no memory throws, and leaves the queue and the item unchanged") {
  if (!allocations_are_counted()) return;
  queue<std::unique_ptr<int>> items;
  auto item = std::make_unique<int>(7);
  CHECK(fail_one_after_the_other([&] { items.try_push(std::move(item)); }) == 1);
  CHECK(items.size() == 1);
  CHECK(**items.try_pop() == 7);
}

TEST_CASE("a deadlock that cannot be reported for lack of memory ends the run and all fibers") {
  if (!allocations_are_counted()) return;
  for (const bool in_fiber : {false, true}) {
    std::optional<out_of_memory> shortage;
    event unset;
    bool thrown = false;
    scripted_engine engine;
    try {
      run_on(engine, wait_for_nothing(unset, shortage, in_fiber));
    } catch (const std::exception&) {
      thrown = true;
    }
    shortage.reset();
    CHECK(thrown);
  }
}

TEST_SUITE_END();
