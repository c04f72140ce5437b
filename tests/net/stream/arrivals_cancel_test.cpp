// Bytes that arrive while no call reads: nothing is lost, duplicated or leaked when a peer floods,
// or calls are killed or reach their limits.
//
// Method: as in stream_waits_test.cpp, on a scripted engine. Each case first makes one receive(),
// whose request is then in flight without a caller; the test delivers its bytes.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/stream_waits.hpp>

#include <doctest/doctest.h>

#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "arrivals.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("arrivals");

// A peer that sends faster than it is read

TEST_CASE("more than four waiting buffers cancel the request once, and nothing is lost") {
  on_wide_stage([](stage& s) -> task<> {
    co_await begin_receiving(s);
    for (const std::string_view one : {"0", "1", "2", "3"}) {
      deliver(s, {one});
      co_await settle();
    }
    CHECK(cancellations(s) == 0);
    s.engine.hold_cancellations(true);
    deliver(s, {"4"});
    co_await settle();
    CHECK(cancellations(s) == 1);
    // Bytes that the kernel delivers before it sees the cancellation.
    deliver(s, {"5", "6"});
    co_await settle();
    s.engine.hold_cancellations(false);
    co_await settle();
    CHECK_FALSE(has_request(s));
    CHECK(cancellations(s) == 1);
    CHECK(s.engine.buffers_free() == many_buffers - 7);
    for (const std::string_view expected : {"0", "1", "2", "3", "4", "5", "6"}) {
      const std::string got = co_await received(s);
      CHECK(got == expected);
    }
    CHECK(requests(s) == 1);
    CHECK(s.engine.buffers_free() == many_buffers);
  });
}

TEST_CASE("a second waiting buffer cancels the request when few buffers are left") {
  on_wide_stage([](stage& s) -> task<> {
    co_await begin_receiving(s);
    std::vector<std::int32_t> in_use;
    while (s.engine.buffers_free() > many_buffers / 4) in_use.push_back(s.engine.take_buffer());
    deliver(s, {"0"});
    co_await settle();
    CHECK(cancellations(s) == 0);
    deliver(s, {"1"});
    co_await settle();
    CHECK(cancellations(s) == 1);
    for (const std::int32_t id : in_use) s.engine.recycle_buffer(id);
    const std::string got = co_await exactly(s, 2);
    CHECK(got == "01");
  });
}

TEST_CASE(
    "the next request after a flood is for one buffer, and after an emptied socket for many "
    "again") {
  on_wide_stage([](stage& s) -> task<> {
    co_await begin_receiving(s);
    CHECK(request(s).multishot);
    deliver(s, {"0", "1", "2", "3", "4"});
    co_await settle();
    CHECK_FALSE(has_request(s));
    const std::string got = co_await exactly(s, 5);
    CHECK(got == "01234");

    for (const bool nonempty : {true, true, false}) {
      const auto fiber = spawn(outcome_of_receive(s, forever));
      co_await settle();
      CHECK_FALSE(request(s).multishot);
      CHECK_FALSE(request(s).poll_first);
      s.engine.deliver(request(s), "abc", nonempty);
      const std::string words = co_await fiber.get();
      CHECK(words == "3 bytes");
      CHECK_FALSE(has_request(s));
    }
    const auto fiber = spawn(outcome_of_receive(s, forever));
    co_await settle();
    CHECK(request(s).multishot);
    CHECK(request(s).poll_first);
    fiber.request_kill();
    co_await fiber.join();
  });
}

TEST_CASE("a call that begins while a flooded request is being cancelled continues after its end") {
  for (const byte_call& call : byte_calls) {
    if (!is_tcp_read(call)) continue;
    CAPTURE(call.name);
    on_wide_stage([&](stage& s) -> task<> {
      co_await begin_receiving(s);
      s.engine.hold_cancellations(true);
      deliver(s, {"0", "1", "2", "3", "4"});
      co_await settle();
      std::string got = co_await exactly(s, 5);
      CHECK(got == "01234");
      const auto fiber = spawn(call.outcome(s, forever));
      co_await settle();
      CHECK(requests(s) + own_reads(s) == 1);
      s.engine.hold_cancellations(false);
      co_await settle();
      CHECK_FALSE(fiber.done());
      CHECK(requests(s) + own_reads(s) == 2);
      CHECK(cancellations(s) == 1);
      call.complete(s);
      const std::string words = co_await fiber.get();
      CHECK(words == call.success);
    });
  }
}

TEST_CASE("a call that keeps up with its peer never has its request cancelled") {
  on_stage([](stage& s) -> task<> {
    co_await begin_receiving(s);
    for (int round = 0; round < 20; ++round) {
      deliver(s, {"a", "b", "c", "d"});
      const std::string got = co_await exactly(s, 4);
      CHECK(got == "abcd");
    }
    CHECK(requests(s) == 1);
    CHECK(cancellations(s) == 0);
  });
}

// Kills and limits

TEST_CASE("a call that is killed or timed out cancels its request, and ends after it") {
  for (const bool killed : {true, false}) {
    CAPTURE(killed);
    for_each_read([killed](stage& s, const byte_call& call) -> task<> {
      s.engine.hold_cancellations(true);
      const auto fiber = spawn(call.outcome(s, 5ms));
      co_await settle();
      if (killed) fiber.request_kill();
      co_await sleep(6ms);
      co_await settle();
      CHECK(cancellations(s) == 1);
      CHECK_FALSE(fiber.done());
      s.engine.hold_cancellations(false);
      const std::string words = co_await fiber.get();
      CHECK(words == (killed ? "cancelled" : "timed out"));
      CHECK(requests(s) + own_reads(s) == 1);
      const bool works = co_await works_again(s, call);
      CHECK(works);
      CHECK(s.engine.buffers_free() == 4);
    });
  }
}

TEST_CASE("a cancelled call delivers bytes that arrive before its end: success wins") {
  for (const bool killed : {true, false}) {
    CAPTURE(killed);
    for_each_read([killed](stage& s, const byte_call& call) -> task<> {
      s.engine.hold_cancellations(true);
      const auto fiber = spawn(call.outcome(s, 5ms));
      co_await settle();
      if (killed) fiber.request_kill();
      co_await sleep(6ms);
      // One kill for the call, one for the next wait.
      deliver(s, {"abc", "def"});
      const std::string words = co_await fiber.get();
      CHECK(words == std::string(call.success) + (killed ? ", then cancelled" : ""));
      if (call.code != opcode::receive) CHECK(text(s.memory) == "abc");
      CHECK(s.stream.bytes_read() == 6);
      s.engine.hold_cancellations(false);
      const std::string got = co_await received(s);
      CHECK(got == "def");
      const bool works = co_await works_again(s, call);
      CHECK(works);
    });
  }
}

TEST_CASE("a call that is killed after its bytes were delivered succeeds") {
  for_each_read([](stage& s, const byte_call& call) -> task<> {
    const auto undelivered = spawn(call.outcome(s, forever));
    co_await settle();
    deliver(s, {"abc"});
    undelivered.request_kill();
    std::string words = co_await undelivered.get();
    CHECK(words == std::string(call.success) + ", then cancelled");
    CHECK(s.stream.bytes_read() == 6);
  });
  for_each_read([](stage& s, const byte_call& call) -> task<> {
    const auto delivered = spawn(call.outcome(s, forever));
    co_await settle();
    deliver(s, {"abc"});
    co_await sleep(0s);  // the fiber is queued to run
    delivered.request_kill();
    const std::string words = co_await delivered.get();
    CHECK(words == std::string(call.success) + ", then cancelled");
    CHECK(cancellations(s) == 0);
    CHECK(s.stream.bytes_read() == 6);
  });
}

TEST_CASE(
    "a killed call whose request ends with an error is cancelled, and the next call reports the "
    "error") {
  for_each_read([](stage& s, const byte_call& call) -> task<> {
    s.engine.hold_cancellations(true);
    const auto fails = spawn(call.outcome(s, forever));
    co_await settle();
    fails.request_kill();
    co_await settle();
    s.engine.complete(request(s), -ECONNRESET);
    std::string words = co_await fails.get();
    CHECK(words == "cancelled");
    words = co_await spawn(call.outcome(s, forever)).get();
    CHECK(words == "Connection reset by peer");
  });
}

TEST_CASE("a killed call whose request fails starts no other") {
  for (const int error : {ENOBUFS, EAGAIN, EINTR, ECANCELED}) {
    CAPTURE(error);
    for_each_read([error](stage& s, const byte_call& call) -> task<> {
      s.engine.hold_cancellations(true);
      const auto fiber = spawn(call.outcome(s, forever));
      co_await settle();
      fiber.request_kill();
      co_await settle();
      s.engine.complete(request(s), -error);
      const std::string words = co_await fiber.get();
      CHECK(words == "cancelled");
      CHECK(requests(s) + own_reads(s) == 1);
      s.engine.hold_cancellations(false);
      const bool works = co_await works_again(s, call);
      CHECK(works);
    });
  }
}

TEST_CASE("a kill is reported before a limit, and two kills are thrown at two calls") {
  for_each_read([](stage& s, const byte_call& call) -> task<> {
    s.engine.hold_cancellations(true);
    const auto both = spawn(call.outcome(s, 5ms));
    co_await sleep(6ms);
    both.request_kill();
    s.engine.hold_cancellations(false);
    std::string words = co_await both.get();
    CHECK(words == "cancelled");
    CHECK(cancellations(s) == 1);

    const auto twice = spawn(call.outcome(s, forever));
    co_await settle();
    twice.request_kill();
    twice.request_kill();
    words = co_await twice.get();
    CHECK(words == "cancelled, then cancelled");
  });
}

TEST_CASE("a new read may begin before the request of a killed one has ended") {
  // The second call waits for the same request, which ends without bytes, so it makes another.
  for_each_read([](stage& s, const byte_call& call) -> task<> {
    s.engine.hold_cancellations(true);
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    fiber.request_kill();
    co_await settle();
    deliver(s, {"abc"});
    co_await fiber.join();
    const auto next = spawn(call.outcome(s, forever));
    co_await settle();
    CHECK(requests(s) + own_reads(s) == 1);
    s.engine.hold_cancellations(false);
    co_await settle();
    CHECK_FALSE(next.done());
    CHECK(requests(s) + own_reads(s) == 2);
    call.complete(s);
    const std::string words = co_await next.get();
    CHECK(words == call.success);
  });
}

TEST_CASE("a call of a killed fiber takes nothing that has arrived") {
  for_each_read([](stage& s, const byte_call& call) -> task<> {
    deliver(s, {"abc"});
    co_await settle();
    current().kill();
    std::string words = co_await call.outcome(s, forever);
    CHECK(words == "cancelled");
    CHECK(cancellations(s) == 0);
    words = co_await call.outcome(s, forever);
    CHECK(words == call.success);
    CHECK(s.stream.bytes_read() == 6);
  });
}

TEST_CASE(
    "read_exact that is interrupted after it has taken arrivals makes its direction unusable") {
  for (const bool killed : {true, false}) {
    for (const bool arrived_before : {true, false}) {
      CAPTURE(killed);
      CAPTURE(arrived_before);
      on_stage([=](stage& s) -> task<> {
        co_await begin_receiving(s);
        if (arrived_before) deliver(s, {"ab"});
        co_await settle();
        const auto fiber = spawn(outcome_of_read_exact(s, 5ms));
        co_await settle();
        if (!arrived_before) deliver(s, {"ab"});
        co_await settle();
        if (killed) fiber.request_kill();
        co_await sleep(6ms);
        std::string words = co_await fiber.get();
        CHECK(words == (killed ? "cancelled" : "timed out"));
        CHECK(s.stream.bytes_read() == 5);
        for (const byte_call& call : byte_calls) {
          if (!is_tcp_read(call)) continue;
          words = co_await call.outcome(s, forever);
          CHECK(words == partial_transfer);
        }
        CHECK(requests(s) + own_reads(s) == 1);
      });
    }
  }
}

TEST_CASE("a stream with an interrupted read_exact returns later arrivals when it is closed") {
  on_stage([](stage& s) -> task<> {
    co_await begin_receiving(s);
    deliver(s, {"ab"});
    s.engine.hold_cancellations(true);
    const auto fiber = spawn(outcome_of_read_exact(s, forever));
    co_await settle();
    fiber.request_kill();
    co_await settle();
    s.engine.complete(request(s), -ECANCELED);
    co_await fiber.join();
    s.engine.hold_cancellations(false);
    co_await s.stream.close();
    CHECK(s.engine.closes(stream_fd) == 1);
    CHECK(s.engine.buffers_free() == 4);
  });
}

TEST_CASE("a call whose limit has passed takes what has arrived") {
  for_each_read([](stage& s, const byte_call& call) -> task<> {
    const time_limit long_ago = time_limit::at(1);
    deliver(s, {"abc", "def"});
    co_await settle();
    std::string words = co_await call.outcome(s, 0s);
    CHECK(words == call.success);
    words = co_await call.outcome(s, long_ago);
    CHECK(words == call.success);
    CHECK(cancellations(s) == 0);
    words = co_await call.outcome(s, 0s);
    CHECK(words == "timed out");
    words = co_await call.outcome(s, long_ago);
    CHECK(words == "timed out");
    const bool works = co_await works_again(s, call);
    CHECK(works);
  });
}

TEST_CASE("a call that was served from arrivals disarms its limit") {
  for_each_read([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = spawn(call.outcome(s, 5ms));
    co_await settle();
    deliver(s, {"abc"});
    co_await fiber.join();
    deliver(s, {"def"});
    co_await settle();
    const std::string words = co_await call.outcome(s, 5ms);
    CHECK(words == call.success);
    co_await sleep(20ms);
    CHECK(cancellations(s) == 0);
    CHECK(has_request(s));
  });
}

TEST_SUITE_END();
