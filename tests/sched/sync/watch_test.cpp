// watch: subscribers see ever newer values, and every end of a wait loses none.
//
// Method: the scripted engine's clock moves only when everything sleeps, or when a test moves it.
// In fibers that are killed no co_await stands inside of a CHECK.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/watch.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/random.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

using number_watch = watch<int>;

// Notes each value that it sees, and how its loop ended.
task<> follow(number_watch::subscriber changes, std::string& log) {
  for (;;) {
    const result<bool> came = co_await as_result(changes.changed());
    if (!came) break;
    log += std::to_string(changes.latest()) + " ";
  }
  log += "end ";
}

task<bool> changes(number_watch::subscriber& by, time_limit timeout = forever) {
  co_return co_await by.changed(timeout);
}

task<> note(number_watch::subscriber& by, std::string& log, time_limit timeout = forever) {
  const bool came = co_await by.changed(timeout);
  log += came ? std::to_string(by.latest()) : "late";
  co_await yield();
  log += " on ";
}

}  // namespace

TEST_SUITE_BEGIN("watch");

TEST_CASE("a subscriber sees the current value first, then each later one, then the end") {
  run_scripted([](scripted_engine&) -> task<> {
    number_watch level(1);
    std::string log;
    const fiber<> reader = spawn(follow(level.subscribe(), log));
    co_await yield();
    for (const int value : {2, 3}) {
      level.set(value);
      co_await yield();
    }
    level.close();
    co_await reader.join();
    CHECK(log == "1 2 3 end ");
  });
}

TEST_CASE("a subscriber that has called latest() waits for later values only") {
  run_scripted([](scripted_engine&) -> task<> {
    number_watch level(1);
    number_watch::subscriber late = level.subscribe();
    CHECK(late.has_changed());
    CHECK(late.seen() == 0);
    CHECK(late.latest() == 1);
    CHECK_FALSE(late.has_changed());
    CHECK_FALSE(co_await late.changed(1ms));
    level.set(2);
    CHECK(late.value() == 2);
    CHECK(late.has_changed());  // value() does not mark it as seen
    CHECK(co_await late.changed());
    CHECK(late.latest() == 2);
    CHECK(late.seen() == level.version());
  });
}

TEST_CASE("a value that is equal to the last one is a new version") {
  run_scripted([](scripted_engine&) -> task<> {
    number_watch level(1);
    number_watch::subscriber reader = level.subscribe();
    CHECK(reader.latest() == 1);
    level.set(1);
    CHECK(level.version() == 2);
    CHECK(co_await reader.changed(0s));
  });
}

TEST_CASE("changed() does not mark the value as seen, and values between may be skipped") {
  run_scripted([](scripted_engine&) -> task<> {
    number_watch level(1);
    number_watch::subscriber reader = level.subscribe();
    CHECK(co_await reader.changed());
    CHECK(co_await reader.changed());
    for (int value = 2; value < 10; ++value) level.set(value);
    CHECK(reader.latest() == 9);
    CHECK_FALSE(co_await reader.changed(0s));
  });
}

TEST_CASE("update() changes the value in place, and wakes no subscriber if it has not changed it") {
  run_scripted([](scripted_engine&) -> task<> {
    watch<std::vector<int>> list(std::vector<int>{1});
    auto reader = list.subscribe();
    CHECK(reader.latest().size() == 1);
    list.update([](std::vector<int>& all) { all.push_back(2); });
    CHECK(co_await reader.changed(0s));
    CHECK(reader.latest().size() == 2);
    list.update([](std::vector<int>&) { return false; });
    CHECK_FALSE(co_await reader.changed(0s));
    list.update([](std::vector<int>& all) { return all.push_back(3), true; });
    CHECK(co_await reader.changed(0s));
    CHECK(list.version() == 3);
    const auto fail = [](std::vector<int>&) -> bool { throw std::runtime_error("no"); };
    CHECK_THROWS_AS(list.update(fail), std::runtime_error);
    CHECK(list.version() == 3);
  });
}

TEST_CASE("a watch takes values that can only be moved") {
  run_scripted([](scripted_engine&) -> task<> {
    watch<std::unique_ptr<int>> owner(nullptr);
    auto reader = owner.subscribe();
    CHECK(reader.latest() == nullptr);
    owner.set(std::make_unique<int>(5));
    CHECK(co_await reader.changed());
    CHECK(*reader.latest() == 5);
  });
}

// Limits, kills, selects

// row: W10
TEST_CASE("with a limit that has passed a wait for a change succeeds only if there is one") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    number_watch level(1);
    number_watch::subscriber reader = level.subscribe();
    CHECK(co_await reader.changed(0s));
    (void)reader.latest();
    CHECK_FALSE(co_await reader.changed(0s));
    CHECK_FALSE(co_await reader.changed(-1s));
    CHECK(engine.now() == begin);
    CHECK_FALSE(co_await reader.changed(3ms));
    CHECK(engine.now() == begin + 3'000'000);
    CHECK_FALSE(*co_await as_result(reader.changed(1ms)));
  });
}

TEST_CASE("of a kill and a set() in the same tick the first one counts") {
  run_scripted([](scripted_engine&) -> task<> {
    number_watch level(1);
    number_watch::subscriber reader = level.subscribe();
    (void)reader.latest();
    std::string log;
    const fiber<> waiter = spawn(note(reader, log));
    co_await yield();
    SUBCASE("set, then killed: the wait succeeds, and the kill comes with the next wait") {
      level.set(2);
      waiter.request_kill();
      co_await waiter.join();
      CHECK(log == "2");
    }
    SUBCASE("killed, then set: the value stays new") {
      waiter.request_kill();
      level.set(2);
      co_await waiter.join();
      CHECK(log.empty());
      CHECK(reader.has_changed());
    }
    SUBCASE("closed, then killed: the kill is thrown") {
      level.close();
      waiter.request_kill();
      co_await waiter.join();
      CHECK(log.empty());
    }
    CHECK(waiter.result() == outcome::cancelled);
  });
}

TEST_CASE("of a limit and a set() in the same tick the first one counts") {
  run_scripted([](scripted_engine& engine) -> task<> {
    number_watch level(1);
    number_watch::subscriber reader = level.subscribe();
    (void)reader.latest();
    std::string log;
    const fiber<> waiter = spawn(note(reader, log, 5ms));
    co_await yield();
    SUBCASE("set in the turn in which the limit is due") {
      engine.advance(5'000'000);
      level.set(2);
      co_await waiter.join();
      CHECK(log == "2 on ");
    }
    SUBCASE("set later") {
      co_await sleep(5ms);
      level.set(2);
      co_await waiter.join();
      CHECK(log == "late on ");
      CHECK(reader.has_changed());
    }
  });
}

TEST_CASE("a pending kill is thrown although there is a new value") {
  run_scripted([](scripted_engine&) -> task<> {
    number_watch level(1);
    number_watch::subscriber reader = level.subscribe();
    const fiber<std::string> doomed = spawn([&]() -> task<std::string> {
      current().kill();
      co_return co_await outcome_of(changes(reader));
    });
    const std::string words = co_await doomed.get();
    CHECK(words == "cancelled");
  });
}

TEST_CASE("changed() can be a part of a select(), and loses nothing when another part wins") {
  run_scripted([](scripted_engine&) -> task<> {
    number_watch level(1);
    number_watch::subscriber reader = level.subscribe();
    event stop;
    CHECK((co_await select(reader.changed(), stop.wait())).index() == 0);
    (void)reader.latest();
    CHECK((co_await select(reader.changed(), sleep(1ms))).index() == 1);
    const fiber<> setter = spawn([&]() -> task<> {
      level.set(2);
      stop.set();
      co_return;
    });
    const auto first = co_await select(stop.wait(), reader.changed());
    CHECK(first.index() == 1);
    CHECK(std::get<1>(first));
    CHECK(reader.latest() == 2);
    const fiber<> both = spawn([&]() -> task<> {
      stop.reset();
      stop.set();
      level.set(3);
      co_return;
    });
    stop.reset();
    CHECK((co_await select(reader.changed(), stop.wait())).index() == 1);
    CHECK(reader.has_changed());
    level.close();
    CHECK(co_await reader.changed());
    CHECK(reader.latest() == 3);
    const auto end = co_await as_result(select(reader.changed(), sleep(1s)));
    CHECK(end.error() == errc::closed);
  });
}

// The end

TEST_CASE("close() lets the last value be seen, and then ends all waits with errc::closed") {
  run_scripted([](scripted_engine&) -> task<> {
    number_watch level(1);
    std::string log;
    const fiber<> waiting = spawn(follow(level.subscribe(), log));
    co_await yield();
    number_watch::subscriber late = level.subscribe();
    level.set(2);
    level.close();
    level.close();
    CHECK(level.is_closed());
    CHECK(late.is_closed());
    co_await waiting.join();
    CHECK(log == "1 2 end ");
    CHECK(co_await late.changed());
    CHECK(late.latest() == 2);
    CHECK(co_await outcome_of(changes(late)) == "closed");
    CHECK(co_await outcome_of(changes(late, 0s)) == "closed");
    number_watch::subscriber after = level.subscribe();
    CHECK(co_await after.changed());
    CHECK_THROWS_AS(level.set(3), std::system_error);
    CHECK_THROWS_AS(level.update([](int&) {}), std::system_error);
    CHECK(level.value() == 2);
    CHECK(level.version() == 2);
  });
}

TEST_CASE("a subscriber outlives its watch, keeps the last value, and is told the end") {
  run_scripted([](scripted_engine&) -> task<> {
    std::optional<number_watch> level(std::in_place, 1);
    number_watch::subscriber kept = level->subscribe();
    std::string log;
    const fiber<> waiting = spawn(follow(level->subscribe(), log));
    co_await yield();
    CHECK(level->subscribers() == 2);
    level->set(2);
    level.reset();
    co_await waiting.join();
    CHECK(log == "1 2 end ");
    CHECK(co_await kept.changed());
    CHECK(kept.latest() == 2);
    CHECK(co_await outcome_of(changes(kept)) == "closed");
    CHECK(kept.value() == 2);
  });
}

TEST_CASE("a subscriber can be moved") {
  run_scripted([](scripted_engine&) -> task<> {
    number_watch level(1), other(10);
    number_watch::subscriber first = level.subscribe();
    (void)first.latest();
    number_watch::subscriber second = std::move(first);
    CHECK_FALSE(second.has_changed());
    first = other.subscribe();
    CHECK(first.latest() == 10);
    second = std::move(first);
    CHECK(second.value() == 10);
    CHECK(level.subscribers() == 0);
    CHECK(other.subscribers() == 1);
    co_return;
  });
}

// Many

// claims: 5 6
TEST_CASE("set() wakes those that waited in slices, and none that waits later") {
  run_scripted([](scripted_engine&) -> task<> {
    constexpr std::size_t count = 100'000;
    number_watch level(1);
    std::vector<number_watch::subscriber> readers;
    readers.reserve(count);
    std::size_t woken = 0;
    const auto wait = [&](std::size_t i) -> task<> {
      co_await readers[i].changed();
      CHECK(readers[i].latest() == 2);
      ++woken;
      // Waits again before all are woken.
      const bool again = co_await readers[i].changed(1s);
      CHECK_FALSE(again);
    };
    std::vector<fiber<>> all;
    all.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      readers.push_back(level.subscribe());
      (void)readers[i].latest();
      all.push_back(spawn(wait, i));
    }
    co_await sleep(1ms);
    level.set(2);
    std::size_t most = 0;
    while (woken != count) {
      const std::size_t before = woken;
      co_await yield();
      most = std::max(most, woken - before);
    }
    CHECK(most <= 2 * wake_lists::at_once_max);
    for (const fiber<>& one : all) co_await one.join();
  });
}

// claims: 1 12
TEST_CASE("in random schedules no subscriber sees an older value, and each sees the last") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    run_scripted([&](scripted_engine&) -> task<> {
      random_numbers random(seed);
      number_watch level(0);
      int last = 0;
      std::vector<int> seen(20, -1);
      std::vector<fiber<>> all;
      const auto read = [&](std::size_t i, bool gives_up) -> task<> {
        number_watch::subscriber changes = level.subscribe();
        for (;;) {
          const time_limit timeout = gives_up ? time_limit(std::chrono::microseconds(50)) : forever;
          const result<bool> came = co_await as_result(changes.changed(timeout));
          if (!came) co_return;
          if (!*came) continue;
          const bool is_newer = changes.latest() > seen[i] && changes.latest() == last;
          CHECK(is_newer);
          seen[i] = changes.latest();
          if (i % 3 == 0) co_await yield();
        }
      };
      for (std::size_t i = 0; i < seen.size(); ++i) all.push_back(spawn(read, i, i % 4 == 1));
      std::vector<bool> is_killed(seen.size());
      for (int step = 0; step < 300; ++step) {
        if (random.once_in(2)) level.set(++last);
        if (random.once_in(40)) {
          const std::size_t victim = random.below(all.size());
          all[victim].request_kill();
          is_killed[victim] = true;
        }
        if (random.once_in(3)) co_await yield();
        if (random.once_in(10)) co_await sleep(std::chrono::microseconds(random.below(100)));
      }
      level.close();
      for (std::size_t i = 0; i < all.size(); ++i) {
        co_await all[i].join();
        if (!is_killed[i]) CHECK(seen[i] == last);
      }
    });
  }
}

// What others see of it

TEST_CASE("dump() shows the version of a watch and how many wait") {
  run_scripted([](scripted_engine&) -> task<> {
    number_watch level(1);
    level.set(2);
    std::string log;
    const fiber<> a = spawn(follow(level.subscribe(), log)),
                  b = spawn(follow(level.subscribe(), log));
    co_await yield();
    co_await b.kill();
    const std::string words = dump();
    CHECK(words.find("changed watch 0x") != std::string::npos);
    CHECK(words.find("at version 2 with 1 waiting (at most 2)") != std::string::npos);
    level.close();
    co_await a.join();
  });
}

TEST_CASE("a watch whose readers wait for each other is a deadlock") {
  number_watch level(1);
  const std::string words = deadlock_of([&](scripted_engine&) -> task<> {
    number_watch::subscriber reader = level.subscribe();
    (void)reader.latest();
    co_await changes(reader);
  });
  CHECK(words.find("changed watch 0x") != std::string::npos);
}

// claim: 13
TEST_CASE("waiting, waking, giving up and closing do not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto round = []() -> task<std::size_t> {
      std::string log(64, ' ');
      log.clear();
      number_watch level(1);
      number_watch::subscriber one = level.subscribe(), two = level.subscribe(),
                               three = level.subscribe();
      for (auto* each : {&one, &two, &three}) (void)each->latest();
      const fiber<> a = spawn(note(one, log)), b = spawn(note(two, log, 1ms)),
                    c = spawn(note(three, log));
      const std::size_t before = allocations();
      co_await yield();
      c.request_kill();
      co_await sleep(2ms);
      level.set(2);
      level.close();
      number_watch::subscriber late = level.subscribe();
      co_await a.join();
      co_await b.join();
      co_await c.join();
      co_return allocations() - before;
    };
    co_await round();  // fills the pools
    const std::size_t made = co_await round();
    CHECK(made == 0);
  });
}

TEST_CASE("a second fiber that waits for a subscriber of a watch aborts") {
  CHECK(aborts_with("a second fiber waited for a subscriber of a watch", [] {
    run_scripted([](scripted_engine&) -> task<> {
      number_watch level(1);
      number_watch::subscriber reader = level.subscribe();
      (void)reader.latest();
      const fiber<bool> a = spawn(changes(reader)), b = spawn(changes(reader));
      co_await yield();
    });
  }));
}

TEST_CASE("a subscriber that is destroyed or moved while a fiber waits for it aborts") {
  const auto misuse = [](bool moves) {
    run_scripted([moves](scripted_engine&) -> task<> {
      number_watch level(1);
      std::optional<number_watch::subscriber> reader(level.subscribe());
      (void)reader->latest();
      const fiber<bool> a = spawn(changes(*reader));
      co_await yield();
      if (moves) number_watch::subscriber(std::move(*reader));
      reader.reset();
    });
  };
  CHECK(aborts_with("a subscriber of a watch was destroyed while a fiber waited for it",
                    [&] { misuse(false); }));
  CHECK(aborts_with("a subscriber of a watch was moved while a fiber waited for it",
                    [&] { misuse(true); }));
}

TEST_CASE("a subscriber of a watch that was moved from aborts") {
  CHECK(aborts_with("a subscriber of a watch was used after it was moved from", [] {
    number_watch level(1);
    number_watch::subscriber reader = level.subscribe();
    const number_watch::subscriber other = std::move(reader);
    (void)reader.latest();
  }));
}

TEST_CASE("a watch that is used on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child can start no threads
  CHECK(aborts_with("a watch was used on a thread that is not its scheduler's", [] {
    run_scripted([](scripted_engine&) -> task<> {
      number_watch level(1);
      level.set(2);
      std::thread([&] { level.set(3); }).join();
      co_return;
    });
  }));
}

TEST_CASE("the destructor of the old value sees the new one as published, and may set another") {
  struct looking {
    std::function<void()> look;
    ~looking() {
      if (look) look();
    }
  };
  run_scripted([](scripted_engine&) -> task<> {
    watch<std::shared_ptr<looking>> latest(nullptr);
    std::string log;
    const auto look = [&] {
      log += std::to_string(latest.version());
      log += latest.value() == nullptr ? "null " : "other ";
      latest.set(std::make_shared<looking>());
    };
    auto first = std::make_shared<looking>();
    first->look = look;
    latest.set(std::move(first));
    CHECK(latest.version() == 2);
    latest.set(nullptr);
    CHECK(log == "3null ");
    CHECK(latest.version() == 4);
    CHECK(latest.value() != nullptr);
    co_return;
  });
}

TEST_SUITE_END();
