// remote_fiber: fibers that another thread starts, waits for and kills. Also the calls of a
// scheduler_handle that make them.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/remote_fiber.hpp>
#include <ringlet/run.hpp>
#include <ringlet/run_on.hpp>
#include <ringlet/runtime.hpp>
#include <ringlet/scheduler_handle.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "sched/places.hpp"
#include "support/aborts.hpp"
#include "support/child.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

task<int> sum_of(int a, int b) {
  co_await yield();
  co_return a + b;
}

task<int> fail_with(const char* what) {
  co_await yield();
  throw std::runtime_error(what);
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

task<> wait_for_kill(std::atomic<int>& begun, std::atomic<int>& killed) {
  ++begun;
  try {
    co_await sleep(1h);
  } catch (const cancelled&) {
    ++killed;
    throw;
  }
}

template <class F>
std::string outcome_on_thread(F call) {
  try {
    call();
    return "done";
  } catch (const timed_out&) {
    return "timed out";
  } catch (const std::system_error& error) {
    if (error.code() == errc::fiber_cancelled) return "fiber_cancelled";
    if (error.code() == errc::closed) return "closed";
    if (error.code() == std::errc::resource_unavailable_try_again) return "full";
    return error.what();
  } catch (const std::exception& error) {
    return error.what();
  }
}

static_assert(selectable<remote_join_wait>);
static_assert(selectable<remote_get_wait<int, false>>);
static_assert(selectable<remote_get_wait<std::unique_ptr<int>, true>>);
static_assert(!selectable<remote_kill_wait>);

#ifdef RINGLET_TEST_THREAD_SANITIZER
constexpr bool children_have_threads = false;
#else
constexpr bool children_have_threads = true;
#endif

// On its own scheduler; ends when the flag is set.
task<int> until_set(std::atomic<bool>& flag, int value) {
  while (!flag) co_await sleep(100us);
  co_return value;
}

// Without a wait, so this scheduler takes no message in between.
void spin_until_done(const remote_fiber<int>& other) {
  while (!other.done()) std::this_thread::yield();
}

}  // namespace

TEST_SUITE_BEGIN("remote_fiber");

TEST_CASE("a plain thread spawns a fiber, waits for it, and reads its value") {
  runtime workers({.threads = 2});
  const remote_fiber<int> sum = workers.spawn(1, sum_of, 2, 3);
  CHECK(sum.get_blocking() == 5);
  CHECK(sum.join_blocking());
  CHECK(sum.done());
  CHECK(sum.result() == outcome::value);
  CHECK(sum.error() == nullptr);
  CHECK(sum.get_blocking() == 5);  // as often as wanted
  CHECK(sum == remote_fiber<int>(sum));
}

TEST_CASE("a plain thread gets the error of a fiber, each time") {
  runtime workers({.threads = 1});
  const auto failing = workers.spawn(0, fail_with, "on purpose");
  CHECK(outcome_on_thread([&] { failing.get_blocking(); }) == "on purpose");
  CHECK(outcome_on_thread([&] { failing.get_blocking(); }) == "on purpose");
  CHECK(failing.result() == outcome::error);
  CHECK(failing.error() != nullptr);
}

TEST_CASE("an rvalue handle moves the value out") {
  runtime workers({.threads = 1});
  const auto make = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); };
  auto made = workers.spawn(0, make);
  const std::unique_ptr<int> got = std::move(made).get_blocking();
  REQUIRE(got);
  CHECK(*got == 7);
}

TEST_CASE("a limit ends the wait of a plain thread, and not the fiber") {
  std::atomic<int> begun = 0;
  std::atomic<int> killed = 0;
  runtime workers({.threads = 1});
  const auto waiting = workers.spawn(0, wait_for_kill, std::ref(begun), std::ref(killed));
  CHECK_FALSE(waiting.join_blocking(1ms));
  CHECK(outcome_on_thread([&] { waiting.get_blocking(1ms); }) == "timed out");
  CHECK(waiting.result() == outcome::pending);
  waiting.request_kill();
  CHECK(waiting.join_blocking(1h));
  CHECK(waiting.result() == outcome::cancelled);
  CHECK(outcome_on_thread([&] { waiting.get_blocking(); }) == "fiber_cancelled");
  CHECK(begun == killed);  // it may have been killed before it began
  waiting.request_kill();  // does nothing
}

TEST_CASE("two kills are thrown twice, from any thread") {
  std::atomic<int> kills = 0;
  std::atomic<int> waits = 0;
  const auto stubborn = [&]() -> task<> {
    for (int i = 0; i < 2; ++i) {
      try {
        ++waits;
        co_await sleep(1h);
      } catch (const cancelled&) {
        ++kills;
      }
    }
  };
  runtime workers({.threads = 1});
  const auto fiber = workers.spawn(0, stubborn);
  for (int i = 1; i <= 2; ++i) {
    while (waits != i) std::this_thread::yield();
    fiber.request_kill();
  }
  fiber.join_blocking();
  CHECK(kills == 2);
  CHECK(fiber.result() == outcome::value);
}

TEST_CASE("several threads and fibers wait for one fiber, and all are told its end") {
  std::atomic<bool> may_end = false;
  std::atomic<int> sum = 0;
  const auto slow = [&]() -> task<int> {
    while (!may_end) co_await sleep(100us);
    co_return 5;
  };
  {
    runtime workers({.threads = 3});
    const auto awaited = workers.spawn(0, slow);
    const auto wait_there = [&]() -> task<> { sum += co_await awaited.get(); };
    std::vector<remote_fiber<>> waiting;
    for (std::size_t k = 0; k < 3; ++k) {
      for (int i = 0; i < 3; ++i) waiting.push_back(workers.spawn(k, wait_there));
    }
    std::thread other([&] { sum += awaited.get_blocking(); });
    may_end = true;
    for (const auto& one : waiting) one.get_blocking();
    other.join();
  }
  CHECK(sum == 10 * 5);
}

TEST_CASE("a fiber waits for a fiber of another scheduler, with a limit, and kills it") {
  std::atomic<int> begun = 0;
  std::atomic<int> killed = 0;
  std::vector<std::string> seen;
  const auto main = [&](scheduler_handle& there) -> task<> {
    const auto waiting = there.spawn(wait_for_kill, std::ref(begun), std::ref(killed));
    const bool joined = co_await waiting.join(5ms);
    seen.push_back(joined ? "joined" : "not joined");
    const auto get = [&]() -> task<> { co_await waiting.get(5ms); };
    seen.push_back(co_await outcome_of(get()));
    while (begun == 0) co_await sleep(100us);
    const bool ended = co_await waiting.kill();
    seen.push_back(ended ? "killed" : "alive");
    seen.push_back(co_await outcome_of(get()));
    const auto result = co_await as_result(there.spawn(sum_of, 1, 2).get());
    seen.push_back(std::to_string(*result));
    const auto failed = co_await as_result(waiting.get());
    seen.push_back(failed.error() == errc::fiber_cancelled ? "as a code" : "?");
  };
  runtime workers({.threads = 1});
  std::thread other([&, there = workers.handle(0)]() mutable { run(main(there)); });
  other.join();
  CHECK(seen == std::vector<std::string>{"not joined", "timed out", "killed", "fiber_cancelled",
                                         "3", "as a code"});
  CHECK(killed == 1);
}

TEST_CASE("a fiber that is killed while it joins stops waiting, and the other fiber continues") {
  std::atomic<int> begun = 0;
  std::atomic<int> killed = 0;
  std::string got;
  runtime workers({.threads = 2});
  const auto waiting = workers.spawn(0, wait_for_kill, std::ref(begun), std::ref(killed));
  const auto joining = [&]() -> task<> {
    const auto join = [&]() -> task<> { co_await waiting.join(); };
    got = co_await outcome_of(with_timeout(5ms, join()));
  };
  workers.spawn(1, joining).get_blocking();
  CHECK(got == "timed out");
  CHECK_FALSE(waiting.done());
}

TEST_CASE("select takes the first of several fibers of other schedulers, and loses no value") {
  std::atomic<bool> may_end[3] = {};
  std::vector<int> seen;
  const auto main = [&](runtime& workers) -> task<> {
    auto a = workers.spawn(0, until_set, std::ref(may_end[0]), 10);
    const auto b = workers.spawn(1, until_set, std::ref(may_end[1]), 11);
    const auto c = workers.spawn(1, until_set, std::ref(may_end[2]), 12);
    may_end[1] = true;
    const auto first = co_await select(a.get(), b.get(), c.join(1h), sleep(1h));
    seen.push_back(static_cast<int>(first.index()));
    seen.push_back(std::get<1>(first));
    may_end[2] = true;
    const auto second = co_await select(a.get(), c.join());
    seen.push_back(static_cast<int>(second.index()));
    seen.push_back(std::get<1>(second) ? 1 : 0);
    may_end[0] = true;
    const auto third = co_await as_result(select(sleep(1h), std::move(a).get()));
    seen.push_back(std::get<1>(*third));
    const auto ended = co_await select(sleep(1h), c.get());  // ready before the select()
    seen.push_back(std::get<1>(ended));
  };
  runtime workers({.threads = 2});
  run(main(workers));
  CHECK(seen == std::vector<int>{1, 11, 1, 1, 10, 12});
}

TEST_CASE("a limit of a part ends a select as it ends that part") {
  std::vector<std::string> seen;
  std::atomic<bool> may_end = false;
  const auto main = [&](runtime& workers) -> task<> {
    const auto slow = workers.spawn(0, until_set, std::ref(may_end), 1);
    const auto joined = co_await select(sleep(1h), slow.join(1ms));
    seen.push_back(joined.index() == 1 && !std::get<1>(joined) ? "not joined" : "?");
    const auto get = [&]() -> task<> { co_await select(sleep(1h), slow.get(1ms)); };
    seen.push_back(co_await outcome_of(get()));
    const auto late = co_await as_result(select(sleep(1h), slow.get(1ms)));
    seen.push_back(late.error() == errc::timed_out ? "as a code" : "?");
    may_end = true;
    const auto value = co_await select(sleep(1h), slow.get());
    seen.push_back(std::to_string(std::get<1>(value)));
  };
  runtime workers({.threads = 1});
  run(main(workers));
  CHECK(seen == std::vector<std::string>{"not joined", "timed out", "as a code", "1"});
}

TEST_CASE("a select that another wait has won waits for the message of a fiber that has ended") {
  std::vector<std::string> seen;
  std::atomic<bool> may_end = false;
  const auto main = [&](runtime& workers) -> task<> {
    event other;
    const auto target = workers.spawn(0, until_set, std::ref(may_end), 1);
    const auto choose = [&]() -> task<> {
      const auto first = co_await select(target.get(), other.wait());
      seen.push_back(std::to_string(first.index()));
      co_await yield();
      seen.push_back("alive");
    };
    const auto chooser = spawn(choose);
    co_await yield();
    may_end = true;
    spin_until_done(target);
    other.set();
    seen.push_back(contains(dump(), "select of join a fiber of scheduler") ? "lingers" : dump());
    chooser.request_kill();  // comes too late for the select()
    co_await chooser.join();
    seen.push_back(chooser.result() == outcome::cancelled ? "cancelled" : "?");
  };
  runtime workers({.threads = 1});
  run(main(workers));
  CHECK(seen == std::vector<std::string>{"lingers", "1", "cancelled"});
}

TEST_CASE("a kill ends a select of fibers of other schedulers, and a join that has ended wins") {
  std::vector<std::string> seen;
  std::atomic<bool> may_end = false;
  const auto main = [&](runtime& workers) -> task<> {
    const auto target = workers.spawn(0, until_set, std::ref(may_end), 1);
    const auto choose = [&]() -> task<> { co_await select(target.join(), sleep(1h)); };
    const auto join = [&]() -> task<> {
      const bool ended = co_await target.join();
      seen.push_back(ended ? "joined" : "?");
      co_await yield();
    };
    const auto before = spawn(choose);
    co_await yield();
    co_await before.kill();
    seen.push_back(before.result() == outcome::cancelled ? "cancelled" : "?");
    const auto chooser = spawn(choose);
    const auto joiner = spawn(join);
    co_await yield();
    may_end = true;
    spin_until_done(target);
    chooser.request_kill();
    joiner.request_kill();
    co_await chooser.join();
    co_await joiner.join();
    seen.push_back(chooser.result() == outcome::cancelled ? "cancelled" : "?");
    seen.push_back(joiner.result() == outcome::cancelled ? "cancelled" : "?");
  };
  runtime workers({.threads = 1});
  run(main(workers));
  CHECK(seen == std::vector<std::string>{"cancelled", "joined", "cancelled", "cancelled"});
}

TEST_CASE("many selects that race with the ends of fibers elsewhere end, and lose no value") {
  std::atomic<int> sum = 0;
  const auto main = [&](runtime& workers) -> task<> {
    for (int i = 0; i < 300; ++i) {
      const auto few_turns = [](int turns) -> task<int> {
        for (; turns > 0; --turns) co_await yield();
        co_return 1;
      };
      const auto a = workers.spawn(0, few_turns, i % 4);
      const auto b = workers.spawn(1, few_turns, i % 3);
      const auto first = co_await select(a.get(), b.get(), sleep((i % 5) * 10us));
      static_cast<void>(first);
      sum += co_await a.get();
      sum += co_await b.get();
    }
  };
  runtime workers({.threads = 2});
  run(main(workers));
  CHECK(sum == 600);
}

TEST_CASE("a runtime whose schedulers only select each other's fibers is deadlocked" *
          doctest::skip(!children_have_threads)) {
  const child_end end = run_in_child([] {
    const auto main = [](std::size_t k) -> task<> {
      if (k == 1) co_return;
      const auto make_handle = [] { return scheduler_handle(); };
      std::optional<scheduler_handle> there(co_await run_on(1, make_handle));
      const auto wait_for_nothing = []() -> task<> {
        event nothing;
        co_await nothing.wait();
      };
      const auto stuck = there->spawn(wait_for_nothing);
      there.reset();  // a handle could end the wait
      event nothing;
      co_await select(stuck.join(), nothing.wait());
    };
    const int code = run_main_on_all(main, {.threads = 2, .name = "srv"});
    std::fflush(stderr);
    ::_exit(code);
  });
  CHECK(end.status == 1);
  CHECK(contains(end.errors, "deadlock"));
  CHECK(contains(end.errors, "join a fiber of scheduler \"srv/1\""));
}

TEST_CASE("an error that no handle has read is reported when the last handle is dropped") {
  std::vector<std::string> reports;
  const auto main = [&](scheduler_handle& there) -> task<> {
    {
      const auto failing = there.spawn(fail_with, "no call asked");
      co_await failing.join();
    }
    const auto read = there.spawn(fail_with, "read");
    co_await read.join();
    CHECK(read.error() != nullptr);
  };
  runtime workers({.threads = 1});
  auto there = workers.handle(0);
  run(main(there), collecting(reports));
  CHECK(reports == std::vector<std::string>{"no call asked"});
}

TEST_CASE("the report of an error names the place of the spawn") {
  std::string reported;
  std::string spawned;
  options settings;
  settings.on_unhandled_error = [&](const unhandled_error& failure) {
    reported = place_of(failure.spawned_at);
  };
  const auto main = [&](scheduler_handle& there) -> task<> {
    const auto failing = (spawned = place_here(), there.spawn(fail_with, "on purpose"));
    co_await failing.join();
  };
  runtime workers({.threads = 1});
  auto there = workers.handle(0);
  run(main(there), settings);
  CHECK(reported == spawned);
}

TEST_CASE("a main task that is killed is held until its fibers elsewhere have ended") {
  std::atomic<int> begun = 0;
  std::atomic<bool> local_is_alive = false;
  std::atomic<int> seen_alive = 0;
  const auto guest = [&](std::atomic<bool>& its_local) -> task<> {
    ++begun;
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
      if (its_local) ++seen_alive;
      throw;
    }
  };
  struct mark {
    explicit mark(std::atomic<bool>& set) : flag(set) { flag = true; }
    ~mark() { flag = false; }
    std::atomic<bool>& flag;
  };
  runtime workers({.threads = 2});
  const auto main = [&]() -> task<> {
    const mark local(local_is_alive);
    for (std::size_t k = 0; k < 2; ++k) workers.spawn(k, guest, std::ref(local_is_alive));
    while (begun != 2) co_await sleep(100us);
    const auto me = spawn([&]() -> task<> { co_await sleep(1h); });
    extend::current().kill();
    co_await me.join();
  };
  std::string got;
  std::thread other([&] { got = outcome_on_thread([&] { run(main()); }); });
  other.join();
  CHECK(got == "fiber_cancelled");
  CHECK(seen_alive == 2);
}

TEST_CASE("a scheduler ends later than the fibers that it started elsewhere") {
  std::atomic<int> begun = 0;
  std::atomic<int> ended = 0;
  runtime workers({.threads = 1});
  const auto main = [&]() -> task<> {
    const auto slow_to_end = [](std::atomic<int>& first, std::atomic<int>& count) -> task<> {
      try {
        ++first;
        co_await sleep(1h);
      } catch (const cancelled&) {
      }
      co_await sleep(10ms);
      ++count;
    };
    workers.spawn(0, slow_to_end, std::ref(begun), std::ref(ended));
    while (begun == 0) co_await sleep(100us);
  };
  run(main());
  CHECK(ended == 1);
}

TEST_CASE("a fiber that is spawned elsewhere during the shutdown never begins") {
  bool has_run = false;
  outcome how{};
  runtime workers({.threads = 1});
  const auto main = [&]() -> task<> {
    extend::current().kill();
    try {
      co_await sleep(1h);
    } catch (const cancelled&) {
    }
    const auto set = [&]() -> task<> {
      has_run = true;
      co_return;
    };
    const auto late = workers.spawn(0, set);
    CHECK(late.done());
    how = late.result();
  };
  run(main());
  CHECK(how == outcome::cancelled);
  CHECK_FALSE(has_run);
}

TEST_CASE("spawn is refused by a full mailbox, and by a scheduler that has ended") {
  std::optional<scheduler_handle> kept;
  {
    runtime workers({.threads = 1, .each = {.posts_max = 0}});
    kept = workers.handle(0);
    CHECK(outcome_on_thread([&] { kept->spawn(sum_of, 1, 2); }) == "full");
    // Calls that wait need no place.
    CHECK(kept->call([] { return 4; }) == 4);
    CHECK(kept->call(sum_of, 1, 2) == 3);
  }
  CHECK(outcome_on_thread([&] { kept->spawn(sum_of, 1, 2); }) == "closed");
  CHECK(outcome_on_thread([&] { kept->call([] {}); }) == "closed");
}

TEST_CASE("call returns the value of a function or a task, or throws its error") {
  std::thread::id there;
  runtime workers({.threads = 1});
  const auto handle = workers.handle(0);
  handle.call([&] { there = std::this_thread::get_id(); });
  CHECK(there != std::this_thread::get_id());
  CHECK(handle.call([](int a, int b) { return a * b; }, 6, 7) == 42);
  CHECK(handle.call(sum_of, 6, 7) == 13);
  CHECK(outcome_on_thread([&] { handle.call(fail_with, "task"); }) == "task");
  const auto fail_now = [] { throw std::runtime_error("function"); };
  CHECK(outcome_on_thread([&] { handle.call(fail_now); }) == "function");
  const auto kill_itself = []() -> task<> {
    extend::current().kill();
    co_await sleep(1h);
  };
  CHECK(outcome_on_thread([&] { handle.call(kill_itself); }) == "fiber_cancelled");
}

TEST_CASE("a fiber is recorded with the place of the spawn or call that started it") {
  runtime workers({.threads = 1});
  const auto there = workers.handle(0);
  const auto place = [](auto...) { return place_of_spawn(); };
  CHECK(there.spawn(place).get_blocking() == place_here());
  CHECK(there.spawn(place, 1).get_blocking() == place_here());
  CHECK(there.spawn(place, 1, 2).get_blocking() == place_here());
  CHECK(there.spawn(place, 1, 2, 3).get_blocking() == place_here());
  CHECK(there.spawn(place, 1, 2, 3, 4).get_blocking() == place_here());
  CHECK(there.spawn(place, 1, 2, 3, 4, 5).get_blocking() == place_here());
  CHECK(there.spawn(place, 1, 2, 3, 4, 5, 6).get_blocking() == place_here());
  CHECK(there.call(place) == place_here());
  CHECK(there.call(place, 1) == place_here());
  CHECK(there.call(place, 1, 2) == place_here());
  CHECK(there.call(place, 1, 2, 3) == place_here());
  CHECK(there.call(place, 1, 2, 3, 4) == place_here());
  CHECK(there.call(place, 1, 2, 3, 4, 5) == place_here());
  CHECK(there.call(place, 1, 2, 3, 4, 5, 6) == place_here());
  CHECK(workers.spawn(0, place, 1, 2, 3, 4, 5, 6, 7, 8).get_blocking() == place_here());
  CHECK(workers.call(0, place, 1, 2, 3, 4, 5, 6, 7, 8) == place_here());
  std::string got;
  const auto note = [&got]() -> task<> { got = co_await place_of_spawn(); };
  const std::string wanted = (workers.call_on_all(note), place_here());
  CHECK(got == wanted);
}

TEST_CASE("with more than six arguments, a fiber is recorded with a place in the library") {
  runtime workers({.threads = 1});
  const auto there = workers.handle(0);
  const auto place = [](auto...) { return place_of_spawn(); };
  const auto is_in_header = [](const std::string& text) {
    return text.find("/handle_calls.hpp:") != std::string::npos;
  };
  CHECK(is_in_header(there.spawn(place, 1, 2, 3, 4, 5, 6, 7, 8).get_blocking()));
  CHECK(is_in_header(there.call(place, 1, 2, 3, 4, 5, 6, 7)));
}

TEST_CASE("handles outlive both schedulers") {
  std::optional<remote_fiber<int>> sum;
  std::optional<remote_fiber<>> cut_off;
  std::atomic<int> begun = 0;
  std::atomic<int> killed = 0;
  {
    runtime workers({.threads = 1});
    sum = workers.spawn(0, sum_of, 2, 3);
    cut_off = workers.spawn(0, wait_for_kill, std::ref(begun), std::ref(killed));
    sum->join_blocking();
  }
  CHECK(sum->get_blocking() == 5);
  CHECK(cut_off->done());
  CHECK(cut_off->result() == outcome::cancelled);
  cut_off->request_kill();
}

TEST_CASE("broken rules abort: an empty handle, a wait that blocks a scheduler, a join of itself") {
  CHECK(aborts_with("an empty remote_fiber was used", [] { remote_fiber<>().join_blocking(); }));
  CHECK(aborts_with("was called on the thread of a scheduler: co_await join() or get()", [] {
    const auto main = []() -> task<> {
      const scheduler_handle here;
      here.spawn(sum_of, 1, 2).join_blocking();
      co_return;
    };
    run(main());
  }));
  CHECK(aborts_with("this thread runs a scheduler: co_await run_on()", [] {
    const auto main = []() -> task<> {
      const scheduler_handle here;
      here.call([] {});
      co_return;
    };
    run(main());
  }));
  CHECK(aborts_with("a fiber joins itself", [] {
    const auto main = []() -> task<> {
      const scheduler_handle here;
      remote_fiber<> itself;
      const auto join_itself = [&]() -> task<> {
        co_await yield();
        co_await itself.join();
      };
      itself = here.spawn(join_itself);
      co_await itself.join();
    };
    run(main());
  }));
}

TEST_SUITE_END();
