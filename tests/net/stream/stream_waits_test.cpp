// The calls for bytes in every phase of their life, on a scripted engine.
//
// Method: each case covers all calls, from receive() to the writes of standard output. The call
// runs in its own fiber; the case completes its operation, kills it or closes the stream, and
// compares the outcome with a string. Time is virtual. See stage.hpp.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/stream_waits.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <poll.h>

#include <cerrno>
#include <chrono>
#include <string>

#include "support/aborts.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Runs `body(stage, call)` on a new stage for each call.
template <class F>
void for_each_call(F body) {
  for (const byte_call& call : byte_calls) {
    CAPTURE(call.name);
    on_stage([&](stage& s) -> task<> { return body(s, call); });
  }
}

template <class F>
void for_each_tcp_call(F body) {
  for (const byte_call& call : byte_calls) {
    if (!call.on_tcp()) continue;
    CAPTURE(call.name);
    on_stage([&](stage& s) -> task<> { return body(s, call); });
  }
}

// What the plain call throws, as std::system_error.
template <class Make>
task<std::string> thrown_by(Make make) {
  try {
    co_await make();
  } catch (const std::system_error& error) {
    co_return error.what();
  }
  co_return "nothing";
}

// Makes the call again; true if it works.
task<bool> works_again(stage& s, const byte_call& call) {
  const auto again = spawn(call.outcome(s, forever));
  co_await settle();
  if (!call.is_in_flight(s)) co_return false;
  call.complete(s);
  const std::string words = co_await again.get();
  co_return words == call.success;
}

}  // namespace

TEST_SUITE_BEGIN("stream_waits");

TEST_CASE("a call succeeds when its operation does, at once or later") {
  for_each_call([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    CHECK_FALSE(fiber.done());
    call.complete(s);
    const std::string later = co_await fiber.get();
    CHECK(later == call.success);

    call.succeed_at_once(s);
    const std::string at_once = co_await call.outcome(s, forever);
    CHECK(at_once == call.success);
    // The request of a receive() remains in flight.
    CHECK(s.engine.started(call.code) == (call.code == opcode::receive ? 1 : 2));
    CHECK(s.engine.cancelled(call.code) == 0);
  });
}

TEST_CASE("the bytes that were read are at the front of the memory, or in the buffer") {
  on_stage([](stage& s) -> task<> {
    s.engine.on_start = [&](operation& op) { s.engine.deliver(op, "xyz"); };
    const std::size_t count = co_await s.stream.read_some(s.memory);
    CHECK(text(s.memory, count) == "xyz");
    s.memory = {};
    co_await s.stream.read_exact(s.memory);
    CHECK(text(s.memory) == "xyz");
    const buffer lent = co_await s.stream.receive();
    CHECK(lent.text() == "xyz");
    CHECK(s.stream.bytes_read() == 9);
    CHECK(s.stream.bytes_written() == 0);
  });
}

TEST_CASE("a system error is returned unchanged, and the direction stays usable") {
  for_each_call([](stage& s, const byte_call& call) -> task<> {
    for (const int error : {ECONNRESET, ETIMEDOUT, EPIPE, ENOMEM, EIO}) {
      const auto fiber = spawn(call.outcome(s, forever));
      co_await settle();
      call.fail(s, error);
      const std::string words = co_await fiber.get();
      CHECK(words == std::system_category().message(error));
    }
    const bool works = co_await works_again(s, call);
    CHECK(works);
  });
}

TEST_CASE("without as_result an error is thrown and names the call") {
  on_stage([](stage& s) -> task<> {
    s.engine.on_start = [&](operation& op) { s.engine.complete(op, -ECONNRESET); };
    std::string said = co_await thrown_by([&] { return s.stream.receive(); });
    CHECK(said == "receive: Connection reset by peer");
    said = co_await thrown_by([&] { return s.stream.read_some(s.memory); });
    CHECK(said == "read_some: Connection reset by peer");
    said = co_await thrown_by([&] { return s.stream.read_exact(s.memory); });
    CHECK(said == "read_exact: Connection reset by peer");
    said = co_await thrown_by([&] { return s.stream.write_all("abc"); });
    CHECK(said == "write_all: Connection reset by peer");
    const std::array parts{bytes("abc")};
    said = co_await thrown_by([&] { return s.stream.write_all(parts); });
    CHECK(said == "write_all: Connection reset by peer");
  });
}

TEST_CASE("a call that was interrupted by a signal is tried again") {
  for_each_call([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    call.fail(s, EINTR);
    co_await settle();
    CHECK_FALSE(fiber.done());
    CHECK(s.engine.started(call.code) == 2);
    call.complete(s);
    const std::string words = co_await fiber.get();
    CHECK(words == call.success);
  });
}

TEST_CASE("a call that found nothing is tried again when there is something, and not before") {
  for_each_call([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = spawn(call.outcome(s, forever));
    for (int round = 0; round < 3; ++round) {
      co_await settle();
      call.fail(s, EAGAIN);
      co_await settle();
      CHECK_FALSE(fiber.done());
      // A read(2) or write(2) would fail again at once, so the descriptor is polled.
      if (call.on_tcp()) continue;
      CHECK_FALSE(call.is_in_flight(s));
      operation& poll = s.engine.oldest(opcode::poll, standard_fd);
      CHECK(poll.poll.events == (call.is_read() ? POLLIN : POLLOUT));
      // Also when the poll fails: the call itself reports what is wrong.
      s.engine.complete(poll, round == 1 ? -EIO : poll.poll.events);
      co_await settle();
      CHECK_FALSE(fiber.done());
    }
    if (call.code == opcode::receive || call.code == opcode::recv) {
      CHECK(call.in_flight(s).poll_first);
    }
    CHECK(s.engine.started(call.code) == 4);
    call.complete(s);
    const std::string words = co_await fiber.get();
    CHECK(words == call.success);
  });
}

TEST_CASE("a call that is killed or timed out while its descriptor is polled takes nothing") {
  for (const bool killed : {true, false}) {
    for_each_call([killed](stage& s, const byte_call& call) -> task<> {
      if (call.on_tcp()) co_return;
      const auto fiber = spawn(call.outcome(s, 5ms));
      co_await settle();
      call.fail(s, EAGAIN);
      co_await settle();
      if (killed) fiber.request_kill();
      co_await sleep(6ms);
      CHECK(s.engine.cancelled(opcode::poll) == 1);
      std::string words = co_await fiber.get();
      CHECK(words == (killed ? "cancelled" : "timed out"));

      // The descriptor becomes ready as the fiber is killed.
      s.engine.hold_cancellations(true);
      const auto late = spawn(call.outcome(s, forever));
      co_await settle();
      call.fail(s, EAGAIN);
      co_await settle();
      late.request_kill();
      co_await settle();
      s.engine.complete(s.engine.oldest(opcode::poll), POLLIN | POLLOUT | POLLHUP);
      words = co_await late.get();
      CHECK(words == "cancelled");
      const bool works = co_await works_again(s, call);
      CHECK(works);
    });
  }
}

// The limit

TEST_CASE("a call whose limit passes ends after its operation") {
  for_each_call([](stage& s, const byte_call& call) -> task<> {
    s.engine.hold_cancellations(true);
    const auto fiber = spawn(call.outcome(s, 5ms));
    co_await settle();
    co_await sleep(5ms);
    co_await settle();
    CHECK(s.engine.cancelled(call.code) == 1);
    CHECK_FALSE(fiber.done());
    s.engine.hold_cancellations(false);
    const std::string words = co_await fiber.get();
    CHECK(words == "timed out");
    const bool works = co_await works_again(s, call);
    CHECK(works);
  });
}

TEST_CASE("a call that succeeds in time disarms its limit") {
  for_each_call([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = spawn(call.outcome(s, 5ms));
    co_await settle();
    call.complete(s);
    co_await sleep(10ms);
    CHECK(s.engine.cancelled(call.code) == 0);
    const std::string words = co_await fiber.get();
    CHECK(words == call.success);
  });
}

TEST_CASE("success wins over the limit when both come together or the success comes last") {
  for_each_call([](stage& s, const byte_call& call) -> task<> {
    const auto both = spawn(call.outcome(s, 5ms));
    co_await settle();
    call.complete(s);
    s.engine.advance(5'000'000);
    std::string words = co_await both.get();
    CHECK(words == call.success);

    s.engine.hold_cancellations(true);
    const auto last = spawn(call.outcome(s, 5ms));
    co_await sleep(6ms);
    CHECK(s.engine.cancelled(call.code) == 1);
    call.complete(s);
    words = co_await last.get();
    CHECK(words == call.success);
    s.engine.hold_cancellations(false);
  });
}

TEST_CASE("a stream's call whose limit has passed succeeds if it need not wait") {
  for_each_call([](stage& s, const byte_call& call) -> task<> {
    s.engine.on_start = [&](operation&) { call.complete(s); };
    std::string words = co_await call.outcome(s, 0s);
    CHECK(words == call.success);
    const time_limit long_ago = time_limit::at(1);
    if (s.engine.is_waiting(call.code)) call.complete(s);  // a receive is in flight already
    words = co_await call.outcome(s, long_ago);
    CHECK(words == call.success);
    s.engine.on_start = {};
    words = co_await call.outcome(s, 0s);
    CHECK(words == "timed out");
    words = co_await call.outcome(s, long_ago);
    CHECK(words == "timed out");
    const bool works = co_await works_again(s, call);
    CHECK(works);
  });
}

TEST_CASE("a limit that passes is thrown as timed_out") {
  on_stage([](stage& s) -> task<> {
    bool thrown = false;
    try {
      co_await s.stream.read_some(s.memory, 1ms);
    } catch (const timed_out& error) {
      thrown = true;
      CHECK(error.code() == std::errc::timed_out);
      CHECK(std::string_view(error.what()) == "read_some: timed out");
    }
    CHECK(thrown);
  });
}

// Kills

TEST_CASE("a fiber that was killed before its call starts no operation") {
  for_each_call([](stage& s, const byte_call& call) -> task<> {
    current().kill();
    const std::string words = co_await call.outcome(s, forever);
    CHECK(words == "cancelled");
    CHECK(s.engine.started(call.code) == 0);
    const bool works = co_await works_again(s, call);
    CHECK(works);
  });
}

TEST_CASE("a killed call ends after its operation, and takes nothing") {
  for_each_call([](stage& s, const byte_call& call) -> task<> {
    s.engine.hold_cancellations(true);
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    fiber.request_kill();
    co_await settle();
    CHECK(s.engine.cancelled(call.code) == 1);
    CHECK_FALSE(fiber.done());
    s.engine.hold_cancellations(false);
    const std::string words = co_await fiber.get();
    CHECK(words == "cancelled");
    const bool works = co_await works_again(s, call);
    CHECK(works);
  });
}

TEST_CASE("a call that is killed after its operation has completed succeeds") {
  for_each_call([](stage& s, const byte_call& call) -> task<> {
    // The completion has not been delivered yet.
    const auto undelivered = spawn(call.outcome(s, forever));
    co_await settle();
    call.complete(s);
    undelivered.request_kill();
    std::string words = co_await undelivered.get();
    CHECK(words == std::string(call.success) + ", then cancelled");

    // It has been delivered, and the fiber is queued to run.
    const auto delivered = spawn(call.outcome(s, forever));
    co_await settle();
    call.complete(s);
    co_await sleep(0s);
    delivered.request_kill();
    words = co_await delivered.get();
    CHECK(words == std::string(call.success) + ", then cancelled");
  });
}

TEST_CASE("an operation that completes although it was cancelled delivers its result") {
  for_each_call([](stage& s, const byte_call& call) -> task<> {
    s.engine.hold_cancellations(true);
    const auto succeeds = spawn(call.outcome(s, forever));
    co_await settle();
    succeeds.request_kill();
    co_await settle();
    call.complete(s);
    std::string words = co_await succeeds.get();
    CHECK(words == std::string(call.success) + ", then cancelled");

    const auto fails = spawn(call.outcome(s, forever));
    co_await settle();
    fails.request_kill();
    co_await settle();
    call.fail(s, ECONNRESET);
    words = co_await fails.get();
    CHECK(words == "cancelled");  // it delivers nothing
  });
}

TEST_CASE("a killed call is not tried again") {
  for (const int error : {EAGAIN, EINTR}) {
    for_each_call([error](stage& s, const byte_call& call) -> task<> {
      s.engine.hold_cancellations(true);
      const auto fiber = spawn(call.outcome(s, forever));
      co_await settle();
      fiber.request_kill();
      co_await settle();
      call.fail(s, error);
      const std::string words = co_await fiber.get();
      CHECK(words == "cancelled");
      CHECK(s.engine.started(call.code) == 1);
    });
  }
}

TEST_CASE("two kills are thrown at two calls") {
  for_each_call([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    fiber.request_kill();
    fiber.request_kill();
    const std::string words = co_await fiber.get();
    CHECK(words == "cancelled, then cancelled");
    CHECK(s.engine.cancelled(call.code) == 1);
  });
}

TEST_CASE("a kill is reported before a limit, whichever came first") {
  for (const bool kill_first : {true, false}) {
    for_each_call([kill_first](stage& s, const byte_call& call) -> task<> {
      s.engine.hold_cancellations(true);
      const auto fiber = spawn(call.outcome(s, 5ms));
      co_await settle();
      if (kill_first) fiber.request_kill();
      co_await sleep(6ms);
      if (!kill_first) fiber.request_kill();
      s.engine.hold_cancellations(false);
      const std::string words = co_await fiber.get();
      CHECK(words == "cancelled");
    });
  }
}

TEST_CASE("a fiber can be killed with a chosen exception") {
  for_each_call([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    fiber.state().interrupt_with(std::make_exception_ptr(std::runtime_error("enough")));
    std::string said;
    try {
      co_await fiber.get();
    } catch (const std::runtime_error& error) {
      said = error.what();
    }
    CHECK(said == "enough");
  });
}

TEST_CASE("a cancelled scope ends the call inside, and the next one") {
  for_each_call([](stage& s, const byte_call& call) -> task<> {
    bool timed = false;
    try {
      co_await with_timeout(5ms, call.outcome(s, forever));
    } catch (const timed_out&) {
      timed = true;
    }
    // outcome_of() swallows the first cancellation and meets the second at its yield().
    CHECK_FALSE(timed);
    CHECK(s.engine.cancelled(call.code) == 1);
    const bool works = co_await works_again(s, call);
    CHECK(works);
  });
}

TEST_CASE("with_timeout around a plain call ends it with timed_out") {
  on_stage([](stage& s) -> task<> {
    bool timed = false;
    try {
      co_await with_timeout(5ms, s.stream.receive());
    } catch (const timed_out&) {
      timed = true;
    }
    CHECK(timed);
    CHECK(s.engine.cancelled(opcode::receive) == 1);
  });
}

TEST_CASE("a call in flight is cancelled when the run ends") {
  for (const byte_call& call : byte_calls) {
    CAPTURE(call.name);
    scripted_engine engine;
    std::string words;
    const auto main = [&]() -> task<> {
      // Owned by the fiber, because the stage must outlive the call.
      const auto make = [&]() -> task<> {
        stage s(engine);
        words = co_await call.outcome(s, forever);
      };
      spawn(make);
      co_await settle();
      CHECK(engine.is_waiting(call.code, call.fd()));
    };
    detail::run_on(engine, main(), {}, std::source_location::current());
    CHECK(words == "cancelled, then cancelled");
    CHECK(engine.closes(stream_fd) == 1);
    CHECK(engine.closes(standard_fd) == 0);
  }
}

TEST_SUITE_END();
