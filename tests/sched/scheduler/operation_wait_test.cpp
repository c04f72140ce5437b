// Waits for operations: how a limit, a kill, a close and the kernel's answer interact.
//
// Method: the scripted engine completes a read when the test says so, before or after the request
// to cancel it. Results are noted as words.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/extend/operation_wait.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <functional>
#include <string>
#include <system_error>

#include "sched/scripted_run.hpp"
#include "support/allocations.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Waits for the operation and then yields, and notes both outcomes.
task<> note_outcome(std::string& log, time_limit timeout) {
  try {
    const result<std::int32_t> got = co_await as_result(probe(7, timeout));
    log += got ? std::to_string(*got) : got.error().message();
  } catch (const cancelled&) {
    log += "cancelled";
  }
  log += ", ";
  try {
    co_await yield();
    log += "free";
  } catch (const cancelled&) {
    log += "cancelled";
  }
}

// A fiber that waits for an operation on descriptor 7, which is in flight.
struct waiting_fiber {
  scripted_engine engine;
  std::string log;
  fiber<> waiting;

  operation& in_flight() { return engine.oldest(opcode::read); }

  // Starts it, runs the script, and returns the notes when it has ended.
  std::string after(std::function<task<>()> script, time_limit timeout = forever) {
    const auto main = [&]() -> task<> {
      waiting = spawn(note_outcome, std::ref(log), timeout);
      co_await yield();
      co_await script();
      co_await waiting.join();
    };
    run_on(engine, main());
    return log;
  }
};

// Two waits on one object: the second is started from the handler of the first.
class two_reads : public operation_wait {
 public:
  two_reads() noexcept : operation_wait(opcode::read, &two_reads::on_completion, forever) {}
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin_operation(type, caller.promise());
  }
  std::int32_t await_resume() {
    rethrow_interruption_before_start();
    if (answer < 0) throw_error(failure(), type.name);
    return sum_;
  }

 private:
  static void on_completion(operation& op, const completion& done) noexcept {
    auto& self = static_cast<two_reads&>(op);
    if (done.result > 0) self.sum_ += done.result;
    if (self.reads_++ == 0) {
      if (self.restart()) return;
      self.answer = -ECANCELED;
    }
    self.finish();
  }
  static const wait_type type;
  int sum_ = 0;
  int reads_ = 0;
};

const wait_type two_reads::type = make_type<two_reads>("two reads");

}  // namespace

TEST_SUITE_BEGIN("operation_wait");

// The answer

TEST_CASE("an operation's result resumes the fiber") {
  waiting_fiber test;
  CHECK(test.after([&]() -> task<> {
    test.engine.complete(test.in_flight(), 5);
    co_return;
  }) == "5, free");
}

TEST_CASE("a negative answer is the system error with that number") {
  waiting_fiber test;
  test.after([&]() -> task<> {
    test.engine.complete(test.in_flight(), -ECONNRESET);
    co_return;
  });
  CHECK(test.log == std::make_error_code(std::errc::connection_reset).message() + ", free");
}

TEST_CASE("an operation that the system cancelled is an error, not a cancellation") {
  waiting_fiber test;
  test.after([&]() -> task<> {
    test.engine.complete(test.in_flight(), -ECANCELED);
    co_return;
  });
  CHECK(test.log == std::make_error_code(std::errc::operation_canceled).message() + ", free");
}

TEST_CASE("a thrown error names the call") {
  scripted_engine engine;
  engine.on_start = [&](operation& op) { engine.complete(op, -EPIPE); };
  const auto main = []() -> task<> {
    try {
      co_await probe();
      FAIL("it must throw");
    } catch (const std::system_error& error) {
      CHECK(error.code() == std::errc::broken_pipe);
      CHECK(std::string(error.what()).starts_with("probe"));
    }
  };
  run_on(engine, main());
}

// Kills, by phase

TEST_CASE("a kill before the start starts no operation") {
  waiting_fiber test;
  const auto main = [&]() -> task<> {
    test.waiting = spawn([&]() -> task<> {
      current().kill();
      co_await note_outcome(test.log, forever);
    });
    co_await test.waiting.join();
  };
  run_on(test.engine, main());
  CHECK(test.log == "cancelled, free");
  CHECK(test.engine.log().empty());
}

TEST_CASE("a kill in flight cancels the operation, and waits until it has ended") {
  waiting_fiber test;
  test.after([&]() -> task<> {
    test.engine.hold_cancellations(true);
    test.waiting.request_kill();
    CHECK(test.engine.cancelled(opcode::read) == 1);
    for (int i = 0; i < 5; ++i) co_await yield();
    CHECK(test.log.empty());
    test.engine.complete(test.in_flight(), -ECANCELED);
  });
  CHECK(test.log == "cancelled, free");
}

TEST_CASE("a kill in flight that is too late waits: the result wins") {
  waiting_fiber test;
  CHECK(test.after([&]() -> task<> {
    test.engine.hold_cancellations(true);
    test.waiting.request_kill();
    test.engine.complete(test.in_flight(), 5);
    co_return;
  }) == "5, cancelled");
}

TEST_CASE("a kill after the completion and before its delivery waits: the result wins") {
  waiting_fiber test;
  CHECK(test.after([&]() -> task<> {
    test.engine.complete(test.in_flight(), 5);
    test.waiting.request_kill();
    co_return;
  }) == "5, cancelled");
}

TEST_CASE("an error does not win over a kill, because nothing was taken") {
  waiting_fiber test;
  test.after([&]() -> task<> {
    test.engine.complete(test.in_flight(), -EPIPE);
    test.waiting.request_kill();
    co_return;
  });
  CHECK(test.log == "cancelled, free");
}

TEST_CASE("two kills in flight cause one cancellation and two throws") {
  waiting_fiber test;
  CHECK(test.after([&]() -> task<> {
    test.waiting.request_kill();
    test.waiting.request_kill();
    CHECK(test.engine.cancelled(opcode::read) == 1);
    co_return;
  }) == "cancelled, cancelled");
}

// Limits

TEST_CASE("a limit cancels the operation, and the wait throws timed_out") {
  waiting_fiber test;
  test.after(
      [&]() -> task<> {
        const steady_ns begin = test.engine.now();
        co_await test.waiting.join();
        CHECK(test.engine.now() == begin + 2'000'000);
      },
      2ms);
  CHECK(test.log == "timed out, free");
}

TEST_CASE("a result in time disarms the limit") {
  waiting_fiber test;
  test.after(
      [&]() -> task<> {
        test.engine.complete(test.in_flight(), 5);
        co_await sleep(5ms);
      },
      2ms);
  CHECK(test.log == "5, free");
  CHECK(test.engine.cancelled(opcode::read) == 0);
}

TEST_CASE("success wins over a limit, too") {
  waiting_fiber test;
  test.after(
      [&]() -> task<> {
        test.engine.hold_cancellations(true);
        co_await sleep(5ms);
        CHECK(test.engine.cancelled(opcode::read) == 1);
        test.engine.complete(test.in_flight(), 5);
      },
      2ms);
  CHECK(test.log == "5, free");
}

TEST_CASE("an operation that completes at once succeeds although its limit has passed") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    engine.on_start = [&](operation& op) { engine.complete(op, 5); };
    CHECK(co_await probe(7, 0s) == 5);
    CHECK(co_await probe(7, time_limit::at(1)) == 5);
    engine.on_start = nullptr;
    CHECK_THROWS_AS(co_await probe(7, 0s), timed_out);
  };
  run_on(engine, main());
}

TEST_CASE("a kill on the same operation is thrown before a limit") {
  waiting_fiber test;
  SUBCASE("the limit first") {
    test.after(
        [&]() -> task<> {
          test.engine.hold_cancellations(true);
          co_await sleep(5ms);
          test.waiting.request_kill();
          test.engine.hold_cancellations(false);
        },
        2ms);
  }
  SUBCASE("the kill first") {
    test.after(
        [&]() -> task<> {
          test.engine.hold_cancellations(true);
          test.waiting.request_kill();
          co_await sleep(5ms);
          test.engine.hold_cancellations(false);
        },
        2ms);
  }
  CHECK(test.log == "cancelled, free");
  CHECK(test.engine.cancelled(opcode::read) == 1);
}

TEST_CASE("a kill between the answer to a cancellation and the resumption is thrown there") {
  waiting_fiber test;
  test.after(
      [&]() -> task<> {
        // The cancellation has been answered and delivered in this turn; then the kill comes. This
        // fiber is resumed first, because its operation was answered first.
        test.engine.hold_cancellations(true);
        test.engine.on_idle = [&] {
          if (!test.engine.is_waiting(opcode::read, 8)) return false;
          if (test.engine.cancelled(opcode::read, 7) == 0) return false;
          test.engine.complete(test.engine.oldest(opcode::read, 8), 0);
          test.engine.complete(test.engine.oldest(opcode::read, 7), -ECANCELED);
          return true;
        };
        co_await probe(8);
        test.waiting.request_kill();
      },
      2ms);
  // Not timed_out: the operation took nothing that could be lost, and a kill must not wait.
  CHECK(test.log == "cancelled, free");
}

// Closing

TEST_CASE("closing the object of an operation ends the wait with closed") {
  scripted_engine engine;
  const auto body = [&]() -> task<> {
    two_reads reads;
    try {
      co_await std::move(reads);
      FAIL("it must throw");
    } catch (const std::system_error& error) {
      CHECK(error.code() == errc::closed);
    }
  };
  const auto main = [&]() -> task<> {
    const auto waiting = spawn(body);
    co_await yield();
    waiting.state().cancel_wait(cancel_reason::closed);
    co_await waiting.join();
  };
  run_on(engine, main());
}

// Operations of several requests

TEST_CASE("a handler may start the operation again, and the wait continues") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    engine.on_start = [&](operation& op) { engine.complete(op, 4); };
    two_reads reads;
    CHECK(co_await std::move(reads) == 8);
    CHECK(engine.started(opcode::read) == 2);
  };
  run_on(engine, main());
}

TEST_CASE("a wait that was cancelled does not start its operation again") {
  scripted_engine engine;
  bool ended = false;
  const auto main = [&]() -> task<> {
    const auto killed = spawn([&]() -> task<> {
      two_reads reads;
      try {
        co_await std::move(reads);
      } catch (const cancelled&) {
        ended = true;
      }
    });
    co_await yield();
    engine.hold_cancellations(true);
    killed.request_kill();
    engine.complete(engine.oldest(opcode::read), 4);
    co_await killed.join();
  };
  run_on(engine, main());
  CHECK(ended);
  CHECK(engine.started(opcode::read) == 1);
}

// Deadlock, the end of the run, and allocation

TEST_CASE("a fiber that waits for an operation in flight is not deadlocked") {
  scripted_engine engine;
  int steps = 0;
  engine.on_idle = [&] {
    if (++steps == 3) engine.complete(engine.oldest(opcode::read), 5);
    return true;
  };
  const auto main = []() -> task<> {
    const auto reader = spawn([]() -> task<int> { co_return co_await probe(); });
    CHECK(co_await reader.get() == 5);
  };
  run_on(engine, main());
  CHECK(steps == 3);
}

TEST_CASE("operations in flight when the main task ends are cancelled and waited for") {
  scripted_engine engine;
  std::string log;
  const auto main = [&]() -> task<> {
    spawn(note_outcome, std::ref(log), forever);
    co_await yield();
  };
  run_on(engine, main());
  // Cancelled at every wait: the root scope is cancelled.
  CHECK(log == "cancelled, cancelled");
  CHECK(engine.in_flight() == 0);
}

TEST_CASE("waiting for operations, cancelling and limits do not allocate") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto kill_one = [&]() -> task<std::size_t> {
      const auto reader = spawn([]() -> task<> { co_await probe(7, 1h); });
      co_await yield();
      const std::size_t before = allocations();
      static_cast<fiber_base&>(reader.state()).kill();
      const std::size_t after = allocations();
      co_await reader.join();
      co_return after - before;
    };
    co_await kill_one();  // the test's engine grows its lists
    CHECK(co_await kill_one() == 0);
  };
  run_on(engine, main());
}

TEST_SUITE_END();
