// deadlock: when it is thrown, what it says, and what keeps it away.
//
// Method: on the scripted engine a scheduler that sleeps without a deadline aborts the test, so
// each case would end at once if the deadlock were not seen.
#include <ringlet/deadlock.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/remote.hpp>
#include <ringlet/run.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <coroutine>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>

#include "scripted_run.hpp"
#include "support/aborts.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Two fibers that wait for each other.
struct embrace {
  fiber<> one;
  fiber<> other;

  void begin() {
    one = spawn([this]() -> task<> { co_await other.join(); });
    other = spawn([this]() -> task<> { co_await one.join(); });
    one.set_name("left");
    other.set_name("right");
  }
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_SUITE_BEGIN("deadlock");

TEST_CASE("when all wait for each other, deadlock is thrown at the wait of the main task") {
  scripted_engine engine;
  embrace pair;
  bool thrown = false;
  const auto main = [&]() -> task<> {
    pair.begin();
    try {
      co_await pair.one.join();
    } catch (const deadlock&) {
      thrown = true;
      CHECK(pair.one.result() == outcome::pending);  // the others are not touched
      throw;
    }
  };
  CHECK_THROWS_AS(run_on(engine, main()), deadlock);
  CHECK(thrown);
  CHECK(pair.one.result() == outcome::exited);
}

TEST_CASE("deadlock is a std::runtime_error, which says who waits for what and where") {
  static_assert(std::is_base_of_v<std::runtime_error, deadlock>);
  scripted_engine engine;
  embrace pair;
  const auto main = [&]() -> task<> {
    pair.begin();
    std::string what;
    try {
      co_await joinall(pair.one, pair.other);
    } catch (const deadlock& error) {
      what = error.what();
    }
    CHECK(contains(what, "3 fibers"));
    CHECK(contains(what, "fiber 1: join fiber 2 \"left\""));
    CHECK(contains(what, "fiber 2 \"left\": join fiber 3 \"right\""));
    CHECK(contains(what, "fiber 3 \"right\": join fiber 2 \"left\""));
    CHECK(contains(what, "deadlock_test.cpp:"));
    CHECK(contains(what, "joinall.hpp:"));
  };
  run_on(engine, main());
}

TEST_CASE("a main task that waits for nothing that could come is deadlocked alone") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    CHECK_THROWS_AS(co_await sleep(std::chrono::hours::max()), deadlock);
    CHECK_THROWS_AS(co_await with_timeout(forever, sleep(std::chrono::hours::max())), deadlock);
  };
  run_on(engine, main());
}

TEST_CASE("the main task may catch it, help, and go on; each new deadlock is thrown anew") {
  scripted_engine engine;
  embrace pair;
  const auto main = [&]() -> task<int> {
    pair.begin();
    CHECK_THROWS_AS(co_await pair.one.join(), deadlock);
    CHECK_THROWS_AS(co_await pair.one.join(), deadlock);
    pair.one.request_kill();
    CHECK(co_await joinall(pair.one, pair.other));
    CHECK(pair.other.result() == outcome::value);
    co_return 5;
  };
  CHECK(run_on(engine, main()) == 5);
}

// What keeps it away

TEST_CASE("a timer keeps it away: somebody sleeps") {
  scripted_engine engine;
  embrace pair;
  const auto main = [&]() -> task<> {
    pair.begin();
    spawn([&]() -> task<> {
      co_await sleep(1h);
      pair.one.request_kill();
    });
    CHECK(co_await pair.other.join());
  };
  run_on(engine, main());
}

TEST_CASE("a timer keeps it away: a join has a limit, or a scope around it") {
  scripted_engine engine;
  embrace pair;
  const auto main = [&]() -> task<> {
    pair.begin();
    CHECK_FALSE(co_await pair.one.join(1h));
    CHECK_THROWS_AS(co_await with_timeout(1h, pair.one.join()), timed_out);
    CHECK_THROWS_AS(co_await pair.one.join(), deadlock);
  };
  run_on(engine, main());
}

TEST_CASE("an operation in flight keeps it away, until it has ended") {
  scripted_engine engine;
  embrace pair;
  int idle = 0;
  engine.on_idle = [&] {
    if (++idle == 5) engine.complete(engine.oldest(opcode::read), 0);
    return true;
  };
  const auto main = [&]() -> task<> {
    pair.begin();
    const auto reader = spawn([]() -> task<> { co_await probe(); });
    CHECK_THROWS_AS(co_await pair.one.join(), deadlock);
    CHECK(reader.done());
  };
  run_on(engine, main());
  CHECK(idle == 5);
}

TEST_CASE("a remote handle keeps it away, until the last one has gone while the scheduler sleeps") {
  scripted_engine engine;
  embrace pair;
  std::optional<remote> first;
  std::optional<remote> second;
  int idle = 0;
  engine.on_idle = [&] {
    ++idle;
    if (idle == 3) first.reset();
    if (idle == 5) second.reset();
    return true;
  };
  const auto main = [&]() -> task<> {
    pair.begin();
    first.emplace();
    second = first;
    CHECK_THROWS_AS(co_await pair.one.join(), deadlock);
  };
  run_on(engine, main());
  CHECK(idle == 5);
  CHECK(engine.bells() == 1);
}

TEST_CASE("it is thrown when the last remote handle is dropped on another thread") {
  embrace pair;
  const auto main = [&]() -> task<> {
    pair.begin();
    std::thread other([handle = remote()]() mutable { const remote dropped = std::move(handle); });
    CHECK_THROWS_AS(co_await pair.one.join(), deadlock);
    other.join();
  };
  run(main());
}

TEST_CASE("work that was posted by a handle that is gone comes first") {
  // Regression: the handle was counted, what it had left behind was not.
  scripted_engine engine;
  embrace pair;
  const auto main = [&]() -> task<> {
    pair.begin();
    co_await yield();
    {
      const remote here;
      here.post([&] { pair.one.request_kill(); });
    }
    CHECK(co_await pair.other.join());
  };
  run_on(engine, main());
}

TEST_CASE("after the main task has ended nothing is a deadlock: the others are asked to end") {
  scripted_engine engine;
  embrace pair;
  const auto main = [&]() -> task<> {
    pair.begin();
    co_await yield();
  };
  run_on(engine, main());
  CHECK(pair.one.result() == outcome::exited);
  CHECK(pair.other.result() == outcome::exited);
}

TEST_CASE("shields inside of a group that the main task waits for do not keep deadlock away") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto body = [](task_group& group) -> task<> {
      const auto first = std::make_shared<fiber<>>();
      const auto second = group.spawn([first]() -> task<> {
        co_await shield(forever, [](std::shared_ptr<fiber<>> other) -> task<> {
          co_await other->join();
        }(first));
      });
      *first = group.spawn([second]() -> task<> {
        co_await shield(forever, [](fiber<> other) -> task<> { co_await other.join(); }(second));
      });
      co_return;
    };
    co_await with_group(body);
  };
  CHECK_THROWS_AS(run_on(engine, main()), deadlock);
}

TEST_CASE("a fiber that nothing can wake, and for which the main task waits, is a caller's bug") {
  CHECK(aborts_with("nothing can wake", [] {
    scripted_engine engine;
    const auto main = [&]() -> task<> {
      const auto body = [](task_group& group) -> task<> {
        group.spawn([]() -> task<> { co_await std::suspend_always(); });  // no wait of this library
        co_return;
      };
      co_await with_group(body);
    };
    run_on(engine, main());
  }));
}

TEST_SUITE_END();
