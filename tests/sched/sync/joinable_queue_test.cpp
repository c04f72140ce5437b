// joinable_queue: when its items count as done, and who waits for that.
//
// Method: the scripted engine's clock moves only when everything sleeps.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/joinable_queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sched/queues.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

static_assert(selectable<joinable_queue<int>::pop_wait>);

namespace {

// Works on each item for 1 ms.
task<> work(joinable_queue<int>& jobs, std::string& log) {
  auto all = jobs.items();
  while (const auto job = co_await all.next()) {
    co_await sleep(1ms);
    log += std::to_string(**job) + " ";
  }
}

task<> note_join(joinable_queue<int>& jobs, std::string& log, time_limit timeout = forever) {
  const bool done = co_await jobs.join(timeout);
  log += done ? "joined " : "late ";
}

}  // namespace

TEST_SUITE_BEGIN("joinable_queue");

// rows: QU-02 QS-02
TEST_CASE("join waits until every item that was pushed is done") {
  run_scripted([](scripted_engine&) -> task<> {
    joinable_queue<int> jobs(2);
    std::string log;
    const fiber<> a = spawn(work(jobs, log)), b = spawn(work(jobs, log));
    for (int i = 1; i < 7; ++i) co_await jobs.push(int(i));
    CHECK(jobs.unfinished() == 4);
    co_await note_join(jobs, log);
    CHECK(log == "1 2 3 4 5 6 joined ");
    CHECK(jobs.unfinished() == 0);
    jobs.close();
    co_await a.join();
    co_await b.join();
  });
}

// rows: QU-02 QS-02
TEST_CASE("join returns at once where nothing was pushed, and again after all is done") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    joinable_queue<int> jobs;
    CHECK(co_await jobs.join());
    CHECK(co_await jobs.join(0s));
    CHECK(jobs.try_push(1));
    CHECK_FALSE(co_await jobs.join(0s));
    CHECK(engine.now() == begin);
    CHECK_FALSE(co_await jobs.join(2ms));
    CHECK(engine.now() == begin + 2'000'000);
    { const auto item = jobs.try_pop(); }
    CHECK(co_await jobs.join());
  });
}

// row: QU-02
TEST_CASE("an item is done when its guard is destroyed, or before by done") {
  run_scripted([](scripted_engine&) -> task<> {
    joinable_queue<std::string> words;
    for (const char* const word : {"a", "b", "c"}) CHECK(words.try_push(word));
    {
      auto first = co_await words.pop();
      CHECK(*first == "a");
      *first += "!";
      CHECK(first->size() == 2);
      CHECK(words.unfinished() == 3);
      auto moved = std::move(first);
      CHECK(first.is_done());
      CHECK(*moved == "a!");
      moved.done();
      CHECK(moved.is_done());
      CHECK(*moved == "a!");
      CHECK(words.unfinished() == 2);
    }
    CHECK(words.unfinished() == 2);  // once per item
    const fiber<std::string> failing = spawn(outcome_of([](auto& from) -> task<> {
      const auto item = co_await from.pop();
      throw std::runtime_error("no " + *item);
    }(words)));
    const std::string failure = co_await failing.get();
    CHECK(failure == "no b");
    CHECK(words.unfinished() == 1);
    const result<joinable_queue<std::string>::task_guard> last = co_await as_result(words.pop());
    CHECK(**last == "c");
  });
}

// row: QU-02
TEST_CASE("items that are handed over count, and those of pushes that wait do not") {
  run_scripted([](scripted_engine&) -> task<> {
    joinable_queue<int> jobs(0);
    std::string log;
    const fiber<> pusher = spawn(push_one(jobs, 1));
    co_await yield();
    CHECK(jobs.unfinished() == 0);
    std::optional<joinable_queue<int>::task_guard> item = jobs.try_pop();
    CHECK(jobs.unfinished() == 1);
    co_await pusher.join();
    item.reset();
    CHECK(jobs.unfinished() == 0);
    const fiber<> popper = spawn(pop_one(jobs));
    co_await yield();
    CHECK(jobs.try_push(2));
    CHECK(jobs.unfinished() == 1);
    CHECK(jobs.size() == 0);
    co_await note_join(jobs, log);
    CHECK(popper.done());
  });
}

// rows: QU-02 QU-03
TEST_CASE("close_now counts the items that it drops as done") {
  run_scripted([](scripted_engine&) -> task<> {
    joinable_queue<int> jobs;
    std::string log;
    for (int i = 0; i < 3; ++i) CHECK(jobs.try_push(i));
    auto held = jobs.try_pop();
    const fiber<> joiner = spawn(note_join(jobs, log));
    co_await yield();
    jobs.close_now();
    CHECK(jobs.empty());
    CHECK(jobs.unfinished() == 1);
    co_await yield();
    CHECK(log.empty());
    held->done();
    co_await joiner.join();
    CHECK(log == "joined ");
    CHECK(co_await outcome_of(push_one(jobs, 1)) == "closed");
    CHECK(co_await outcome_of(pop_one(jobs)) == "closed");
  });
}

// Cancellation

// rows: QU-02 W22
TEST_CASE("an item that was handed to a fiber that is killed is done when the fiber ends") {
  run_scripted([](scripted_engine&) -> task<> {
    joinable_queue<int> jobs;
    std::string log;
    const fiber<> worker = spawn(work(jobs, log));
    co_await yield();
    CHECK(jobs.try_push(1));
    worker.request_kill();
    CHECK(jobs.try_push(2));
    co_await worker.join();
    CHECK(log.empty());
    CHECK(jobs.unfinished() == 1);  // the second is still in the queue
    CHECK(*jobs.peek() == 2);
  });
}

// row: QU-02
TEST_CASE("of a kill of a fiber in join and the last item the first one counts") {
  run_scripted([](scripted_engine&) -> task<> {
    joinable_queue<int> jobs;
    std::string log;
    CHECK(jobs.try_push(1));
    const fiber<> joiner = spawn(note_join(jobs, log));
    co_await yield();
    SUBCASE("done, then killed") {
      { const auto last = jobs.try_pop(); }
      joiner.request_kill();
      co_await joiner.join();
      CHECK(log == "joined ");
    }
    SUBCASE("killed, then done") {
      joiner.request_kill();
      { const auto last = jobs.try_pop(); }
      co_await joiner.join();
      CHECK(log.empty());
    }
  });
}

// row: QU-02
TEST_CASE("an item that comes after all were done does not keep a fiber in join") {
  run_scripted([](scripted_engine&) -> task<> {
    joinable_queue<int> jobs;
    std::string log;
    CHECK(jobs.try_push(1));
    const fiber<> joiner = spawn(note_join(jobs, log, 5ms));
    co_await yield();
    { const auto last = jobs.try_pop(); }
    CHECK(jobs.try_push(2));
    co_await joiner.join();
    CHECK(log == "joined ");
    CHECK((co_await select(jobs.join(), sleep(1ms))).index() == 1);
    CHECK((co_await select(jobs.join(), jobs.pop())).index() == 1);
  });
}

// What others see of it

TEST_CASE("dump shows for how many items a fiber waits in join") {
  run_scripted([](scripted_engine&) -> task<> {
    joinable_queue<int> jobs;
    std::string log;
    CHECK(jobs.try_push(1));
    const fiber<> joiner = spawn(note_join(jobs, log));
    co_await yield();
    CHECK(dump().find("join joinable_queue with 1 items not done, 1 waiting (at most 1)") !=
          std::string::npos);
    const fiber<> second = spawn(note_join(jobs, log));
    co_await yield();
    CHECK(dump().find("2 waiting (at most 2)") != std::string::npos);
    co_await second.kill();
    CHECK(dump().find("1 waiting (at most 2)") != std::string::npos);
    jobs.close_now();
    co_await joiner.join();
  });
}

// rows: QU-02 QS-02
TEST_CASE("waiting, waking, killing, doing and closing at a joinable_queue do not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto round = []() -> task<std::size_t> {
      joinable_queue<int> jobs(1);
      std::string log(64, ' ');
      log.clear();
      jobs.try_push(1);
      const fiber<> killed = spawn(note_join(jobs, log)), late = spawn(note_join(jobs, log, 1ms)),
                    joiner = spawn(note_join(jobs, log)), pusher = spawn(push_one(jobs, 2));
      const std::size_t before = allocations();
      co_await yield();
      {
        const out_of_memory none;
        killed.request_kill();
        auto first = jobs.try_pop();  // which lets the push in
        first->done();
      }
      co_await sleep(2ms);
      co_await pusher.join();
      {
        const out_of_memory none;
        jobs.close_now();
      }
      co_await joiner.join();
      const std::size_t made = allocations() - before;
      CHECK(log == "late joined ");
      co_return made;
    };
    co_await round();  // fills the pools
    const std::size_t made = co_await round();
    CHECK(made == 0);
  });
}

TEST_CASE("a push without memory leaves its item and does not count") {
  if (!allocations_are_counted()) return;
  run_scripted([](scripted_engine&) -> task<> {
    joinable_queue<std::unique_ptr<int>> jobs(2);
    auto mine = std::make_unique<int>(7);
    int thrown = 0;
    {
      const empty_frame_pool nothing_free(512);  // the size of a queue's block
      for (int i = 0; i < 2; ++i) {
        try {
          const out_of_memory now;
          if (i == 0) jobs.try_push(std::move(mine));
          if (i == 1) co_await jobs.push(std::move(mine));
        } catch (const std::bad_alloc&) {
          ++thrown;
        }
      }
    }
    CHECK(thrown == 2);
    CHECK(mine != nullptr);
    CHECK(jobs.unfinished() == 0);
    const bool are_done = co_await jobs.join(0s);
    CHECK(are_done);
  });
}

TEST_CASE("a joinable_queue that is used on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child can start no threads
  const auto misuse = [](auto use) {
    return [use] {
      run_scripted([use](scripted_engine&) -> task<> {
        joinable_queue<int> jobs;
        jobs.try_push(1);
        jobs.try_push(2);
        auto item = jobs.try_pop();
        { const auto other = jobs.try_pop(); }  // so that the items have been done here
        std::thread([&] { use(jobs, *item); }).join();
        co_return;
      });
    };
  };
  const char* const of_queue = "a queue was used on a thread that is not its scheduler's";
  CHECK(aborts_with(of_queue, misuse([](auto& jobs, auto&) { jobs.try_push(1); })));
  CHECK(aborts_with(of_queue, misuse([](auto& jobs, auto&) { (void)jobs.try_pop(); })));
  CHECK(aborts_with(of_queue, misuse([](auto& jobs, auto&) { jobs.close(); })));
  CHECK(aborts_with("an item of a joinable_queue was done on a thread that is not its scheduler's",
                    misuse([](auto&, auto& item) { item.done(); })));
}

TEST_CASE("an item that is done twice, and a queue destroyed before its items, abort") {
  CHECK(aborts_with("that was done already", [] {
    joinable_queue<int> jobs;
    jobs.try_push(1);
    auto item = jobs.try_pop();
    item->done();
    item->done();
  }));
  CHECK(aborts_with("destroyed while a fiber had an item that is not done", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<joinable_queue<int>> jobs(std::in_place);
      jobs->try_push(1);
      auto item = jobs->try_pop();
      jobs.reset();
      co_return;
    });
  }));
  CHECK(aborts_with("destroyed while a fiber waited in join()", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<joinable_queue<int>> jobs(std::in_place);
      std::string log;
      jobs->try_push(1);
      const fiber<> joiner = spawn(note_join(*jobs, log));
      co_await yield();
      jobs.reset();
    });
  }));
}

TEST_SUITE_END();
