// run_on: calls on other schedulers, their values, errors and kills.
//
// Method: two or three schedulers whose main tasks run the case. Checks are made on the test's
// thread, after all schedulers have ended.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/per_scheduler.hpp>
#include <ringlet/run.hpp>
#include <ringlet/run_on.hpp>
#include <ringlet/runtime.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/shutdown.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "sched/places.hpp"
#include "support/aborts.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Runs `body` as the main task of the first of `count` schedulers.
void on_first_of(std::size_t count, const std::function<task<>()>& body) {
  const auto main = [&](std::size_t k) -> task<> {
    if (k == 0) co_await body();
  };
  runtime all(main, {.threads = count, .each = {.shutdown_timeout = 20s}});
  all.join();
}

task<std::thread::id> thread_here() { co_return std::this_thread::get_id(); }

struct odd_number : std::runtime_error {
  explicit odd_number(int given) : std::runtime_error("odd"), number(given) {}
  int number;
};

task<int> half_of(int number) {
  co_await yield();
  if (number % 2 != 0) throw odd_number(number);
  co_return number / 2;
}

// Waits until it is killed, and notes it.
task<> wait_for_kill(std::atomic<int>& begun, std::atomic<int>& killed) {
  ++begun;
  try {
    co_await sleep(1h);
  } catch (const cancelled&) {
    ++killed;
    throw;
  }
}

// Ends after the shutdown of its scheduler has begun, if it is protected from that.
task<> outlast_stop(std::atomic<int>& begun, std::atomic<int>& finished) {
  ++begun;
  while (!shutting_down()) co_await sleep(100us);
  co_await sleep(100us);
  ++finished;
}

task<> until(const std::atomic<int>& number, int value) {
  while (number != value) co_await sleep(100us);
}

}  // namespace

TEST_SUITE_BEGIN("run_on");

TEST_CASE("run_on calls a task on the thread of the other scheduler, and returns its value") {
  std::vector<std::thread::id> seen;
  int half = 0;
  on_first_of(3, [&]() -> task<> {
    for (std::size_t k = 0; k < scheduler_count(); ++k) {
      seen.push_back(co_await run_on(k, thread_here));
    }
    half = co_await run_on(2, half_of, 42);
  });
  REQUIRE(seen.size() == 3);
  CHECK(seen[0] != seen[1]);
  CHECK(seen[1] != seen[2]);
  CHECK(seen[0] != seen[2]);
  CHECK(half == 21);
}

TEST_CASE("run_on calls a function that does not wait between fibers, and returns its value") {
  bool was_in_fiber = true;
  std::string text;
  on_first_of(2, [&]() -> task<> {
    const auto look = [&was_in_fiber](std::string given) {
      was_in_fiber = current_scheduler().running() != nullptr;
      return given + std::to_string(scheduler_index());
    };
    text = co_await run_on(1, look, std::string("on "));
  });
  CHECK_FALSE(was_in_fiber);
  CHECK(text == "on 1");
}

TEST_CASE("run_on passes move-only arguments and values, and references") {
  int number = 0;
  std::unique_ptr<int> got;
  int* where = nullptr;
  on_first_of(2, [&]() -> task<> {
    const auto increment = [](std::unique_ptr<int> given) -> task<std::unique_ptr<int>> {
      ++*given;
      co_return given;
    };
    got = co_await run_on(1, increment, std::make_unique<int>(6));
    const auto same = [](int& given) -> task<int&> { co_return given; };
    int& back = co_await run_on(1, same, std::ref(number));
    where = &back;
    const auto same_now = [](int& given) -> int& { return given; };
    int& again = co_await run_on(1, same_now, std::ref(number));
    CHECK(&again == &back);
  });
  REQUIRE(got);
  CHECK(*got == 7);
  CHECK(where == &number);
}

TEST_CASE("run_on rethrows the exception of the callee with its type") {
  int number = 0;
  std::string text;
  std::error_code code;
  on_first_of(2, [&]() -> task<> {
    try {
      co_await run_on(1, half_of, 7);
    } catch (const odd_number& error) {
      number = error.number;
    }
    const auto fail_now = []() -> int { throw std::runtime_error("now"); };
    try {
      co_await run_on(1, fail_now);
    } catch (const std::runtime_error& error) {
      text = error.what();
    }
    const auto fail = []() -> task<int> {
      co_await yield();
      throw_error(errc::too_long, "line");
    };
    const auto outcome = co_await as_result(run_on(1, fail));
    code = outcome.error();
  });
  CHECK(number == 7);
  CHECK(text == "now");
  CHECK(code == errc::too_long);
}

TEST_CASE("calls to one scheduler run at once, and calls back and forth end") {
  int sum = 0;
  on_first_of(2, [&]() -> task<> {
    std::vector<fiber<int>> calls;
    for (int i = 0; i < 200; ++i) {
      calls.push_back(spawn(
          [](int n) -> task<int> {
            const auto there = [](int given) -> task<int> {
              const auto back = [](int nested) -> task<int> {
                co_await yield();
                co_return nested;
              };
              co_return co_await run_on(0, back, given);
            };
            co_return co_await run_on(1, there, n);
          },
          i));
    }
    for (const auto& call : calls) sum += co_await call.get();
  });
  CHECK(sum == 199 * 200 / 2);
}

TEST_CASE("a callee is recorded with the place of the call, also of one inside another call") {
  std::vector<std::string> wrong;
  const auto expect = [&](const std::string& got,
                          std::source_location here = std::source_location::current()) {
    if (got != place_of(here)) wrong.push_back(got + " instead of " + place_of(here));
  };
  std::string got_by_all;
  std::string wanted;
  on_first_of(2, [&]() -> task<> {
    const auto place = [](auto...) { return place_of_spawn(); };
    expect(co_await run_on(1, place));
    expect(co_await run_on(1, place, 1, 2, 3, 4, 5, 6, 7, 8));
    expect(co_await with_timeout(1h, run_on(1, place)));
    const scheduler_handle here;
    expect(co_await run_on(here, place, 1));
    const auto values = co_await per_scheduler<int>::make();
    const auto place_with = [](int&) { return place_of_spawn(); };
    expect(co_await values.on(1, place_with));
    const auto note = [&got_by_all](std::size_t k) -> task<> {
      const std::string its = co_await place_of_spawn();
      if (k == 1) got_by_all = its;
    };
    auto all = (wanted = place_here(), run_on_all(note));
    co_await std::move(all);
  });
  CHECK(wrong == std::vector<std::string>());
  CHECK(got_by_all == wanted);
}

TEST_CASE("a kill of the caller kills the callee, and waits for it") {
  std::atomic<int> begun = 0;
  std::atomic<int> killed = 0;
  int killed_when_joined = 0;
  outcome how{};
  on_first_of(2, [&]() -> task<> {
    const auto caller = spawn(
        [&]() -> task<> { co_await run_on(1, wait_for_kill, std::ref(begun), std::ref(killed)); });
    co_await until(begun, 1);
    co_await caller.kill();
    killed_when_joined = killed;
    how = caller.result();
  });
  CHECK(killed_when_joined == 1);
  CHECK(how == outcome::cancelled);
}

TEST_CASE("a limit around the call kills the callee, and surfaces as timed_out") {
  std::atomic<int> begun = 0;
  std::atomic<int> killed = 0;
  std::string got;
  on_first_of(2, [&]() -> task<> {
    const auto call = [&]() -> task<> {
      co_await run_on(1, wait_for_kill, std::ref(begun), std::ref(killed));
    };
    got = co_await outcome_of(with_timeout(20ms, call()));
  });
  CHECK(got == "timed out");
  CHECK(killed == begun);
}

TEST_CASE("each kill of the caller is thrown in the callee once") {
  std::atomic<int> begun = 0;
  std::atomic<int> survived = 0;
  on_first_of(2, [&]() -> task<> {
    const auto stubborn = [](std::atomic<int>& waits, std::atomic<int>& kills) -> task<> {
      for (int i = 0; i < 3; ++i) {
        try {
          ++waits;
          co_await sleep(1h);
        } catch (const cancelled&) {
          ++kills;
        }
      }
    };
    const auto caller = spawn(
        [&]() -> task<> { co_await run_on(1, stubborn, std::ref(begun), std::ref(survived)); });
    for (int i = 1; i <= 3; ++i) {
      co_await until(begun, i);
      caller.request_kill();
    }
    co_await caller.join();
  });
  CHECK(survived == 3);
}

TEST_CASE("a callee that returned a value wins over a kill of its caller") {
  int values = 0;
  int kills = 0;
  on_first_of(2, [&]() -> task<> {
    for (int i = 0; i < 200; ++i) {
      bool got_value = false;
      const auto caller = spawn([&]() -> task<> {
        const auto quick = []() -> task<int> { co_return 5; };
        const int value = co_await run_on(1, quick);
        got_value = value == 5;
        co_await yield();  // the kill that is still pending
      });
      for (int turn = 0; turn < i % 7; ++turn) co_await yield();
      const auto before = caller.result();
      co_await caller.kill();
      if (got_value) ++values;
      if (before == outcome::pending && caller.result() == outcome::cancelled) ++kills;
    }
  });
  CHECK(values + kills >= 200);
}

TEST_CASE("kills that race with the end of the callee lose neither a message nor the value") {
  int ended = 0;
  on_first_of(2, [&]() -> task<> {
    for (int i = 0; i < 500; ++i) {
      const auto caller = spawn(
          [](int turns) -> task<> {
            const auto few_turns = [](int left) -> task<int> {
              for (; left > 0; --left) co_await yield();
              co_return left;
            };
            co_await run_on(1, few_turns, turns);
          },
          i % 5);
      for (int turn = 0; turn < i % 11; ++turn) co_await yield();
      caller.request_kill();
      caller.request_kill();
      co_await caller.join();
      ++ended;
    }
  });
  CHECK(ended == 500);
}

TEST_CASE("the callee of a shielded call is protected from the end of its scheduler") {
  std::atomic<int> finished = 0;
  std::string got;
  const auto main = [&](std::size_t k) -> task<> {
    if (k == 1) {
      co_await sleep(1h);
    } else {
      const auto clean_up = [&]() -> task<> {
        const auto slow = [](std::atomic<int>& done) -> task<> {
          co_await sleep(30ms);
          ++done;
        };
        co_await run_on(1, slow, std::ref(finished));
        // A call that begins while both schedulers end.
        co_await run_on(1, slow, std::ref(finished));
      };
      const auto guarded = [&]() -> task<> { co_await shield(10s, clean_up()); };
      got = co_await outcome_of(guarded());
    }
  };
  {
    runtime all(main, {.threads = 2, .each = {.shutdown_timeout = 20s}});
    all.stop();
    all.join();
  }
  // Stopped before it began, or in the shield.
  CHECK((finished == 2 || got.empty()));
}

TEST_CASE("a shielded call that is under way survives stop()") {
  std::atomic<int> begun = 0;
  std::atomic<int> finished = 0;
  const auto main = [&](std::size_t k) -> task<> {
    if (k == 1) co_await sleep(1h);
    if (k == 0) {
      const auto clean_up = [&]() -> task<> {
        const auto slow = [](std::atomic<int>& started, std::atomic<int>& done) -> task<> {
          ++started;
          co_await sleep(30ms);
          ++done;
        };
        co_await run_on(1, slow, std::ref(begun), std::ref(finished));
        co_await run_on(1, slow, std::ref(begun), std::ref(finished));
      };
      co_await shield(10s, clean_up());
    }
  };
  runtime all(main, {.threads = 2, .each = {.shutdown_timeout = 20s}});
  while (begun == 0) std::this_thread::yield();
  all.stop();
  all.join();
  CHECK(finished == 2);
}

TEST_CASE("calls of the members of a group that was opened in a shield are shielded, too") {
  std::atomic<int> begun = 0;
  std::atomic<int> finished = 0;
  const auto main = [&](std::size_t k) -> task<> {
    if (k == 1) co_await sleep(1h);
    if (k == 0) {
      const auto member = [&]() -> task<> {
        co_await run_on(1, outlast_stop, std::ref(begun), std::ref(finished));
        while (!shutting_down()) co_await sleep(100us);
        co_await run_on(1, outlast_stop, std::ref(begun), std::ref(finished));
      };
      const auto body = [&](task_group& group) -> task<> {
        group.spawn(member);
        group.spawn(member);
        // A member that has a shield and a group of its own.
        const auto nested = [&]() -> task<> {
          const auto inner = [&](task_group& its) -> task<> {
            its.spawn(member);
            co_return;
          };
          co_await shield(1h, with_group(inner));
        };
        group.spawn(nested);
        co_return;
      };
      co_await shield(1h, with_group(body));
    }
  };
  runtime all(main, {.threads = 2, .each = {.shutdown_timeout = 1h}});
  while (begun != 3) std::this_thread::yield();
  all.stop();
  all.join();
  CHECK(begun == 6);
  CHECK(finished == 6);
}

TEST_CASE("the shield of a call also protects what members of a group of its callee call") {
  std::atomic<int> begun = 0;
  std::atomic<int> finished = 0;
  const auto main = [&](std::size_t k) -> task<> {
    if (k == 1) co_await sleep(1h);
    if (k == 0) {
      const auto callee = [&]() -> task<> {
        const auto member = [&]() -> task<> {
          co_await run_on(0, outlast_stop, std::ref(begun), std::ref(finished));
          while (!shutting_down()) co_await sleep(100us);
          co_await run_on(0, outlast_stop, std::ref(begun), std::ref(finished));
        };
        const auto body = [&](task_group& group) -> task<> {
          group.spawn(member);
          group.spawn(member);
          co_return;
        };
        co_await with_group(body);
      };
      const auto call = [&]() -> task<> { co_await run_on(1, callee); };
      co_await shield(1h, call());
    }
  };
  runtime all(main, {.threads = 2, .each = {.shutdown_timeout = 1h}});
  while (begun != 2) std::this_thread::yield();
  all.stop();
  all.join();
  CHECK(begun == 4);
  CHECK(finished == 4);
}

TEST_CASE("a cancelled group ends the calls of its members, also inside a shield") {
  std::atomic<int> begun = 0;
  std::atomic<int> killed = 0;
  on_first_of(2, [&]() -> task<> {
    const auto member = [&]() -> task<> {
      co_await run_on(1, wait_for_kill, std::ref(begun), std::ref(killed));
    };
    const auto body = [&](task_group& group) -> task<> {
      group.spawn(member);
      group.spawn(member);
      co_await until(begun, 2);
      group.cancel();
    };
    co_await shield(1h, with_group(body));
    CHECK(killed == 2);
  });
}

TEST_CASE("the limit of a shield ends the calls of members of a group that was opened in it") {
  std::atomic<int> begun = 0;
  std::atomic<int> killed = 0;
  outcome how{};
  on_first_of(2, [&]() -> task<> {
    const auto starter = spawn([&]() -> task<> {
      const auto member = [&]() -> task<> {
        co_await run_on(1, wait_for_kill, std::ref(begun), std::ref(killed));
      };
      const auto body = [&](task_group& group) -> task<> {
        group.spawn(member);
        group.spawn(member);
        co_await until(begun, 2);
        extend::current().kill();  // held back until the limit passes
        co_await sleep(1h);
      };
      co_await shield(1ms, with_group(body));
    });
    co_await starter.join();
    how = starter.result();
  });
  CHECK(killed == begun);
  CHECK(how == outcome::cancelled);
}

TEST_CASE("the limit of a shield ends the callee") {
  std::atomic<int> begun = 0;
  std::atomic<int> killed = 0;
  on_first_of(2, [&]() -> task<> {
    const auto caller = spawn([&]() -> task<> {
      const auto call = [&]() -> task<> {
        co_await run_on(1, wait_for_kill, std::ref(begun), std::ref(killed));
      };
      co_await shield(50ms, call());
    });
    co_await until(begun, 1);
    co_await caller.kill();
  });
  CHECK(killed == 1);
}

TEST_CASE("run_on without a shield throws closed when the shutdown has begun") {
  std::vector<std::string> got;
  std::atomic<int> begun = 0;
  const auto main = [&](std::size_t k) -> task<> {
    if (k == 1) co_return;
    try {
      ++begun;
      co_await sleep(1h);
    } catch (const cancelled&) {
    }
    const auto call = [&]() -> task<> { co_await run_on(1, thread_here); };
    got.push_back(co_await outcome_of(call()));
    const auto all_of_them = [&]() -> task<> {
      const auto nothing = [] {};
      co_await run_on_all(nothing);
    };
    got.push_back(co_await outcome_of(all_of_them()));
  };
  runtime all(main, {.threads = 2});
  while (begun == 0) std::this_thread::yield();
  all.stop();
  all.join();
  CHECK(got == std::vector<std::string>{"closed", "closed"});
}

TEST_CASE("a callee that its own scheduler ends is reported as killed") {
  std::string got;
  std::atomic<int> begun = 0;
  std::atomic<int> killed = 0;
  const auto other = [&](scheduler_handle& there) -> task<> {
    const auto call = [&]() -> task<> {
      co_await run_on(there, wait_for_kill, std::ref(begun), std::ref(killed));
    };
    got = co_await outcome_of(call());
  };
  std::thread thread;
  // The main task returns, and its scheduler ends the callee.
  const auto main = [&]() -> task<> {
    thread = std::thread([&, there = scheduler_handle()]() mutable { run(other(there)); });
    co_await until(begun, 1);
  };
  run(main());
  thread.join();
  CHECK(got == "fiber_cancelled");
  CHECK(killed == 1);
}

TEST_CASE("run_on takes a handle to a scheduler outside of the runtime") {
  std::atomic<int> half = 0;
  std::string late;
  const auto main = [&]() -> task<> {
    const scheduler_handle here;
    std::thread other([&, there = here] {
      const auto ask = [&]() -> task<> { half = co_await run_on(there, half_of, 10); };
      run(ask());
    });
    while (half == 0) co_await yield();
    other.join();
  };
  std::optional<scheduler_handle> kept;
  const auto keeping = [&]() -> task<> {
    kept.emplace();
    co_await main();
  };
  run(keeping());
  CHECK(half == 5);
  const auto ask_late = [&]() -> task<> {
    const auto call = [&]() -> task<> { co_await run_on(*kept, half_of, 10); };
    late = co_await outcome_of(call());
  };
  run(ask_late());
  CHECK(late == "closed");
}

TEST_CASE("without a runtime, scheduler 0 is this one") {
  const auto main = []() -> task<int> {
    CHECK(scheduler_count() == 1);
    CHECK(scheduler_index() == 0);
    co_return co_await run_on(0, half_of, 4);
  };
  CHECK(run(main()) == 2);
}

TEST_CASE("run_on with a number that the runtime does not have aborts") {
  CHECK(aborts_with("a call names a scheduler that this runtime does not have", [] {
    const auto main = []() -> task<> { co_await run_on(1, half_of, 4); };
    run(main());
  }));
}

TEST_CASE("run_on_all calls the function on each scheduler, and waits for all") {
  std::array<std::atomic<int>, 3> calls{};
  std::atomic<int> plain = 0;
  std::atomic<bool> is_at_home = true;
  on_first_of(3, [&]() -> task<> {
    const auto count = [&calls, &is_at_home](std::size_t k) -> task<> {
      co_await yield();
      ++calls.at(k);
      if (k != scheduler_index()) is_at_home = false;
    };
    co_await run_on_all(count);
    const auto count_plainly = [&plain] { ++plain; };
    co_await run_on_all(count_plainly);
  });
  for (const auto& one : calls) CHECK(one == 1);
  CHECK(plain == 3);
  CHECK(is_at_home);
}

TEST_CASE("run_on_all throws the first error when all calls have ended, and reports the rest") {
  std::atomic<int> ended = 0;
  std::vector<std::string> reports;
  std::string got;
  const auto main = [&](std::size_t k) -> task<> {
    if (k != 0) co_return;
    const auto fail = [&ended](std::size_t at) -> task<> {
      co_await sleep(at * 5ms);
      ++ended;
      if (at != 0) throw std::runtime_error("at " + std::to_string(at));
    };
    const auto call = [&]() -> task<> { co_await run_on_all(fail); };
    got = co_await outcome_of(call());
    CHECK(ended == 3);
  };
  options each;
  each.on_unhandled_error = [&reports](const unhandled_error& failure) {
    reports.push_back(text_of(failure.error) + "; " + std::string(failure.then));
  };
  runtime all(main, {.threads = 3, .name = "all", .each = each});
  all.join();
  CHECK(got == "at 1");
  CHECK(reports == std::vector<std::string>{"at 2; on scheduler \"all/2\""});
}

TEST_CASE("a kill of run_on_all kills all callees") {
  std::atomic<int> begun = 0;
  std::atomic<int> killed = 0;
  on_first_of(3, [&]() -> task<> {
    const auto caller = spawn([&]() -> task<> {
      const auto wait_there = [&]() -> task<> { co_await wait_for_kill(begun, killed); };
      co_await run_on_all(wait_there);
    });
    co_await until(begun, 3);
    co_await caller.kill();
    CHECK(killed == 3);
  });
}

TEST_SUITE_END();
