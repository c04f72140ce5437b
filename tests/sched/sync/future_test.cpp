// future: what its waits return, what comes of those that give up, and what callbacks see.
//
// Method: "in the same tick" means that no fiber has run between the two. In fibers that are killed
// no co_await stands inside of a CHECK.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/deadlock.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/future.hpp>
#include <ringlet/promise.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <cstdio>
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
#include "support/child.hpp"
#include "support/counted.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

std::exception_ptr failure(const char* what) {
  return std::make_exception_ptr(std::runtime_error(what));
}

// Notes the name and the value.
task<> note(future<int> of, std::string& log, char name, time_limit timeout = forever) {
  const int value = co_await of.get(timeout);
  log += name + std::to_string(value) + ' ';
}

task<> get(future<int> of, time_limit timeout = forever) { co_await of.get(timeout); }

}  // namespace

TEST_SUITE_BEGIN("future");

// row: EV-02
TEST_CASE("all fibers that wait for a future get its value, in their order, and later ones, too") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const std::size_t waits = engine.waits();
    promise<int> answer;
    const future<int> later = answer.get_future();
    std::string log;
    std::vector<fiber<>> all;
    for (const char name : {'a', 'b', 'c'}) all.push_back(spawn(note(later, log, name)));
    co_await yield();
    CHECK_FALSE(later.is_ready());
    CHECK_FALSE(later.has_value());
    CHECK(later.error() == nullptr);
    answer.set_value(42);
    CHECK(later.is_ready());
    CHECK(later.has_value());
    CHECK(later.value() == 42);
    CHECK(later.error() == nullptr);
    CHECK(log.empty());  // the caller continues
    co_await all[2].join();
    CHECK(log == "a42 b42 c42 ");
    CHECK(co_await later.get() == 42);
    CHECK(co_await later.get(0s) == 42);
    CHECK(co_await later.wait(0s));
    CHECK(engine.waits() == waits);
  });
}

// row: EV-02
TEST_CASE("the error of a future is thrown by each get, and wait does not throw it") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<int> answer;
    const future<int> later = answer.get_future();
    const fiber<std::string> waiter = spawn(outcome_of(get(later)));
    co_await yield();
    answer.set_error(failure("no answer"));
    CHECK(later.is_ready());
    CHECK_FALSE(later.has_value());
    CHECK(co_await later.wait());
    for (int i = 0; i < 2; ++i) {
      const std::string words = co_await outcome_of(get(later));
      CHECK(words == "no answer");
    }
    const std::string words = co_await waiter.get();
    CHECK(words == "no answer");
    CHECK(text_of(later.error()) == "no answer");
  });
}

TEST_CASE("get of an lvalue refers to the value, and get of an rvalue returns one") {
  run_scripted([](scripted_engine&) -> task<> {
    SUBCASE("a value that can be copied is copied, because other futures may read it") {
      promise<std::string> answer;
      const future<std::string> later = answer.get_future();
      answer.set_value("a long string that is not stored in the object itself");
      const std::string& first = co_await later.get();
      const std::string& second = co_await later.get();
      CHECK(&first == &second);
      CHECK(&first == &later.value());
      std::string copy = co_await future<std::string>(later).get();
      CHECK(copy == first);
      CHECK(&copy != &first);
    }
    SUBCASE("a value that cannot be copied is moved out") {
      promise<std::unique_ptr<int>> answer;
      const future<std::unique_ptr<int>> later = answer.get_future();
      answer.set_value(std::make_unique<int>(7));
      const std::unique_ptr<int>& peeked = co_await later.get();
      CHECK(*peeked == 7);
      std::unique_ptr<int> moved = co_await answer.get_future().get();
      CHECK(*moved == 7);
      CHECK(later.is_ready());
    }
    SUBCASE("a reference stays one") {
      int number = 1;
      promise<int&> answer;
      answer.set_value(number);
      int& mine = co_await answer.get_future().get();
      CHECK(&mine == &number);
      CHECK(&answer.get_future().value() == &number);
    }
    SUBCASE("void") {
      promise<> done;
      done.set_value();
      co_await done.get_future().get();
      CHECK(done.get_future().has_value());
    }
  });
}

TEST_CASE("reading what was moved out of a future aborts") {
  CHECK(aborts_with("the value of a future was moved out twice", [] {
    run_scripted([](scripted_engine&) -> task<> {
      promise<std::unique_ptr<int>> answer;
      answer.set_value(nullptr);
      std::unique_ptr<int> first = co_await answer.get_future().get();
      std::unique_ptr<int> second = co_await answer.get_future().get();
    });
  }));
  CHECK(aborts_with("the value of a future was read after it was moved out", [] {
    run_scripted([](scripted_engine&) -> task<> {
      promise<std::unique_ptr<int>> answer;
      answer.set_value(nullptr);
      std::unique_ptr<int> first = co_await answer.get_future().get();
      answer.get_future().value();
    });
  }));
}

TEST_CASE("reading the value of a future without one, or using an empty future, aborts") {
  CHECK(aborts_with("the value of a future without a value was read", [] {
    promise<int> answer;
    answer.get_future().value();
  }));
  CHECK(aborts_with("the value of a future without a value was read", [] {
    promise<int> answer;
    answer.set_error(failure("x"));
    answer.get_future().value();
  }));
  CHECK(aborts_with("an empty future was used", [] { (void)future<int>().is_ready(); }));
}

TEST_CASE("a future is a handle: copies are equal, and the value lives as long as one of them") {
  life_count lives;
  {
    future<counted> kept;
    CHECK_FALSE(kept);
    run_scripted([&](scripted_engine&) -> task<> {
      promise<counted> answer;
      const future<counted> one = answer.get_future(), other = one;
      CHECK(one == other);
      CHECK(one != promise<counted>().get_future());
      answer.set_value(counted(lives, 5));
      kept = one;
      co_return;
    });
    CHECK(lives.alive() == 1);
    CHECK(kept.value().value() == 5);
    const future<counted> moved = std::move(kept);
    CHECK_FALSE(kept);  // NOLINT: that is what a move leaves
    CHECK(moved);
  }
  CHECK(lives.alive() == 0);
}

// Limits, kills and select()

// rows: EV-02 W6 TM-06
TEST_CASE("with a limit get throws timed_out and wait returns false, and the future stays") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    promise<int> answer;
    const future<int> later = answer.get_future();
    CHECK_FALSE(co_await later.wait(0s));
    CHECK(engine.now() == begin);
    CHECK_FALSE(co_await later.wait(2ms));
    const std::string words = co_await outcome_of(get(later, 1ms));
    CHECK(words == "timed out");
    CHECK(engine.now() == begin + 3'000'000);
    answer.set_value(1);
    CHECK(co_await later.get(0s) == 1);
  });
}

TEST_CASE("as_result of a get is its value, or the code of its error") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<int> answer, broken;
    promise<> coded;
    const future<int> later = answer.get_future(), never_comes = broken.get_future();
    const result<int> late = co_await as_result(later.get(1ms));
    CHECK(late.error() == errc::timed_out);
    const result<bool> no = co_await as_result(later.wait(1ms));
    CHECK_FALSE(*no);
    answer.set_value(3);
    const result<int> came = co_await as_result(later.get());
    CHECK(*came == 3);
    { const promise<int> dropped = std::move(broken); }
    const result<int> gone = co_await as_result(never_comes.get());
    CHECK(gone.error() == errc::broken_promise);
    coded.set_error(std::make_exception_ptr(
        std::system_error(std::make_error_code(std::errc::connection_refused))));
    const result<void> refused = co_await as_result(coded.get_future().get());
    CHECK(refused.error() == std::errc::connection_refused);
  });
}

TEST_CASE("of a kill and a value in the same tick the first one counts") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<int> answer;
    std::string log;
    const fiber<> waiter = spawn([&]() -> task<> {
      co_await note(answer.get_future(), log, 'a');
      co_await yield();
      log += "not here";
    });
    co_await yield();
    SUBCASE("set, then killed: get returns, and the kill comes with the next wait") {
      answer.set_value(1);
      waiter.request_kill();
      co_await waiter.join();
      CHECK(log == "a1 ");
    }
    SUBCASE("killed, then set") {
      waiter.request_kill();
      answer.set_value(1);
      co_await waiter.join();
      CHECK(log.empty());
    }
    CHECK(waiter.result() == outcome::cancelled);
  });
}

TEST_CASE("a value that comes after the limit, but before the fiber runs, is returned") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<int> answer;
    const future<int> later = answer.get_future();
    fiber<> killed;
    const fiber<> setter = spawn([&]() -> task<> {
      co_await sleep(1ms);  // ends first, in the turn in which the limits pass
      killed.request_kill();
      answer.set_value(1);
    });
    co_await yield();
    const fiber<bool> waiting =
        spawn([](auto of) -> task<bool> { co_return co_await of.wait(1ms); }(later));
    std::string log;
    killed = spawn([&]() -> task<> {
      co_await note(later, log, 'a', 1ms);
      co_await yield();
      log += "not here";
    });
    const int value = co_await later.get(1ms);
    CHECK(value == 1);
    const bool was_set = co_await waiting.get();
    CHECK(was_set);
    co_await killed.join();
    CHECK(log == "a1 ");
    CHECK(killed.result() == outcome::cancelled);
  });
}

TEST_CASE("a kill after the limit, before the fiber runs, is thrown instead of timed_out") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<bool> answer;
    const future<bool> later = answer.get_future();
    queue<bool> items;
    event door;
    const fiber<bool> sleeper = spawn(value_after(9ms, true));
    std::vector<fiber<>> waiters;
    const fiber<> killer = spawn([&]() -> task<> {
      co_await sleep(1ms);  // ends first, in the turn in which the limits pass
      for (const fiber<>& each : waiters) each.request_kill();
    });
    co_await yield();
    std::string logs[6];
    const auto begin = [&](auto make) {
      std::string& log = logs[waiters.size()];
      waiters.push_back(spawn([](auto from, std::string& to) -> task<> {
        try {
          const bool value = co_await from();
          to = value ? "true" : "false";
        } catch (const timed_out&) {
          to = "timed out";
        }
        co_await yield();
        to = "not here";
      }(make, log)));
    };
    begin([&] { return later.get(1ms); });
    begin([&] { return sleeper.get(1ms); });
    begin([&] { return items.pop(1ms); });
    begin([&] { return later.wait(1ms); });
    begin([&] { return sleeper.join(1ms); });
    begin([&] { return door.wait(1ms); });
    co_await killer.join();
    for (const fiber<>& each : waiters) {
      co_await each.join();
      CHECK(each.result() == outcome::cancelled);
    }
    for (int i : {0, 1, 2}) CHECK(logs[i].empty());
    for (int i : {3, 4, 5}) CHECK(logs[i] == "false");
  });
}

TEST_CASE("a fiber that gives up leaves the rest in their order") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<int> answer;
    const future<int> later = answer.get_future();
    std::string log;
    const fiber<> a = spawn(note(later, log, 'a')), b = spawn(note(later, log, 'b')),
                  c = spawn([&]() -> task<> {
                    const bool came = co_await move_on_after(1ms, note(later, log, 'c'));
                    if (!came) log += "c moved on ";
                  }),
                  d = spawn(note(later, log, 'd'));
    co_await yield();
    co_await a.kill();
    co_await c.join();
    answer.set_value(1);
    co_await d.join();
    CHECK(log == "c moved on b1 d1 ");
    CHECK(b.done());
  });
}

TEST_CASE("get and wait can be parts of a select, which leaves the future as it is") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<int> answer, other;
    const future<int> later = answer.get_future(), never_set = other.get_future();
    CHECK((co_await select(later.get(), later.wait(), sleep(1ms))).index() == 2);
    const fiber<> setter = spawn([&]() -> task<> {
      answer.set_value(9);
      co_return;
    });
    const auto came = co_await select(never_set.get(), later.get(), later.wait());
    REQUIRE(came.index() == 1);
    CHECK(std::get<1>(came) == 9);
    co_await setter.join();
    CHECK((co_await select(never_set.get(), later.wait())).index() == 1);
    CHECK(co_await later.get() == 9);
  });
}

// Claims: S6, S7.
TEST_CASE("setting wakes long lines in slices, and a wait in one that is killed has succeeded") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<int> answer;
    const future<int> later = answer.get_future();
    std::size_t passed = 0;
    std::vector<fiber<>> all;
    for (int i = 0; i < 1'000; ++i) {
      all.push_back(spawn([&]() -> task<> {
        const int value = co_await later.get();
        if (value == 1) ++passed;
      }));
    }
    co_await yield();
    answer.set_value(1);
    all[999].request_kill();  // of the last slice
    co_await yield();
    CHECK(passed == 257);
    for (const fiber<>& one : all) co_await one.join();
    CHECK(passed == 1'000);
  });
}

TEST_CASE("a wait keeps the future alive, although all handles are dropped") {
  run_scripted([](scripted_engine&) -> task<> {
    std::optional<promise<std::string>> answer(std::in_place);
    std::string log;
    std::vector<fiber<>> all;
    for (int i = 0; i < 600; ++i) {
      all.push_back(spawn([&]() -> task<> {
        // The future itself is dropped here.
        future_get_wait<std::string, true> kept = answer->get_future().get();
        log += co_await std::move(kept);
      }));
    }
    co_await yield();
    answer->set_value("x");
    answer.reset();
    for (const fiber<>& one : all) co_await one.join();
    CHECK(log == std::string(600, 'x'));
  });
}

// Callbacks

// rows: EV-02 FU-04 W54
TEST_CASE("callbacks are called in the order of their registration by the call that sets") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<int> answer;
    const future<int> later = answer.get_future();
    std::string log;
    later.on_ready([&](const future<int>& set) { log += 'a' + std::to_string(set.value()) + ' '; });
    const fiber<> waiter = spawn(note(later, log, 'w'));
    co_await yield();
    later.on_ready([&] { log += "b "; });
    CHECK(log.empty());
    answer.set_value(4);
    CHECK(log == "a4 b ");  // before the waiting fiber runs
    co_await waiter.join();
    CHECK(log == "a4 b w4 ");
  });
}

// rows: EV-02 FU-04
TEST_CASE("a callback that is added to a ready future is called at the end of the turn") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<> done;
    std::string log;
    done.get_future().on_ready([&] {
      log += "a ";
      done.get_future().on_ready([&] { log += "late "; });  // not in the same call
    });
    done.set_value();
    CHECK(log == "a ");
    done.get_future().on_ready([&] { log += "b "; });
    CHECK(log == "a ");
    co_await sleep(0s);
    CHECK(log == "a late b ");
  });
}

TEST_CASE("the run does not end before late callbacks are called") {
  std::string log;
  run_scripted([&](scripted_engine&) -> task<> {
    promise<> done;
    done.set_value();
    done.get_future().on_ready([&] { log += "called"; });
    co_return;
  });
  CHECK(log == "called");
}

TEST_CASE("a callback that was removed is not called") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<> done;
    const future<> later = done.get_future();
    std::string log;
    callback_id b = {};
    const callback_id a = later.on_ready([&] {
      log += "a ";
      CHECK(later.remove_callback(b));  // takes effect although it is being notified
    });
    b = later.on_ready([&] { log += "b "; });
    const callback_id c = later.on_ready([&] { log += "c "; });
    CHECK(later.remove_callback(c));
    CHECK_FALSE(later.remove_callback(c));
    done.set_value();
    CHECK(log == "a ");
    CHECK_FALSE(later.remove_callback(a));
    const callback_id d = later.on_ready([&] { log += "d "; });
    CHECK(later.remove_callback(d));
    co_await sleep(0s);
    CHECK(log == "a ");
  });
}

// rows: EV-02 FU-04
TEST_CASE("an exception of a callback is reported, and the other callbacks are called") {
  std::vector<std::string> reports;
  run_scripted(
      [](scripted_engine&) -> task<> {
        promise<> done;
        std::string log;
        done.get_future().on_ready([] { throw std::runtime_error("callback failed"); });
        done.get_future().on_ready([&] { log += "b "; });
        done.set_value();
        CHECK(log == "b ");
        done.get_future().on_ready([] { throw std::runtime_error("late callback failed"); });
        co_await sleep(0s);
      },
      collecting(reports));
  CHECK(reports == std::vector<std::string>{"callback failed", "late callback failed"});
}

TEST_CASE("a callback may drop the promise and the last future, and is called for a broken one") {
  run_scripted([](scripted_engine&) -> task<> {
    std::optional<promise<std::string>> answer(std::in_place);
    future<std::string> later = answer->get_future();
    std::string log;
    SUBCASE("set") {
      later.on_ready([&](const future<std::string>& set) {
        answer.reset();
        later = {};
        log += set.value();
      });
      later.on_ready([&] { log += " b"; });
      answer->set_value("a long string that is not stored in the object itself");
      CHECK(log == "a long string that is not stored in the object itself b");
    }
    SUBCASE("broken") {
      later.on_ready([&](const future<std::string>& broken) { log += text_of(broken.error()); });
      answer.reset();
      CHECK(log.find("the promise was destroyed before it had a value") != log.npos);
    }
    co_return;
  });
}

// Errors that were not looked at

// row: W14
TEST_CASE("an error that was not looked at is reported when the last handle goes") {
  std::vector<std::string> reports;
  std::uint32_t line = 0;
  options settings = collecting(reports);
  const auto collect = settings.on_unhandled_error;
  settings.on_unhandled_error = [&](const unhandled_error& failed) {
    collect(failed);
    CHECK(failed.id == 0);
    CHECK(failed.name == "future");
    line = failed.spawned_at.line();
  };
  run_scripted(
      [&](scripted_engine&) -> task<> {
        promise<int> made_here;
        const std::uint32_t made = __LINE__ - 1;
        std::optional<promise<int>> answer(std::move(made_here));
        std::optional<future<int>> later(answer->get_future());
        answer->set_error(failure("no answer"));
        co_await later->wait();  // does not count
        SUBCASE("not looked at") {
          answer.reset();
          CHECK(reports.empty());
          later.reset();
          CHECK(reports == std::vector<std::string>{"no answer"});
          CHECK(line == made);
        }
        SUBCASE("the promise goes last") {
          later.reset();
          CHECK(reports.empty());
          answer.reset();
          CHECK(reports.size() == 1);
        }
        SUBCASE("thrown by get") {
          co_await outcome_of(get(*later));
          later.reset();
          answer.reset();
          CHECK(reports.empty());
        }
        SUBCASE("looked at by error()") {
          CHECK(later->error() != nullptr);
          later.reset();
          answer.reset();
          CHECK(reports.empty());
        }
      },
      settings);
}

TEST_CASE("neither a broken promise nor a killed fiber is reported") {
  std::vector<std::string> reports;
  run_scripted(
      [](scripted_engine&) -> task<> {
        { const future<int> dropped = promise<int>().get_future(); }
        promise<> end;
        const future<> later = end.get_future();
        const fiber<> sleeper = spawn(sleep_for(1h));
        std::move(end).follow(sleeper);
        co_await sleeper.kill();
        CHECK(later.is_ready());
      },
      collecting(reports));
  CHECK(reports.empty());
}

// What is seen of it

TEST_CASE("dump shows which future a fiber waits for, how many wait, and where it was promised") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<int> answer;
    const std::uint32_t made = __LINE__ - 1;
    std::string log;
    const fiber<> a = spawn(note(answer.get_future(), log, 'a')),
                  b = spawn(note(answer.get_future(), log, 'b'));
    co_await yield();
    char where[80];
    std::snprintf(where, sizeof where, "future %p with 2 waiting (at most 2), promised at ",
                  static_cast<void*>(&answer.get_future().state()));
    const std::string text = dump();
    CHECK(text.find(where) != std::string::npos);
    CHECK(text.find("future_test.cpp:" + std::to_string(made)) != std::string::npos);
    co_await a.kill();
    CHECK(dump().find("with 1 waiting (at most 2)") != std::string::npos);
    answer.set_value(1);
    co_await b.join();
  });
}

// row: W42
TEST_CASE("a fiber that waits for a future that no fiber can set is a deadlock") {
  const std::string words = deadlock_of([](scripted_engine&) -> task<> {
    promise<int> answer;
    co_await get(answer.get_future());
  });
  CHECK(words.find("deadlock") == 0);
  CHECK(words.find("fiber 1: future 0x") != std::string::npos);
}

TEST_CASE("futures may be copied, read and dropped on other threads") {
  life_count lives;
  run_scripted([&](scripted_engine&) -> task<> {
    promise<counted> answer;
    future<counted> later = answer.get_future();
    const future<counted> pending = later;
    std::thread([copy = pending] { const future<counted> another = copy; }).join();
    answer.set_value(counted(lives, 3));
    std::thread([later = std::move(later)]() mutable {
      CHECK(later.value().value() == 3);
      const future<counted> last = std::move(later);
    }).join();
    co_return;
  });
  CHECK(lives.alive() == 0);
}

TEST_CASE("waiting for a future on another thread, or adding a callback there, aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child can start no threads
  const char* const rule = "a future was used on a thread that is not its scheduler's";
  CHECK(aborts_with(rule, [] {
    run_scripted([](scripted_engine&) -> task<> {
      promise<int> answer;
      const future<int> later = answer.get_future();
      later.on_ready([] {});
      std::thread([&] { later.on_ready([] {}); }).join();
      co_return;
    });
  }));
  CHECK(aborts_with(rule, [] {
    run_scripted([](scripted_engine&) -> task<> {
      promise<int> answer;
      const future<int> later = answer.get_future();
      co_await later.wait(0s);
      std::thread([&] {
        run_scripted([&](scripted_engine&) -> task<> { co_await later.wait(); });
      }).join();
    });
  }));
}

TEST_CASE("a callback that is added to a ready future outside of run() is called at once") {
  promise<int> before;
  std::string log;
  before.set_value(1);
  before.get_future().on_ready([&] { log += "never ran "; });
  CHECK(log == "never ran ");
  std::optional<future<int>> later;
  run_scripted([&](scripted_engine&) -> task<> {
    promise<int> done;
    later = done.get_future();
    done.set_value(2);
    co_return;
  });
  const auto fails = [](const future<int>&) { throw std::runtime_error("oops"); };
  const child_end end = run_in_child([&] { later->on_ready(fails); });
  CHECK(end.status == 0);
  CHECK(end.errors.find("oops") != std::string::npos);
  const callback_id called =
      later->on_ready([&](const future<int>& f) { log += "value " + std::to_string(f.value()); });
  CHECK(log == "never ran value 2");
  CHECK_FALSE(later->remove_callback(called));
}

TEST_SUITE_END();
