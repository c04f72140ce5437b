// Bytes that arrive while no call reads: nothing is lost or leaked when streams are closed and
// runs end, and no request hides a deadlock.
//
// Method: as in stream_waits_test.cpp, on a scripted engine. Each case first makes one receive(),
// whose request is then in flight without a caller; the test delivers its bytes.
// SPDX-License-Identifier: MIT
#include <ringlet/deadlock.hpp>
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/stream_waits.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <utility>

#include "arrivals.hpp"
#include "support/aborts.hpp"
#include "support/loopback.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("arrivals");

// Closing

TEST_CASE(
    "close returns arrived buffers at once, and frees the number after the request has ended") {
  for (const bool destroyed : {false, true}) {
    CAPTURE(destroyed);
    on_stage([=](stage& s) -> task<> {
      co_await begin_receiving(s);
      deliver(s, {"abcd", "ef", "gh"});
      co_await settle();
      const std::string got = co_await some(s, 2);
      CHECK(got == "ab");
      CHECK(s.engine.buffers_free() == 1);
      s.engine.hold_cancellations(true);
      fiber<std::string> closing;
      if (destroyed) {
        s.stream = tcp_stream();
      } else {
        closing = spawn(outcome_of_close(s));
      }
      co_await settle();
      CHECK(s.engine.buffers_free() == 4);
      CHECK(s.engine.called(opcode::shutdown, stream_fd) == 1);
      CHECK(cancellations(s) == 1);
      CHECK(s.engine.closes(stream_fd) == 0);
      if (!destroyed) CHECK_FALSE(closing.done());

      // No call gets the bytes that arrive now.
      deliver(s, {"i", "j"});
      co_await settle();
      CHECK(s.engine.buffers_free() == 4);
      CHECK(s.engine.closes(stream_fd) == 0);
      s.engine.hold_cancellations(false);
      co_await settle();
      CHECK(s.engine.closes(stream_fd) == 1);
      if (!destroyed) {
        const std::string words = co_await closing.get();
        CHECK(words == "done");
      }
    });
  }
}

TEST_CASE("a request that ends by itself after the close closes the number") {
  for (const int result : {0, -ECONNRESET, -ENOBUFS, -EAGAIN, -EINTR, 3}) {
    CAPTURE(result);
    on_stage([=](stage& s) -> task<> {
      co_await begin_receiving(s);
      s.engine.hold_cancellations(true);
      const auto closing = spawn(outcome_of_close(s));
      co_await settle();
      if (result > 0) {
        deliver_last(s, "abc");
      } else {
        s.engine.complete(request(s), result);
      }
      const std::string words = co_await closing.get();
      CHECK(words == "done");
      CHECK(s.engine.closes(stream_fd) == 1);
      CHECK(s.engine.buffers_free() == 4);
      CHECK(requests(s) == 1);
    });
  }
}

TEST_CASE("a stream whose request has ended is closed at once, and returns its arrived buffers") {
  on_stage([](stage& s) -> task<> {
    co_await begin_receiving(s);
    deliver(s, {"ab"});
    s.engine.complete(request(s), 0);
    co_await settle();
    s.stream = tcp_stream();
    CHECK(s.engine.closes(stream_fd) == 1);
    CHECK(s.engine.buffers_free() == 4);
    CHECK(cancellations(s) == 0);
  });
}

TEST_CASE(
    "a call that waits for the request ends with closed when the stream is closed or destroyed") {
  for (const bool destroyed : {false, true}) {
    for (const int result : {-ECANCELED, 0, -ECONNRESET, -ENOBUFS, -EINTR}) {
      CAPTURE(destroyed);
      CAPTURE(result);
      for_each_read([=](stage& s, const byte_call& call) -> task<> {
        s.engine.hold_cancellations(true);
        const auto fiber = spawn(call.outcome(s, forever));
        co_await settle();
        const auto closing = spawn(end_stream(s, destroyed));
        co_await settle();
        CHECK(cancellations(s) == 1);
        CHECK(s.engine.closes(stream_fd) == 0);
        CHECK_FALSE(fiber.done());
        s.engine.complete(request(s), result);
        const std::string words = co_await fiber.get();
        CHECK(words == closed);
        co_await closing.join();
        CHECK(s.engine.closes(stream_fd) == 1);
        CHECK(requests(s) + own_reads(s) == 1);
        CHECK(s.engine.buffers_free() == 4);
      });
    }
  }
}

TEST_CASE("a read that takes part of a buffer from a closing stream drops the rest") {
  for (const bool destroyed : {false, true}) {
    on_stage([destroyed](stage& s) -> task<> {
      co_await begin_receiving(s);
      const auto reading = spawn(outcome_of_read_exact(s, forever));
      co_await settle();
      s.engine.hold_cancellations(true);
      const auto closing = spawn(end_stream(s, destroyed));
      co_await settle();
      deliver(s, {"more than three"});
      co_await settle();
      s.engine.hold_cancellations(false);
      const std::string words = co_await reading.get();
      CHECK(words == "done");
      co_await closing.join();
      co_await settle();
      CHECK(s.engine.closes(stream_fd) == 1);
      CHECK(s.engine.buffers_free() == 4);
    });
  }
}

TEST_CASE(
    "a call that waits on a closing stream gets the bytes that arrive, and no later call does") {
  for_each_read([](stage& s, const byte_call& call) -> task<> {
    s.engine.hold_cancellations(true);
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    const auto closing = spawn(outcome_of_close(s));
    co_await settle();
    deliver(s, {"abc", "def"});
    std::string words = co_await fiber.get();
    CHECK(words == call.success);
    CHECK(s.engine.buffers_free() == 4);
    CHECK(s.engine.closes(stream_fd) == 0);
    s.engine.hold_cancellations(false);
    words = co_await closing.get();
    CHECK(words == "done");
    CHECK(s.engine.closes(stream_fd) == 1);
  });
}

TEST_CASE("an end of stream that no call has taken is not reported after the close") {
  for_each_read([](stage& s, const byte_call& call) -> task<> {
    deliver(s, {"abc"});
    s.engine.complete(request(s), -ECONNRESET);
    co_await settle();
    co_await s.stream.close();
    const std::string words = co_await call.outcome(s, forever);
    CHECK(words == closed);
    CHECK(s.engine.buffers_free() == 4);
  });
}

TEST_CASE("a write in flight and the request both end before the number is closed") {
  for (const bool write_first : {true, false}) {
    CAPTURE(write_first);
    on_stage([=](stage& s) -> task<> {
      co_await begin_receiving(s);
      s.engine.hold_cancellations(true);
      const auto writing = spawn(outcome_of_write_all(s, forever));
      co_await settle();
      const auto closing = spawn(outcome_of_close(s));
      co_await settle();
      operation& send = s.engine.oldest(opcode::send);
      operation& receive = request(s);
      s.engine.complete(write_first ? send : receive, -ECANCELED);
      co_await settle();
      CHECK(s.engine.closes(stream_fd) == 0);
      s.engine.complete(write_first ? receive : send, -ECANCELED);
      std::string words = co_await closing.get();
      CHECK(words == "done");
      CHECK(s.engine.closes(stream_fd) == 1);
      words = co_await writing.get();
      CHECK(words == closed);
    });
  }
}

// Beyond the run

TEST_CASE("a stream that outlives its run returns its arrived buffers, and ends its request") {
  for (const bool request_lives : {true, false}) {
    CAPTURE(request_lives);
    tcp_stream left;
    scripted_engine engine;
    // A real descriptor: after the run no scripted engine closes it.
    unique_fd number(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const int fd = number.get();
    const auto body = [&]() -> task<> {
      stage s(engine);
      s.stream = tcp_stream(std::move(number));
      co_await begin_receiving(s);
      deliver(s, {"abc"});
      if (!request_lives) s.engine.complete(request(s), 0);
      co_await settle();
      const std::string got = co_await some(s, 1);
      CHECK(got == "a");
      if (request_lives) deliver(s, {"def"});  // arrives when the run is over
      left = std::move(s.stream);
    };
    detail::run_on(engine, body(), {}, std::source_location::current());
    CHECK(engine.in_flight() == 0);
    CHECK(engine.cancelled(opcode::receive) == (request_lives ? 1 : 0));
    CHECK(engine.buffers_free() == 4);
    CHECK(engine.closes(fd) == 0);
    CHECK(left.native_handle() == fd);
    CHECK(is_open(fd));
    left = tcp_stream();
    CHECK_FALSE(is_open(fd));
  }
}

// Overlap

TEST_CASE("a second read while one waits for arrivals aborts and says so") {
  for (const byte_call& first : byte_calls) {
    for (const byte_call& second : byte_calls) {
      if (!is_tcp_read(first) || !is_tcp_read(second)) continue;
      CAPTURE(first.name);
      CAPTURE(second.name);
      CHECK(aborts_with("a second read was begun while one was in flight on the same stream", [&] {
        on_stage([&](stage& s) -> task<> {
          co_await begin_receiving(s);
          spawn(first.outcome(s, forever));
          spawn(second.outcome(s, forever));
          co_await settle();
        });
      }));
    }
  }
}

// Deadlocks

TEST_CASE("a request without a waiting call does not hide a deadlock") {
  CHECK(ends_in_deadlock([](stage& s) -> task<> {
    co_await begin_receiving(s);
    deliver(s, {"abc"});
    co_await settle();
    CHECK(has_request(s));
  }));
}

TEST_CASE("a wait for arrivals does not count as a deadlock, and leaves no external wait behind") {
  for (const byte_call& call : byte_calls) {
    if (!is_tcp_read(call)) continue;
    CAPTURE(call.name);
    CHECK(ends_in_deadlock([&](stage& s) -> task<> {
      co_await begin_receiving(s);
      int idle = 0;
      s.engine.on_idle = [&] {
        if (++idle == 3) deliver(s, {"abc"});
        return idle <= 3;
      };
      std::string words = co_await call.outcome(s, forever);
      CHECK(words == call.success);
      CHECK(idle == 3);
      s.engine.on_idle = nullptr;
      const auto killed = spawn(call.outcome(s, forever));
      co_await settle();
      killed.request_kill();
      co_await killed.join();
    }));
  }
}

TEST_CASE("a close that waits for the request does not count as a deadlock, and leaves no trace") {
  CHECK(ends_in_deadlock([](stage& s) -> task<> {
    co_await begin_receiving(s);
    s.engine.hold_cancellations(true);
    int idle = 0;
    s.engine.on_idle = [&] {
      if (++idle == 3) s.engine.hold_cancellations(false);
      return idle <= 3;
    };
    const std::string words = co_await outcome_of_close(s);
    CHECK(words == "done");
    CHECK(idle == 3);
    s.engine.on_idle = nullptr;
    CHECK(s.engine.closes(stream_fd) == 1);
  }));
}

TEST_SUITE_END();
