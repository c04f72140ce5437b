// pool: how many fibers run at once, in which order they get slots, and that no slot is lost.
//
// Method: the scripted engine's clock moves only when every fiber sleeps. Fibers that are killed
// have no co_await inside a CHECK. pool_map_test.cpp tests the maps over a pool.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/pool.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "sched/calls.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/counted.hpp"

using namespace ringlet;
using namespace ringlet::detail;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Not a coroutine: throws before there is a task.
task<> refuse() { throw std::runtime_error("refused"); }

task<bool> available(pool& workers) { co_return co_await workers.wait_available(1h); }

}  // namespace

TEST_SUITE_BEGIN("pool");

// Slots

// row: PO-02
TEST_CASE("at most size() fibers of a pool run at once, and all get their turn") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    pool workers(3);
    int running = 0, most = 0, ran = 0;
    const auto work = [&]() -> task<> {
      most = std::max(most, ++running);
      co_await sleep(1ms);
      --running;
      ++ran;
    };
    for (int i = 0; i < 10; ++i) co_await workers.spawn(work);
    CHECK(co_await workers.join());
    CHECK(most == 3);
    CHECK(ran == 10);
    CHECK(engine.now() == begin + 4'000'000);
    CHECK(workers.empty());
  });
}

TEST_CASE("spawn returns the fiber, whose value and error are its own") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(2);
    const fiber<int> good = co_await workers.spawn(value_after<int>, 1ms, 7);
    const fiber<> bad = co_await workers.spawn(fail_after, 1ms, "its own");
    CHECK(workers.contains(good));
    CHECK(co_await good.get() == 7);
    co_await bad.join();
    CHECK(text_of(bad.error()) == "its own");
    CHECK(workers.free() == 2);
  });
}

TEST_CASE("capacity, free and size tell how many slots are taken") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(2);
    CHECK(workers.capacity() == 2);
    CHECK(workers.free() == 2);
    const fiber<> a = co_await workers.spawn(sleep_for, 1ms);
    CHECK(workers.free() == 1);
    CHECK(workers.size() == 1);
    const fiber<> b = co_await workers.spawn(sleep_for, 2ms);
    CHECK(workers.free() == 0);
    co_await a.join();
    CHECK(workers.free() == 1);
    co_await b.kill();
    CHECK(workers.free() == 2);
    CHECK(workers.capacity() == 2);
  });
}

// rows: PO-02 W23
TEST_CASE("a slot is free as soon as its fiber ends") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(1);
    std::size_t seen_by_callback = 0;
    const fiber<> first = co_await workers.spawn(sleep_for, 1ms);
    first.on_done([&] {
      seen_by_callback = workers.free();
      CHECK_FALSE(workers.contains(first));
    });
    CHECK_FALSE(workers.try_spawn(sleep_for, 1ms));
    co_await first.join();
    CHECK(seen_by_callback == 1);
    CHECK(workers.free() == 1);
    const auto second = workers.try_spawn(sleep_for, 1ms);
    CHECK(second);
    co_await second->join();
  });
}

TEST_CASE("the slot of a fiber that fails, is killed, or never begins is freed") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(1);
    const fiber<> failing = co_await workers.spawn(fail_after, 0ms, "expected");
    co_await failing.join();
    CHECK(failing.error() != nullptr);
    CHECK(workers.free() == 1);
    const fiber<> killed = co_await workers.spawn(sleep_for, 1h);
    co_await yield();
    co_await killed.kill();
    CHECK(workers.free() == 1);
    const fiber<> unstarted = co_await workers.spawn(sleep_for, 1h);
    co_await unstarted.kill();
    CHECK(workers.free() == 1);
  });
}

TEST_CASE("the slot of a call that throws before there is a fiber is freed") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(1);
    CHECK_THROWS_WITH(workers.try_spawn(refuse), "refused");
    CHECK(workers.free() == 1);
    CHECK_THROWS_WITH(co_await workers.spawn(refuse), "refused");
    CHECK(workers.free() == 1);
    CHECK_THROWS_WITH(co_await workers.apply(refuse), "refused");
    CHECK(workers.free() == 1);
    CHECK(workers.empty());
  });
}

// row: PO-02
TEST_CASE("waiting fibers get slots in arrival order, and no later fiber overtakes them") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(1);
    std::string log;
    const auto work = [&](char name) -> task<> {
      log += name;
      co_await sleep(1ms);
    };
    const fiber<> first = co_await workers.spawn(work, 'a');
    std::vector<fiber<>> spawners;
    const auto spawner = [&](char name) -> task<> { co_await workers.spawn(work, name); };
    for (const char name : {'b', 'c', 'd'}) spawners.push_back(spawn(spawner, name));
    // Runs right after the first fiber has ended, before the one that was chosen.
    bool barged = true;
    std::size_t free = 9;
    const fiber<> barger = spawn([&]() -> task<> {
      co_await first.join();
      barged = workers.try_spawn(work, '!').has_value();
      free = workers.free();
      co_await workers.spawn(work, 'e');
    });
    co_await barger.join();
    CHECK_FALSE(barged);
    CHECK(free == 0);
    CHECK(co_await workers.join());
    CHECK(log == "abcde");
  });
}

TEST_CASE("a slot that was passed on is not available before its new owner has run") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(1);
    bool barged = true;
    const fiber<> first = co_await workers.spawn(sleep_for, 1ms);
    first.on_done([&] { barged = workers.try_spawn(sleep_for, 1ms).has_value(); });
    const fiber<> second = co_await workers.spawn(sleep_for, 1ms);
    CHECK_FALSE(barged);
    CHECK(workers.size() == 1);
    co_await second.join();
  });
}

TEST_CASE("a spawner that is killed while it waits spawns nothing, and passes its slot on") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    pool workers(1);
    std::string log;
    const auto work = [&](char name) -> task<> {
      log += name;
      co_await sleep(1ms);
    };
    const fiber<> first = co_await workers.spawn(work, 'a');
    const auto spawner = [&](char name) -> task<> { co_await workers.spawn(work, name); };
    const fiber<> b = spawn(spawner, 'b'), c = spawn(spawner, 'c');
    SUBCASE("long before a slot is free") {
      co_await yield();
      b.request_kill();
    }
    SUBCASE("as the slot is passed on") {
      first.on_done([&] { b.request_kill(); });  // behind the pool's own: b was chosen already
      co_await first.join();
      co_await b.join();
      CHECK(b.result() == outcome::value);  // success wins: it had its slot
      co_await c.join();
      CHECK(log == "abc");
      co_return;
    }
    SUBCASE("by a limit") {
      co_await b.kill();
      CHECK_FALSE(co_await move_on_after(500us, spawner('x')));
    }
    co_await c.join();
    CHECK(co_await workers.join());
    CHECK(log == "ac");
    CHECK(engine.now() == begin + 2'000'000);
    CHECK(workers.free() == 1);
  });
}

TEST_CASE("a pending kill is thrown before a slot is taken") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(1);
    const auto killed = [&](auto call) -> task<std::string> {
      current().kill();
      co_return co_await outcome_of(call());
    };
    CHECK(co_await killed([&] { return workers.spawn(sleep_for, 1ms); }) == "cancelled");
    CHECK(co_await killed([&] { return workers.apply(sleep_for, 1ms); }) == "cancelled");
    CHECK(co_await killed([&] { return available(workers); }) == "cancelled");
    CHECK(workers.free() == 1);
    CHECK(workers.empty());
  });
}

TEST_CASE("spawners and workers that are killed at random lose no slot") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(3);
    int running = 0;
    const auto work = [&]() -> task<> {
      struct counter {
        explicit counter(int& n) : number(n) { CHECK(++number <= 3); }
        ~counter() { --number; }
        int& number;
      };
      const counter counted(running);
      co_await sleep(2ms);
    };
    std::vector<fiber<>> all;
    const auto spawner = [&]() -> task<> {
      const fiber<> made = co_await workers.spawn(work);
      all.push_back(made);
      co_await made.join();
    };
    for (std::size_t i = 0; i < 300; ++i) {
      all.push_back(spawn(spawner));
      if (i % 3 == 0) co_await sleep(700us);
      if (i % 4 != 0) all[(i * 7919) % all.size()].request_kill();
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
      const fiber<> one = all[i];
      co_await one.join();
    }
    CHECK(workers.empty());
    CHECK(workers.free() == 3);
    CHECK(running == 0);
  });
}

TEST_CASE("a pool of size 0 never has a slot") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    pool none(0);
    CHECK_FALSE(none.try_spawn(sleep_for, 1ms));
    CHECK_FALSE(co_await none.wait_available(0s));
    CHECK_FALSE(co_await none.wait_available(1ms));
    CHECK_FALSE(co_await move_on_after(
        1ms, [](pool& of) -> task<> { co_await of.spawn(sleep_for, 1ms); }(none)));
    CHECK(engine.now() == begin + 2'000'000);
    CHECK(none.free() == 0);
    CHECK(co_await none.join());
  });
  const std::string out = deadlock_of([](scripted_engine&) -> task<> {
    pool none(0);
    co_await none.spawn(sleep_for, 1ms);
  });
  CHECK(out.find("deadlock") == 0);
  CHECK(out.find("slot in a pool of 0") != out.npos);
}

TEST_CASE("callables and arguments are moved into the fiber, and destroyed once") {
  life_count lives;
  run_scripted([&](scripted_engine&) -> task<> {
    pool workers(1);
    int sum = 0;
    const auto work = [&](const counted& a, std::unique_ptr<int> b) -> task<> {
      co_await yield();
      sum += a.value() + *b;
    };
    co_await workers.spawn(work, counted(lives, 1), std::make_unique<int>(2));
    co_await workers.apply(work, counted(lives, 10), std::make_unique<int>(20));
    CHECK(workers.try_spawn(work, counted(lives, 100), std::make_unique<int>(200)));
    CHECK(co_await workers.join());
    CHECK(sum == 333);
    const counted kept(lives, 3);
    const auto capturing = [kept, &sum]() -> task<> {
      sum += kept.value();
      co_return;
    };
    const fiber<> made = co_await workers.spawn(capturing);
    co_await made.join();
    co_await workers.apply(capturing);
    CHECK(sum == 339);
  });
  CHECK(lives.alive() == 0);
}

// wait_available

// row: PO-02
TEST_CASE("wait_available waits in line for a slot, and does not take it") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    pool workers(1);
    CHECK(co_await workers.wait_available());
    CHECK(co_await workers.wait_available(0s));
    CHECK(workers.free() == 1);
    std::string log;
    const auto work = [&](char name) -> task<> {
      log += name;
      co_await sleep(2ms);
    };
    co_await workers.spawn(work, 'a');
    CHECK_FALSE(co_await workers.wait_available(0s));
    CHECK_FALSE(co_await workers.wait_available(1ms));
    CHECK(engine.now() == begin + 1'000'000);
    const auto waiter = [&]() -> task<> {
      const bool there = co_await workers.wait_available();
      log += there ? 'w' : '-';
    };
    const auto spawner = [&](char name) -> task<> { co_await workers.spawn(work, name); };
    const fiber<> b = spawn(spawner, 'b'), w = spawn(waiter), c = spawn(spawner, 'c');
    co_await c.join();
    CHECK(co_await workers.join());
    CHECK(log == "abwc");
    CHECK(engine.now() == begin + 6'000'000);
  });
}

// rows: PO-02 JN-04
TEST_CASE("a select() waits in line for a slot, beside other cases, and does not take it") {
  run_scripted([](scripted_engine& engine) -> task<> {
    std::optional<pool> workers(std::in_place, 1);
    queue<int> items;
    std::string log;
    const auto choose = [&](time_limit timeout) -> task<> {
      const auto taken = co_await as_result(select(workers->wait_available(timeout), items.pop()));
      if (!taken) {
        log += taken.error() == errc::closed ? "closed " : "? ";
      } else if (taken->index() == 0) {
        log += std::get<0>(*taken) ? "place " : "late ";
      } else {
        log += "item ";
      }
    };
    co_await choose(0s);
    CHECK(log == "place ");
    CHECK(workers->free() == 1);
    const fiber<> busy = co_await workers->spawn(sleep_for, 2ms);
    SUBCASE("another case is taken: the wait has left the line") {
      const fiber<> chooser = spawn(choose, forever);
      co_await yield();
      CHECK(items.try_push(1));
      co_await chooser.join();
      co_await workers->spawn(sleep_for, 0ms);
      CHECK(log == "place item ");
      CHECK(engine.now() == scripted_engine::start_time + 2'000'000);
    }
    SUBCASE("a slot is offered: it is kept until the fiber continues, then passed to the next") {
      const fiber<> chooser = spawn(choose, forever);
      const auto next = spawn([&]() -> task<> { co_await workers->spawn(sleep_for, 0ms); });
      busy.on_done([&] {
        CHECK(workers->free() == 0);
        CHECK(items.try_push(1));
        CHECK(items.size() == 1);
        CHECK(log == "place ");
      });
      co_await chooser.join();
      CHECK(log == "place place ");
      CHECK(workers->free() == 0);
      co_await next.join();
    }
    SUBCASE("the limit of the wait passes") {
      co_await choose(1ms);
      CHECK(log == "place late ");
    }
    SUBCASE("the pool is closed") {
      const fiber<> chooser = spawn(choose, forever);
      co_await yield();
      workers->close();
      co_await chooser.join();
      co_await choose(forever);
      CHECK(log == "place closed closed ");
    }
    SUBCASE("the fiber is killed") {
      const fiber<> chooser = spawn(choose, forever);
      co_await yield();
      co_await chooser.kill();
      CHECK(log == "place ");
    }
    co_await workers->join();
    CHECK(workers->free() == 1);
    workers.reset();  // aborts while a fiber is in line
  });
}

TEST_CASE("a kill ends wait_available, whatever exception it throws") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(1);
    const fiber<> busy = co_await workers.spawn(sleep_for, 1h);
    std::string log;
    const auto waiter = [&]() -> task<> {
      const bool there = co_await workers.wait_available(2h);
      log += there ? "true" : "false";
    };
    const fiber<> killed = spawn(waiter), given = spawn(waiter);
    co_await yield();
    co_await killed.kill();
    CHECK(killed.result() == outcome::cancelled);
    co_await given.kill(std::make_exception_ptr(timed_out("of the killer")));
    CHECK(given.result() == outcome::error);
    CHECK(text_of(given.error()).find("of the killer") == 0);
    CHECK(log.empty());
    co_await busy.kill();
  });
}

TEST_CASE("a fiber that was offered a slot gets it when it asks at once, in order with the rest") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(1);
    std::string log;
    const auto spawner = [&](char name) -> task<> {
      for (int i = 0; i < 5; ++i) {
        const bool told = co_await workers.wait_available();
        const bool began = told && workers.try_spawn(sleep_for, 1ms).has_value();
        log += began ? name : '!';
      }
    };
    co_await workers.spawn(sleep_for, 1ms);
    const fiber<> a = spawn(spawner, 'a'), b = spawn(spawner, 'b');
    co_await joinall(a, b);
    CHECK(log == "ababababab");
    CHECK(co_await workers.join());
  });
}

TEST_CASE("an offered slot is kept for its fiber until the turn ends, then passed on") {
  run_scripted([](scripted_engine& engine) -> task<> {
    pool workers(1);
    std::string log;
    const auto work = [&](char name) -> task<> {
      log += name;
      co_return;
    };
    const fiber<> busy = co_await workers.spawn(sleep_for, 1ms);
    const auto told = [&]() -> task<> {
      co_await workers.wait_available();
      CHECK(workers.free() == 1);
      log += 't';
    };
    const fiber<> idle = spawn(told);
    const fiber<> in_line = spawn([&]() -> task<> { co_await workers.spawn(work, 'n'); });
    SUBCASE("a fiber that comes later in the same turn gets no slot") {
      const fiber<> barger = spawn([&]() -> task<> {
        co_await idle.join();
        CHECK(workers.free() == 0);
        CHECK_FALSE(workers.try_spawn(work, '!'));
        co_await workers.spawn(work, 'l');
      });
      co_await barger.join();
      co_await workers.join();
      CHECK(log == "tnl");
    }
    SUBCASE("the fiber does something else") {
      co_await in_line.join();
      co_await workers.join();
      CHECK(log == "tn");
    }
    SUBCASE("the pool is closed") {
      idle.on_done([&] { workers.close(); });
      co_await in_line.join();
      CHECK(log == "t");
      CHECK(in_line.error() != nullptr);
    }
    SUBCASE("the pool is destroyed") {
      std::optional<pool> other(std::in_place, 1);
      const fiber<> last = co_await other->spawn(sleep_for, 0ms);
      const auto asking = [&]() -> task<> { co_await other->wait_available(); };
      const fiber<> asks = spawn(asking), too = spawn(asking);
      asks.on_done([&] { too.request_kill(); });
      co_await too.join();
      other.reset();
      co_await in_line.join();
    }
    CHECK(engine.now() == scripted_engine::start_time + 1'000'000);
    CHECK(workers.free() == 1);
    co_await yield();
  });
}

// reserve

// row: PO-02
TEST_CASE("a reserved slot can be spawned in once, and is freed when it is dropped") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(2);
    {
      pool::slot a = co_await workers.reserve();
      pool::slot b = workers.try_reserve();
      const pool::slot none = workers.try_reserve();
      CHECK(a);
      CHECK(b);
      CHECK_FALSE(none);
      CHECK(workers.free() == 0);
      CHECK(workers.empty());
      const fiber<> made = a.spawn(sleep_for, 1ms);
      CHECK_FALSE(a);
      CHECK(workers.contains(made));
      CHECK(workers.free() == 0);
      pool::slot moved = std::move(b);
      moved.release();
      moved.release();
      CHECK(workers.free() == 1);
      moved = workers.try_reserve();
      moved = pool::slot();
      CHECK(workers.free() == 1);
      b = workers.try_reserve();
      CHECK_THROWS_WITH(b.spawn(refuse), "refused");
      CHECK(b);  // as it was
      const fiber<> living = spawn(sleep_for, 1ms);
      b.add(living);
      CHECK(workers.contains(living));
      CHECK_FALSE(b);
    }
    CHECK(co_await workers.join());
    pool::slot given_back = workers.try_reserve();
    const fiber<> ended = spawn(sleep_for, 0ms);
    co_await ended.join();
    given_back.add(ended);
    CHECK_FALSE(given_back);
    CHECK(workers.free() == 2);
  });
}

TEST_CASE("reserve accepts a limit, and loses no slot as one of several cases of a select()") {
  run_scripted([](scripted_engine& engine) -> task<> {
    pool workers(1);
    queue<int> items;
    pool::slot held = co_await workers.reserve();
    const auto wait = [](pool& of) -> task<> { const pool::slot late = co_await of.reserve(1ms); };
    CHECK(co_await outcome_of(wait(workers)) == "timed out");
    std::string log;
    const auto choose = [&]() -> task<> {
      auto taken = co_await select(items.pop(), workers.reserve());
      log += taken.index() == 0 ? "item " : "slot ";
      if (taken.index() == 1) std::get<1>(std::move(taken)).spawn(sleep_for, 1ms);
    };
    const fiber<> first = spawn(choose), second = spawn(choose), killed = spawn(choose);
    co_await yield();
    items.try_push(1);
    killed.request_kill();
    held.release();
    co_await first.join();
    co_await second.join();
    co_await killed.join();
    CHECK(log == "item slot ");
    CHECK(workers.size() == 1);
    CHECK(co_await workers.join());
    CHECK(engine.now() == scripted_engine::start_time + 2'000'000);
    CHECK(workers.free() == 1);
  });
}

TEST_CASE("using an empty slot aborts") {
  CHECK(aborts_with("an empty slot of a pool was used", [] {
    run_scripted([](scripted_engine&) -> task<> {
      pool workers(1);
      pool::slot taken = co_await workers.reserve();
      taken.spawn(sleep_for, 1ms);
      taken.spawn(sleep_for, 1ms);
    });
  }));
}

// row: PO-02
TEST_CASE("spawn_within spawns nothing when no slot is free in time") {
  run_scripted([](scripted_engine& engine) -> task<> {
    pool workers(1);
    co_await workers.spawn(sleep_for, 2ms);
    CHECK(co_await outcome_of(workers.spawn_within(1ms, sleep_for, 1h)) == "timed out");
    CHECK(workers.size() == 1);
    const fiber<int> made = co_await workers.spawn_within(2ms, value_after<int>, 1ms, 7);
    CHECK(co_await made.get() == 7);
    CHECK(engine.now() == scripted_engine::start_time + 3'000'000);
    CHECK(co_await outcome_of(workers.spawn_within(time_limit::at(engine.now()), sleep_for, 1ms)) ==
          "done");
    CHECK(co_await workers.join());
  });
}

// row: PO-02
TEST_CASE("a living fiber is added once there is a slot for it, and keeps the slot to its end") {
  run_scripted([](scripted_engine& engine) -> task<> {
    pool workers(1);
    const fiber<> busy = co_await workers.spawn(sleep_for, 2ms);
    const fiber<> living = spawn(sleep_for, 5ms), short_one = spawn(sleep_for, 1ms);
    CHECK(co_await workers.add(busy));
    CHECK_FALSE(co_await workers.add(living, 1ms));
    CHECK(co_await workers.add(short_one));  // ends first
    CHECK(co_await workers.add(short_one));
    CHECK(workers.size() == 1);
    CHECK(co_await workers.add(living, 1h));
    CHECK(engine.now() == scripted_engine::start_time + 2'000'000);
    CHECK(workers.contains(living));
    CHECK(workers.free() == 0);
    const auto add_itself = [&]() -> task<> {
      auto& me = static_cast<fiber_state<void>&>(current());
      me.add_reference();
      const bool added = co_await workers.add(fiber<>(me));
      CHECK(added);
      CHECK(workers.size() == 1);
      CHECK(engine.now() == scripted_engine::start_time + 5'000'000);
    };
    const fiber<> adder = spawn(add_itself);
    co_await adder.join();
    CHECK(workers.free() == 1);
    workers.close();
    const fiber<> late = spawn(sleep_for, 1ms);
    const auto adding = [&]() -> task<> { co_await workers.add(late); };
    CHECK(co_await outcome_of(adding()) == "closed");
    CHECK(co_await workers.join());
  });
}

// close

// row: PO-04
TEST_CASE("close keeps all further fibers from getting a slot, and running fibers continue") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    pool workers(1);
    CHECK_FALSE(workers.is_closed());
    const fiber<> running = co_await workers.spawn(sleep_for, 2ms);
    std::string log;
    const auto spawner = [&]() -> task<> {
      log += co_await outcome_of(workers.spawn(sleep_for, 1ms)) + " ";
    };
    const auto waiter = [&]() -> task<> { log += co_await outcome_of(available(workers)) + " "; };
    const fiber<> a = spawn(spawner), b = spawn(waiter), c = spawn(spawner);
    co_await yield();
    workers.close();
    workers.close();
    CHECK(workers.is_closed());
    co_await c.join();
    CHECK(log == "closed closed closed ");
    CHECK_FALSE(running.done());
    CHECK_FALSE(workers.try_spawn(sleep_for, 1ms));
    CHECK(co_await workers.join());
    CHECK(engine.now() == begin + 2'000'000);
    CHECK(running.result() == outcome::value);
    CHECK(co_await outcome_of(workers.spawn(sleep_for, 1ms)) == "closed");
    CHECK(co_await outcome_of(workers.apply(value_after<int>, 1ms, 1)) == "closed");
    CHECK(co_await outcome_of(available(workers)) == "closed");
    CHECK_FALSE(workers.try_spawn(sleep_for, 1ms));
    CHECK(workers.free() == 1);
  });
}

// row: PO-04
TEST_CASE("a fiber that got a slot before the close keeps it") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(1);
    const fiber<> first = co_await workers.spawn(sleep_for, 1ms);
    first.on_done([&] { workers.close(); });
    const fiber<> second = co_await workers.spawn(sleep_for, 1ms);
    co_await second.join();
    CHECK(second.result() == outcome::value);
    CHECK(co_await outcome_of(workers.spawn(sleep_for, 1ms)) == "closed");
  });
}

// row: PO-04
TEST_CASE("no fiber of a pool runs or begins after close and join") {
  run_scripted([](scripted_engine&) -> task<> {
    std::optional<pool> workers(std::in_place, 1);
    event go;
    std::string log;
    const auto job = [&](char name) -> task<> {
      log += name;
      if (name == 'a') co_await go.wait();
      co_await sleep(1ms);
      log += name;
    };
    co_await workers->spawn(job, 'a');
    const fiber<> waiting = spawn([&]() -> task<> { co_await workers->spawn(job, 'b'); });
    co_await yield();
    SUBCASE("a fiber was given its slot, and has not continued") {
      const fiber<> shutdown = spawn([&]() -> task<> {
        // Behind `waiting` in line: it was just given the slot.
        co_await workers->wait_available();
      });
      go.set();
      co_await sleep(1ms);
      workers->close();
      CHECK(co_await workers->join());
      co_await shutdown.join();
    }
    SUBCASE("a slot is reserved") {
      const fiber<> holder = spawn([&]() -> task<> {
        pool::slot taken = co_await workers->reserve();
        co_await sleep(5ms);
        taken.spawn(job, 'c');
      });
      go.set();
      co_await sleep(4ms);
      workers->close();
      CHECK(co_await workers->join());
      CHECK(log == "aabbcc");
      CHECK(holder.done());
    }
    SUBCASE("a slot is reserved and freed") {
      const fiber<> holder = spawn([&]() -> task<> {
        const pool::slot taken = co_await workers->reserve();
        co_await sleep(5ms);
      });
      go.set();
      co_await sleep(4ms);
      workers->close();
      CHECK(co_await workers->join());
      CHECK(log == "aabb");
    }
    const std::string before = log;
    CHECK(workers->free() == 1);
    CHECK(workers->empty());
    workers.reset();
    co_await sleep(1h);
    CHECK(log == before);
    CHECK(log.size() % 2 == 0);  // everything that began has ended
    co_await waiting.join();
  });
}

// kill, and the end of the pool

// row: W25
TEST_CASE("kill ends running fibers, and those that waiters spawn while it waits") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(1);
    std::string log;
    const auto work = [&](char name) -> task<> {
      log += name;
      co_await sleep(1h);
    };
    const fiber<> a = co_await workers.spawn(work, 'a');
    co_await yield();
    fiber<> b;
    const fiber<> spawner = spawn([&]() -> task<> { b = co_await workers.spawn(work, 'b'); });
    co_await yield();
    CHECK(co_await workers.kill());
    CHECK(a.result() == outcome::cancelled);
    co_await spawner.join();
    co_await b.join();
    CHECK(b.result() == outcome::cancelled);
    CHECK(log == "a");
    CHECK(workers.free() == 1);
  });
}

TEST_CASE("destroying a pool does not affect its fibers") {
  run_scripted([](scripted_engine&) -> task<> {
    std::optional<pool> workers(std::in_place, 2);
    const fiber<> running = co_await workers->spawn(sleep_for, 1ms);
    const fiber<> unstarted = co_await workers->spawn(sleep_for, 1ms);
    workers.reset();
    co_await running.join();
    co_await unstarted.join();
    CHECK(running.result() == outcome::value);
    CHECK(unstarted.result() == outcome::value);
  });
}

TEST_CASE("destroying a pool while a fiber waits for a slot aborts") {
  CHECK(aborts_with("a pool was destroyed while a fiber waited for a slot in it", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<pool> workers(std::in_place, 0);
      spawn([&]() -> task<> { co_await workers->spawn(sleep_for, 1ms); });
      co_await yield();
      workers.reset();
    });
  }));
}

TEST_CASE("destroying a pool while a slot is reserved or was just passed on aborts") {
  const auto destroys = [](bool handed_over) {
    run_scripted([&](scripted_engine&) -> task<> {
      std::optional<pool> workers(std::in_place, 1);
      pool::slot held = co_await workers->reserve();
      const auto spawner = [&]() -> task<> { co_await workers->spawn(sleep_for, 1ms); };
      if (handed_over) {
        spawn(spawner);
        co_await yield();
        held.release();
      }
      workers.reset();
    });
  };
  CHECK(aborts_with("a pool was destroyed while a slot of it was reserved",
                    [&] { destroys(false); }));
  CHECK(
      aborts_with("a pool was destroyed while a slot of it was reserved", [&] { destroys(true); }));
}

TEST_CASE("an exception that unwinds a pool ends the waits for it with errc::closed") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log;
    pool* workers = nullptr;
    const auto spawner = [&]() -> task<> {
      log += co_await outcome_of(workers->spawn(sleep_for, 1ms)) + " ";
    };
    const auto waiter = [&]() -> task<> { log += co_await outcome_of(available(*workers)) + " "; };
    pool::slot left;
    std::vector<fiber<>> all;
    const auto owner = [&]() -> task<> {
      pool owned(2);
      workers = &owned;
      left = co_await owned.reserve();
      pool::slot handed_over = co_await owned.reserve();
      for (int i = 0; i < 2; ++i) all.push_back(spawn(spawner)), all.push_back(spawn(waiter));
      co_await yield();
      handed_over.release();
      throw std::runtime_error("unwinds");
    };
    CHECK(co_await outcome_of(owner()) == "unwinds");
    co_await joinall(all);
    CHECK(log == "closed closed closed closed ");
    CHECK_THROWS_AS(left.spawn(sleep_for, 1ms), std::system_error);
  });
}

// apply

// row: PO-03
TEST_CASE("apply waits for a slot, and returns or throws what the call does") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    static int target = 1;
    pool workers(1);
    co_await workers.spawn(sleep_for, 2ms);
    const int value = co_await workers.apply(value_after<int>, 1ms, 7);
    CHECK(value == 7);
    CHECK(engine.now() == begin + 3'000'000);
    const std::unique_ptr<int> owned = co_await workers.apply(
        []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(8); });
    CHECK(*owned == 8);
    int& referred = co_await workers.apply([]() -> task<int&> { co_return target; });
    CHECK(&referred == &target);
    CHECK(co_await outcome_of(workers.apply(fail_after, 1ms, "of the call")) == "of the call");
    CHECK(workers.free() == 1);
  });
}

// row: W26
TEST_CASE("apply from a fiber of the same pool makes the call itself, at any depth") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(1), others(1);
    const std::function<task<int>(int)> depth = [&](int left) -> task<int> {
      co_await yield();
      if (left == 0) co_return 0;
      const int rest = co_await workers.apply(depth, left - 1);
      co_return rest + 1;
    };
    CHECK(co_await workers.apply(depth, 20) == 20);
    // A fiber of another pool does not count as a fiber of this pool.
    const auto crossing = [&]() -> task<std::uint64_t> {
      const std::uint64_t id =
          co_await others.apply([]() -> task<std::uint64_t> { co_return current().id(); });
      CHECK(id != current().id());
      co_return id;
    };
    co_await workers.apply(crossing);
    CHECK(workers.free() == 1);
    CHECK(others.free() == 1);
  });
}

TEST_CASE("the call of apply continues when its caller is killed, and keeps its slot to the end") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(1);
    bool ended = false;
    const auto work = [&]() -> task<> {
      co_await sleep(2ms);
      ended = true;
    };
    const fiber<> caller = spawn([&]() -> task<> { co_await workers.apply(work); });
    co_await sleep(1ms);
    co_await caller.kill();
    CHECK(workers.free() == 0);
    CHECK(co_await workers.join());
    CHECK(ended);
  });
}

// Dump, spawn site, reports and allocation

TEST_CASE("dump shows which fiber waits for a slot, and how full the pool is") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto here = std::source_location::current();
    pool workers(2);
    co_await workers.spawn(sleep_for, 1ms);
    pool::slot held = co_await workers.reserve();
    const fiber<> spawner = spawn([&]() -> task<> { co_await workers.spawn(sleep_for, 1ms); });
    const fiber<> joiner = spawn([&]() -> task<> { co_await workers.join(); });
    co_await yield();
    const std::string all = dump();
    CAPTURE(all);
    CHECK(all.find("fiber 3: slot in a pool of 2 (1 reserved, 1 taken by fibers, 1 in line) made "
                   "at ") != all.npos);
    CHECK(all.find("pool_test.cpp:" + std::to_string(here.line() + 1) + ", for") != all.npos);
    CHECK(all.find("fiber 4: end of a fiber_set of 1 fiber, 1 more to come") != all.npos);
    held.release();
    co_await spawner.join();
    co_await joiner.join();
  });
}

TEST_CASE("the spawn site of a pool's fiber is the call that spawned it, whichever call that is") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(1);
    const auto line = [](const auto& made) { return made.state().spawned_at().line(); };
    const auto site = []() -> task<std::uint_least32_t> {
      co_return current().spawned_at().line();
    };
    const auto six = [](int, int, int, int, int, int) -> task<> { co_return; };
    const auto three = [](int, int, int) -> task<> { co_return; };
    const auto line_here = std::source_location::current().line();
    const auto a = co_await workers.spawn(six, 1, 2, 3, 4, 5, 6);
    const auto b = co_await workers.spawn(three, 1, 2, 3);
    const auto c = co_await workers.spawn_within(1h, three, 1, 2, 3);
    CHECK(line(a) == line_here + 1);
    CHECK(line(b) == line_here + 2);
    CHECK(line(c) == line_here + 3);
    co_await workers.join();
    const auto next_line = std::source_location::current().line();
    const auto d = workers.try_spawn(three, 1, 2, 3);
    CHECK(line(*d) == next_line + 1);
    CHECK(co_await workers.apply(site) == next_line + 3);
    pool::slot taken = co_await workers.reserve();
    const auto e = taken.spawn(three, 1, 2, 3);
    CHECK(line(e) == next_line + 5);
    const std::vector items = {1};
    const auto site_of = [](int) -> task<std::uint_least32_t> {
      co_return current().spawned_at().line();
    };
    const auto mapped = co_await workers.map(items, site_of);
    CHECK(mapped.front() == next_line + 11);
    auto each = workers.imap(items, site_of);
    const auto first = co_await each.next();
    CHECK(first->value() == next_line + 13);
  });
}

TEST_CASE("a failure in a pool is reported with its await chain, however its fiber was spawned") {
  const auto failing = []() -> task<int> {
    co_await yield();
    throw std::runtime_error("deep");
  };
  std::vector<std::size_t> awaits;
  options settings;
  settings.on_unhandled_error = [&](const unhandled_error& failure) {
    awaits.push_back(failure.awaits.size());
    REQUIRE(!failure.awaits.empty());
    CHECK(std::string_view(failure.awaits.front().file_name()).ends_with("pool_test.cpp"));
  };
  const auto main = [&]() -> task<> {
    const auto calling = [&](int) -> task<int> { co_return co_await failing(); };
    pool workers(2);
    co_await workers.spawn(calling, 1);
    co_await workers.join();
    workers.try_spawn(calling, 1);
    co_await workers.join();
    co_await workers.spawn(calling(1));
    co_await workers.join();
    co_await workers.spawn_within(1h, calling, 1);
    co_await workers.join();
    pool::slot taken = co_await workers.reserve();
    taken.spawn(calling, 1);
    co_await workers.join();
    co_await workers.spawn(calling, 1);
    co_await workers.spawn(calling, 1);
    co_await workers.join();
  };
  scripted_engine engine;
  run_on(engine, main(), settings);
  CHECK(awaits == std::vector<std::size_t>{3, 3, 2, 3, 3, 3, 3});
}

TEST_CASE("passing on a slot, closing, and a killed waiter do not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(1);
    std::size_t before = 0, after = 0;
    const fiber<> busy = co_await workers.spawn(sleep_for, 1ms);
    const fiber<> available = spawn([&]() -> task<> {
      const bool there = co_await workers.wait_available(1h);
      after = allocations();
      CHECK(there);
    });
    busy.on_done([&] { CHECK(allocations() == before); });
    co_await yield();
    before = allocations();
    co_await available.join();
    CHECK(after == before);
    const fiber<> other = co_await workers.spawn(sleep_for, 1h);
    const auto waiter = [&]() -> task<> { co_await workers.wait_available(1h); };
    const fiber<> killed = spawn(waiter), refused = spawn(waiter);
    co_await yield();
    before = allocations();
    killed.request_kill();
    workers.close();
    CHECK(allocations() == before);
    co_await killed.join();
    co_await refused.join();
    CHECK(refused.error() != nullptr);
    co_await other.kill();
  });
}

TEST_CASE("a spawn in a pool allocates only the fiber, which is pooled") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(100);
    std::size_t before = 0;
    for (int round = 0; round < 2; ++round) {  // the first one fills the frame pool
      before = allocations();
      for (int i = 0; i < 300; ++i) co_await workers.spawn(sleep_for, 1ms);
      CHECK(co_await workers.join());
    }
    CHECK(allocations() == before);
  });
}

TEST_SUITE_END();
