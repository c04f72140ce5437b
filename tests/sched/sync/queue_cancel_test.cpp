// queue: interrupted waits lose no item and duplicate none.
//
// Method: "in the same tick" means that no fiber has run between the two. The test moves the
// scripted engine's clock where a limit must be due. Fibers that are killed have no co_await inside
// a CHECK.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sched/queues.hpp"
#include "support/random.hpp"

using namespace ringlet;
using namespace ringlet::detail;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Pops into `log`; then waits again, where a pending kill is thrown.
task<> pop_then_wait(queue<int>& from, std::string& log, time_limit timeout = forever) {
  const int item = co_await from.pop(timeout);
  log += "-" + std::to_string(item) + " ";
  co_await yield();
  log += "on ";
}

// Pushes its item, and notes what it still holds at the end.
task<> push_and_tell(queue<std::unique_ptr<int>>& to, std::string& log, int item,
                     time_limit timeout = forever) {
  auto mine = std::make_unique<int>(item);
  std::string end = "cancelled";
  try {
    const result<void> pushed = co_await as_result(to.push(std::move(mine), timeout));
    end = pushed ? "pushed" : pushed.error() == errc::closed ? "closed" : "timed out";
  } catch (const cancelled&) {
  }
  log += end + (mine ? " with " + std::to_string(*mine) : " without") + " ";
}

}  // namespace

TEST_SUITE_BEGIN("queue cancellation");

// row: W22
TEST_CASE("a popper that is killed in the tick of the hand-over loses no item") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items;
    std::string log;
    const fiber<> first = spawn(pop_then_wait(items, log)), next = spawn(note_pop(items, log));
    co_await yield();
    SUBCASE("before it: the item goes to the next popper") {
      first.request_kill();
      CHECK(items.try_push(1));
      co_await next.join();
      CHECK(log == "-1 ");
    }
    SUBCASE("after it: the popper has the item, and the kill is thrown at its next wait") {
      CHECK(items.try_push(1));
      first.request_kill();
      CHECK(items.try_push(2));
      co_await next.join();
      CHECK(log == "-1 -2 ");
    }
    co_await first.join();
    CHECK(first.result() == outcome::cancelled);
    CHECK(items.empty());
  });
}

// row: W22
TEST_CASE("a popper whose limit is due in the tick of the hand-over loses no item") {
  run_scripted([](scripted_engine& engine) -> task<> {
    queue<int> items;
    std::string log;
    const fiber<std::string> first = spawn(outcome_of(pop_then_wait(items, log, 5ms)));
    const fiber<> next = spawn(note_pop(items, log));
    co_await yield();
    SUBCASE("before it: the item goes to the next popper") {
      co_await sleep(5ms);  // armed later, so the other limit was seen first
      CHECK(items.try_push(1));
      co_await next.join();
      CHECK(log == "-1 ");
    }
    SUBCASE("after it: the popper has the item") {
      engine.advance(5'000'000);
      CHECK(items.try_push(1));
      CHECK(items.try_push(2));
      co_await next.join();
      co_await first.join();
      CHECK(log == "-1 -2 on ");
    }
    co_await first.join();
    CHECK(items.empty());
  });
}

// row: W22
TEST_CASE("a popper whose scope is cancelled in the tick of the hand-over loses no item") {
  run_scripted([](scripted_engine& engine) -> task<> {
    queue<int> items;
    std::string log;
    const fiber<> first = spawn([&]() -> task<> {
      if (!co_await move_on_after(5ms, pop_then_wait(items, log))) log += "moved on ";
    });
    const fiber<> next = spawn(note_pop(items, log));
    co_await yield();
    SUBCASE("before it: the item goes to the next popper") {
      co_await sleep(5ms);
      CHECK(items.try_push(1));
      co_await next.join();
      CHECK(log == "moved on -1 ");
    }
    SUBCASE("after it: the popper has the item") {
      engine.advance(5'000'000);
      CHECK(items.try_push(1));
      CHECK(items.try_push(2));
      co_await next.join();
      CHECK(log.find("-1 ") == 0);
      CHECK(log.find("-2 ") != log.npos);
    }
    co_await first.join();
    CHECK(items.empty());
  });
}

// row: W22
TEST_CASE("a pusher that is killed in the tick in which its item is let in loses no item") {
  const auto kill_one_of_two = [](std::size_t size, bool before) -> task<> {
    queue<std::unique_ptr<int>> items(size);
    std::string log;
    if (size != 0) CHECK(items.try_push(std::make_unique<int>(0)));
    const fiber<> first = spawn(push_and_tell(items, log, 1));
    const fiber<> next = spawn(push_and_tell(items, log, 2));
    co_await yield();
    std::string popped;
    if (before) {
      first.request_kill();
      while (auto item = items.try_pop()) popped += std::to_string(**item);
      co_await next.join();
      CHECK(popped == (size != 0 ? "02" : "2"));
      CHECK(log == "cancelled with 1 pushed without ");
    } else {
      CHECK(**items.try_pop() == (size != 0 ? 0 : 1));
      first.request_kill();
      while (auto item = items.try_pop()) popped += std::to_string(**item);
      co_await next.join();
      CHECK(popped == (size != 0 ? "12" : "2"));
      CHECK(log == "pushed without pushed without ");
    }
    co_await first.join();
  };
  run_scripted([&](scripted_engine&) -> task<> {
    SUBCASE("before it: the item stays with the caller") { co_await kill_one_of_two(1, true); }
    SUBCASE("after it: the item is in the queue") { co_await kill_one_of_two(1, false); }
    SUBCASE("before it, where there is no room") { co_await kill_one_of_two(0, true); }
    SUBCASE("after it, where there is no room") { co_await kill_one_of_two(0, false); }
  });
}

// row: W22
TEST_CASE("a pusher whose limit is due in the tick in which its item is let in loses no item") {
  run_scripted([](scripted_engine& engine) -> task<> {
    queue<std::unique_ptr<int>> items(1);
    std::string log;
    CHECK(items.try_push(std::make_unique<int>(0)));
    const fiber<> first = spawn(push_and_tell(items, log, 1, 5ms));
    const fiber<> next = spawn(push_and_tell(items, log, 2));
    co_await yield();
    SUBCASE("before it") {
      co_await sleep(5ms);
      CHECK(**items.try_pop() == 0);
      CHECK(**items.try_pop() == 2);
      co_await next.join();
      CHECK(log == "timed out with 1 pushed without ");
    }
    SUBCASE("after it") {
      engine.advance(5'000'000);
      CHECK(**items.try_pop() == 0);
      CHECK(**items.try_pop() == 1);
      co_await next.join();
      CHECK(log == "pushed without pushed without ");
      CHECK(**items.try_pop() == 2);
    }
    CHECK(items.empty());
  });
}

// row: W22
TEST_CASE(
    "a pusher whose scope is cancelled in the tick in which its item is let in loses no item") {
  run_scripted([](scripted_engine& engine) -> task<> {
    queue<std::unique_ptr<int>> items(1);
    std::string log;
    CHECK(items.try_push(std::make_unique<int>(0)));
    const fiber<> first =
        spawn([&]() -> task<> { co_await move_on_after(5ms, push_and_tell(items, log, 1)); });
    co_await yield();
    SUBCASE("before it") {
      co_await sleep(5ms);
      CHECK(**items.try_pop() == 0);
      CHECK(log == "cancelled with 1 ");
    }
    SUBCASE("after it") {
      engine.advance(5'000'000);
      CHECK(**items.try_pop() == 0);
      CHECK(**items.try_pop() == 1);
      co_await first.join();
      CHECK(log == "pushed without ");
    }
    CHECK(items.empty());
  });
}

// row: W22
TEST_CASE("only waiters that are still alive are served, on either side") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items(0);
    std::string log;
    std::vector<fiber<>> poppers, pushers;
    for (int i = 0; i < 4; ++i) poppers.push_back(spawn(note_pop(items, log)));
    co_await yield();
    for (const std::size_t doomed : {0u, 2u}) poppers[doomed].request_kill();
    CHECK(items.try_push(1));
    CHECK(items.try_push(2));
    CHECK_FALSE(items.try_push(3));
    co_await join_each(poppers);
    CHECK(log == "-1 -2 ");
    for (int i = 0; i < 4; ++i) pushers.push_back(spawn(note_push(items, log, 10 + i)));
    co_await yield();
    for (const std::size_t doomed : {0u, 3u}) pushers[doomed].request_kill();
    CHECK(*items.try_pop() == 11);
    CHECK(*items.try_pop() == 12);
    CHECK_FALSE(items.try_pop());
    co_await join_each(pushers);
    CHECK(log == "-1 -2 +11 +12 ");
  });
}

// row: W22
TEST_CASE("a pending kill is thrown before an item is taken or pushed") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items(1);
    const auto killed = [&](auto call) -> task<std::string> {
      current().kill();
      co_return co_await outcome_of(call());
    };
    std::string words = co_await killed([&] { return push_one(items, 1); });
    CHECK(words == "cancelled");
    CHECK(items.empty());
    CHECK(items.try_push(1));
    words = co_await killed([&] { return pop_one(items); });
    CHECK(words == "cancelled");
    CHECK(items.size() == 1);
  });
}

// row: W22
TEST_CASE("a kill during a call that need not wait does not lose its item") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> items;
    for (int i = 0; i < 1000; ++i) CHECK(items.try_push(i));
    int next = 0;
    const fiber<> popper = spawn([&]() -> task<> {
      for (;;) {
        const int item = co_await items.pop();
        CHECK(item == next++);
      }
    });
    co_await yield();  // it has used up its budget, and has taken an item
    CHECK(items.size() == 1000u - ready_queue::budget);
    popper.request_kill();
    co_await popper.join();
    CHECK(next == ready_queue::budget);
  });
}

// Weight

// row: W22
TEST_CASE("a heavy first pusher keeps lighter ones out, and they are let in when it gives up") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int, itself> items(queue_base::unlimited, 10);
    std::string log;
    CHECK(items.try_push(5));
    const fiber<> heavy = spawn([&]() -> task<> {
      int mine = 9;
      (void)co_await as_result(items.push(std::move(mine), 5ms));
    });
    std::vector<fiber<>> light;
    for (const int weight : {2, 3, 4}) light.push_back(spawn(note_push(items, log, weight)));
    co_await yield();
    CHECK(items.size() == 1);
    SUBCASE("killed") { heavy.request_kill(); }
    SUBCASE("timed out") { co_await sleep(5ms); }
    CHECK(items.size() == 3);
    CHECK(items.weight() == 10);
    co_await yield();
    CHECK(log == "+2 +3 ");
    light[2].request_kill();
    CHECK(items.weight() == 10);
    items.close_now();
    co_await join_each(light);
  });
}

// Everything at once

namespace {

// Pushers and poppers of numbers, of which many are killed, time out, or give up together. Each
// pushed number must be popped once, in the order in which each pusher sent it.
class storm {
 public:
  storm(std::uint64_t seed, std::size_t size, std::size_t weight)
      : random_(seed), items_(size, weight) {}

  task<> run() {
    std::vector<fiber<>> all;
    for (std::size_t i = 0; i < 300; ++i) {
      all.push_back(random_.once_in(2) ? spawn(push_some()) : spawn(pop_some()));
      if (random_.once_in(4)) co_await sleep(std::chrono::microseconds(random_.below(300)));
      if (random_.once_in(2)) all[random_.below(all.size())].request_kill();
    }
    // The rest is popped by other fibers, until no fiber pushes any longer.
    const fiber<> last = spawn(pop_rest());
    co_await sleep(1s);
    items_.close();
    all.push_back(last);
    co_await join_each(all);
    CHECK(items_.empty());
    CHECK(items_.weight() == 0);
    CHECK(kept_ != 0);
    CHECK(pushed_.size() > 100);
    std::sort(pushed_.begin(), pushed_.end());
    std::sort(popped_.begin(), popped_.end());
    CHECK(popped_ == pushed_);
  }

 private:
  using item = std::unique_ptr<int>;
  struct weigh {
    std::size_t operator()(const item& one) const { return static_cast<std::size_t>(*one % 7); }
  };

  time_limit some_limit() {
    return random_.once_in(3) ? time_limit(std::chrono::microseconds(random_.below(400))) : forever;
  }

  task<> push_some() {
    for (int i = 0; i < 5; ++i) {
      const int number = ++numbers_;
      item mine = std::make_unique<int>(number);
      try {
        const time_limit inner = some_limit();
        if (random_.once_in(3)) {
          (void)co_await as_result(with_timeout(some_limit(), items_.push(std::move(mine), inner)));
        } else {
          (void)co_await as_result(items_.push(std::move(mine), inner));
        }
      } catch (const cancelled&) {
      }
      // Either the caller or the queue has it.
      if (mine != nullptr) {
        CHECK(*mine == number);
        ++kept_;
      } else {
        pushed_.push_back(number);
      }
    }
  }

  task<> pop_some() {
    for (int i = 0; i < 5; ++i) {
      try {
        const result<item> got = co_await as_result(items_.pop(some_limit()));
        if (got) popped_.push_back(**got);
      } catch (const cancelled&) {
      }
    }
  }

  task<> pop_rest() {
    for (;;) {
      const result<item> got = co_await as_result(items_.pop());
      if (!got) co_return;
      popped_.push_back(**got);
    }
  }

  random_numbers random_;
  queue<item, weigh> items_;
  std::vector<int> pushed_, popped_;
  int numbers_ = 0;
  int kept_ = 0;
};

}  // namespace

// row: W22
TEST_CASE("every item is in exactly one place in a storm of kills and limits") {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{8}}) {
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
      CAPTURE(size);
      CAPTURE(seed);
      run_scripted([&](scripted_engine&) -> task<> {
        storm weather(seed, size, seed % 2 == 0 ? 12 : queue_base::unlimited);
        co_await weather.run();
      });
    }
  }
}

TEST_SUITE_END();
