// shared_mutex: who shares the lock, who holds it alone, and in which order they are let in.
//
// Method: a fiber that has got the lock holds it for a while on the scripted clock, and notes when
// it gets it and when it gives it back. In fibers that are killed no co_await stands inside of a
// CHECK.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/deadlock.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/error.hpp>
#include <ringlet/event.hpp>
#include <ringlet/mutex.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/select_set.hpp>
#include <ringlet/shared_mutex.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <optional>
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
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Notes "(r" when it shares the lock and "r)" when it gives it back.
task<> read(shared_mutex& on, std::string& log, char name, time_limit timeout = forever) {
  const shared_mutex::shared_guard lock = co_await on.lock_shared(timeout);
  log += std::string("(") + name;
  co_await sleep(1ms);
  log += std::string(1, name) + ")";
}

// The same with [ and ] when it holds the lock alone.
task<> write(shared_mutex& on, std::string& log, char name, time_limit timeout = forever) {
  const shared_mutex::guard lock = co_await on.lock(timeout);
  log += std::string("[") + name;
  co_await sleep(1ms);
  log += std::string(1, name) + "]";
}

task<> join_all(const std::vector<fiber<>>& all) {
  for (const fiber<>& one : all) co_await one.join();
}

}  // namespace

TEST_SUITE_BEGIN("shared_mutex");

TEST_CASE("several fibers share a lock, and one holds it alone") {
  run_scripted([](scripted_engine&) -> task<> {
    shared_mutex lock;
    std::string log;
    std::vector<fiber<>> all;
    all.push_back(spawn(read(lock, log, 'a')));
    all.push_back(spawn(read(lock, log, 'b')));
    all.push_back(spawn(write(lock, log, 'x')));
    all.push_back(spawn(write(lock, log, 'y')));
    co_await yield();
    CHECK(lock.readers() == 2);
    CHECK_FALSE(lock.is_locked());
    CHECK(lock.waiting() == 2);
    co_await join_all(all);
    CHECK(log == "(a(ba)b)[xx][yy]");
    CHECK(lock.readers() == 0);
    CHECK(lock.waiting_peak() == 2);
  });
}

TEST_CASE("a reader that comes behind a waiting writer waits for it") {
  run_scripted([](scripted_engine&) -> task<> {
    shared_mutex lock;
    std::string log;
    std::vector<fiber<>> all;
    all.push_back(spawn(read(lock, log, 'a')));
    all.push_back(spawn(write(lock, log, 'x')));
    all.push_back(spawn(read(lock, log, 'b')));
    all.push_back(spawn(read(lock, log, 'c')));
    all.push_back(spawn(write(lock, log, 'y')));
    all.push_back(spawn(read(lock, log, 'd')));
    co_await join_all(all);
    CHECK(log == "(aa)[xx](b(cb)c)[yy](dd)");
  });
}

TEST_CASE("neither readers nor writers starve when all of them come back at once") {
  run_scripted([](scripted_engine&) -> task<> {
    shared_mutex lock;
    int reads = 0, writes = 0;
    const auto read_on = [&]() -> task<> {
      for (;; ++reads) {
        const shared_mutex::shared_guard mine = co_await lock.lock_shared();
        co_await sleep(1ms);
      }
    };
    const auto write_on = [&]() -> task<> {
      for (;; ++writes) {
        const shared_mutex::guard mine = co_await lock.lock();
        co_await sleep(1ms);
      }
    };
    const std::vector<fiber<>> all{spawn(read_on), spawn(read_on), spawn(write_on)};
    co_await sleep(101ms);
    CHECK(reads >= 90);
    CHECK(writes >= 45);
    for (const fiber<>& one : all) one.request_kill();
    co_await join_all(all);
  });
}

TEST_CASE("the try forms take the lock only if they need not wait") {
  run_scripted([](scripted_engine&) -> task<> {
    shared_mutex lock;
    std::string log;
    {
      const shared_mutex::shared_guard first = lock.try_lock_shared();
      const shared_mutex::shared_guard second = lock.try_lock_shared();
      CHECK(second);
      CHECK_FALSE(lock.try_lock());
      const fiber<> writer = spawn(write(lock, log, 'x'));
      co_await yield();
      CHECK_FALSE(lock.try_lock_shared());  // it would overtake
      writer.request_kill();
      co_await writer.join();
      CHECK(lock.try_lock_shared());
    }
    const shared_mutex::guard alone = lock.try_lock();
    CHECK(alone);
    CHECK(lock.is_held());
    CHECK_FALSE(lock.try_lock());
    CHECK_FALSE(lock.try_lock_shared());
  });
}

TEST_CASE("guards can be moved, and unlocked early; a share also by another fiber") {
  run_scripted([](scripted_engine&) -> task<> {
    shared_mutex lock;
    shared_mutex::shared_guard kept;
    const fiber<> reader = spawn([&]() -> task<> {
      shared_mutex::shared_guard mine = co_await lock.lock_shared();
      kept = std::move(mine);
      CHECK_FALSE(mine);
    });
    co_await reader.join();
    CHECK(lock.readers() == 1);
    kept.unlock();
    kept.unlock();
    CHECK(lock.readers() == 0);
    shared_mutex::guard alone = co_await lock.lock();
    alone.unlock();
    CHECK_FALSE(lock.is_locked());
  });
}

// S7
TEST_CASE("a thousand readers are let in by slices, in their order, and then a writer") {
  run_scripted([](scripted_engine&) -> task<> {
    constexpr std::size_t count = 1000;
    shared_mutex lock;
    std::vector<fiber<>> all;
    std::vector<std::size_t> log;
    const auto share = [&](std::size_t place) -> task<> {
      const shared_mutex::shared_guard mine = co_await lock.lock_shared();
      log.push_back(place);
      // A slice was let in this turn, and of the one before some have not run.
      CHECK(lock.readers() <= 2 * 256);
    };
    std::string order;
    {
      const shared_mutex::guard alone = co_await lock.lock();
      for (std::size_t i = 0; i < count; ++i) all.push_back(spawn(share, i));
      co_await sleep(1ms);
      all.push_back(spawn(write(lock, order, 'x')));
      co_await sleep(1ms);
    }
    CHECK(lock.readers() == 256);
    CHECK(lock.waiting() == count - 256 + 1);
    CHECK_FALSE(lock.try_lock_shared());
    const fiber<> late = spawn(read(lock, order, 'z'));
    co_await join_all(all);
    CHECK(log.size() == count);
    CHECK(std::is_sorted(log.begin(), log.end()));
    co_await late.join();
    CHECK(order == "[xx](zz)");
  });
}

// Leaving early

TEST_CASE("a wait with a limit throws timed_out, and leaves no trace") {
  run_scripted([](scripted_engine&) -> task<> {
    shared_mutex lock;
    {
      const shared_mutex::guard alone = co_await lock.lock(0s);
      std::string log;
      const fiber<std::string> reader = spawn(outcome_of(read(lock, log, 'a', 1ms)));
      const fiber<std::string> writer = spawn(outcome_of(write(lock, log, 'x', 1ms)));
      const std::string read_end = co_await reader.get(), write_end = co_await writer.get();
      CHECK(read_end == "timed out");
      CHECK(write_end == "timed out");
      CHECK(lock.waiting() == 0);
    }
    const result<shared_mutex::shared_guard> now = co_await as_result(lock.lock_shared(0s));
    CHECK(now.has_value());
    const result<shared_mutex::guard> late = co_await as_result(lock.lock(0s));
    CHECK(late.error() == errc::timed_out);
  });
}

// S4
TEST_CASE("a writer that leaves the front lets the readers behind it in") {
  run_scripted([](scripted_engine&) -> task<> {
    shared_mutex lock;
    std::string log;
    event other;
    std::vector<fiber<>> all;
    const auto wait_for_either = [&]() -> task<> {
      auto first = co_await select(lock.lock(), other.wait());
      CHECK(first.index() == 1);
      co_await sleep(1h);
    };
    fiber<> writer;
    all.push_back(spawn(read(lock, log, 'a')));
    SUBCASE("killed") { writer = spawn(write(lock, log, 'x')); }
    SUBCASE("timed out") { writer = spawn(write(lock, log, 'x', 100us)); }
    SUBCASE("its scope has given up") {
      writer = spawn([&]() -> task<> { co_await move_on_after(100us, write(lock, log, 'x')); });
    }
    SUBCASE("another part of its select() has won") { writer = spawn(wait_for_either); }
    all.push_back(spawn(read(lock, log, 'b')));
    all.push_back(spawn(read(lock, log, 'c')));
    all.push_back(spawn(write(lock, log, 'y')));
    co_await yield();
    CHECK(lock.waiting() == 4);
    other.set();
    co_await sleep(500us);
    writer.request_kill();
    CHECK(lock.readers() == 3);
    CHECK(lock.waiting() == 1);
    co_await join_all(all);
    CHECK(log == "(a(b(ca)b)c)[yy]");
    co_await writer.join();
    (void)co_await as_result(writer.get());  // it has been looked at
  });
}

// S1
TEST_CASE("of a kill and an unlock in the same tick the first one counts") {
  run_scripted([](scripted_engine&) -> task<> {
    shared_mutex lock;
    std::string log;
    shared_mutex::guard mine = co_await lock.lock();
    SUBCASE("a writer") {
      const fiber<> first = spawn(write(lock, log, 'a')), next = spawn(write(lock, log, 'b'));
      co_await yield();
      SUBCASE("killed before: the next fiber gets it") {
        first.request_kill();
        mine.unlock();
        co_await next.join();
        CHECK(log == "[bb]");
      }
      SUBCASE("killed after: it has the lock, and the kill comes with its next wait") {
        mine.unlock();
        first.request_kill();
        co_await next.join();
        CHECK(log == "[a[bb]");
      }
      CHECK(first.result() == outcome::cancelled);
    }
    SUBCASE("a reader") {
      const fiber<> first = spawn(read(lock, log, 'a')), next = spawn(write(lock, log, 'b'));
      co_await yield();
      SUBCASE("killed before") {
        first.request_kill();
        mine.unlock();
        co_await next.join();
        CHECK(log == "[bb]");
      }
      SUBCASE("killed after") {
        mine.unlock();
        first.request_kill();
        co_await next.join();
        CHECK(log == "(a[bb]");
      }
      CHECK(first.result() == outcome::cancelled);
    }
    CHECK_FALSE(lock.is_locked());
    CHECK(lock.readers() == 0);
  });
}

TEST_CASE("a select() may wait for the lock in both ways, and gets it in one") {
  run_scripted([](scripted_engine&) -> task<> {
    shared_mutex lock;
    std::string log;
    shared_mutex::guard mine = co_await lock.lock();
    const fiber<> both = spawn([&]() -> task<> {
      auto first = co_await select(lock.lock_shared(), lock.lock(), sleep(1h));
      log += std::to_string(first.index());
      co_await sleep(1ms);
    });
    const fiber<> reader = spawn(read(lock, log, 'a'));
    co_await yield();
    CHECK(lock.waiting() == 3);
    mine.unlock();
    CHECK(lock.readers() == 2);
    CHECK(lock.waiting() == 0);
    co_await both.join();
    co_await reader.join();
    CHECK(log == "0(aa)");
  });
}

// S6 S7
TEST_CASE("readers that are killed while others are let in by slices keep no share") {
  run_scripted([](scripted_engine&) -> task<> {
    shared_mutex lock;
    std::string log;
    std::vector<fiber<>> all;
    {
      const shared_mutex::guard alone = co_await lock.lock();
      for (int i = 0; i < 1000; ++i) all.push_back(spawn(read(lock, log, 'r')));
      all.push_back(spawn(write(lock, log, 'x')));
      co_await sleep(1ms);
    }
    for (std::size_t i = 0; i < 1000; i += 2) all[i].request_kill();
    co_await join_all(all);
    CHECK(log.ends_with("[xx]"));
    CHECK(lock.readers() == 0);
    CHECK(lock.waiting() == 0);
  });
}

// Deadlocks

TEST_CASE("a cycle of fibers that hold shared mutexes alone is found as it closes") {
  run_scripted([](scripted_engine&) -> task<> {
    shared_mutex first;
    mutex second;
    std::string words;
    const fiber<> other = spawn([&]() -> task<> {
      const mutex::guard mine = co_await second.lock();
      co_await sleep(1ms);
      const shared_mutex::shared_guard both = co_await first.lock_shared();
    });
    {
      const shared_mutex::guard mine = co_await first.lock();
      co_await sleep(2ms);
      try {
        const mutex::guard both = co_await second.lock();
      } catch (const deadlock& found) {
        words = found.what();
      }
    }
    co_await other.join();
    CHECK(words.find("wait for locks of each other") != std::string::npos);
    CHECK(words.find("lock_shared") != std::string::npos);
  });
}

TEST_CASE("a writer that locks again waits for itself, in either way") {
  run_scripted([](scripted_engine&) -> task<> {
    shared_mutex lock;
    std::string log;
    const shared_mutex::guard mine = co_await lock.lock();
    const std::string alone = co_await outcome_of(write(lock, log, 'x'));
    const std::string shared = co_await outcome_of(read(lock, log, 'a'));
    CHECK(alone.find("waits for a lock that it holds itself") != std::string::npos);
    CHECK(shared.find("waits for a lock that it holds itself") != std::string::npos);
    CHECK(lock.waiting() == 0);
  });
}

TEST_CASE("a cycle through readers is found when nothing else can run") {
  const std::string words = deadlock_of([](scripted_engine&) -> task<> {
    shared_mutex lock;
    std::string log;
    const shared_mutex::shared_guard mine = co_await lock.lock_shared();
    co_await write(lock, log, 'x');
  });
  CHECK(words.find("shared_mutex 0x") != std::string::npos);
  CHECK(words.find("shared by 1 with 1 waiting (at most 1)") != std::string::npos);
}

// What others see of it

TEST_CASE("dump shows who holds a shared mutex alone, how many share it, and how many wait") {
  run_scripted([](scripted_engine&) -> task<> {
    shared_mutex lock;
    std::string log;
    char where[96];
    shared_mutex::shared_guard first = co_await lock.lock_shared();
    const fiber<> writer = spawn(write(lock, log, 'x'));
    writer.set_name("writer");
    co_await yield();
    std::snprintf(where, sizeof where, "shared_mutex %p shared by 1 with 1 waiting (at most 1)",
                  static_cast<void*>(&lock));
    CHECK(dump().find(where) != std::string::npos);
    first.unlock();
    const fiber<> reader = spawn(read(lock, log, 'a'));
    co_await yield();
    CHECK(dump().find("lock_shared") != std::string::npos);
    CHECK(dump().find("held by fiber 2 \"writer\"") != std::string::npos);
    co_await reader.join();
  });
}

TEST_CASE("a shared mutex needs no memory for waiting, letting in and leaving") {
  run_scripted([](scripted_engine&) -> task<> {
    std::string log(256, ' ');
    log.clear();
    shared_mutex lock;
    shared_mutex::guard mine = co_await lock.lock();
    const fiber<> a = spawn(read(lock, log, 'a')), b = spawn(write(lock, log, 'b')),
                  c = spawn(write(lock, log, 'c')), d = spawn(read(lock, log, 'd'));
    const out_of_memory none;
    co_await yield();
    c.request_kill();
    mine.unlock();
    co_await a.join();
    co_await b.join();
    co_await c.join();
    co_await d.join();
    CHECK(log == "(aa)[bb](dd)");
  });
}

// Misuse

TEST_CASE("unlocking a shared mutex that the caller does not hold alone aborts and says who does") {
  CHECK(aborts_with("a shared_mutex was unlocked by a fiber that does not hold it: fiber 1", [] {
    run_scripted([](scripted_engine&) -> task<> {
      shared_mutex lock;
      const shared_mutex::guard mine = co_await lock.lock();
      const fiber<> other = spawn([&]() -> task<> {
        lock.unlock();
        co_return;
      });
      co_await other.join();
    });
  }));
  CHECK(aborts_with("does not hold it alone: it is shared by 1", [] {
    run_scripted([](scripted_engine&) -> task<> {
      shared_mutex lock;
      const shared_mutex::shared_guard mine = co_await lock.lock_shared();
      lock.unlock();
    });
  }));
  CHECK(aborts_with("a shared_mutex was unlocked that no fiber had locked", [] {
    run_scripted([](scripted_engine&) -> task<> {
      shared_mutex lock;
      lock.unlock();
      co_return;
    });
  }));
  CHECK(aborts_with("unlock_shared() was called of a shared_mutex that no fiber shares", [] {
    run_scripted([](scripted_engine&) -> task<> {
      shared_mutex lock;
      const shared_mutex::guard mine = co_await lock.lock();
      lock.unlock_shared();
    });
  }));
}

TEST_CASE("a shared mutex that is destroyed while a fiber holds it aborts") {
  CHECK(aborts_with("a shared_mutex was destroyed while it was shared by 1", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<shared_mutex> lock(std::in_place);
      const shared_mutex::shared_guard mine = co_await lock->lock_shared();
      lock.reset();
    });
  }));
  CHECK(aborts_with("a shared_mutex was destroyed while fiber 1 held it", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<shared_mutex> lock(std::in_place);
      const shared_mutex::guard mine = co_await lock->lock();
      lock.reset();
    });
  }));
}

TEST_CASE("a child of fork() may exit although fibers of the parent share a lock") {
  run_scripted([](scripted_engine&) -> task<> {
    static std::optional<shared_mutex> lock;
    lock.emplace();
    std::string log;
    const shared_mutex::shared_guard mine = co_await lock->lock_shared();
    const fiber<> writer = spawn(write(*lock, log, 'x'));
    co_await yield();
    const child_end end = run_in_child([] { lock.reset(); });
    CHECK(end.status == 0);
    writer.request_kill();
    co_await writer.join();
  });
}

TEST_CASE("a shared mutex that is used on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child can start no threads
  CHECK(aborts_with("a lock was used on a thread that is not its scheduler's", [] {
    run_scripted([](scripted_engine&) -> task<> {
      shared_mutex lock;
      shared_mutex::shared_guard mine = co_await lock.lock_shared();
      std::thread([&] { mine.unlock(); }).join();
    });
  }));
}

namespace {

// A shared mutex beside a model of it: fibers that ask for it, hold it until they are told, and are
// killed at random.
class shared_mutex_model {
 public:
  explicit shared_mutex_model(std::uint64_t seed) : random_(seed) {}

  task<> run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      co_await sleep(1us);
      check();
    }
    for (one& each : all_) each.told.set();
    serve();
    co_await sleep(1us);
    check();
    CHECK(served_.size() > all_.size() / 2);
    CHECK(lock_.readers() == 0);
    CHECK_FALSE(lock_.is_locked());
  }

 private:
  struct one {
    bool is_reader;
    event told;
    fiber<> who;
  };

  task<> ask(std::size_t place) {
    one& mine = all_[place];
    if (mine.is_reader) {
      const shared_mutex::shared_guard held = co_await lock_.lock_shared();
      served_.push_back(place);
      co_await mine.told.wait();
    } else {
      const shared_mutex::guard held = co_await lock_.lock();
      served_.push_back(place);
      co_await mine.told.wait();
    }
  }

  void step() {
    if (all_.empty() || random_.once_in(2)) {
      const std::size_t place = all_.size();
      one& made = all_.emplace_back();
      made.is_reader = !random_.once_in(4);
      made.who = spawn(ask(place));
      waiting_.push_back(place);
      serve();
      return;
    }
    const std::size_t place = random_.below(all_.size());
    if (random_.once_in(3)) return kill(place);
    // One that waits gives the lock back as soon as it has it.
    all_[place].told.set();
    serve();
  }
  void kill(std::size_t place) {
    all_[place].who.request_kill();
    std::erase(waiting_, place);
    std::erase(holders_, place);
    serve();
  }

  void check() {
    const bool is_alone = !holders_.empty() && !all_[holders_.front()].is_reader;
    CHECK(lock_.is_locked() == is_alone);
    CHECK(lock_.readers() == (is_alone ? 0 : holders_.size()));
    CHECK(lock_.waiting() == waiting_.size());
    CHECK(served_ == expected_);
  }
  // The model.
  void serve() {
    for (;;) {
      std::erase_if(holders_, [&](std::size_t place) { return all_[place].told.is_set(); });
      if (waiting_.empty()) return;
      const bool is_alone = !holders_.empty() && !all_[holders_.front()].is_reader;
      const std::size_t first = waiting_.front();
      if (is_alone || (!all_[first].is_reader && !holders_.empty())) return;
      waiting_.pop_front();
      holders_.push_back(first);
      expected_.push_back(first);
    }
  }

  random_numbers random_;
  shared_mutex lock_;
  std::deque<one> all_;
  std::vector<std::size_t> served_;  // in the order in which they were
  std::vector<std::size_t> holders_;
  std::deque<std::size_t> waiting_;
  std::vector<std::size_t> expected_;
};

}  // namespace

TEST_CASE("a shared mutex serves random fibers like its model") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    run_scripted([seed](scripted_engine&) -> task<> {
      shared_mutex_model model(seed);
      co_await model.run(300);
    });
  }
}

TEST_CASE(
    "a fiber that ends while it holds a shared mutex alone aborts, and may end with a share") {
  CHECK(aborts_with("has ended while it held a lock", [] {
    run_scripted([](scripted_engine&) -> task<> {
      shared_mutex lock;
      shared_mutex::guard stays;
      const auto leave = [&]() -> task<> { stays = co_await lock.lock(); };
      co_await spawn(leave()).join();
    });
  }));
  run_scripted([](scripted_engine&) -> task<> {
    shared_mutex lock;
    shared_mutex::shared_guard stays;
    const auto leave = [&]() -> task<> { stays = co_await lock.lock_shared(); };
    co_await spawn(leave()).join();
    CHECK(lock.readers() == 1);
  });
}

TEST_CASE("readers behind a slice whose last reader never takes its share are let in") {
  run_scripted([](scripted_engine&) -> task<> {
    shared_mutex lock;
    event end;
    std::size_t count = 0;
    std::vector<fiber<>> all;
    const auto share = [&]() -> task<> {
      const shared_mutex::shared_guard mine = co_await lock.lock_shared();
      ++count;
    };
    const auto never_read = [&]() -> task<> {
      select_set calls;
      calls.add([&] { return lock.lock_shared(); });
      (void)co_await calls.first();
      co_await end.wait();
    };
    const auto write_one = [&]() -> task<> {
      const shared_mutex::guard mine = co_await lock.lock();
      CHECK(count == 355);
    };
    {
      const shared_mutex::guard alone = co_await lock.lock();
      for (std::size_t i = 0; i < 255; ++i) all.push_back(spawn(share()));
      all.push_back(spawn(never_read()));
      for (std::size_t i = 0; i < 100; ++i) all.push_back(spawn(share()));
      all.push_back(spawn(write_one()));
      co_await sleep(1ms);
    }
    co_await sleep(1ms);
    CHECK(count == 355);
    CHECK(lock.waiting() == 1);  // the writer
    lock.unlock_shared();        // for the share that was not read
    end.set();
    co_await join_all(all);
  });
}

TEST_CASE("no writer overtakes the readers that wait for the next slice") {
  run_scripted([](scripted_engine&) -> task<> {
    shared_mutex lock;
    std::size_t count = 0;
    std::vector<fiber<>> all;
    const auto share = [&]() -> task<> {
      const shared_mutex::shared_guard mine = co_await lock.lock_shared();
      ++count;
    };
    const auto try_often = [&]() -> task<> {
      while (count < 1000) {
        CHECK_FALSE(lock.try_lock());
        co_await yield();
      }
    };
    {
      const shared_mutex::guard alone = co_await lock.lock();
      for (std::size_t i = 0; i < 1000; ++i) all.push_back(spawn(share()));
      co_await sleep(1ms);
      all.push_back(spawn(try_often()));
    }
    const shared_mutex::guard last = co_await lock.lock();
    CHECK(count == 1000);
    co_await join_all(all);
  });
}

TEST_SUITE_END();
