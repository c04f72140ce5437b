// scheduler_handle: work that other threads post to a scheduler.
//
// Method: threads post as fast as they can, for ThreadSanitizer to see; posted work is counted and
// ordered on the scheduler's thread. Other threads check nothing.
// SPDX-License-Identifier: MIT
#include <ringlet/blocking.hpp>
#include <ringlet/run.hpp>
#include <ringlet/scheduler_handle.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
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

// A fiber that waits until another fiber ends it.
fiber<> spawn_waiting() {
  return spawn([]() -> task<> { co_await sleep(std::chrono::hours::max()); });
}

}  // namespace

TEST_SUITE_BEGIN("scheduler_handle");

TEST_CASE("posted work runs on the scheduler's thread, which the post wakes") {
  std::thread::id ran_on;
  const auto main = [&]() -> task<> {
    const auto waiting = spawn_waiting();
    std::thread other([&, here = scheduler_handle()] {
      static_cast<void>(here.post([&, waiting] {
        ran_on = std::this_thread::get_id();
        waiting.request_kill();
      }));
    });
    co_await waiting.join();
    other.join();
  };
  run(main());
  CHECK(ran_on == std::this_thread::get_id());
}

TEST_CASE("posted work runs between fibers, never inside post()") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    const scheduler_handle here;
    CHECK(here.post([&] {
      log += "posted ";
      CHECK(current_scheduler().running() == nullptr);
    }));
    log += "main ";
    co_await sleep(1ms);
    log += "slept";
  };
  run_on(engine, main());
  CHECK(log == "main posted slept");
}

TEST_CASE("the work of one thread runs in the order of its posts") {
  constexpr int threads_count = 4;
  constexpr int posts = 1000;
  std::array<int, threads_count> last{};
  int in_order = 0;
  const auto main = [&]() -> task<> {
    const auto waiting = spawn_waiting();
    std::vector<std::thread> threads;
    for (int thread = 0; thread < threads_count; ++thread) {
      threads.emplace_back([&, waiting, thread, here = scheduler_handle()] {
        for (int i = 1; i <= posts; ++i) {
          static_cast<void>(here.post([&, waiting, thread, i] {
            int& before = last[static_cast<std::size_t>(thread)];
            in_order += static_cast<int>(i == before + 1);
            before = i;
            if (in_order == threads_count * posts) waiting.request_kill();
          }));
        }
      });
    }
    co_await waiting.join();
    for (std::thread& thread : threads) thread.join();
  };
  run(main());
  CHECK(in_order == threads_count * posts);
}

TEST_CASE("a hundred thousand posts from four threads all run") {
  // Takes a second under ThreadSanitizer.
  constexpr int threads_count = 4;
  constexpr int posts = 25'000;
  int ran = 0;
  const auto main = [&]() -> task<> {
    const auto waiting = spawn_waiting();
    std::vector<std::thread> threads;
    for (int thread = 0; thread < threads_count; ++thread) {
      threads.emplace_back([&, waiting, here = scheduler_handle()] {
        for (int i = 0; i < posts; ++i) {
          const auto work = [&, waiting] {
            if (++ran == threads_count * posts) waiting.request_kill();
          };
          while (here.post(work) == post_result::full) std::this_thread::yield();
        }
      });
    }
    co_await waiting.join();
    for (std::thread& thread : threads) thread.join();
  };
  run(main());
  CHECK(ran == threads_count * posts);
}

TEST_CASE("posts that race with the end of the scheduler run, are dropped, or are refused") {
  std::atomic<int> accepted = 0;
  std::atomic<int> refused = 0;
  int ran = 0;
  const auto life = std::make_shared<int>();
  for (int round = 0; round < 50; ++round) {
    std::vector<std::thread> threads;
    const auto main = [&]() -> task<> {
      const auto waiting = spawn_waiting();
      for (int thread = 0; thread < 2; ++thread) {
        threads.emplace_back([&, here = scheduler_handle()] {
          const auto work = [&ran, life] { ++ran; };
          for (int i = 0; i < 10; ++i) ++accepted, static_cast<void>(here.post(work));
          while (here.post(work)) ++accepted;
          ++refused;
        });
      }
      while (ran < round) co_await yield();
      co_await waiting.kill();
    };
    run(main());
    for (std::thread& thread : threads) thread.join();
    ran = 0;
  }
  CHECK(refused == 100);
  CHECK(life.use_count() == 1);  // dropped work was destroyed
}

TEST_CASE("posted work may spawn fibers, which have no parent, and kill fibers") {
  const auto main = []() -> task<> {
    const auto waiting = spawn_waiting();
    std::uint64_t parent = 99;
    const scheduler_handle here;
    static_cast<void>(here.post([&, waiting] {
      const auto spawned = spawn([&, waiting]() -> task<> {
        co_await yield();
        waiting.request_kill();
      });
      parent = spawned.state().parent_id();
    }));
    co_await waiting.join();
    CHECK(parent == 0);
  };
  run(main());
}

TEST_CASE("posted work may post more work") {
  int steps = 0;
  const auto main = [&]() -> task<> {
    const auto waiting = spawn_waiting();
    const scheduler_handle here;
    std::function<void()> step = [&] {
      if (++steps == 100) return waiting.request_kill();
      static_cast<void>(here.post(step));
    };
    static_cast<void>(here.post(step));
    co_await waiting.join();
  };
  run(main());
  CHECK(steps == 100);
}

TEST_CASE("posted work may be move-only") {
  const auto main = []() -> task<> {
    const auto waiting = spawn_waiting();
    int got = 0;
    const scheduler_handle here;
    static_cast<void>(here.post([&, waiting, number = std::make_unique<int>(7)] {
      got = *number;
      waiting.request_kill();
    }));
    co_await waiting.join();
    CHECK(got == 7);
  };
  run(main());
}

TEST_CASE("an exception in posted work is reported like an unhandled failure") {
  std::string reported;
  std::uint64_t id = 99;
  options settings;
  settings.on_unhandled_error = [&](const unhandled_error& failure) {
    id = failure.id;
    reported = failure.name;
    try {
      std::rethrow_exception(failure.error);
    } catch (const std::exception& error) {
      reported += std::string(": ") + error.what();
    }
  };
  scripted_engine engine;
  const auto main = []() -> task<> {
    const scheduler_handle here;
    static_cast<void>(here.post([] { throw std::runtime_error("on purpose"); }));
    co_await sleep(1ms);
  };
  run_on(engine, main(), settings);
  CHECK(reported == "posted work: on purpose");
  CHECK(id == 0);
}

TEST_CASE("post after the scheduler's end returns false, however long the handle lives") {
  std::optional<scheduler_handle> handle;
  const auto main = [&]() -> task<> {
    handle.emplace();
    co_return;
  };
  run(main());
  const auto life = std::make_shared<int>();
  CHECK(handle->post([life] { FAIL("it ran"); }) == post_result::ended);
  CHECK(life.use_count() == 1);
  const scheduler_handle copy = *handle;
  CHECK_FALSE(copy.post([] {}));
  // A later scheduler is a different one.
  const auto second = [&]() -> task<> {
    CHECK_FALSE(handle->post([] {}));
    handle.emplace();
    CHECK(handle->post([] {}));
    CHECK_FALSE(copy.post([] {}));
    co_return;
  };
  run(second());
}

TEST_CASE("posted work that did not run before the end is dropped and destroyed") {
  const auto life = std::make_shared<int>();
  bool ran = false;
  const auto main = [&]() -> task<> {
    const scheduler_handle here;
    CHECK(here.post([&ran, life] { ran = true; }));
    co_return;
  };
  run(main());
  CHECK_FALSE(ran);
  CHECK(life.use_count() == 1);
}

TEST_CASE("a full mailbox refuses a post, says so, and accepts more when some work has run") {
  scripted_engine engine;
  options settings;
  settings.posts_max = 3;
  int ran = 0;
  const auto main = [&]() -> task<> {
    const scheduler_handle here;
    const auto work = [&] { ++ran; };
    for (int i = 0; i < 3; ++i) CHECK(here.post(work) == post_result::accepted);
    CHECK(here.post(work) == post_result::full);
    CHECK_FALSE(here.post(work));
    // Refused work stays with the caller.
    auto refused = [&, life = std::make_unique<int>(7)] { ran += *life; };
    CHECK(here.post(std::move(refused)) == post_result::full);
    co_await sleep(1ms);
    CHECK(ran == 3);
    CHECK(here.post(std::move(refused)) == post_result::accepted);
    CHECK(here.post(work) == post_result::accepted);
    CHECK(here.post(work) == post_result::accepted);
    CHECK(here.post(work) == post_result::full);
    co_await sleep(1ms);
    CHECK(ran == 3 + 7 + 2);
  };
  run_on(engine, main(), settings);
}

TEST_CASE("posted work that posts finds its own place free") {
  scripted_engine engine;
  options settings;
  settings.posts_max = 1;
  int ran = 0;
  const auto main = [&]() -> task<> {
    const scheduler_handle here;
    std::function<void()> step = [&] {
      if (++ran < 5) CHECK(here.post(step) == post_result::accepted);
    };
    CHECK(here.post(step) == post_result::accepted);
    co_await sleep(1ms);
    co_await sleep(1ms);
  };
  run_on(engine, main(), settings);
  CHECK(ran == 5);
}

TEST_CASE("a scheduler that has ended with a full mailbox reports that it has ended") {
  std::optional<scheduler_handle> handle;
  options settings;
  settings.posts_max = 0;
  const auto main = [&]() -> task<> {
    handle.emplace();
    CHECK(handle->post([] {}) == post_result::full);
    co_return;
  };
  run(main(), settings);
  CHECK(handle->post([] {}) == post_result::ended);
}

TEST_CASE("the library's own messages need no place in the mailbox") {
  options settings;
  settings.posts_max = 0;
  const auto main = []() -> task<int> {
    const scheduler_handle here;
    CHECK(here.post([] {}) == post_result::full);
    auto call = [] { return 5; };
    co_return co_await blocking(call);
  };
  CHECK(run(main(), settings) == 5);
}

TEST_CASE("handles can be copied, moved and assigned, and the last one is counted") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    scheduler_handle one;
    scheduler_handle other = one;
    scheduler_handle moved = std::move(one);
    one = other;
    other = std::move(moved);
    CHECK(one.post([] {}));
    CHECK(other.post([] {}));
    co_await sleep(1ms);
  };
  run_on(engine, main());
}

TEST_CASE("a scheduler_handle that was moved from, or created outside of run, aborts") {
  CHECK(aborts_with("a moved-from scheduler_handle was used", [] {
    scripted_engine engine;
    const auto main = []() -> task<> {
      scheduler_handle one;
      const scheduler_handle moved = std::move(one);
      static_cast<void>(one.post([] {}));
      co_return;
    };
    run_on(engine, main());
  }));
  CHECK(aborts_with("a call that needs a scheduler was made outside of run()",
                    [] { scheduler_handle(); }));
}

TEST_SUITE_END();
