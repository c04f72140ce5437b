// Bytes that arrive while no call reads: the request of a receive() outlives the call, and its
// bytes are kept in order for later calls, up to the end of the stream.
//
// Method: as in stream_waits_test.cpp, on a scripted engine. Each case first makes one receive(),
// whose request is then in flight without a caller; the test delivers its bytes.
// SPDX-License-Identifier: MIT
#include "arrivals.hpp"

#include <ringlet/extend/stream_waits.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "support/checked_bytes.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("arrivals");

// In order

TEST_CASE("bytes that arrive between two calls are kept, and delivered in order") {
  on_stage([](stage& s) -> task<> {
    co_await begin_receiving(s);
    deliver(s, {"ab"});
    co_await settle();
    deliver(s, {"cde", "f"});
    co_await settle();
    CHECK(s.stream.bytes_read() == 3);  // counted when they are taken
    CHECK(s.engine.buffers_free() == 1);
    for (const std::string_view expected : {"ab", "cde", "f"}) {
      const std::string got = co_await received(s);
      CHECK(got == expected);
    }
    CHECK(s.stream.bytes_read() == 9);
    CHECK(s.engine.buffers_free() == 4);
    CHECK(requests(s) == 1);
    CHECK(cancellations(s) == 0);
  });
}

TEST_CASE("the first of several arrivals in one batch ends the call, and the rest are kept") {
  for_each_read([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    deliver(s, {"abc", "def", "ghi"});
    const std::string words = co_await fiber.get();
    CHECK(words == call.success);
    if (call.code != opcode::receive) CHECK(text(s.memory) == "abc");
    CHECK(s.stream.bytes_read() == 6);
    std::string got = co_await received(s);
    CHECK(got == "def");
    got = co_await exactly(s, 3);
    CHECK(got == "ghi");
    CHECK(requests(s) == 1);
    CHECK(own_reads(s) == 0);
    CHECK(s.engine.buffers_free() == 4);
  });
}

TEST_CASE("read_some takes what has arrived, from a part of a buffer or across buffers") {
  on_stage([](stage& s) -> task<> {
    co_await begin_receiving(s);
    deliver(s, {"abcd", "ef", "ghi"});
    co_await settle();
    std::string got = co_await some(s, 3);
    CHECK(got == "abc");
    CHECK(s.engine.buffers_free() == 1);
    got = co_await some(s, 4);
    CHECK(got == "defg");
    CHECK(s.engine.buffers_free() == 3);
    // Satisfied with fewer bytes than it has room for.
    got = co_await some(s, 100);
    CHECK(got == "hi");
    CHECK(s.engine.buffers_free() == 4);
    CHECK(s.stream.bytes_read() == 12);
    CHECK(own_reads(s) == 0);
    CHECK(requests(s) == 1);
  });
}

TEST_CASE("read_exact takes what has arrived, and receive() lends the rest of the last buffer") {
  on_stage([](stage& s) -> task<> {
    co_await begin_receiving(s);
    deliver(s, {"abcd", "ef", "ghi"});
    co_await settle();
    std::string got = co_await exactly(s, 5);
    CHECK(got == "abcde");
    CHECK(s.engine.buffers_free() == 2);
    got = co_await received(s);
    CHECK(got == "f");
    got = co_await exactly(s, 1);
    CHECK(got == "g");
    got = co_await received(s);
    CHECK(got == "hi");
    CHECK(s.stream.bytes_read() == 12);
    CHECK(s.engine.buffers_free() == 4);
    CHECK(own_reads(s) == 0);
    CHECK(requests(s) == 1);
  });
}

TEST_CASE("a call waits for the request in flight, and starts no other") {
  for_each_read([](stage& s, const byte_call& call) -> task<> {
    for (int round = 0; round < 3; ++round) {
      const auto fiber = spawn(call.outcome(s, forever));
      co_await settle();
      CHECK_FALSE(fiber.done());
      deliver(s, {"abc"});
      const std::string words = co_await fiber.get();
      CHECK(words == call.success);
    }
    CHECK(requests(s) == 1);
    CHECK(own_reads(s) == 0);
    CHECK(cancellations(s) == 0);
    CHECK(s.engine.called(opcode::receive_now) == 0);
  });
}

TEST_CASE("read_exact waits for as many arrivals as it needs, and leaves the rest") {
  on_stage([](stage& s) -> task<> {
    co_await begin_receiving(s);
    deliver(s, {"ab"});
    co_await settle();
    const auto fiber = spawn(exactly(s, 7));
    for (const std::string_view piece : {"c", "def"}) {
      co_await settle();
      CHECK_FALSE(fiber.done());
      deliver(s, {piece});
    }
    co_await settle();
    CHECK_FALSE(fiber.done());
    CHECK(s.engine.buffers_free() == 4);
    deliver(s, {"ghi"});
    std::string got = co_await fiber.get();
    CHECK(got == "abcdefg");
    got = co_await received(s);
    CHECK(got == "hi");
    CHECK(requests(s) == 1);
    CHECK(own_reads(s) == 0);
  });
}

TEST_CASE("a wait for arrivals continues when the stream is moved") {
  for_each_read([](stage& s, const byte_call& call) -> task<> {
    deliver(s, {"a"});
    const auto fiber = spawn(call.outcome(s, forever));
    tcp_stream elsewhere = std::move(s.stream);
    s.stream = std::move(elsewhere);
    co_await settle();
    if (call.name == "read_exact") deliver(s, {"b", "c"});
    const std::string words = co_await fiber.get();
    CHECK(words == (call.name == "read_exact" ? "done" : "1 bytes"));
    CHECK(s.engine.closes(stream_fd) == 0);
  });
}

TEST_CASE("a loop over arrivals lets other fibers run") {
  on_wide_stage([](stage& s) -> task<> {
    co_await begin_receiving(s);
    const std::string full = pattern(64);
    deliver(s, {full, full, full});
    co_await settle();
    bool others_ran = false;
    const auto other = [&]() -> task<> {
      others_ran = true;
      co_return;
    };
    spawn(other);
    std::string got;
    while (!others_ran && got.size() < 3 * 64) got += co_await some(s, 1);
    CHECK(others_ran);
    CHECK(got.size() <= 128);
    got += co_await exactly(s, 3 * 64 - got.size());
    CHECK(got == full + full + full);
  });
}

// When no request is in flight

TEST_CASE("a read starts its own operation only when no request is in flight") {
  for_each_read([](stage& s, const byte_call& call) -> task<> {
    deliver_last(s, "abc");
    co_await settle();
    std::string words = co_await call.outcome(s, forever);
    CHECK(words == call.success);
    CHECK(requests(s) == 1);
    CHECK(own_reads(s) == 0);
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    CHECK(requests(s) == (call.code == opcode::receive ? 2 : 1));
    CHECK(own_reads(s) == (call.code == opcode::receive ? 0 : 1));
    call.complete(s);
    words = co_await fiber.get();
    CHECK(words == call.success);
  });
}

TEST_CASE("read_exact takes what has arrived, and requests the rest from the system") {
  on_stage([](stage& s) -> task<> {
    co_await begin_receiving(s);
    deliver(s, {"ab"});
    deliver_last(s, "c");
    co_await settle();
    const auto fiber = spawn(exactly(s, 5));
    co_await settle();
    CHECK(requests(s) == 1);
    operation& own = s.engine.oldest(opcode::recv, stream_fd);
    CHECK(own.length == 2);
    s.engine.deliver(own, "de");
    const std::string got = co_await fiber.get();
    CHECK(got == "abcde");
    CHECK(s.stream.bytes_read() == 8);
  });
}

TEST_CASE("a read whose request ends without bytes continues with its own operation") {
  for (const int error : {ENOBUFS, EAGAIN, EINTR, ECANCELED}) {
    CAPTURE(error);
    for_each_read([error](stage& s, const byte_call& call) -> task<> {
      if (call.name == "read_exact") deliver(s, {"a"});
      const auto fiber = spawn(call.outcome(s, forever));
      co_await settle();
      s.engine.complete(request(s), -error);
      co_await settle();
      CHECK_FALSE(fiber.done());
      CHECK(requests(s) == (call.code == opcode::receive ? 2 : 1));
      CHECK(own_reads(s) == (call.code == opcode::receive ? 0 : 1));
      call.complete(s, call.name == "read_exact" ? "bc" : "abc");
      const std::string words = co_await fiber.get();
      CHECK(words == call.success);
      if (call.code != opcode::receive) CHECK(text(s.memory) == "abc");
    });
  }
}

TEST_CASE("a request that failed while no call waited is started again by the next call") {
  for (const int error : {ENOBUFS, EAGAIN, EINTR, ECANCELED}) {
    CAPTURE(error);
    for_each_read([error](stage& s, const byte_call& call) -> task<> {
      deliver(s, {"abc"});
      s.engine.complete(request(s), -error);
      co_await settle();
      CHECK(requests(s) == 1);  // not before
      std::string words = co_await call.outcome(s, forever);
      CHECK(words == call.success);
      const auto fiber = spawn(call.outcome(s, forever));
      co_await settle();
      CHECK_FALSE(fiber.done());
      CHECK(requests(s) + own_reads(s) == 2);
      call.complete(s);
      words = co_await fiber.get();
      CHECK(words == call.success);
      CHECK(s.stream.bytes_read() == 9);
    });
  }
}

// The end

TEST_CASE(
    "errors and the end of the stream are reported once, after all bytes, then requested again") {
  for (const int error : {0, ECONNRESET, ETIMEDOUT, EIO}) {
    CAPTURE(error);
    for_each_read([error](stage& s, const byte_call& call) -> task<> {
      const std::string end = call.name == "read_exact" ? "unexpected end of stream" : "0 bytes";
      const std::string told = error == 0 ? end : std::system_category().message(error);
      deliver(s, {"abc", "def"});
      s.engine.complete(request(s), -error);
      co_await settle();
      std::string words = co_await call.outcome(s, forever);
      CHECK(words == call.success);
      words = co_await call.outcome(s, forever);
      CHECK(words == call.success);
      words = co_await call.outcome(s, forever);
      CHECK(words == told);
      CHECK(requests(s) == 1);
      CHECK(own_reads(s) == 0);
      CHECK(s.stream.bytes_read() == 9);

      const auto fiber = spawn(call.outcome(s, forever));
      co_await settle();
      CHECK_FALSE(fiber.done());
      CHECK(requests(s) + own_reads(s) == 2);
      s.engine.complete(call.in_flight(s), -error);
      words = co_await fiber.get();
      CHECK(words == told);
    });
  }
}

TEST_CASE("an end of stream that arrives while a call waits is reported to that call only") {
  for (const int error : {0, ECONNRESET}) {
    CAPTURE(error);
    for_each_read([error](stage& s, const byte_call& call) -> task<> {
      const auto fiber = spawn(call.outcome(s, forever));
      co_await settle();
      s.engine.complete(request(s), -error);
      const std::string words = co_await fiber.get();
      CHECK(words != call.success);
      const bool works = co_await works_again(s, call);
      CHECK(works);
    });
  }
}

TEST_CASE(
    "an end of stream in one batch with bytes is reported after them, even to a waiting call") {
  for_each_read([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    deliver(s, {"abc"});
    s.engine.complete(request(s), -ECONNRESET);
    std::string words = co_await fiber.get();
    CHECK(words == call.success);
    words = co_await call.outcome(s, forever);
    CHECK(words == "Connection reset by peer");
    CHECK(requests(s) == 1);
  });
}

TEST_CASE("read_exact keeps the bytes before the end of the stream, and the count tells how many") {
  for (const bool waits : {false, true}) {
    for (const int error : {0, ECONNRESET}) {
      CAPTURE(waits);
      CAPTURE(error);
      on_stage([=](stage& s) -> task<> {
        co_await begin_receiving(s);
        deliver(s, {"ab"});
        if (!waits) s.engine.complete(request(s), -error);
        co_await settle();
        const auto fiber = spawn(outcome_of_read_exact(s, forever));
        co_await settle();
        if (waits) s.engine.complete(request(s), -error);
        std::string words = co_await fiber.get();
        CHECK(words == (error == 0 ? "unexpected end of stream" : "Connection reset by peer"));
        CHECK(text(s.memory, 2) == "ab");
        CHECK(s.stream.bytes_read() == 5);
        // Not an interruption: no more bytes will come.
        const bool works = co_await works_again(s, byte_calls[1]);
        CHECK(works);
      });
    }
  }
}

TEST_CASE(
    "read_exact that is filled by the last bytes leaves the end of the stream to the next call") {
  on_stage([](stage& s) -> task<> {
    co_await begin_receiving(s);
    deliver(s, {"ab", "c"});
    s.engine.complete(request(s), 0);
    co_await settle();
    std::string words = co_await outcome_of_read_exact(s, forever);
    CHECK(words == "done");
    CHECK(text(s.memory) == "abc");
    words = co_await outcome_of_read_some(s, forever);
    CHECK(words == "0 bytes");
  });
}

TEST_SUITE_END();
