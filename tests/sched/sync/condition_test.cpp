// condition: which waits a notification ends, and that a fiber holds the mutex however its wait
// ends.
//
// Method: as in mutex_test.cpp.
// SPDX-License-Identifier: MIT
#include <ringlet/condition.hpp>
#include <ringlet/deadlock.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/extend/wake_lists.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/mutex.hpp>
#include <ringlet/recursive_mutex.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/child.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

struct guarded {
  mutex lock;
  condition changed{lock};
  int items = 0;
  std::string log;
};

// Takes an item when there is one, and notes how the wait ended and that it held the mutex.
task<> take(guarded& all, char name, time_limit timeout = forever) {
  const mutex::guard held = co_await all.lock.lock();
  const auto has_items = [&] { return all.items != 0; };
  try {
    const bool came = co_await all.changed.wait(has_items, timeout);
    all.log += name;
    all.log += came ? '+' : '-';
    if (came) --all.items;
  } catch (const cancelled&) {
    all.log += name;
    all.log += all.lock.is_held() ? 'x' : '!';
    throw;
  }
}

// The same without a predicate.
task<> hear(guarded& all, char name, time_limit timeout = forever) {
  const mutex::guard held = co_await all.lock.lock();
  try {
    const bool came = co_await all.changed.wait(timeout);
    all.log += name;
    all.log += came ? '+' : '-';
    if (!all.lock.is_held()) all.log += '!';
  } catch (const cancelled&) {
    all.log += name;
    all.log += all.lock.is_held() ? 'x' : '!';
    throw;
  }
}

task<> put(guarded& all, int count) {
  const mutex::guard held = co_await all.lock.lock();
  all.items += count;
  all.changed.notify(static_cast<std::size_t>(count));
}

task<> lock_until(mutex& on, event& end) {
  const mutex::guard held = co_await on.lock();
  co_await end.wait();
}

}  // namespace

TEST_SUITE_BEGIN("condition");

// row: TH-07
TEST_CASE("a fiber that waits for a condition gives up the mutex, and holds it when it returns") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    const fiber<> one = spawn(hear(all, 'a')), two = spawn(hear(all, 'b'));
    co_await yield();
    CHECK_FALSE(all.lock.is_locked());
    CHECK(all.changed.waiting() == 2);
    all.changed.notify();
    co_await one.join();
    CHECK(all.log == "a+");
    CHECK_FALSE(two.done());
    all.changed.notify();
    co_await two.join();
    CHECK(all.log == "a+b+");
    CHECK(all.changed.waiting() == 0);
    CHECK(all.changed.waiting_peak() == 2);
  });
}

TEST_CASE("a notification is not stored, and more of them than fibers wait do no harm") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    all.changed.notify();
    all.changed.notify_all();
    const fiber<> one = spawn(hear(all, 'a', 1ms));
    co_await one.join();
    CHECK(all.log == "a-");
    const fiber<> two = spawn(hear(all, 'b'));
    co_await yield();
    all.changed.notify(100);
    co_await two.join();
    CHECK(all.log == "a-b+");
  });
}

// row: W51
TEST_CASE("notify(n) wakes the n fibers that have waited longest, in their order") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    std::vector<fiber<>> waits;
    for (const char name : {'a', 'b', 'c', 'd'}) waits.push_back(spawn(hear(all, name)));
    co_await yield();
    all.changed.notify(3);
    co_await sleep(1ms);
    CHECK(all.log == "a+b+c+");
    all.changed.notify_all();
    co_await joinall(waits);
    CHECK(all.log == "a+b+c+d+");
  });
}

TEST_CASE("notified fibers wait for the mutex while the notifier holds it") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    const fiber<> one = spawn(hear(all, 'a')), two = spawn(hear(all, 'b'));
    co_await yield();
    mutex::guard held = co_await all.lock.lock();
    all.changed.notify_all();
    co_await sleep(1ms);
    CHECK(all.log.empty());
    CHECK(all.lock.waiting() == 2);
    held.unlock();
    co_await joinall(one, two);
    CHECK(all.log == "a+b+");
  });
}

TEST_CASE("notify_all wakes exactly the fibers that waited before the call") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    const fiber<> early = spawn(hear(all, 'e'));
    co_await yield();
    const fiber<> late = spawn(hear(all, 'l', 1ms));
    all.changed.notify_all();
    co_await joinall(early, late);
    CHECK(all.log == "e+l-");
  });
}

// The predicate

TEST_CASE("a wait with a true predicate does not wait, and keeps the mutex") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const std::size_t waits = engine.waits();
    guarded all;
    all.items = 1;
    co_await take(all, 'a');
    CHECK(all.log == "a+");
    CHECK(engine.waits() == waits);
  });
}

TEST_CASE("a notified fiber whose predicate is false keeps waiting, and is not resumed") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    const fiber<> one = spawn(take(all, 'a')), two = spawn(take(all, 'b'));
    co_await yield();
    all.changed.notify_all();
    co_await sleep(1ms);
    CHECK(all.log.empty());
    CHECK(all.changed.waiting() == 2);
    co_await put(all, 1);
    co_await one.join();
    CHECK(all.log == "a+");
    co_await put(all, 1);
    co_await two.join();
    CHECK(all.log == "a+b+");
  });
}

TEST_CASE("a notification meant for two items wakes two fibers, one after the other") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    std::vector<fiber<>> waits;
    for (const char name : {'a', 'b', 'c'}) waits.push_back(spawn(take(all, name)));
    co_await yield();
    co_await put(all, 2);
    co_await sleep(1ms);
    CHECK(all.log == "a+b+");
    CHECK(all.items == 0);
    co_await put(all, 1);
    co_await joinall(waits);
    CHECK(all.log == "a+b+c+");
  });
}

TEST_CASE("what a predicate throws is thrown by the wait, with the mutex held") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    bool fails = false;
    const auto asks = [&]() -> bool {
      if (fails) throw std::runtime_error("no answer");
      return false;
    };
    const auto waits = [&]() -> task<> {
      const mutex::guard held = co_await all.lock.lock();
      try {
        co_await all.changed.wait(asks);
      } catch (const std::runtime_error&) {
        all.log += all.lock.is_held() ? "held" : "lost";
        throw;
      }
    };
    SUBCASE("at once") {
      fails = true;
      CHECK(co_await outcome_of(waits()) == "no answer");
      CHECK(all.log == "held");
    }
    SUBCASE("after a notification") {
      const fiber<> waiting = spawn(waits);
      co_await yield();
      fails = true;
      all.changed.notify();
      co_await waiting.join();
      CHECK(text_of(waiting.error()) == "no answer");
      CHECK(all.log == "held");
    }
    CHECK_FALSE(all.lock.is_locked());
  });
}

// Limits

TEST_CASE("a wait whose limit passes returns false, with the mutex held") {
  run_scripted([](scripted_engine& engine) -> task<> {
    guarded all;
    const steady_ns begin = engine.now();
    co_await hear(all, 'a', 2ms);
    co_await take(all, 'b', 3ms);
    CHECK(all.log == "a-b-");
    CHECK(engine.now() == begin + 5'000'000);
    CHECK(all.changed.waiting() == 0);
  });
}

TEST_CASE("a limit that passes while another fiber holds the mutex ends the wait when it is free") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    event end;
    const fiber<> waiting = spawn(hear(all, 'a', 1ms));
    co_await yield();
    const fiber<> holder = spawn(lock_until(all.lock, end));
    co_await sleep(5ms);
    CHECK(all.log.empty());
    end.set();
    co_await joinall(holder, waiting);
    CHECK(all.log == "a-");
  });
}

TEST_CASE("success wins: a fiber that was notified before its limit passed returns true") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    event end;
    const fiber<> waiting = spawn(hear(all, 'a', 1ms));
    co_await yield();
    const fiber<> holder = spawn(lock_until(all.lock, end));
    co_await yield();
    all.changed.notify();
    co_await sleep(5ms);
    end.set();
    co_await joinall(holder, waiting);
    CHECK(all.log == "a+");
  });
}

TEST_CASE(
    "a wait whose limit passed in the line of the mutex ends although its predicate is false") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    event end;
    const fiber<> waiting = spawn(take(all, 'a', 1ms));
    co_await yield();
    const fiber<> holder = spawn(lock_until(all.lock, end));
    co_await yield();
    all.changed.notify();
    co_await sleep(5ms);
    end.set();
    co_await joinall(holder, waiting);
    CHECK(all.log == "a-");
    CHECK(all.changed.waiting() == 0);
  });
}

TEST_CASE("a predicate that is true when the limit passes counts") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    const fiber<> waiting = spawn(take(all, 'a', 1ms));
    co_await yield();
    all.items = 1;  // and no notification
    co_await waiting.join();
    CHECK(all.log == "a+");
  });
}

// Kills

TEST_CASE("a fiber that is killed while it waits throws with the mutex held") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    const fiber<> one = spawn(hear(all, 'a')), two = spawn(take(all, 'b'));
    co_await yield();
    one.request_kill();
    two.request_kill();
    co_await joinall(one, two);
    CHECK(all.log == "axbx");
    CHECK_FALSE(all.lock.is_locked());
    CHECK(all.changed.waiting() == 0);
  });
}

TEST_CASE("a fiber that is killed while another holds the mutex throws when it has it back") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    event end;
    const fiber<> waiting = spawn(hear(all, 'a'));
    co_await yield();
    const fiber<> holder = spawn(lock_until(all.lock, end));
    co_await yield();
    waiting.request_kill();
    waiting.request_kill();
    co_await sleep(1ms);
    CHECK_FALSE(waiting.done());
    end.set();
    co_await joinall(holder, waiting);
    CHECK(all.log == "ax");
    CHECK(waiting.result() == outcome::cancelled);
  });
}

TEST_CASE("a fiber that its own predicate kills ends, with the mutex held") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    bool kills = false;
    fiber<> doomed;
    const auto waits = [&]() -> task<> {
      const mutex::guard held = co_await all.lock.lock();
      const auto is_never = [&] {
        if (kills) doomed.request_kill();
        return false;
      };
      try {
        co_await all.changed.wait(is_never);
      } catch (const cancelled&) {
        all.log += all.lock.is_held() ? 'x' : '!';
        throw;
      }
    };
    SUBCASE("when it is notified") {
      doomed = spawn(waits);
      co_await yield();
      kills = true;
      all.changed.notify();
    }
    SUBCASE("when it begins to wait") {
      kills = true;
      doomed = spawn(waits);
    }
    const bool ended = co_await doomed.join(1ms);
    CHECK(ended);
    CHECK(all.log == "x");
    CHECK(all.changed.waiting() == 0);
    CHECK_FALSE(all.lock.is_locked());
    kills = false;
    co_await doomed.kill();
  });
}

TEST_CASE("of two errors that a waiting fiber is killed with, the first surfaces") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    event end;
    const fiber<> waiting = spawn(hear(all, 'a'));
    co_await yield();
    const fiber<> holder = spawn(lock_until(all.lock, end));
    co_await yield();
    waiting.request_kill(std::make_exception_ptr(std::runtime_error("first")));
    waiting.request_kill(std::make_exception_ptr(std::runtime_error("second")));
    end.set();
    co_await joinall(holder, waiting);
    CHECK(text_of(waiting.error()) == "first");
  });
}

TEST_CASE("a fiber that is notified and killed in one turn passes the notification on") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    const fiber<> chosen = spawn(hear(all, 'c')), next = spawn(hear(all, 'n'));
    co_await yield();
    mutex::guard held = co_await all.lock.lock();
    all.changed.notify();
    chosen.request_kill();
    held.unlock();
    co_await joinall(chosen, next);
    CHECK(all.log == "cxn+");
  });
}

TEST_CASE("a killed fiber that was one of all notified passes nothing on to a later wait") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    const fiber<> chosen = spawn(hear(all, 'c')), other = spawn(hear(all, 'o'));
    co_await yield();
    mutex::guard held = co_await all.lock.lock();
    all.changed.notify_all();
    chosen.request_kill();
    held.unlock();
    co_await joinall(chosen, other);
    CHECK(all.log == "cxo+");
  });
}

TEST_CASE("a wait that begins after notify_all is not woken by a fiber that was killed then") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    const fiber<> chosen = spawn(hear(all, 'c'));
    co_await yield();
    const mutex::guard held = co_await all.lock.lock();
    all.changed.notify_all();
    chosen.request_kill();
    const bool was_notified = co_await all.changed.wait(1s);
    CHECK_FALSE(was_notified);
    CHECK(all.log == "cx");
  });
}

TEST_CASE("a notified fiber that is killed when it already has the mutex returns true") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    const fiber<> chosen = spawn(hear(all, 'c')), next = spawn(hear(all, 'n', 1ms));
    co_await yield();
    all.changed.notify();  // the mutex is free: it has been given to the fiber
    chosen.request_kill();
    co_await joinall(chosen, next);
    CHECK(all.log == "c+n-");
  });
}

TEST_CASE("a limit around the wait ends it with the mutex held") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    CHECK(co_await outcome_of(with_timeout(1ms, hear(all, 'a'))) == "timed out");
    CHECK(all.log == "ax");
    CHECK_FALSE(all.lock.is_locked());
  });
}

// The rest

TEST_CASE("a condition of a recursive_mutex gives it up whole, and restores its depth") {
  run_scripted([](scripted_engine&) -> task<> {
    recursive_mutex lock;
    condition changed(lock);
    std::size_t depth = 0;
    const auto waits = [&]() -> task<> {
      const recursive_mutex::guard one = co_await lock.lock();
      const recursive_mutex::guard two = co_await lock.lock();
      co_await changed.wait();
      depth = lock.depth();
    };
    const fiber<> waiting = spawn(waits);
    co_await yield();
    CHECK_FALSE(lock.is_locked());
    changed.notify();
    co_await waiting.join();
    CHECK(depth == 2);
    CHECK_FALSE(lock.is_locked());
  });
}

TEST_CASE(
    "dump() shows who waits for a condition, and who has been notified and for whom it waits") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    const fiber<> one = spawn(hear(all, 'a')), two = spawn(take(all, 'b'));
    co_await yield();
    std::string text = dump();
    CHECK(text.find("condition 0x") != text.npos);
    CHECK(text.find(" with 2 waiting (at most 2)") != text.npos);
    mutex::guard held = co_await all.lock.lock();
    all.changed.notify_all();
    text = dump();
    INFO(text);
    CHECK(text.find(" with 0 waiting (at most 2), for mutex 0x") != text.npos);
    CHECK(text.find(" with 2 waiting (at most 2), held by fiber 1") != text.npos);
    all.items = 1;
    held.unlock();
    co_await joinall(one, two);
  });
}

TEST_CASE("waiting, notifying, killing and getting the mutex back do not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    guarded all;
    all.log.reserve(32);
    std::vector<fiber<>> waits;
    for (const char name : {'a', 'b', 'c'}) waits.push_back(spawn(hear(all, name)));
    co_await yield();
    {
      const out_of_memory none;
      waits[1].request_kill();
      all.changed.notify();
      all.changed.notify_all();
      co_await waits[2].join();
    }
    co_await joinall(waits);
    CHECK(all.log == "bxa+c+");
  });
}

// Long lists

namespace {

// Fibers that wait for `is_open`, which counts how often it was asked, and note when they came.
struct crowd {
  mutex lock;
  condition changed{lock};
  bool is_open = false;
  std::size_t asked = 0;
  std::vector<std::size_t> came;
  std::vector<fiber<>> fibers;

  task<> wait(std::size_t number) {
    const mutex::guard held = co_await lock.lock();
    const auto ask = [this] {
      ++asked;
      return is_open;
    };
    try {
      co_await changed.wait(ask);
      came.push_back(number);
    } catch (const cancelled&) {
      CHECK(lock.is_held());
      throw;
    }
  }
  // Until `count` fibers wait.
  task<> gather(std::size_t count) {
    while (fibers.size() != count) fibers.push_back(spawn(wait(fibers.size())));
    while (changed.waiting() != count) co_await yield();
    asked = 0;
  }
};

constexpr std::size_t slice = wake_lists::at_once_max;

}  // namespace

TEST_CASE("notify_all asks the predicates of a long list in slices, one each turn") {
  run_scripted([](scripted_engine&) -> task<> {
    crowd all;
    constexpr std::size_t count = 3 * slice + 10;
    co_await all.gather(count);
    all.changed.notify_all();
    std::vector<std::size_t> asked = {all.asked};
    while (all.asked != count) {
      co_await yield();  // turns are longer
      if (all.asked != asked.back()) asked.push_back(all.asked);
    }
    CHECK(asked == std::vector<std::size_t>{slice, 2 * slice, 3 * slice, count});
    co_await sleep(1ms);
    CHECK(all.asked == count);
    CHECK(all.changed.waiting() == count);
    all.is_open = true;
    all.changed.notify_all();
    co_await joinall(all.fibers);
    CHECK(std::is_sorted(all.came.begin(), all.came.end()));
    CHECK(all.came.size() == count);
  });
}

TEST_CASE("a fiber that unlocks the mutex asks no more than a slice, however long it held it") {
  run_scripted([](scripted_engine&) -> task<> {
    crowd all;
    co_await all.gather(3 * slice);
    mutex::guard held = co_await all.lock.lock();
    all.changed.notify_all();
    all.changed.notify_all();
    co_await sleep(1ms);
    CHECK(all.asked == 0);
    CHECK(all.lock.waiting() == slice);
    held.unlock();
    CHECK(all.asked == slice);
    // In between the mutex is free.
    held = co_await all.lock.lock();
    co_await sleep(1ms);
    CHECK(all.asked == slice);
    held.unlock();
    CHECK(all.asked == 2 * slice);
    co_await sleep(1ms);
    CHECK(all.asked == 3 * slice);
    all.is_open = true;
    all.changed.notify_all();
    co_await joinall(all.fibers);
  });
}

TEST_CASE("the scheduler does not sleep while slices are left to ask") {
  run_scripted([](scripted_engine&) -> task<> {
    crowd all;
    constexpr std::size_t count = 3 * slice;
    co_await all.gather(count);
    event asked;
    const auto is_last = [&] {
      if (all.asked == count) asked.set();
      return false;
    };
    const auto wait_last = [&]() -> task<> {
      const mutex::guard held = co_await all.lock.lock();
      co_await all.changed.wait(is_last);
    };
    const fiber<> last = spawn(wait_last);
    co_await yield();
    all.changed.notify_all();
    co_await asked.wait();  // without a limit: it would be a deadlock
    last.request_kill();
    all.is_open = true;
    all.changed.notify_all();
    co_await joinall(all.fibers);
  });
}

TEST_CASE("a fiber that is notified later comes after the rest of a long list") {
  run_scripted([](scripted_engine&) -> task<> {
    mutex lock;
    condition changed(lock);
    std::vector<std::size_t> came;
    const auto hear = [&](std::size_t number) -> task<> {
      const mutex::guard held = co_await lock.lock();
      co_await changed.wait();
      came.push_back(number);
    };
    constexpr std::size_t count = 4 * slice;
    std::vector<fiber<>> all;
    for (std::size_t i = 0; i < count; ++i) all.push_back(spawn(hear, i));
    while (changed.waiting() != count) co_await yield();
    changed.notify_all();
    all.push_back(spawn(hear, count));
    while (changed.waiting() == 0) co_await yield();
    CHECK(came.size() < 3 * slice);
    changed.notify();
    co_await joinall(all);
    CHECK(came.size() == count + 1);
    CHECK(std::is_sorted(came.begin(), came.end()));
  });
}

TEST_CASE("a fiber of a long list gets the mutex in its turn, killed or out of time") {
  run_scripted([](scripted_engine&) -> task<> {
    crowd all;
    constexpr std::size_t count = 2 * slice;
    co_await all.gather(count);
    std::string ended;
    const auto hear_late = [&]() -> task<> {
      const mutex::guard held = co_await all.lock.lock();
      const bool came = co_await all.changed.wait(2ms);
      ended += came ? '+' : '-';
      ended += all.lock.is_held() ? 'h' : '!';
    };
    const fiber<> late = spawn(hear_late);
    co_await yield();
    mutex::guard held = co_await all.lock.lock();
    all.changed.notify_all();
    all.fibers[count - 1].request_kill();
    co_await sleep(5ms);
    CHECK_FALSE(late.done());
    CHECK_FALSE(all.fibers[count - 1].done());
    held.unlock();
    co_await late.join();
    CHECK(ended == "+h");
    co_await all.fibers[count - 1].join();
    CHECK(all.fibers[count - 1].result() == outcome::cancelled);
    CHECK(all.changed.waiting() == count - 1);
    all.is_open = true;
    all.changed.notify_all();
    co_await joinall(all.fibers);
    CHECK(all.came.size() == count - 1);
  });
}

TEST_CASE("waiting for a condition without its mutex aborts") {
  CHECK(aborts_with("a fiber waited for a condition without holding its mutex", [] {
    run_scripted([](scripted_engine&) -> task<> {
      guarded all;
      co_await all.changed.wait();
    });
  }));
}

TEST_CASE("a child of fork() may exit although a notified fiber of the parent awaits the mutex") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto lock = std::make_unique<mutex>();
    auto changed = std::make_unique<condition>(*lock);
    const auto waits = [&]() -> task<> {
      const mutex::guard held = co_await lock->lock();
      co_await changed->wait();
    };
    const fiber<> waiting = spawn(waits);
    co_await yield();
    {
      const mutex::guard held = co_await lock->lock();
      changed->notify();
      const child_end end = run_in_child([&] { changed.reset(); });
      INFO(end.errors);
      CHECK(end.signal == 0);
    }
    co_await waiting.join();
  });
}

TEST_CASE("destroying a condition under a wait aborts") {
  CHECK(aborts_with("a condition was destroyed while a fiber waited for it", [] {
    run_scripted([](scripted_engine&) -> task<> {
      mutex lock;
      std::optional<condition> changed(lock);
      const auto waits = [&]() -> task<> {
        const mutex::guard held = co_await lock.lock();
        co_await changed->wait();
      };
      const fiber<> waiting = spawn(waits);
      co_await yield();
      changed.reset();
    });
  }));
}

namespace {

// Two fibers: `waiter` holds `outer` and waits in the condition of `inner`; `owner` holds `inner`
// and waits for `outer`. What ends the wait in the condition closes the cycle.
struct return_cycle {
  mutex outer, inner;
  condition changed{inner};
  std::string log;

  task<> wait(time_limit timeout = forever) {
    const mutex::guard first = co_await outer.lock();
    const mutex::guard second = co_await inner.lock();
    try {
      const bool notified = co_await changed.wait(timeout);
      log += notified ? "notified " : "late ";
    } catch (const cancelled&) {
      log += inner.is_held() ? "killed " : "not held ";
    }
  }
  task<> own() {
    const mutex::guard first = co_await inner.lock();
    try {
      const mutex::guard second = co_await outer.lock();
      log += "locked ";
    } catch (const deadlock& found) {
      const std::string words = found.what();
      CHECK(words.find("wait for locks of each other") != std::string::npos);
      CHECK(words.find("\"waiter\"") != std::string::npos);
      CHECK(words.find("\"owner\"") != std::string::npos);
      CHECK(words.find("condition_test.cpp:") != std::string::npos);
      log += "deadlock ";
    }
  }
  task<> close(std::function<void(const fiber<>&)> end_wait, time_limit timeout = forever) {
    const fiber<> alive = spawn(sleep_long);  // so only the search for cycles finds it
    fiber<> waiter = spawn(wait(timeout));
    waiter.set_name("waiter");
    co_await yield();
    fiber<> owner = spawn(own());
    owner.set_name("owner");
    co_await yield();
    end_wait(waiter);
    const bool owner_ended = co_await owner.join(1s);
    CHECK(owner_ended);
    const bool waiter_ended = co_await waiter.join(1s);
    CHECK(waiter_ended);
    co_await alive.kill();
  }
  static task<> sleep_long() { co_await sleep(1h); }
};

}  // namespace

TEST_CASE("a cycle of locks that a notification closes ends the lock() of another fiber") {
  run_scripted([](scripted_engine&) -> task<> {
    for (const bool all : {false, true}) {
      CAPTURE(all);
      return_cycle locks;
      const std::function<void(const fiber<>&)> notify = [&](const fiber<>&) {
        if (all) {
          locks.changed.notify_all();
        } else {
          locks.changed.notify();
        }
      };
      co_await locks.close(notify);
      CHECK(locks.log == "deadlock notified ");
    }
  });
}

TEST_CASE("a cycle of locks that a kill or a limit of a condition closes is found, too") {
  run_scripted([](scripted_engine&) -> task<> {
    return_cycle killed;
    const std::function<void(const fiber<>&)> kill = [](const fiber<>& waiter) {
      waiter.request_kill();
    };
    co_await killed.close(kill);
    CHECK(killed.log == "deadlock killed ");
    return_cycle late;
    const std::function<void(const fiber<>&)> nothing = [](const fiber<>&) {};
    co_await late.close(nothing, 1ms);
    CHECK(late.log == "deadlock late ");
  });
}

TEST_CASE("a lock() that closes a cycle with a wait that returns to its mutex is a deadlock") {
  run_scripted([](scripted_engine&) -> task<> {
    return_cycle locks;
    const auto own = [&]() -> task<> {
      const mutex::guard first = co_await locks.inner.lock();
      locks.changed.notify();
      locks.log += "notifies ";
      bool is_deadlock = false;
      try {
        const mutex::guard second = co_await locks.outer.lock();
      } catch (const deadlock&) {
        is_deadlock = true;
      }
      CHECK(is_deadlock);
    };
    // Its limit no longer ends the wait, which needs the mutex.
    const fiber<> waiter = spawn(locks.wait(1s));
    co_await yield();
    const fiber<> owner = spawn(own());
    CHECK(co_await owner.join(1ms));
    co_await waiter.join();
    CHECK(locks.log == "notifies notified ");
  });
}

TEST_SUITE_END();
