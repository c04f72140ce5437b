// abort(): the connection is reset at once, the calls in flight end with closed, and the number is
// closed once, after the last call.
//
// Method: every phase on a scripted engine; real sockets show what the peer sees.
// SPDX-License-Identifier: MIT
#include <ringlet/tcp_stream.hpp>

#include <doctest/doctest.h>

#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "support/aborts.hpp"
#include "support/loopback.hpp"
#include "support/schedulers.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view closed = "closed by this program";

// Counts the requests for a reset on close.
void count_resets(scripted_engine& engine, int& resets) {
  engine.answer(opcode::set_option, [&resets](operation& op) {
    if (op.option.level != SOL_SOCKET || op.option.name != SO_LINGER) return 0;
    const linger& how = *static_cast<const linger*>(op.data);
    resets += how.l_onoff == 1 && how.l_linger == 0 ? 1 : 0;
    return 0;
  });
}

// The result of the peer's next read: 0 at the end of the stream, or the errno.
int end_seen_by(const unique_fd& raw) {
  char byte = 0;
  const ssize_t count = ::recv(raw.get(), &byte, 1, 0);
  return count < 0 ? errno : static_cast<int>(count);
}

}  // namespace

TEST_SUITE_BEGIN("abort");

TEST_CASE("abort() closes an idle stream at once, with a reset and no shutdown") {
  on_stage([](stage& s) -> task<> {
    int resets = 0;
    count_resets(s.engine, resets);
    s.stream.abort();
    CHECK(resets == 1);
    CHECK(s.engine.closes(stream_fd) == 1);
    CHECK(s.engine.called(opcode::shutdown, stream_fd) == 0);
    CHECK(s.stream.native_handle() == -1);
    const std::string words = co_await outcome_of_receive(s, forever);
    CHECK(words == closed);
  });
}

TEST_CASE("calls in flight end with closed, and abort() closes the number after the last one") {
  for (const byte_call& call : byte_calls) {
    if (!call.on_tcp()) continue;
    CAPTURE(call.name);
    on_stage([&](stage& s) -> task<> {
      int resets = 0;
      count_resets(s.engine, resets);
      s.engine.hold_cancellations(true);
      const auto fiber = spawn(call.outcome(s, forever));
      co_await settle();
      s.stream.abort();
      s.stream = tcp_stream();
      co_await settle();
      CHECK(resets == 1);
      CHECK_FALSE(fiber.done());
      CHECK(s.engine.cancelled(call.code) == 1);
      CHECK(s.engine.closes(stream_fd) == 0);
      s.engine.hold_cancellations(false);
      const std::string words = co_await fiber.get();
      CHECK(words == closed);
      CHECK(s.engine.closes(stream_fd) == 1);
      CHECK(s.engine.called(opcode::shutdown, stream_fd) == 0);
    });
  }
}

TEST_CASE("a call that had completed when the stream was aborted delivers its result") {
  for (const byte_call& call : byte_calls) {
    if (!call.on_tcp()) continue;
    CAPTURE(call.name);
    on_stage([&](stage& s) -> task<> {
      const auto fiber = spawn(call.outcome(s, forever));
      co_await settle();
      call.complete(s);
      s.stream.abort();
      const std::string words = co_await fiber.get();
      CHECK(words == call.success);
      co_await settle();
      CHECK(s.engine.closes(stream_fd) == 1);
    });
  }
}

TEST_CASE("abort() makes a close in progress end with a reset, and does nothing after a close") {
  on_stage([](stage& s) -> task<> {
    int resets = 0;
    count_resets(s.engine, resets);
    s.engine.hold_cancellations(true);
    const auto reading = spawn(outcome_of_receive(s, forever));
    co_await settle();
    const auto closing = spawn(outcome_of([&s] { return s.stream.close(); }));
    co_await settle();
    s.stream.abort();
    CHECK(resets == 1);
    CHECK(s.engine.closes(stream_fd) == 0);
    s.engine.hold_cancellations(false);
    const std::string words = co_await closing.get();
    CHECK(words == "done");
    co_await reading.join();
    s.stream.abort();
    CHECK(resets == 1);
    CHECK(s.engine.closes(stream_fd) == 1);
    tcp_stream().abort();
  });
}

TEST_CASE("the peer of an aborted stream sees a reset, whichever call waits at this end") {
  on_one_scheduler([]() -> task<> {
    for (const bool reading : {false, true}) {
      for (const bool writing : {false, true}) {
        CAPTURE(reading);
        CAPTURE(writing);
        auto pair = co_await half_raw_pair();
        const auto stream = std::make_shared<tcp_stream>(std::move(pair.stream));
        const int number = stream->native_handle();
        std::string read = closed.data(), wrote = closed.data();
        const auto reader = spawn([&, stream]() -> task<> {
          if (reading) read = co_await outcome_of([&] { return stream->receive(); });
        });
        const std::string much(8 << 20, 'x');
        const auto writer = spawn([&, stream]() -> task<> {
          if (writing) wrote = co_await outcome_of([&] { return stream->write_all(much); });
        });
        for (int turn = 0; turn < 10; ++turn) co_await sleep(0s);
        stream->abort();
        CHECK(is_open(number) == (reading || writing));
        co_await reader.join();
        co_await writer.join();
        CHECK(read == closed);
        CHECK(wrote == closed);
        CHECK_FALSE(is_open(number));
        int seen = 1;
        while (seen == 1) seen = end_seen_by(pair.raw);  // sent before the abort
        CHECK(seen == ECONNRESET);
      }
    }
  });
}

TEST_CASE("a stream may be aborted by a callback, and by its owner after the run") {
  tcp_stream left;
  unique_fd raw;
  on_one_scheduler([&]() -> task<> {
    auto pair = co_await half_raw_pair();
    const auto worker = spawn([]() -> task<> { co_return; });
    worker.on_done([&] { pair.stream.abort(); });
    co_await worker.join();
    co_await yield();
    CHECK(end_seen_by(pair.raw) == ECONNRESET);
    auto last = co_await half_raw_pair();
    left = std::move(last.stream);
    raw = std::move(last.raw);
  });
  left.abort();
  CHECK(end_seen_by(raw) == ECONNRESET);
}

TEST_SUITE_END();
