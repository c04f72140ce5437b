// greenlet<T> and its fiber: waits, kills, limits, other fibers, other threads.
// SPDX-License-Identifier: MIT
#include <ringlet/dump.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/greenlet.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "sched/scripted_run.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/counted.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("greenlet: its fiber");

namespace {

template <class F>
void in_fiber(F&& main) {
  scripted_engine engine;
  run_on(engine, main());
}

task<int> echo(int n) {
  for (;;) n = co_await greenlet<int>::main().switch_to(n);
}

task<int> sleep_in_call(int n) {
  co_await sleep(10ms);
  co_return n + 1;
}

task<int> use_other(const greenlet<int>& other) { co_return co_await other.switch_to(1); }

}  // namespace

TEST_CASE("a greenlet that waits suspends its fiber, and other fibers run") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const auto other = spawn([&log]() -> task<> {
      log += "other ";
      co_return;
    });
    const greenlet<int> sleeper(sleep_in_call);
    const steady_ns begin = engine.now();
    const int back = co_await sleeper.switch_to(1);
    CHECK(back == 2);
    CHECK(engine.now() == begin + 10'000'000);
    log += "main";
  };
  run_on(engine, main());
  CHECK(log == "other main");
}

TEST_CASE("a greenlet that is suspended inside nested scopes may be destroyed") {
  in_fiber([]() -> task<> {
    const auto body = [](task_group&) -> task<> {
      co_await greenlet<>::current().parent().switch_to();
    };
    {
      const greenlet<> inner([&]() -> task<> {
        co_await with_timeout(3s, shield(2s, with_timeout(1s, with_group(body))));
      });
      const auto enter = [&]() -> task<> { co_await inner.switch_to(); };
      co_await with_timeout(1h, enter());
    }
    // The scopes of the fiber's own calls are as before.
    bool was_late = false;
    try {
      co_await with_timeout(1ms, sleep(1h));
    } catch (const timed_out&) {
      was_late = true;
    }
    CHECK(was_late);
    co_await sleep(4s);  // no limit of the greenlet is left
  });
}

TEST_CASE("a fiber that abandons a greenlet in which it has waited returns its own value") {
  in_fiber([]() -> task<> {
    const auto one = spawn([]() -> task<int> {
      const greenlet<int> sleeper([](int n) -> task<int> {
        for (;;) {
          co_await sleep(1ms);
          n = co_await greenlet<int>::main().switch_to(n + 1);
        }
      });
      co_return co_await sleeper.switch_to(41);
    });
    CHECK(co_await one.get() == 42);
  });
}

TEST_CASE("a dump shows the calls of the greenlet, and below them those of the fiber") {
  std::string text;
  in_fiber([&]() -> task<> {
    const auto sleeping = spawn([]() -> task<> {
      const greenlet<int> sleeper([](int n) -> task<int> { co_return co_await sleep_in_call(n); });
      const auto below_main = [](const greenlet<int>& to) -> task<> { co_await to.switch_to(1); };
      co_await below_main(sleeper);
    });
    co_await yield();
    text = dump();
    co_await sleeping.join();
  });
  const std::size_t begin = text.find("fiber 2: sleep");
  REQUIRE(begin != text.npos);
  const std::string about = text.substr(begin);
  std::size_t calls = 0;
  for (std::size_t at = 0; (at = about.find("\n    at ", at)) != about.npos; ++at) ++calls;
  // sleep_in_call and the body are in the greenlet; below_main is the root of the fiber. The driver
  // belongs to the library.
  CHECK(calls == 4);
  CHECK(about.find("sleep_in_call(") != about.npos);
  CHECK(about.find("greenlet_driver.hpp") == about.npos);
}

TEST_CASE("a kill ends the greenlet in which its fiber waits, then its parents, then the fiber") {
  std::string log;
  life_count lives;
  in_fiber([&]() -> task<> {
    const auto watch = [](std::string& to, char letter, task<int> call) -> task<int> {
      try {
        co_return co_await call;
      } catch (const cancelled&) {
        to += letter;
        throw;
      }
    };
    const auto killed = spawn([&, watch]() -> task<int> {
      const greenlet<int> suspended([&lives](int n) -> task<int> {
        const counted local(lives);
        co_return co_await echo(n);
      });
      co_await suspended.switch_to(1);
      const greenlet<int> parent([&, watch](int n) -> task<int> {
        const greenlet<int> child([&, watch](int m) -> task<int> {
          const counted local(lives);
          co_return co_await watch(log, 'a', sleep_in_call(m));
        });
        const auto switching = [](const greenlet<int>& to, int m) -> task<int> {
          co_return co_await to.switch_to(m);
        };
        co_return co_await watch(log, 'b', switching(child, n));
      });
      const auto switching = [](const greenlet<int>& to) -> task<int> {
        co_return co_await to.switch_to(1);
      };
      co_return co_await watch(log, 'c', switching(parent));
    });
    co_await yield();
    CHECK(lives.alive() == 2);
    co_await killed.kill();
    CHECK(killed.result() == outcome::cancelled);
  });
  CHECK(log == "abc");
  CHECK(lives.alive() == 0);
}

TEST_CASE("a switch is not a wait: a pending kill is thrown at the next wait") {
  in_fiber([]() -> task<> {
    const auto killed = spawn([]() -> task<> {
      const greenlet<int> other(echo);
      current().kill();
      const int back = co_await other.switch_to(3);
      CHECK(back == 3);
      co_await sleep(1ms);
      FAIL("it must not get here");
    });
    co_await killed.join();
    CHECK(killed.result() == outcome::cancelled);
  });
}

TEST_CASE("a limit around a switch holds for the waits of the greenlet") {
  in_fiber([]() -> task<> {
    const greenlet<int> sleeper(sleep_in_call);
    const auto with_limit = [](const greenlet<int>& to) -> task<> {
      co_await with_timeout(1ms, to.switch_to(1));
    };
    CHECK_THROWS_AS(co_await with_limit(sleeper), timed_out);
    CHECK(sleeper.state() == greenlet_state::finished);
  });
}

TEST_CASE("a limit inside a greenlet applies to that greenlet only, even while others run") {
  std::string log;
  in_fiber([&]() -> task<> {
    const auto limited = [](std::string& to, int n) -> task<int> {
      const auto inside = [](std::string& text, int m) -> task<int> {
        m = co_await greenlet<int>::main().switch_to(m);  // out of the scope, and in again
        text += "again ";
        co_await sleep(1ms);
        text += "not here ";
        co_return m;
      };
      try {
        co_await with_timeout(5ms, inside(to, n));
      } catch (const timed_out&) {
        to += "timed out ";
      }
      co_await sleep(1ms);  // the scope is over
      to += "over";
      co_return 7;
    };
    const greenlet<int> other(limited, std::ref(log));
    co_await other.switch_to(1);
    co_await sleep(20ms);  // its limit, not ours, passes during this sleep
    const auto in_new_scope = [](const greenlet<int>& to) -> task<int> {
      co_return co_await to.switch_to(2);
    };
    const int back = co_await with_timeout(1h, in_new_scope(other));
    CHECK(back == 7);
    co_await sleep(1ms);
  });
  CHECK(log == "again timed out over");
}

TEST_CASE("a limit around a switch also holds inside a limit that the greenlet began earlier") {
  in_fiber([]() -> task<> {
    const auto switch_and_sleep = [](int n) -> task<int> {
      n = co_await greenlet<int>::main().switch_to(n);
      co_await sleep(10ms);
      co_return n;
    };
    const greenlet<int> limited([switch_and_sleep](int n) -> task<int> {
      co_return co_await with_timeout(1h, switch_and_sleep(n));
    });
    co_await limited.switch_to(1);
    const auto with_limit = [](const greenlet<int>& to) -> task<> {
      co_await with_timeout(1ms, to.switch_to(2));
    };
    CHECK_THROWS_AS(co_await with_limit(limited), timed_out);
    CHECK(limited.state() == greenlet_state::finished);
  });
}

// row: GR-13
TEST_CASE("a greenlet that is suspended inside a limit can be destroyed") {
  life_count lives;
  in_fiber([&]() -> task<> {
    const auto outer = [](life_count& counts) -> task<> {
      const greenlet<int> other([&counts](int n) -> task<int> {
        const counted local(counts);
        co_return co_await with_timeout(5ms, echo(n));
      });
      co_await other.switch_to(1);
    };
    co_await with_timeout(1h, outer(lives));
    CHECK(lives.alive() == 0);
    co_await sleep(20ms);
  });
}

// row: GR-13
TEST_CASE("a greenlet that outlives its fiber can be destroyed, but not inside a limit") {
  life_count lives;
  std::optional<greenlet<int>> left;
  greenlet_ref<int> main_of_ended;
  in_fiber([&]() -> task<> {
    left.emplace([&lives](int n) -> task<int> {
      const counted local(lives);
      co_return co_await echo(n);
    });
    co_await left->switch_to(1);
    main_of_ended = greenlet<int>::main();
  });
  CHECK(lives.alive() == 1);
  CHECK(left->state() == greenlet_state::suspended);
  CHECK(main_of_ended.state() == greenlet_state::finished);
  left.reset();
  CHECK(lives.alive() == 0);
  CHECK(aborts_with("inside a scope, such as with_timeout(), was destroyed after its fiber", [] {
    std::optional<greenlet<int>> lost;
    in_fiber([&]() -> task<> {
      lost.emplace([](int n) -> task<int> { co_return co_await with_timeout(1h, echo(n)); });
      co_await lost->switch_to(1);
    });
    lost.reset();
  }));
}

// row: GR-14
TEST_CASE("a switch to another fiber's greenlet aborts and names the broken rule") {
  CHECK(aborts_with("by another fiber while its own is blocked inside it", [] {
    in_fiber([]() -> task<> {
      const greenlet<int> sleeper(sleep_in_call);
      const auto other = spawn(use_other, std::cref(sleeper));
      co_await sleeper.switch_to(1);
    });
  }));
  CHECK(aborts_with("by another fiber than the one that made it", [] {
    in_fiber([]() -> task<> {
      const greenlet<int> idle(echo);
      const auto other = spawn(use_other, std::cref(idle));
      co_await other.join();
    });
  }));
  CHECK(aborts_with("a greenlet was switched to after its fiber had ended", [] {
    in_fiber([]() -> task<> {
      std::optional<greenlet<int>> left;
      const auto maker = spawn([&left]() -> task<> {
        left.emplace(echo);
        co_return;
      });
      co_await maker.join();
      co_await left->switch_to(1);
    });
  }));
  CHECK(aborts_with("a greenlet was destroyed while it runs or its fiber is blocked inside", [] {
    in_fiber([]() -> task<> {
      std::optional<greenlet<int>> sleeper;
      const auto maker = spawn([&sleeper]() -> task<> {
        sleeper.emplace(sleep_in_call);
        co_await sleeper->switch_to(1);
      });
      co_await yield();
      sleeper.reset();
    });
  }));
  CHECK(aborts_with("a greenlet and its parent must be of one fiber", [] {
    in_fiber([]() -> task<> {
      const greenlet<int> mine(echo);
      const auto other = spawn([&mine]() -> task<> {
        const greenlet<int> theirs(echo);
        theirs.set_parent(mine);
        co_return;
      });
      co_await other.join();
    });
  }));
}

// Under ThreadSanitizer a forked child cannot start threads.
#ifdef RINGLET_TEST_THREAD_SANITIZER
constexpr bool forks_have_threads = false;
#else
constexpr bool forks_have_threads = true;
#endif
// row: GR-14
TEST_CASE("using a greenlet on another thread aborts" * doctest::skip(!forks_have_threads)) {
  CHECK(aborts_with("a greenlet was switched to on a thread that is not its fiber's", [] {
    in_fiber([]() -> task<> {
      const greenlet<int> mine(echo);
      std::thread([&mine] { in_fiber([&mine]() -> task<> { co_await use_other(mine); }); }).join();
      co_return;
    });
  }));
  constexpr auto used = "a greenlet was used on a thread that is not its fiber's";
  CHECK(aborts_with(used, [] {
    in_fiber([]() -> task<> {
      greenlet<int> mine(echo);
      std::thread([moved = std::move(mine)] {}).join();
      co_return;
    });
  }));
  CHECK(aborts_with(used, [] {
    in_fiber([]() -> task<> {
      const greenlet<int> mine(echo);
      std::thread([&mine, main = greenlet<int>::main()] { mine.set_parent(main); }).join();
      co_return;
    });
  }));
}
TEST_CASE("greenlets of several fibers run independently") {
  std::string log;
  in_fiber([&]() -> task<> {
    const auto worker = [](std::string& to, char letter) -> task<> {
      const greenlet<int> counter([&to, letter](int n) -> task<int> {
        for (;;) {
          to += letter + std::to_string(n) + ' ';
          co_await yield();
          n = co_await greenlet<int>::main().switch_to(n + 1);
        }
      });
      for (int n = 0; n < 3;) n = co_await counter.switch_to(n);
    };
    const auto a = spawn(worker, std::ref(log), 'a');
    const auto b = spawn(worker, std::ref(log), 'b');
    co_await a.join();
    co_await b.join();
  });
  CHECK(log == "a0 b0 a1 b1 a2 b2 ");
}

TEST_CASE("a switch does not allocate" * doctest::skip(!allocations_are_counted())) {
  std::size_t before = 0, after = 1;
  in_fiber([&]() -> task<> {
    const greenlet<int> other(echo);
    co_await other.switch_to(1);
    before = allocations();
    for (int i = 0; i < 1000; ++i) {
      const int back = co_await other.switch_to(i);
      if (back != i) FAIL("wrong value");
    }
    after = allocations();
  });
  CHECK(after == before);
}

TEST_SUITE_END();
