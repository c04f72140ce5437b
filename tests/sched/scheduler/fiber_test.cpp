// Spawning, joining and getting: what happens to a call that is passed to the scheduler.
//
// Method: fibers note their steps in a string, in order. fiber_kill_test.cpp tests kills.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "sched/scripted_run.hpp"
#include "support/aborts.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<> note(std::string& log, std::string_view word) {
  log += word;
  co_return;
}

task<int> answer() { co_return 42; }

task<int> fail(const char* sentence) {
  throw std::runtime_error(sentence);
  co_return 0;
}

task<std::unique_ptr<int>> make_unique_number(int number) {
  co_return std::make_unique<int>(number);
}

task<> take_turns(std::string& log, char name) {
  for (const char turn : {'1', '2'}) {
    log += name;
    log += turn;
    co_await yield();
  }
}

}  // namespace

TEST_SUITE_BEGIN("fiber");

// spawn

// rows: W1 GL-01
TEST_CASE("spawn queues the fiber and does not run it") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto spawned = spawn(note, std::ref(log), "spawned ");
    log += "main ";
    CHECK_FALSE(spawned.done());
    co_await spawned.join();
    log += "joined";
  };
  run_on(engine, main());
  CHECK(log == "main spawned joined");
}

// row: GL-01
TEST_CASE("spawned fibers begin in spawn order, and take turns in that order") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto a = spawn(take_turns, std::ref(log), 'a');
    const auto b = spawn(take_turns, std::ref(log), 'b');
    co_await a.join();
    co_await b.join();
  };
  run_on(engine, main());
  CHECK(log == "a1b1a2b2");
}

TEST_CASE("a fiber continues when its handle is dropped") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    spawn(note, std::ref(log), "spawned ");
    co_await yield();
    log += "main";
  };
  run_on(engine, main());
  CHECK(log == "spawned main");
}

TEST_CASE("a capturing lambda lives inside the fiber in which it was spawned") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    fiber<> spawned;
    {
      const auto word = std::make_shared<std::string>("kept");
      spawned = spawn([&log, word]() -> task<> {
        co_await yield();
        log += *word;
      });
    }
    co_await spawned.join();
  };
  run_on(engine, main());
  CHECK(log == "kept");
}

TEST_CASE("arguments are stored, including those that the task takes by reference") {
  scripted_engine engine;
  std::string log;
  const auto by_reference = [](const std::string& word, std::string& target) -> task<> {
    co_await yield();
    target += word;
  };
  const auto main = [&]() -> task<> {
    fiber<> spawned;
    {
      std::string word(100, 'x');  // too long for the small string optimisation
      spawned = spawn(by_reference, word, std::ref(log));
      word = "changed after it was kept";
    }
    co_await spawned.join();
  };
  run_on(engine, main());
  CHECK(log == std::string(100, 'x'));
}

TEST_CASE("arguments may be move-only, and std::ref passes a reference") {
  scripted_engine engine;
  int shared = 0;
  const auto add = [](std::unique_ptr<int> number, int& sum) -> task<> {
    sum += *number;
    co_return;
  };
  const auto main = [&]() -> task<> {
    const auto spawned = spawn(add, std::make_unique<int>(5), std::ref(shared));
    co_await spawned.join();
  };
  run_on(engine, main());
  CHECK(shared == 5);
}

TEST_CASE("any number of arguments and member functions can be spawned") {
  scripted_engine engine;
  struct adder {
    int base;
    task<int> add(int a) const { co_return base + a; }
  };
  const auto sum = [](int a, int b, int c, int d, int e, int f) -> task<int> {
    co_return a + b + c + d + e + f;
  };
  const auto main = [&]() -> task<> {
    const auto six = spawn(sum, 1, 2, 3, 4, 5, 6);
    const auto member = spawn(&adder::add, adder{40}, 2);
    CHECK(co_await six.get() == 21);
    CHECK(co_await member.get() == 42);
  };
  run_on(engine, main());
}

TEST_CASE("arguments live until the fiber has ended, whatever happens to its handle") {
  scripted_engine engine;
  const auto life = std::make_shared<int>();
  const auto hold = [](const std::shared_ptr<int>&) -> task<> { co_await yield(); };
  const auto main = [&]() -> task<> {
    const auto spawned = spawn(hold, life);
    CHECK(life.use_count() == 2);
    co_await yield();
    CHECK(life.use_count() == 2);
    co_await spawned.join();
    CHECK(life.use_count() == 1);  // although the handle still lives
  };
  run_on(engine, main());
}

TEST_CASE("a failure before the task exists is a failure of the fiber") {
  scripted_engine engine;
  const auto refuse = [](int) -> task<> { throw std::runtime_error("no task"); };
  const auto main = [&]() -> task<> {
    const auto spawned = spawn(refuse, 1);
    CHECK_THROWS_WITH(co_await spawned.get(), "no task");
  };
  run_on(engine, main());
}

TEST_CASE("accept loops may spawn with a value that a wait returns") {
  // Pinned because g++ 12 miscompiles some temporaries in co_await expressions.
  scripted_engine engine;
  const auto life = std::make_shared<int>();
  const auto serve = [](std::shared_ptr<int> peer) -> task<> {
    co_await yield();
    CHECK(peer.use_count() >= 2);
  };
  const auto accept = [](std::shared_ptr<int> made) -> task<std::shared_ptr<int>> {
    co_await yield();
    co_return made;
  };
  const auto main = [&]() -> task<> {
    for (int i = 0; i < 3; ++i) spawn(serve(co_await accept(life)));
    co_await sleep(1ms);
  };
  run_on(engine, main());
  CHECK(life.use_count() == 1);
}

// Recorded data

TEST_CASE("the spawn site is recorded for up to three arguments") {
  scripted_engine engine;
  std::string log;
  const auto none = []() -> task<> { co_return; };
  const auto one = [](int) -> task<> { co_return; };
  const auto three = [](int, int, int) -> task<> { co_return; };
  const auto main = [&]() -> task<> {
    const auto line = std::source_location::current().line();
    const auto a = spawn(none());
    const auto b = spawn(none);
    const auto c = spawn(one, 1);
    const auto d = spawn(note, std::ref(log), "two");
    const auto e = spawn(three, 1, 2, 3);
    std::uint32_t expected = line;
    for (const auto& spawned : {a, b, c, d, e}) {
      CHECK(spawned.state().spawned_at().line() == ++expected);
      const std::string_view file = spawned.state().spawned_at().file_name();
      CHECK(file.ends_with("fiber_test.cpp"));
    }
    co_return;
  };
  run_on(engine, main());
}

TEST_CASE("ids count from 1, the main fiber, and each fiber knows its spawner") {
  scripted_engine engine;
  std::uint64_t parent = 0;
  std::uint64_t grandchild_parent = 0;
  const auto main = [&]() -> task<> {
    CHECK(current().id() == 1);
    CHECK(current().parent_id() == 0);
    const auto child = spawn([&]() -> task<> {
      parent = current().parent_id();
      grandchild_parent = spawn(answer).state().parent_id();
      co_return;
    });
    CHECK(child.id() == 2);
    co_await child.join();
  };
  run_on(engine, main());
  CHECK(parent == 1);
  CHECK(grandchild_parent == 2);
}

TEST_CASE("a fiber has no name until it is given one") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto spawned = spawn(answer);
    CHECK(spawned.name().empty());
    spawned.set_name("the answer");
    CHECK(spawned.name() == "the answer");
    current().set_name("main");
    CHECK(current().name() == "main");
    co_return;
  };
  run_on(engine, main());
}

// join

TEST_CASE("join on a fiber that has ended returns true at once, every time") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto spawned = spawn(answer);
    for (int i = 0; i < 3; ++i) CHECK(co_await spawned.join());
    CHECK(co_await spawned.join(0s));
  };
  run_on(engine, main());
}

// rows: W6 GL-07
TEST_CASE("join with a limit returns whether the fiber has ended, and the fiber continues if not") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto sleeper = spawn([]() -> task<> { co_await sleep(10ms); });
    const steady_ns begin = engine.now();
    CHECK_FALSE(co_await sleeper.join(4ms));
    CHECK(engine.now() == begin + 4'000'000);
    CHECK_FALSE(co_await sleeper.join(0ms));
    CHECK_FALSE(co_await sleeper.join(-1h));
    CHECK(engine.now() == begin + 4'000'000);
    CHECK(co_await sleeper.join(1h));
    CHECK(engine.now() == begin + 10'000'000);
  };
  run_on(engine, main());
}

// row: GL-07
TEST_CASE("join does not rethrow") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto failing = spawn(fail, "unseen");
    CHECK(co_await failing.join());
    CHECK(failing.result() == outcome::error);
    CHECK(failing.error() != nullptr);
  };
  run_on(engine, main());
}

TEST_CASE("fibers that join the same fiber continue in the order of their joins") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto target = spawn([&]() -> task<> {
      co_await sleep(1ms);
      log += 'x';
    });
    for (const char name : {'a', 'b', 'c'}) {
      spawn([&log, target, name]() -> task<> {
        co_await target.join();
        log += name;
      });
    }
    co_await sleep(1s);
  };
  run_on(engine, main());
  CHECK(log == "xabc");
}

TEST_CASE("joining oneself and getting oneself abort") {
  const auto with_itself = [](auto wait) {
    return [wait] {
      const auto main = [&]() -> task<> {
        fiber<int> self;
        self = spawn([&]() -> task<int> {
          co_await wait(self);
          co_return 0;
        });
        co_await self.join();
      };
      scripted_engine engine;
      run_on(engine, main());
    };
  };
  CHECK(aborts_with("a fiber joins itself", with_itself([](auto& self) { return self.join(); })));
  CHECK(aborts_with("a fiber joins itself", with_itself([](auto& self) { return self.get(); })));
}

// get

// row: GL-06
TEST_CASE("get of an lvalue returns a reference to the value, every time") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto spawned = spawn(make_unique_number, 7);
    const std::unique_ptr<int>& first = co_await spawned.get();
    const std::unique_ptr<int>& second = co_await spawned.get();
    CHECK(*first == 7);
    CHECK(&first == &second);
  };
  run_on(engine, main());
}

TEST_CASE("get of an rvalue moves the value out") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    auto spawned = spawn(make_unique_number, 7);
    const std::unique_ptr<int> number = co_await std::move(spawned).get();
    CHECK(*number == 7);
    const std::unique_ptr<int> other = co_await spawn(make_unique_number, 8).get();
    CHECK(*other == 8);
  };
  run_on(engine, main());
}

TEST_CASE("moving the value out twice aborts, and so does reading it afterwards") {
  const auto get_twice = [](bool move_again) {
    return [move_again] {
      const auto main = [&]() -> task<> {
        auto one = spawn(answer);
        auto other = one;
        co_await std::move(one).get();
        if (move_again) {
          co_await std::move(other).get();
        } else {
          co_await other.get();
        }
      };
      scripted_engine engine;
      run_on(engine, main());
    };
  };
  CHECK(aborts_with("the value of a fiber was moved out twice", get_twice(true)));
  CHECK(aborts_with("the value of a fiber was read after it had been moved", get_twice(false)));
}

// row: GL-06
TEST_CASE("get rethrows the task's exception, each time") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto failing = spawn(fail, "on purpose");
    CHECK_THROWS_WITH(co_await failing.get(), "on purpose");
    CHECK_THROWS_WITH(co_await failing.get(), "on purpose");
    CHECK_THROWS_AS(co_await fiber(failing).get(), std::runtime_error);
  };
  run_on(engine, main());
}

// rows: W6 GL-06
TEST_CASE("get with a limit throws timed_out, and the fiber continues") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto slow = spawn([]() -> task<int> {
      co_await sleep(10ms);
      co_return 5;
    });
    CHECK_THROWS_AS(co_await slow.get(4ms), timed_out);
    CHECK_THROWS_AS(co_await fiber(slow).get(4ms), timed_out);
    CHECK(slow.result() == outcome::pending);
    CHECK(co_await slow.get(1h) == 5);
    CHECK(co_await slow.get(0s) == 5);  // it has ended, so the limit cannot pass
  };
  run_on(engine, main());
}

TEST_CASE("get of a fiber that was killed throws errc::fiber_cancelled") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto killed = spawn(answer);
    killed.request_kill();
    try {
      co_await killed.get();
      FAIL("it must throw");
    } catch (const std::system_error& error) {
      CHECK(error.code() == errc::fiber_cancelled);
    }
  };
  run_on(engine, main());
}

TEST_CASE("results may be void, references, and types without a default constructor") {
  scripted_engine engine;
  struct number {
    explicit number(int n) : value(n) {}
    int value;
  };
  int target = 1;
  const auto refer = [&target]() -> task<int&> { co_return target; };
  const auto make = []() -> task<number> { co_return number(3); };
  const auto nothing = []() -> task<> { co_return; };
  const auto main = [&]() -> task<> {
    const auto reference = spawn(refer);
    CHECK(&co_await reference.get() == &target);
    CHECK(&co_await fiber(reference).get() == &target);
    const auto made = spawn(make);
    CHECK((co_await made.get()).value == 3);
    const auto done = spawn(nothing);
    co_await done.get();
    co_await fiber(done).get();
    CHECK(done.result() == outcome::value);
  };
  run_on(engine, main());
}

TEST_CASE("as_result of get is the value, or the system error that the task threw") {
  scripted_engine engine;
  const auto reset = []() -> task<int> {
    throw std::system_error(std::make_error_code(std::errc::connection_reset));
    co_return 0;
  };
  const auto main = [&]() -> task<> {
    const auto good = spawn(answer);
    const result<int> value = co_await as_result(good.get());
    CHECK(value.has_value());
    CHECK(*value == 42);
    const result<int> moved = co_await as_result(fiber(good).get());
    CHECK(*moved == 42);
    const auto bad = spawn(reset);
    const result<int> error = co_await as_result(bad.get());
    CHECK(error.error() == std::errc::connection_reset);
    const auto slow = spawn([]() -> task<> { co_await sleep(1h); });
    CHECK((co_await as_result(slow.get(1ms))).error() == errc::timed_out);
    const auto buggy = spawn(fail, "not a system error");
    CHECK_THROWS_WITH((void)co_await as_result(buggy.get()), "not a system error");
  };
  run_on(engine, main());
}

// The outcome

TEST_CASE("the outcome is pending, then value, error or cancelled") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto good = spawn(answer);
    const auto bad = spawn(fail, "expected");
    const auto gone = spawn([]() -> task<> { co_await sleep(1h); });
    CHECK(good.result() == outcome::pending);
    CHECK_FALSE(good.done());
    co_await yield();
    CHECK(good.result() == outcome::value);
    CHECK(good.done());
    CHECK(good.error() == nullptr);
    CHECK(bad.result() == outcome::error);
    CHECK_THROWS_WITH(std::rethrow_exception(bad.error()), "expected");
    CHECK(gone.result() == outcome::pending);
    co_await gone.kill();
    CHECK(gone.result() == outcome::cancelled);
    CHECK(gone.error() == nullptr);
  };
  run_on(engine, main());
}

TEST_CASE("a value that cannot be moved out of the task is an error of the fiber") {
  scripted_engine engine;
  struct stubborn {
    stubborn() = default;
    stubborn(const stubborn&) = delete;
    stubborn(stubborn&& other) noexcept(false) {
      if (other.moves == 1) throw std::runtime_error("does not move");
      moves = other.moves + 1;
    }
    int moves = 0;
  };
  const auto make = []() -> task<stubborn> { co_return stubborn(); };
  const auto main = [&]() -> task<> {
    const auto spawned = spawn(make);
    co_await spawned.join();
    CHECK(spawned.result() == outcome::error);
    CHECK_THROWS_WITH(std::rethrow_exception(spawned.error()), "does not move");
  };
  run_on(engine, main());
}

// Handles

TEST_CASE("handles are equal when they refer to the same fiber, and can be empty") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    fiber<int> empty;
    CHECK_FALSE(empty);
    const auto one = spawn(answer);
    const auto other = spawn(answer);
    fiber<int> copy = one;
    CHECK(copy);
    CHECK(copy == one);
    CHECK(copy != other);
    copy = other;
    CHECK(copy == other);
    const fiber<int> moved = std::move(copy);
    CHECK(moved == other);
    CHECK_FALSE(copy);
    CHECK(copy == empty);
    co_return;
  };
  run_on(engine, main());
}

TEST_CASE("a handle outlives run and keeps the result") {
  fiber<std::string> good;
  fiber<int> bad;
  fiber<> gone;
  {
    scripted_engine engine;
    const auto main = [&]() -> task<> {
      good = spawn([]() -> task<std::string> { co_return std::string(100, 'x'); });
      bad = spawn(fail, "kept");
      gone = spawn([]() -> task<> { co_await sleep(1h); });
      good.set_name("good");
      co_await yield();
    };
    run_on(engine, main());
  }
  CHECK(good.done());
  CHECK(good.name() == "good");
  CHECK(good.state().value().get() == std::string(100, 'x'));
  CHECK_THROWS_WITH(std::rethrow_exception(bad.error()), "kept");
  CHECK(gone.result() == outcome::cancelled);
}

TEST_CASE("a fiber of an earlier run can be joined and read in a later one") {
  fiber<int> earlier;
  const auto first = [&]() -> task<> {
    earlier = spawn(answer);
    co_await earlier.join();
  };
  const auto second = [&]() -> task<> {
    CHECK(co_await earlier.join());
    CHECK(co_await earlier.get() == 42);
    co_await earlier.kill();
  };
  {
    scripted_engine engine;
    run_on(engine, first());
  }
  scripted_engine engine;
  run_on(engine, second());
}

TEST_CASE("handles may be copied and dropped on other threads while the fiber ends") {
  // For ThreadSanitizer and AddressSanitizer: only the reference count is shared.
  const auto work = [](int number) -> task<std::string> {
    co_await yield();
    co_return std::string(50, static_cast<char>('a' + number % 26));
  };
  const auto main = [&]() -> task<> {
    std::vector<std::thread> threads;
    for (int round = 0; round < 20; ++round) {
      std::vector<fiber<std::string>> handles;
      for (int i = 0; i < 50; ++i) handles.push_back(spawn(work, i));
      threads.emplace_back(
          [mine = handles] { const std::vector<fiber<std::string>> copies = mine; });
      for (auto& handle : handles) CHECK((co_await std::move(handle).get()).size() == 50);
    }
    for (std::thread& thread : threads) thread.join();
  };
  run(main());
}

TEST_CASE("using an empty handle aborts") {
  CHECK(aborts_with("an empty fiber handle was used", [] { fiber<>().request_kill(); }));
  CHECK(aborts_with("an empty fiber handle was used", [] { (void)fiber<>().done(); }));
}

TEST_CASE("spawning outside of run aborts, and so does current_fiber()") {
  constexpr auto outside = "a call that needs a scheduler was made outside of run()";
  CHECK(aborts_with(outside, [] { spawn(answer); }));
  CHECK(aborts_with(outside, [] { (void)current(); }));
}

TEST_CASE("a spawned task cannot be spawned or awaited again") {
  CHECK(aborts_with("an empty task (moved from) was awaited or spawned", [] {
    const auto main = []() -> task<> {
      task<int> once = answer();
      spawn(std::move(once));
      spawn(std::move(once));
      co_return;
    };
    scripted_engine engine;
    run_on(engine, main());
  }));
}

// The last handle is dropped while a fiber waits

namespace {

// Ends, and drops the only handle to itself.
task<int> forgetful(fiber<int>& handle) {
  co_await yield();
  handle = {};
  co_return 42;
}

template <class F>
class last_act {
 public:
  explicit last_act(F action) : action_(action) {}
  last_act(const last_act&) = delete;
  last_act& operator=(const last_act&) = delete;
  ~last_act() { action_(); }

 private:
  F action_;
};

}  // namespace

TEST_CASE("a join, a kill and a get outlive the handle that began them") {
  const auto main = []() -> task<> {
    fiber<int> handle = spawn(forgetful, std::ref(handle));
    const auto joining = spawn([&handle]() -> task<bool> { co_return co_await handle.join(); });
    const auto getting = spawn([&handle]() -> task<int> { co_return co_await handle.get(); });
    co_await getting.join();
    const bool joined = co_await joining.get();
    CHECK(joined);
    const int value = co_await getting.get();
    CHECK(value == 42);
  };
  run(main());
  const auto killing = []() -> task<> {
    fiber<int> handle;
    const auto dropped_when_killed = [&handle]() -> task<int> {
      const last_act drop([&handle] { handle = {}; });
      for (;;) co_await yield();
    };
    handle = spawn(dropped_when_killed);
    co_await yield();
    const bool killed = co_await handle.kill();
    CHECK(killed);
  };
  run(killing());
}

TEST_CASE("a fiber that is killed before it begins destroys its arguments while no fiber runs") {
  const auto main = []() -> task<> {
    std::uint64_t parent = 99;
    struct spawner {
      std::uint64_t* parent;
      explicit spawner(std::uint64_t* where) : parent(where) {}
      spawner(spawner&& other) noexcept : parent(std::exchange(other.parent, nullptr)) {}
      ~spawner() {
        if (parent != nullptr) *parent = spawn(answer).state().parent_id();
      }
    };
    const auto take = [](spawner) -> task<> { co_return; };
    spawn(answer);  // ends right before the other one is freed, with no handle left
    const auto killed = spawn(take, spawner(&parent));
    killed.request_kill();
    co_await killed.join();
    CHECK(parent == 0);
  };
  run(main());
}

TEST_SUITE_END();
