// semaphore: waits that end early lose no permit, and let those behind them go ahead.
//
// Method: "in the same tick" means that no fiber has run between the two. The scripted engine's
// clock is moved by hand where a limit is to be due. In fibers that are killed no co_await stands
// inside of a CHECK.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/event.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/semaphore.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "sched/sync/semaphores.hpp"
#include "support/random.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

template <class... Parts>
item_wait<basic_queue<Parts...>> see_item(basic_queue<Parts...>& in) {
  return {in, forever};
}
// Each of these returns which of its two waits was first.
task<std::size_t> see_item_or_acquire_two(queue<int>& in, semaphore& permits) {
  const auto first = co_await select(see_item(in), permits.acquire(2));
  co_return first.index();
}
task<std::size_t> push_or_acquire_one(queue<int>& to, semaphore& permits) {
  int item = 1;
  const auto first = co_await select(to.push(std::move(item)), permits.acquire(1));
  co_return first.index();
}

// Notes its name when it has the permits; then waits again, where a pending kill is thrown.
task<> note_then_wait(semaphore& from, std::string& log, char name, std::size_t count) {
  const semaphore::permit taken = co_await from.acquire(count);
  log += name;
  co_await yield();
  log += "on";
}

// Waits for the permits or the event, and notes which it was.
task<> note_first(semaphore& from, std::string& log, std::size_t count, event& other) {
  auto first = co_await select(from.acquire(count), other.wait());
  log += first.index() == 0 ? "permits" : "event";
}

}  // namespace

TEST_SUITE_BEGIN("semaphore cancellation");

// rows: LK-01 TH-06
TEST_CASE("acquire with a limit throws timed_out, and takes nothing") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    semaphore seats(1);
    const std::string words = co_await outcome_of(take(seats, 2, 5ms));
    CHECK(words == "timed out");
    CHECK(engine.now() == begin + 5'000'000);
    CHECK(seats.available() == 1);
    CHECK(seats.waiting() == 0);
    // With a limit that has passed it succeeds only if it need not wait.
    const result<semaphore::permit> free = co_await as_result(seats.acquire(0s));
    CHECK(free->count() == 1);
    const result<semaphore::permit> late = co_await as_result(seats.acquire(1, 0s));
    CHECK(late.error() == errc::timed_out);
  });
}

// S1 S10
TEST_CASE("of a kill and a release in the same tick the first one counts") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore seats(0);
    std::string log;
    const fiber<> first = spawn(note_then_wait(seats, log, 'a', 1));
    const fiber<> next = spawn(note(seats, log, 'b', 1));
    co_await yield();
    SUBCASE("killed before: the permit goes to the next fiber") {
      first.request_kill();
      seats.release();
      co_await next.join();
      CHECK(log == "b");
    }
    SUBCASE("killed after: it has the permit, and the kill comes with its next wait") {
      seats.release();
      first.request_kill();
      co_await next.join();
      CHECK(log == "ab");
    }
    CHECK(first.result() == outcome::cancelled);
    CHECK(seats.available() == 1);
  });
}

// S1
TEST_CASE("of a limit and a release in the same tick the first one counts") {
  run_scripted([](scripted_engine& engine) -> task<> {
    semaphore seats(0);
    std::string log;
    const fiber<std::string> first = spawn(outcome_of(note(seats, log, 'a', 1, 5ms)));
    const fiber<> next = spawn(note(seats, log, 'b', 1));
    co_await yield();
    SUBCASE("late by then") {
      co_await sleep(5ms);  // armed later, so the other limit was told first
      seats.release();
      co_await next.join();
      CHECK(log == "b");
    }
    SUBCASE("released in the turn in which it is due: success wins") {
      engine.advance(5'000'000);
      seats.release();
      co_await next.join();
      CHECK(log == "ab");
    }
    co_await first.join();
    CHECK(seats.available() == 1);
  });
}

// S4
TEST_CASE("a large request that leaves the front lets the small ones behind it go ahead") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore seats(3);
    std::string log;
    event other;
    const auto run_behind = [&](const fiber<>& large, auto leave) -> task<> {
      std::vector<fiber<>> small;
      for (const char name : {'a', 'b', 'c', 'd'}) {
        small.push_back(spawn(note_then_wait(seats, log, name, 1)));
      }
      co_await yield();
      CHECK(log.empty());
      CHECK(seats.waiting() == 5);
      co_await leave();
      CHECK(seats.available() == 0);
      CHECK(seats.waiting() == 1);
      co_await large.join();
      for (const fiber<>& one : small) co_await one.join();
    };
    SUBCASE("killed") {
      const fiber<> large = spawn(take(seats, 5));
      const auto leave = [&]() -> task<> {
        large.request_kill();
        co_return;
      };
      co_await run_behind(large, leave);
      CHECK(log == "abcononondon");
    }
    SUBCASE("timed out") {
      const fiber<> large = spawn([&]() -> task<> {
        const result<semaphore::permit> got = co_await as_result(seats.acquire(5, 5ms));
        CHECK(got.error() == errc::timed_out);
      });
      const auto leave = []() -> task<> { co_await sleep(5ms); };
      co_await run_behind(large, leave);
    }
    SUBCASE("its scope has given up") {
      const fiber<> large = spawn([&]() -> task<> { co_await move_on_after(5ms, take(seats, 5)); });
      const auto leave = []() -> task<> { co_await sleep(5ms); };
      co_await run_behind(large, leave);
    }
    SUBCASE("another part of its select() has won") {
      const fiber<> large = spawn(note_first(seats, log, 5, other));
      const auto leave = [&]() -> task<> {
        other.set();
        co_return;
      };
      co_await run_behind(large, leave);
      CHECK(log.find("event") == 0);
    }
    CHECK(seats.available() == 3);
    CHECK(seats.waiting() == 0);
  });
}

TEST_CASE("a request in the middle that leaves changes nothing for those before and behind it") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore seats(1);
    std::string log;
    const fiber<> a = spawn(note(seats, log, 'a', 2)), b = spawn(note(seats, log, 'b', 1)),
                  c = spawn(note(seats, log, 'c', 1));
    co_await yield();
    b.request_kill();
    co_await yield();
    CHECK(log.empty());
    CHECK(seats.available() == 1);
    seats.release();
    co_await c.join();
    CHECK(log == "ac");
    CHECK(a.done());
  });
}

TEST_CASE("a pending kill is thrown before a permit is taken") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore seats(1);
    const fiber<std::string> doomed = spawn([&]() -> task<std::string> {
      current().kill();
      co_return co_await outcome_of(take_one(seats));
    });
    const std::string words = co_await doomed.get();
    CHECK(words == "cancelled");
    CHECK(seats.available() == 1);
  });
}

TEST_CASE("a permit is a part of a select() like any other wait") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore seats(1), others(0);
    {
      const auto free = co_await select(seats.acquire(), others.acquire());
      CHECK(free.index() == 0);
      CHECK(seats.available() == 0);
      const auto late = co_await select(seats.acquire(), sleep(1ms));
      CHECK(late.index() == 1);
    }
    CHECK(seats.available() == 1);
    // The limit of a part ends the select().
    const auto tried = co_await as_result(select(others.acquire(1ms), sleep(1h)));
    CHECK(tried.error() == errc::timed_out);
    std::string log;
    event never_set;
    const fiber<> waiter = spawn(note_first(others, log, 2, never_set));
    co_await yield();
    others.release(2);
    CHECK(others.available() == 0);
    co_await waiter.join();
    CHECK(log == "permits");
    CHECK(others.available() == 2);
  });
}

TEST_CASE("a select() of two requests for the same semaphore takes one of them") {
  run_scripted([](scripted_engine&) -> task<> {
    semaphore seats(0);
    std::string log;
    const fiber<> both = spawn([&]() -> task<> {
      auto first = co_await select(seats.acquire(2), seats.acquire(1));
      log += std::to_string(first.index());
      co_await sleep(1ms);
    });
    const fiber<> next = spawn(note(seats, log, 'b', 1));
    co_await yield();
    CHECK(seats.waiting() == 3);
    seats.release(3);
    CHECK(seats.waiting() == 0);
    CHECK(seats.available() == 0);
    co_await next.join();
    CHECK(log == "0b");
    co_await both.join();
    CHECK(seats.available() == 3);
  });
}

// S3
TEST_CASE("a hundred thousand limits that pass lose no permit") {
  run_scripted([](scripted_engine& engine) -> task<> {
    semaphore seats(2);
    std::size_t late = 0, in_time = 0;
    const auto ask = [&](std::uint64_t seed) -> task<> {
      random_numbers random(seed);
      for (int i = 0; i < 1000; ++i) {
        const auto limit = std::chrono::microseconds(random.below(30));
        const result<semaphore::permit> got =
            co_await as_result(seats.acquire(1 + random.below(2), limit));
        ++(got ? in_time : late);
        if (got) co_await sleep(10us);
      }
    };
    std::vector<fiber<>> all;
    for (std::uint64_t seed = 0; seed < 100; ++seed) all.push_back(spawn(ask, seed));
    for (const fiber<>& one : all) co_await one.join();
    CHECK(late + in_time == 100'000);
    CHECK(late > 50'000);
    CHECK(in_time > 1'000);
    CHECK(seats.available() == 2);
    CHECK(seats.waiting() == 0);
    CHECK(engine.now() > 0);
  });
}

// S6 S7
TEST_CASE("fibers that are killed while others are woken in slices lose no permit") {
  run_scripted([](scripted_engine&) -> task<> {
    constexpr std::size_t count = 1000;
    semaphore seats(0);
    std::size_t taken = 0;
    std::vector<fiber<>> all;
    const auto take_and_count = [&]() -> task<> {
      (co_await seats.acquire()).consume();
      ++taken;
      co_await yield();
    };
    for (std::size_t i = 0; i < count; ++i) all.push_back(spawn(take_and_count));
    co_await sleep(1ms);
    seats.release(count);
    // 256 are served, and take their permits. One of them serves more, of those that are left.
    for (std::size_t i = 0; i < count; i += 2) all[i].request_kill();
    for (const fiber<>& one : all) co_await one.join();
    CHECK(taken == 128 + count / 2);
    CHECK(seats.available() == count - taken);
  });
}

namespace {

// A semaphore beside a model of it: random requests, some of them in a select(), and random ends.
class semaphore_model {
 public:
  explicit semaphore_model(std::uint64_t seed) : random_(seed) {}

  task<> run(int steps) {
    for (int i = 0; i < steps; ++i) {
      if (random_.once_in(2)) {
        spawn_one();
        co_await settle();
      } else {
        step();
      }
    }
    seats_.release(5 * all_.size());
    add(5 * all_.size());
    co_await settle();
    CHECK(seats_.waiting() == 0);
    CHECK(served_.size() > all_.size() / 2);
    for (one& each : all_) give_back(each, each.taken.count());
    check();
  }

 private:
  struct one {
    std::size_t count;
    bool selects;
    semaphore::permit taken;
    event dropped;
    fiber<> who;
  };

  task<> ask(std::size_t place) {
    one& mine = all_[place];
    if (mine.selects) {
      auto first = co_await select(seats_.acquire(mine.count), mine.dropped.wait());
      if (first.index() == 1) co_return;
      mine.taken = std::get<0>(std::move(first));
    } else {
      mine.taken = co_await seats_.acquire(mine.count);
    }
    served_.push_back(place);
  }

  void spawn_one() {
    const std::size_t place = all_.size();
    one& made = all_.emplace_back();
    made.count = random_.below(5);
    made.selects = random_.once_in(2);
    made.who = spawn(ask(place));
    waiting_.push_back(place);
    serve();
  }

  void step() {
    if (all_.empty()) return;
    const std::size_t place = random_.below(all_.size());
    one& chosen = all_[place];
    switch (random_.below(5)) {
      case 0:
        kill(place);
        break;
      case 1:
        chosen.dropped.set();
        if (chosen.selects) leave(place);
        break;
      case 2:
        give_back(chosen, random_.below(chosen.taken.count() + 1));
        break;
      case 3: {
        const std::size_t count = random_.below(3);
        seats_.release(count);
        add(count);
        break;
      }
      default: {
        const std::size_t count = random_.below(4);
        semaphore::permit taken = seats_.try_acquire(count);
        const bool can = waiting_.empty() && count <= free_;
        CHECK(taken.count() == (can ? count : 0));
        if (can) free_ -= count;
        taken.consume();
      }
    }
    check();
  }

  void kill(std::size_t place) {
    all_[place].who.request_kill();
    leave(place);
  }
  void give_back(one& from, std::size_t count) {
    from.taken.release(count);
    add(count);
  }

  // Runs what is ready.
  task<> settle() {
    co_await sleep(1us);
    check();
    CHECK(served_ == expected_);
  }
  void check() {
    CHECK(seats_.available() == free_);
    CHECK(seats_.waiting() == waiting_.size());
  }

  // The model.

  void leave(std::size_t place) {
    std::erase(waiting_, place);
    serve();
  }
  void add(std::size_t count) {
    free_ += count;
    serve();
  }
  void serve() {
    while (!waiting_.empty() && all_[waiting_.front()].count <= free_) {
      free_ -= all_[waiting_.front()].count;
      expected_.push_back(waiting_.front());
      waiting_.pop_front();
    }
  }

  random_numbers random_;
  semaphore seats_{4};
  std::deque<one> all_;
  std::vector<std::size_t> served_;  // in the order in which they were
  std::size_t free_ = 4;
  std::deque<std::size_t> waiting_;
  std::vector<std::size_t> expected_;
};

}  // namespace

// A push that waits ends the wait of the fiber that wants to see an item.
TEST_CASE("a part of a select() gets the permits that an earlier part has made way for") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<int> hand_over(0);
    semaphore permits(1);
    const fiber<std::size_t> first = spawn(see_item_or_acquire_two(hand_over, permits));
    co_await yield();
    const fiber<std::size_t> second = spawn(push_or_acquire_one(hand_over, permits));
    const std::size_t seen = co_await first.get();
    const std::size_t acquired = co_await second.get();
    CHECK(seen == 0);
    CHECK(acquired == 1);
  });
}

TEST_CASE("a semaphore serves random fibers like its model") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    run_scripted([seed](scripted_engine&) -> task<> {
      semaphore_model model(seed);
      co_await model.run(400);
    });
  }
}

TEST_SUITE_END();
