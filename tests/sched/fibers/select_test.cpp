// select: which case is taken, and that the other cases have no effect.
//
// Method: after each select() the event, queue or group of a losing case is destroyed, which aborts
// if the case had left anything there. The scripted engine's clock moves only when every fiber
// sleeps.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/fiber_set.hpp>
#include <ringlet/pool.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "sched/queues.hpp"
#include "support/allocations.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

static_assert(selectable<event::waiting>);
static_assert(selectable<queue<int>::push_wait>);
static_assert(selectable<queue<int>::push_copy_wait>);
static_assert(selectable<queue<int>::pop_wait>);
static_assert(selectable<join_wait>);
static_assert(selectable<get_wait<int, true>>);
static_assert(selectable<fiber_set::empty_wait>);
static_assert(selectable<pool::available_wait>);
static_assert(selectable<sleep_wait>);
// These act before they wait, fill the caller's memory, are tasks, or are lvalues.
static_assert(!selectable<kill_wait>);
static_assert(!selectable<yield_wait>);
static_assert(!selectable<probe_wait>);
static_assert(!selectable<task<>>);
static_assert(!selectable<event::waiting&>);

namespace {

// One wait of each kind. `give` completes one of them.
struct fair {
  static constexpr std::size_t kinds = 8;

  event door;
  queue<int> in;
  queue<std::unique_ptr<int>> out{0};
  queue<int> copies{0};
  fiber_set crowd;
  event end_of_joined, end_of_getter, end_of_member;
  fiber<> joined;
  fiber<std::unique_ptr<int>> getter;
  fiber<> member;
  std::unique_ptr<int> sent = std::make_unique<int>(2);
  const int copied = 3;
  std::optional<std::size_t> popped;  // the value from `out` or `copies`

  fair() {
    joined = spawn([](event& end) -> task<> { co_await end.wait(); }(end_of_joined));
    getter = spawn([](event& end) -> task<std::unique_ptr<int>> {
      co_await end.wait();
      co_return std::make_unique<int>(5);
    }(end_of_getter));
    crowd.spawn([](event& end) -> task<> { co_await end.wait(); }(end_of_member));
  }

  // Each kind, in the order of its number.
  auto all(time_limit timeout = forever) {
    return [this, timeout]() -> task<std::pair<std::size_t, std::string>> {
      auto taken = co_await select(door.wait(), in.pop(), out.push(std::move(sent)),
                                   copies.push(copied), joined.join(), std::move(getter).get(),
                                   crowd.join(), sleep_wait(timeout));
      co_return std::pair(taken.index(), words_of(taken));
    };
  }

  void give(std::size_t kind) {
    if (kind == 0) door.set();
    if (kind == 1) in.try_push(1);
    if (kind == 2) popped = static_cast<std::size_t>(**out.try_pop());
    if (kind == 3) popped = static_cast<std::size_t>(*copies.try_pop());
    if (kind == 4) end_of_joined.set();
    if (kind == 5) end_of_getter.set();
    if (kind == 6) end_of_member.set();
  }

  // Checks the effect that the case must have had.
  void check_losers(std::size_t winner) {
    CHECK((sent == nullptr) == (winner == 2));
    CHECK(out.peek() == nullptr);
    CHECK(copies.peek() == nullptr);
    CHECK(in.empty());
    CHECK(in.try_push(9));  // no fiber waits for it
    CHECK(in.size() == 1);
    end_of_joined.set();
    end_of_getter.set();
    end_of_member.set();
  }

 private:
  template <class Taken>
  static std::string words_of(const Taken& taken) {
    switch (taken.index()) {
      case 0:
        return std::get<0>(taken) ? "set" : "not set";
      case 1:
        return std::to_string(std::get<1>(taken));
      case 4:
        return std::get<4>(taken) ? "joined" : "not joined";
      case 5:
        return std::to_string(*std::get<5>(taken));
      case 6:
        return std::get<6>(taken) ? "all gone" : "not all gone";
      default:
        return "done";
    }
  }
};

constexpr const char* words_of_kind[fair::kinds] = {"set",    "1", "done",     "done",
                                                    "joined", "5", "all gone", "done"};

}  // namespace

TEST_SUITE_BEGIN("select");

// row: JN-04
TEST_CASE("each kind of wait can be the case that is taken, or one that is not") {
  for (std::size_t kind = 0; kind < fair::kinds; ++kind) {
    CAPTURE(kind);
    run_scripted([kind](scripted_engine& engine) -> task<> {
      std::optional<fair> waits(std::in_place);
      const auto call = waits->all(2ms);
      const auto chooser = spawn(call);
      co_await sleep(1ms);
      CHECK_FALSE(chooser.done());
      waits->give(kind);
      co_await yield();
      co_await chooser.join();
      const auto& [index, words] = chooser.value();
      CHECK(index == kind);
      CHECK(words == words_of_kind[kind]);
      if (kind == 2 || kind == 3) CHECK(waits->popped == kind);
      CHECK(engine.now() == scripted_engine::start_time + (kind == 7 ? 2'000'000 : 1'000'000));
      waits->check_losers(kind);
      co_await yield();
      waits.reset();
    });
  }
}

// row: JN-04
TEST_CASE("a case that need not wait is taken at once, and the first in the list wins") {
  for (std::size_t kind = 0; kind + 1 < fair::kinds; ++kind) {
    if (kind == 2 || kind == 3) continue;  // no fiber pops from these yet
    CAPTURE(kind);
    run_scripted([kind](scripted_engine&) -> task<> {
      std::optional<fair> waits(std::in_place);
      co_await yield();
      for (std::size_t ready = kind; ready < fair::kinds; ++ready) {
        if (ready != 2 && ready != 3) waits->give(ready);
      }
      co_await yield();
      const auto call = waits->all();
      const auto [index, words] = co_await call();
      CHECK(index == kind);
      CHECK(words == words_of_kind[kind]);
      waits->end_of_joined.set();
      waits->end_of_getter.set();
      waits->end_of_member.set();
      co_await yield();
      if (kind != 1) CHECK(waits->in.size() == (kind == 0 ? 1 : 0));
      waits.reset();
    });
  }
}

// row: JN-04
TEST_CASE("a push is taken at once when a fiber pops, or there is room") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> first(0), second(1);
    std::string log;
    auto taken = co_await select(first.push(1), second.push(2));
    CHECK(taken.index() == 1);
    const fiber<> popper = spawn(note_pop(first, log));
    co_await yield();
    taken = co_await select(second.push(3), first.push(4));
    CHECK(taken.index() == 1);
    co_await popper.join();
    CHECK(log == "-4 ");
    CHECK(*second.try_pop() == 2);
    CHECK_FALSE(second.try_pop());
  });
}

// row: JN-04
TEST_CASE("the first of several cases that complete in one turn is taken, and the rest are kept") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> a, b;
    std::string log;
    const fiber<> chooser = spawn([&]() -> task<> {
      for (int i = 0; i < 2; ++i) {
        const auto taken = co_await select(a.pop(), b.pop());
        log += taken.index() == 0 ? "a" + std::to_string(std::get<0>(taken))
                                  : "b" + std::to_string(std::get<1>(taken));
      }
    });
    co_await yield();
    CHECK(b.try_push(1));
    CHECK(a.try_push(2));
    CHECK(a.size() == 1);
    co_await chooser.join();
    CHECK(log == "b1a2");
  });
}

// Limits

// row: JN-04
TEST_CASE("the case whose limit passes first ends select(), as the limit ends the plain call") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    event door;
    queue<int> items(0);
    const fiber<> busy = spawn(sleep_for, 1h);
    const auto limited = [&](time_limit of_event, time_limit of_pop,
                             time_limit of_join) -> task<std::size_t> {
      const auto taken =
          co_await select(door.wait(of_event), items.pop(of_pop), busy.join(of_join));
      if (taken.index() == 0) CHECK_FALSE(std::get<0>(taken));
      if (taken.index() == 2) CHECK_FALSE(std::get<2>(taken));
      co_return taken.index();
    };
    CHECK(co_await limited(1ms, 2ms, 3ms) == 0);
    CHECK(engine.now() == begin + 1'000'000);
    CHECK(co_await limited(3ms, forever, 1ms) == 2);
    CHECK(engine.now() == begin + 2'000'000);
    CHECK_THROWS_AS(co_await limited(forever, 1ms, 2ms), timed_out);
    CHECK(engine.now() == begin + 3'000'000);
    CHECK(co_await limited(1ms, 1ms, 1ms) == 0);
    CHECK(co_await limited(forever, forever, 0s) == 2);
    CHECK(engine.now() == begin + 4'000'000);
    const result<std::variant<int, std::monostate>> late =
        co_await as_result(select(items.pop(1ms), items.push(1, 2ms)));
    CHECK(late.error() == errc::timed_out);
    co_await busy.kill();
  });
}

// rows: W10 JN-04
TEST_CASE("a limit of 0 takes a case only if it need not wait") {
  run_scripted([](scripted_engine& engine) -> task<> {
    queue<int> items;
    auto taken = co_await select(items.pop(), sleep(0s));
    CHECK(taken.index() == 1);
    CHECK(items.try_push(1));
    taken = co_await select(items.pop(), sleep(0s));
    CHECK(taken.index() == 0);
    CHECK(items.try_push(2));
    const auto other = co_await select(sleep(0s), items.pop());
    CHECK(other.index() == 1);
    CHECK(engine.now() == scripted_engine::start_time);
  });
}

// row: JN-04
TEST_CASE("success wins: a case that completes in the turn in which a limit is due is taken") {
  run_scripted([](scripted_engine& engine) -> task<> {
    queue<int> items;
    std::string log;
    const fiber<> chooser = spawn([&]() -> task<> {
      const auto taken = co_await select(items.pop(5ms), sleep(5ms));
      log += std::to_string(taken.index());
    });
    co_await yield();
    engine.advance(5'000'000);
    CHECK(items.try_push(1));
    co_await chooser.join();
    CHECK(log == "0");
  });
}

// rows: W7 JN-04
TEST_CASE("a limit around select() that passes takes no case") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items, full(1);
    CHECK(full.try_push(1));
    const auto choose = [&]() -> task<> { co_await select(items.pop(1h), full.push(2, 2h)); };
    CHECK_THROWS_AS(co_await with_timeout(1ms, choose()), timed_out);
    CHECK_THROWS_AS(co_await with_timeout(1ms, select(items.pop(), full.push(2))), timed_out);
    CHECK(items.try_push(3));
    CHECK(items.size() == 1);
    CHECK(*full.try_pop() == 1);
    CHECK(full.empty());
  });
}

// Kills

// rows: W22 JN-04
TEST_CASE("a fiber killed in select() takes nothing unless a case had already won") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items;
    queue<std::unique_ptr<int>> full(0);
    event door;
    auto mine = std::make_unique<int>(7);
    std::string log;
    const fiber<> chooser = spawn([&]() -> task<> {
      const auto taken = co_await select(items.pop(), full.push(std::move(mine)), door.wait());
      log += std::to_string(taken.index());
      co_await yield();
      log += "not here";
    });
    co_await yield();
    SUBCASE("killed first") {
      chooser.request_kill();
      CHECK(items.try_push(1));
      CHECK_FALSE(full.try_pop());
      co_await chooser.join();
      CHECK(log.empty());
      CHECK(items.size() == 1);
      CHECK(mine != nullptr);
    }
    SUBCASE("killed after an item came") {
      CHECK(items.try_push(1));
      chooser.request_kill();
      CHECK_FALSE(full.try_pop());
      co_await chooser.join();
      CHECK(log == "0");
      CHECK(items.empty());
      CHECK(mine != nullptr);
    }
    SUBCASE("killed after its item was taken") {
      CHECK(**full.try_pop() == 7);
      chooser.request_kill();
      CHECK(items.try_push(1));
      co_await chooser.join();
      CHECK(log == "1");
      CHECK(items.size() == 1);
    }
    CHECK(chooser.result() == outcome::cancelled);
  });
}

// row: JN-04
TEST_CASE("a pending kill is thrown although a case is ready") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items;
    CHECK(items.try_push(1));
    const auto choose = [&]() -> task<> {
      current().kill();
      co_await select(items.pop(), sleep(1ms));
    };
    const std::string words = co_await outcome_of(choose());
    CHECK(words == "cancelled");
    CHECK(items.size() == 1);
  });
}

// row: JN-04
TEST_CASE("select() throws the exception with which its fiber is killed") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items;
    event door;
    const auto choose = [&]() -> task<> { co_await select(items.pop(), door.wait()); };
    const fiber<> chooser = spawn(choose);
    co_await yield();
    co_await chooser.kill(std::make_exception_ptr(std::runtime_error("given")));
    CHECK(text_of(chooser.error()) == "given");
  });
}

// Errors of the case that is taken

// row: JN-04
TEST_CASE("a case on a closed queue is taken, and reports that the queue is closed") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items(0), other(0);
    const auto choose = [&]() -> task<> { co_await select(other.pop(), items.pop()); };
    const fiber<std::string> waits = spawn(outcome_of(choose()));
    co_await yield();
    items.close();
    std::string words = co_await waits.get();
    CHECK(words == "closed");
    words = co_await outcome_of(choose());
    CHECK(words == "closed");
    const auto popped = co_await as_result(select(items.pop(), other.pop()));
    CHECK(popped.error() == errc::closed);
    const auto pushed = co_await as_result(select(items.push(1), sleep(1s)));
    CHECK(pushed.error() == errc::closed);
    CHECK(other.try_push(1) == false);
    const auto slept = co_await as_result(select(other.push(1), sleep(1ms)));
    CHECK(slept->index() == 1);
  });
}

// row: JN-04
TEST_CASE("get() of a fiber that failed throws that fiber's error") {
  run_scripted([](scripted_engine&) -> task<> {
    event door;
    const fiber<> failing = spawn(fail_after, 1ms, "expected");
    CHECK_THROWS_WITH(co_await select(door.wait(), failing.get()), "expected");
    CHECK_THROWS_WITH(co_await select(door.wait(), failing.get()), "expected");
    const fiber<> killed = spawn(sleep_for, 1h);
    killed.request_kill();
    const auto taken = co_await as_result(select(door.wait(), killed.get()));
    CHECK(taken.error() == errc::fiber_cancelled);
    CHECK_THROWS_AS(co_await select(door.wait(), spawn(sleep_for, 1ms).get(500us)), timed_out);
  });
}

// row: JN-04
TEST_CASE("select() returns a copy of a fiber's value, which other fibers can still read") {
  run_scripted([](scripted_engine&) -> task<> {
    const fiber<std::string> word = spawn(value_after<std::string>, 1ms, std::string("word"));
    for (int i = 0; i < 2; ++i) {
      const auto taken = co_await select(sleep(1h), word.get());
      CHECK(std::get<1>(taken) == "word");
    }
    CHECK(word.value() == "word");
  });
}

// Order

// rows: QU-01 JN-04
TEST_CASE("a select() waits in line with fibers that pop without one") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items, other;
    std::string log;
    const auto choose = [&](char name) -> task<> {
      const auto taken = co_await select(other.pop(), items.pop());
      log += name + std::to_string(std::get<1>(taken)) + " ";
    };
    const fiber<> first = spawn(note_pop(items, log)), second = spawn(choose, 's'),
                  third = spawn(note_pop(items, log)), fourth = spawn(choose, 't');
    co_await yield();
    for (int i = 1; i <= 4; ++i) CHECK(items.try_push(i));
    co_await fourth.join();
    CHECK(log == "-1 s2 -3 t4 ");
    CHECK(other.try_push(5));
    CHECK(other.size() == 1);
  });
}

// row: JN-04
TEST_CASE("a select() that both pushes to and pops from a queue never serves itself") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items(0);
    std::string log;
    const auto choose = [&](char name, int mine) -> task<> {
      const auto taken = co_await select(items.push(std::move(mine)), items.pop());
      log += name + (taken.index() == 0 ? "+" : std::to_string(std::get<1>(taken))) + " ";
    };
    const fiber<> first = spawn(choose, 'a', 1);
    co_await yield();
    CHECK(log.empty());
    CHECK(items.empty());
    const fiber<> second = spawn(choose, 'b', 2);
    co_await first.join();
    co_await second.join();
    CHECK(log == "b+ a2 ");
    const fiber<> third = spawn(choose, 'c', 3);
    co_await yield();
    CHECK(*items.try_pop() == 3);
    co_await third.join();
    CHECK(log == "b+ a2 c+ ");
    CHECK_FALSE(items.try_push(4));
    CHECK_FALSE(items.try_pop());
  });
}

// row: JN-04
TEST_CASE("a fiber, event or queue that is listed twice is taken once") {
  run_scripted([](scripted_engine&) -> task<> {
    event door;
    queue<int> items;
    const fiber<> soon = spawn([&]() -> task<> {
      co_await sleep(1ms);
      door.set();
      items.try_push(1);
      items.try_push(2);
    });
    auto taken = co_await select(items.pop(), items.pop(), sleep(1h));
    CHECK(taken.index() == 0);
    CHECK(items.size() == 1);
    const fiber<> later = spawn(sleep_for, 1ms);
    const auto joined = co_await select(later.join(), later.join());
    CHECK(joined.index() == 0);
    const auto set = co_await select(door.wait(), door.wait());
    CHECK(set.index() == 0);
    CHECK(soon.done());
  });
}

// Dump, deadlock and fairness

// row: JN-04
TEST_CASE("dump shows everything that a select() waits for") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items;
    const fiber<> busy = spawn(sleep_for, 1h);
    busy.set_name("worker");
    const fiber<> chooser =
        spawn([&]() -> task<> { co_await select(items.pop(), busy.join(), sleep(1h)); });
    co_await yield();
    char where[160];
    std::snprintf(where, sizeof where,
                  "fiber 3: select of pop queue %p with 0 items (peak 0, 0 waiting to push, 1 to "
                  "pop), join fiber 2 \"worker\", sleep,",
                  static_cast<void*>(&items));
    CHECK(dump().find(where) != std::string::npos);
    co_await chooser.kill();
    co_await busy.kill();
  });
}

// rows: W42 JN-04
TEST_CASE("a select() whose cases can never come is a deadlock") {
  const std::string words = deadlock_of([](scripted_engine&) -> task<> {
    queue<int> items;
    event door;
    const auto choose = [&]() -> task<> { co_await select(items.pop(), door.wait()); };
    const auto with_limit = co_await select(items.pop(), sleep(1ms));
    CHECK(with_limit.index() == 1);
    spawn(choose);
    co_await choose();
  });
  CHECK(words.find("deadlock") == 0);
  CHECK(words.find("fiber 1: select of pop queue") != words.npos);
  CHECK(words.find("fiber 2: select of pop queue") != words.npos);
}

// row: JN-04
TEST_CASE("a loop of ready selects lets other fibers run") {
  run_scripted([](scripted_engine&) -> task<> {
    event door;
    queue<int> items;
    door.set();
    bool ran = false;
    const fiber<> other = spawn([&]() -> task<> {
      ran = true;
      co_return;
    });
    int rounds = 0;
    while (!ran) {
      co_await select(items.pop(), door.wait());
      ++rounds;
    }
    CHECK(rounds == ready_queue::budget);
  });
}

// row: JN-04
TEST_CASE("select() does not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto round = []() -> task<std::size_t> {
      queue<int> items, full(0);
      event door;
      const auto choose = [&]() -> task<> {
        co_await select(items.pop(), full.push(1), door.wait(1h), sleep(2h));
      };
      const fiber<> a = spawn(choose), b = spawn(choose), c = spawn(choose), d = spawn(choose);
      const std::size_t before = allocations();
      co_await yield();
      items.try_push(1);
      full.try_pop();
      c.request_kill();
      door.set();
      co_await d.join();
      co_return allocations() - before;
    };
    co_await round();  // fills the pools
    const std::size_t made = co_await round();
    CHECK(made == 0);
  });
}

TEST_SUITE_END();
