// Closing and destroying a stream in every phase of the calls on it: the calls end with
// errc::closed, and the number is closed once, after the last of them.
//
// Method: as in stream_waits_test.cpp, on a scripted engine; the cases at the end use real
// descriptors.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/scheduler_handle.hpp>

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string>

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

// Runs `body(stage, call)` on a new stage for each call on a tcp_stream.
template <class F>
void for_each_tcp_call(F body) {
  for (const byte_call& call : byte_calls) {
    if (!call.on_tcp()) continue;
    CAPTURE(call.name);
    on_stage([&](stage& s) -> task<> { return body(s, call); });
  }
}

task<std::string> outcome_of_close(stage& s) {
  return outcome_of([&s] { return s.stream.close(); });
}

// The position of that request in the log; npos when it is missing.
std::size_t place_in_log(const scripted_engine& engine, request_record::kind what, opcode code) {
  for (std::size_t i = 0; i < engine.log().size(); ++i) {
    if (engine.log()[i].what == what && engine.log()[i].code == code) return i;
  }
  return std::string::npos;
}

}  // namespace

TEST_SUITE_BEGIN("descriptor");

TEST_CASE("a descriptor is small, because every connection has one") {
  MESSAGE("sizeof(descriptor) = ", sizeof(descriptor),
          ", sizeof(tcp_stream) = ", sizeof(tcp_stream));
  CHECK(sizeof(descriptor) <= 160);
  CHECK(sizeof(tcp_stream) == sizeof(void*));
}

TEST_CASE("an idle stream is shut down, then closed, at once") {
  on_stage([](stage& s) -> task<> {
    const std::string words = co_await outcome_of_close(s);
    CHECK(words == "done");
    CHECK(s.engine.called(opcode::shutdown, stream_fd) == 1);
    CHECK(s.engine.closes(stream_fd) == 1);
    CHECK(place_in_log(s.engine, request_record::kind::call, opcode::shutdown) <
          place_in_log(s.engine, request_record::kind::call, opcode::close));
    CHECK(s.stream.native_handle() == -1);
    CHECK(s.stream);
  });
}

TEST_CASE("closing a stream twice closes its number once") {
  on_stage([](stage& s) -> task<> {
    co_await s.stream.close();
    const std::string words = co_await outcome_of_close(s);
    CHECK(words == "done");
    s.stream = tcp_stream();
    CHECK(s.engine.closes(stream_fd) == 1);
    CHECK(s.engine.called(opcode::shutdown) == 1);
  });
}

TEST_CASE("closing a stream that was never open or was moved from does nothing") {
  on_stage([](stage& s) -> task<> {
    tcp_stream none;
    co_await none.close();
    const tcp_stream taken = std::move(s.stream);
    co_await s.stream.close();
    CHECK(s.engine.closes(stream_fd) == 0);
    CHECK(taken.native_handle() == stream_fd);
    CHECK_FALSE(s.stream);
    CHECK(s.stream.native_handle() == -1);
  });
}

// rows: W32 HB-10
TEST_CASE("a call in flight ends with closed, and only then is the number freed") {
  for_each_tcp_call([](stage& s, const byte_call& call) -> task<> {
    s.engine.hold_cancellations(true);
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    const auto closing = spawn(outcome_of_close(s));
    co_await settle();
    // The peer sees the close at once, but the number stays ours.
    CHECK(s.engine.called(opcode::shutdown, stream_fd) == 1);
    CHECK(s.engine.cancelled(call.code) == 1);
    CHECK(s.engine.closes(stream_fd) == 0);
    CHECK_FALSE(closing.done());
    CHECK_FALSE(fiber.done());
    CHECK(s.stream.native_handle() == -1);

    s.engine.hold_cancellations(false);
    const std::string words = co_await fiber.get();
    CHECK(words == closed);
    const std::string closing_words = co_await closing.get();
    CHECK(closing_words == "done");
    CHECK(s.engine.closes(stream_fd) == 1);
  });
}

TEST_CASE("a read and a write in flight both end with closed") {
  on_stage([](stage& s) -> task<> {
    const auto reading = spawn(outcome_of_receive(s, forever));
    const auto writing = spawn(outcome_of_write_all(s, forever));
    co_await settle();
    co_await s.stream.close();
    CHECK(s.engine.closes(stream_fd) == 1);
    const std::string read = co_await reading.get();
    const std::string written = co_await writing.get();
    CHECK(read == closed);
    CHECK(written == closed);
  });
}

TEST_CASE("a call that our own shutdown ended reports closed, not the peer's end of stream") {
  // shutdown(2) comes before the cancellation: the system may answer the operation with the end of
  // the stream or a broken pipe first.
  for_each_tcp_call([](stage& s, const byte_call& call) -> task<> {
    s.engine.hold_cancellations(true);
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    const auto closing = spawn(outcome_of_close(s));
    co_await settle();
    s.engine.complete(call.in_flight(s), call.is_read() ? 0 : -EPIPE);
    const std::string words = co_await fiber.get();
    CHECK(words == closed);
    co_await closing.join();
    CHECK(s.engine.closes(stream_fd) == 1);
  });
}

TEST_CASE("a call that timed out or was killed before the close reports that, not closed") {
  for (const bool killed : {true, false}) {
    for_each_tcp_call([killed](stage& s, const byte_call& call) -> task<> {
      s.engine.hold_cancellations(true);
      const auto fiber = spawn(call.outcome(s, 5ms));
      co_await settle();
      if (killed) fiber.request_kill();
      co_await sleep(6ms);
      const auto closing = spawn(outcome_of_close(s));
      co_await settle();
      s.engine.complete(call.in_flight(s), call.is_read() ? 0 : -EPIPE);
      const std::string words = co_await fiber.get();
      CHECK(words == (killed ? "cancelled" : "timed out"));
    });
  }
}

TEST_CASE("a call that had succeeded when the stream was closed succeeds") {
  for_each_tcp_call([](stage& s, const byte_call& call) -> task<> {
    const auto undelivered = spawn(call.outcome(s, forever));
    co_await settle();
    call.complete(s);
    co_await s.stream.close();
    CHECK(s.engine.closes(stream_fd) == 1);
    const std::string words = co_await undelivered.get();
    CHECK(words == call.success);
  });
  for_each_tcp_call([](stage& s, const byte_call& call) -> task<> {
    const auto delivered = spawn(call.outcome(s, forever));
    co_await settle();
    call.complete(s);
    co_await sleep(0s);  // the fiber is queued to run
    co_await s.stream.close();
    CHECK(s.engine.closes(stream_fd) == 1);
    const std::string words = co_await delivered.get();
    CHECK(words == call.success);
  });
}

TEST_CASE("the peer's end of stream that came before the close is reported as such") {
  on_stage([](stage& s) -> task<> {
    const auto reading = spawn(outcome_of_read_some(s, forever));
    co_await settle();
    s.engine.complete(s.engine.oldest(opcode::recv), 0);
    co_await sleep(0s);  // delivered; the fiber is queued to run
    co_await s.stream.close();
    const std::string words = co_await reading.get();
    CHECK(words == "0 bytes");
  });
}

TEST_CASE("calls on a closed stream fail with closed, and start no operation") {
  for_each_tcp_call([](stage& s, const byte_call& call) -> task<> {
    co_await s.stream.close();
    const std::string words = co_await call.outcome(s, forever);
    CHECK(words == closed);
    CHECK(s.engine.started(call.code) == 0);
    current().kill();
    const std::string killed = co_await call.outcome(s, forever);
    CHECK(killed == "cancelled");
  });
}

TEST_CASE("destroying a stream ends a call in flight with closed, and then closes the number") {
  for_each_tcp_call([](stage& s, const byte_call& call) -> task<> {
    s.engine.hold_cancellations(true);
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    s.stream = tcp_stream();
    co_await settle();
    CHECK(s.engine.called(opcode::shutdown, stream_fd) == 1);
    CHECK(s.engine.closes(stream_fd) == 0);
    CHECK_FALSE(fiber.done());
    s.engine.hold_cancellations(false);
    const std::string words = co_await fiber.get();
    CHECK(words == closed);
    CHECK(s.engine.closes(stream_fd) == 1);
  });
}

TEST_CASE("destroying a stream does not affect a call that has succeeded") {
  for_each_tcp_call([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    call.complete(s);
    co_await sleep(0s);
    s.stream = tcp_stream();
    const std::string words = co_await fiber.get();
    CHECK(words == call.success);
    co_await settle();
    CHECK(s.engine.closes(stream_fd) == 1);
  });
}

TEST_CASE("a stream can be destroyed while a fiber waits for its close") {
  on_stage([](stage& s) -> task<> {
    s.engine.hold_cancellations(true);
    const auto reading = spawn(outcome_of_read_some(s, forever));
    co_await settle();
    const auto closing = spawn(outcome_of_close(s));
    co_await settle();
    s.stream = tcp_stream();
    s.engine.hold_cancellations(false);
    const std::string words = co_await closing.get();
    CHECK(words == "done");
    const std::string read = co_await reading.get();
    CHECK(read == closed);
    CHECK(s.engine.closes(stream_fd) == 1);
  });
}

TEST_CASE("a killed fiber begins no close, and a close that has begun is completed") {
  on_stage([](stage& s) -> task<> {
    current().kill();
    const std::string before = co_await outcome_of_close(s);
    CHECK(before == "cancelled");
    CHECK(s.engine.closes(stream_fd) == 0);

    s.engine.hold_cancellations(true);
    const auto reading = spawn(outcome_of_read_some(s, forever));
    co_await settle();
    const auto closing = spawn(outcome_of_close(s));
    co_await settle();
    closing.request_kill();
    co_await settle();
    CHECK_FALSE(closing.done());
    s.engine.hold_cancellations(false);
    const std::string during = co_await closing.get();
    CHECK(during == "done, then cancelled");
    CHECK(s.engine.closes(stream_fd) == 1);
  });
}

TEST_CASE("a moved stream keeps its call in flight") {
  for_each_tcp_call([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    tcp_stream elsewhere = std::move(s.stream);
    co_await settle();
    call.complete(s);
    const std::string words = co_await fiber.get();
    CHECK(words == call.success);
    s.stream = std::move(elsewhere);
    CHECK(s.engine.closes(stream_fd) == 0);
  });
}

TEST_CASE("a loop over refused calls lets other fibers run, which may destroy its stream") {
  // A fiber yields after 128 waits that need not suspend; here another fiber then destroys the
  // stream.
  for_each_tcp_call([](stage& s, const byte_call& call) -> task<> {
    co_await s.stream.close();
    bool others_ran = false;
    const auto other = [&]() -> task<> {
      s.stream = tcp_stream();
      others_ran = true;
      co_return;
    };
    spawn(other);
    int refusals = 0;
    while (!others_ran && refusals < 1000) {
      std::string words;
      if (call.is_read()) {
        words = in_words(co_await as_result(s.stream.read_some(s.memory)));
      } else {
        words = in_words(co_await as_result(s.stream.write_all("abc")));
      }
      CHECK(words == closed);
      ++refusals;
    }
    CHECK(others_ran);
    CHECK(refusals <= 128);
  });
}

// Descriptors with other owners

TEST_CASE("a borrowed descriptor is neither shut down nor closed") {
  for (const byte_call& call : byte_calls) {
    if (call.on_tcp()) continue;
    CAPTURE(call.name);
    scripted_engine engine;
    const auto body = [&]() -> task<> {
      std::optional<stage> s(std::in_place, engine);
      const auto fiber = spawn(call.outcome(*s, forever));
      co_await settle();
      { const standard_stream gone = std::move(s->standard); }
      const std::string words = co_await fiber.get();
      CHECK(words == closed);
    };
    detail::run_on(engine, body(), {}, std::source_location::current());
    CHECK(engine.cancelled(call.code) == 1);
    CHECK(engine.called(opcode::shutdown, standard_fd) == 0);
    CHECK(engine.closes(standard_fd) == 0);
  }
}

TEST_CASE("a shared descriptor is closed but not shut down") {
  on_stage([](stage& s) -> task<> {
    const int fd = 9;
    {
      const auto shared = descriptor::make(fd, descriptor::kind::shared);
      CHECK(shared->fd() == fd);
    }
    CHECK(s.engine.called(opcode::shutdown, fd) == 0);
    CHECK(s.engine.closes(fd) == 1);
    co_return;
  });
}

TEST_CASE("a released number is not closed") {
  on_stage([](stage& s) -> task<> {
    const int fd = 9;
    {
      const auto held = descriptor::make(fd, descriptor::kind::connection);
      CHECK(held->release_fd() == fd);
      CHECK(held->fd() == -1);
    }
    CHECK(s.engine.called(opcode::shutdown, fd) == 0);
    CHECK(s.engine.closes(fd) == 0);
    co_return;
  });
}

// After the run, and outside of it

TEST_CASE("a stream may outlive its scheduler, and closes when it is destroyed") {
  tcp_stream left;
  unique_fd raw;
  const auto body = [&]() -> task<> {
    auto pair = co_await half_raw_pair();
    left = std::move(pair.stream);
    raw = std::move(pair.raw);
  };
  on_one_scheduler(body);
  const int fd = left.native_handle();
  REQUIRE(is_open(fd));
  left = tcp_stream();
  CHECK_FALSE(is_open(fd));
  char byte = 0;
  CHECK(::recv(raw.get(), &byte, 1, 0) == 0);
}

TEST_CASE("using a stream after its scheduler has ended aborts and says so") {
  CHECK(aborts_with("a stream was used after its scheduler had ended", [] {
    tcp_stream left;
    scripted_engine engine;
    const auto first = [&]() -> task<> {
      left = tcp_stream(unique_fd(stream_fd));
      co_return;
    };
    detail::run_on(engine, first(), {}, std::source_location::current());
    const auto second = [&]() -> task<> { co_await left.receive(); };
    detail::run_on(engine, second(), {}, std::source_location::current());
  }));
}

// Overlap

// row: W33
TEST_CASE("a second read during a read aborts and says so") {
  for (const byte_call& first : byte_calls) {
    for (const byte_call& second : byte_calls) {
      if (!first.is_read() || !second.is_read() || first.fd() != second.fd()) continue;
      CAPTURE(first.name);
      CAPTURE(second.name);
      CHECK(aborts_with("a second read was begun while one was in flight on the same stream", [&] {
        on_stage([&](stage& s) -> task<> {
          spawn(first.outcome(s, forever));
          spawn(second.outcome(s, forever));
          co_await settle();
        });
      }));
    }
  }
}

TEST_CASE("a second write during a write aborts and says so") {
  for (const byte_call& first : byte_calls) {
    for (const byte_call& second : byte_calls) {
      if (first.is_read() || second.is_read() || first.fd() != second.fd()) continue;
      CAPTURE(first.name);
      CAPTURE(second.name);
      CHECK(aborts_with("a second write was begun while one was in flight on the same stream", [&] {
        on_stage([&](stage& s) -> task<> {
          spawn(first.outcome(s, forever));
          spawn(second.outcome(s, forever));
          co_await settle();
        });
      }));
    }
  }
}

// row: W33
TEST_CASE("a read and a write run together, and a killed reader makes room for the next one") {
  on_stage([](stage& s) -> task<> {
    const auto reading = spawn(outcome_of_receive(s, forever));
    const auto writing = spawn(outcome_of_write_all(s, forever));
    co_await settle();
    reading.request_kill();
    co_await reading.join();
    const auto next = spawn(outcome_of_read_some(s, forever));
    co_await settle();
    s.engine.deliver(s.engine.oldest(opcode::recv), "abc");
    s.engine.complete(s.engine.oldest(opcode::send), 3);
    const std::string read = co_await next.get();
    const std::string written = co_await writing.get();
    CHECK(read == "3 bytes");
    CHECK(written == "done");
  });
}

TEST_CASE("read_some without room for a byte aborts and says so") {
  CHECK(aborts_with("read_some() needs room for at least one byte",
                    [] { on_stage([](stage& s) -> task<> { co_await s.stream.read_some({}); }); }));
}

TEST_CASE("using a stream without a connection aborts and says so") {
  CHECK(aborts_with("a stream without a connection (moved from) was used", [] {
    on_stage([](stage&) -> task<> {
      tcp_stream none;
      co_await none.receive();
    });
  }));
}

TEST_CASE("creating a stream outside of run aborts and says so") {
  CHECK(aborts_with("a call that needs a scheduler was made outside of run()",
                    [] { const tcp_stream made(unique_fd(1)); }));
}

TEST_SUITE_END();
