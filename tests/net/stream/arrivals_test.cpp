// Bytes that arrive while no call reads: the request of a receive() outlives the call, its bytes
// are kept in order for later calls, and nothing is lost, duplicated or leaked when calls are
// killed, requests end and streams are closed.
//
// Method: as in stream_waits_test.cpp, on a scripted engine. Each case first makes one receive(),
// whose request is then in flight without a caller; the test delivers its bytes. The cases at the
// end use real sockets.
#include <ringlet/as_result.hpp>
#include <ringlet/deadlock.hpp>
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/stream_waits.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/aborts.hpp"
#include "support/checked_bytes.hpp"
#include "support/loopback.hpp"
#include "support/random.hpp"
#include "support/schedulers.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view closed = "closed on this side";
constexpr std::string_view partial_transfer =
    "an earlier call in this direction was cut short; the position in the stream is lost";
// More arrivals than a queue may hold before its request is cancelled.
constexpr std::uint32_t many_buffers = 16;

template <class F>
void on_wide_stage(F body) {
  scripted_engine engine(many_buffers);
  detail::run_on(engine, on_new_stage(engine, body), {}, std::source_location::current());
}

// The stream's request in flight.
operation& request(stage& s) { return s.engine.oldest(opcode::receive); }
bool has_request(const stage& s) { return s.engine.is_waiting(opcode::receive); }
std::size_t requests(const stage& s) { return s.engine.started(opcode::receive); }
std::size_t cancellations(const stage& s) { return s.engine.cancelled(opcode::receive); }
std::size_t own_reads(const stage& s) { return s.engine.started(opcode::recv); }

// Arrivals that are delivered in one batch at the next wait.
void deliver(stage& s, std::initializer_list<std::string_view> texts) {
  for (const std::string_view text : texts) s.engine.deliver(request(s), text);
}

// Ends the request with a buffer, as the kernel may do at any time.
void deliver_last(stage& s, std::string_view text) {
  request(s).multishot = false;
  s.engine.deliver(request(s), text);
}

// One receive() that leaves its request in flight.
task<> begin_receiving(stage& s) {
  const auto first = spawn(outcome_of_receive(s, forever));
  co_await settle();
  s.engine.deliver(request(s), "1st");
  co_await first.join();
  CHECK(has_request(s));
}

task<std::string> received(stage& s) {
  const buffer data = co_await s.stream.receive();
  co_return std::string(data.text());
}
task<std::string> some(stage& s, std::size_t most) {
  std::string got(most, '-');
  const std::size_t count = co_await s.stream.read_some(std::as_writable_bytes(std::span(got)));
  got.resize(count);
  co_return got;
}
task<std::string> exactly(stage& s, std::size_t size) {
  std::string got(size, '-');
  co_await s.stream.read_exact(std::as_writable_bytes(std::span(got)));
  co_return got;
}

task<std::string> outcome_of_close(stage& s) {
  return outcome_of([&s] { return s.stream.close(); });
}
task<> end_stream(stage& s, bool destroy) {
  if (destroy) {
    s.stream = tcp_stream();
  } else {
    co_await s.stream.close();
  }
}

// Whether an endless wait after `body(stage)` is a deadlock, because no external wait is left.
template <class F>
bool ends_in_deadlock(F body) {
  try {
    on_stage([&](stage& s) -> task<> {
      co_await body(s);
      co_await sleep(std::chrono::hours::max());
    });
  } catch (const deadlock&) {
    return true;
  }
  return false;
}

bool is_tcp_read(const byte_call& call) { return call.is_read() && call.on_tcp(); }

// Runs `body(stage, call)` for receive, read_some and read_exact, which are satisfied with three
// bytes, each on a new stage where a request is in flight without a caller.
template <class F>
void for_each_read(F body) {
  for (const byte_call& call : byte_calls) {
    if (!is_tcp_read(call)) continue;
    CAPTURE(call.name);
    on_stage([&](stage& s) -> task<> {
      co_await begin_receiving(s);
      co_await body(s, call);
    });
  }
}

// Makes the call again; true if it works, and takes exactly the bytes that arrive then.
task<bool> works_again(stage& s, const byte_call& call) {
  s.memory = {};
  const std::uint64_t before = s.stream.bytes_read();
  const auto again = spawn(call.outcome(s, forever));
  co_await settle();
  if (!call.is_in_flight(s)) co_return false;
  call.complete(s, "xyz");
  const std::string words = co_await again.get();
  const bool in_memory = call.code == opcode::receive || text(s.memory) == "xyz";
  if (words != call.success || !in_memory) co_return false;
  co_return s.stream.bytes_read() == before + 3;
}

}  // namespace

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

// In any order

namespace {

// A call of random kind and size, and the reader's position in the stream.
struct random_reader {
  enum class kind : std::uint8_t { receive, read_some, read_exact };

  stage& s;
  random_numbers& random;
  std::uint64_t place = 0;
  bool right = true;
  kind last = kind::receive;

  void take(std::span<const std::byte> got) {
    right = right && are_bytes_from(place, got);
    place += got.size();
  }
  task<> call(time_limit timeout) {
    std::vector<std::byte> memory(1 + random.below(12));
    try {
      if (last == kind::receive) {
        const buffer got = co_await s.stream.receive(timeout);
        take(got);
      } else if (last == kind::read_some) {
        const std::size_t count = co_await s.stream.read_some(memory, timeout);
        take(std::span(memory).first(count));
      } else {
        co_await s.stream.read_exact(memory, timeout);
        take(memory);
      }
    } catch (const timed_out&) {
    }
  }
  fiber<> begin() {
    // Mostly receive(), because its request is under test.
    last = random.once_in(2) ? kind::receive : static_cast<kind>(random.below(3));
    // A read_exact that is interrupted would make the stream unusable.
    const time_limit timeout =
        last != kind::read_exact && random.once_in(4) ? time_limit(1ms) : forever;
    return spawn(call(timeout));
  }
};

// Makes the engine deliver the next bytes to the operation in flight.
void deliver_some(stage& s, random_numbers& random, std::uint64_t& sent) {
  const bool through_request = has_request(s);
  if (!through_request && !s.engine.is_waiting(opcode::recv)) return;
  operation& op = through_request ? request(s) : s.engine.oldest(opcode::recv);
  if (through_request && s.engine.buffers_free() == 0) return s.engine.complete(op, -ENOBUFS);
  const std::size_t most = through_request ? 9 : std::min<std::size_t>(op.length, 9);
  const std::size_t size = 1 + random.below(most);
  if (random.once_in(16)) op.multishot = false;
  const std::vector<std::byte> next = bytes_from(sent, size);
  s.engine.deliver(op, text(next), random.once_in(8));
  sent += size;
}

task<> random_steps(stage& s, random_numbers& random, random_reader& reader, std::uint64_t& sent) {
  constexpr std::array passing{ENOBUFS, EAGAIN, EINTR, ECANCELED};
  fiber<> reading = reader.begin();
  for (int step = 0; step < 3000 && reader.right; ++step) {
    if (reading.done()) reading = reader.begin();
    if (random.once_in(2)) co_await sleep(0s);
    for (std::size_t i = random.below(3); i > 0; --i) deliver_some(s, random, sent);
    if (random.once_in(5)) s.engine.hold_cancellations(random.once_in(2));
    if (random.once_in(30) && has_request(s)) {
      s.engine.complete(request(s), -passing[random.below(passing.size())]);
    }
    if (random.once_in(6) && reader.last != random_reader::kind::read_exact) {
      reading.request_kill();
    }
    if (random.once_in(20)) co_await sleep(1ms);
  }
  s.engine.hold_cancellations(false);
  while (!reading.done()) {
    co_await settle();
    if (!reading.done()) deliver_some(s, random, sent);
  }
}

}  // namespace

TEST_CASE("random orders of arrivals, calls, kills and ends lose and duplicate no byte") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    on_wide_stage([seed](stage& s) -> task<> {
      random_numbers random(seed);
      random_reader reader{s, random};
      std::uint64_t sent = 0;
      co_await random_steps(s, random, reader, sent);
      co_await settle();
      // The rest has arrived, or has been lost.
      while (reader.place < sent && reader.right) {
        const auto rest = co_await as_result(s.stream.receive(0s));
        if (!rest) break;
        reader.take(*rest);
      }
      CHECK(reader.right);
      CHECK(reader.place == sent);
      CHECK(s.stream.bytes_read() == sent);
      CHECK(s.engine.buffers_free() == many_buffers);
      CHECK(s.engine.buffers().on_lease() == 0);
    });
  }
}

// On real sockets

namespace {

options with_eight_buffers() {
  options settings;
  settings.sizes.buffer_count = 8;
  return settings;
}

// The request in flight belongs to `to` and has no caller.
task<> begin_receiving_really(tcp_stream& from, tcp_stream& to) {
  co_await from.write_all("1st");
  const buffer first = co_await to.receive();
  CHECK(first.text() == "1st");
}

// Reads `size` bytes with receive() only, or with all calls in turn.
task<std::string> read_all(tcp_stream& from, std::size_t size, bool mixed) {
  std::string got;
  for (std::size_t round = 0; got.size() < size; ++round) {
    std::string memory(std::min<std::size_t>(size - got.size(), 1 + round % 11), '-');
    const auto room = std::as_writable_bytes(std::span(memory));
    if (!mixed || round % 3 == 0) {
      const buffer data = co_await from.receive();
      REQUIRE(data);
      got += data.text();
    } else if (round % 3 == 1) {
      const std::size_t count = co_await from.read_some(room);
      REQUIRE(count > 0);
      got += memory.substr(0, count);
    } else {
      co_await from.read_exact(room);
      got += memory;
    }
  }
  co_return got;
}

// A fiber that writes `size` bytes that follow from their position, then shuts down.
task<> write_bulk(tcp_stream& to, std::size_t size) {
  constexpr std::size_t step = 200'000;
  for (std::size_t place = 0; place < size; place += step) {
    const std::vector<std::byte> piece = bytes_from(place, std::min(step, size - place));
    co_await to.write_all(piece);
  }
  to.shutdown_write();
}

}  // namespace

TEST_CASE("200 small messages that arrived before any read are read in order") {
  for (const bool mixed : {false, true}) {
    CAPTURE(mixed);
    const auto body = [mixed]() -> task<> {
      auto [near, far] = co_await connected_pair();
      co_await begin_receiving_really(far, near);
      std::string all;
      for (int i = 0; i < 200; ++i) {
        const std::string message = "message " + std::to_string(i) + "; ";
        co_await far.write_all(message);
        all += message;
      }
      const std::string got = co_await read_all(near, all.size(), mixed);
      CHECK(got == all);
      // The stream continues as before.
      co_await far.write_all("last");
      const buffer last = co_await near.receive();
      CHECK(last.text() == "last");
    };
    on_schedulers(body);
    on_schedulers(body, with_eight_buffers());
  }
}

TEST_CASE("32 MiB pass through eight buffers byte for byte, followed by the end of the stream") {
  const auto body = []() -> task<> {
    constexpr std::size_t size = 32 * 1024 * 1024;
    auto [near, far] = co_await connected_pair();
    co_await begin_receiving_really(far, near);
    const auto writing = spawn(write_bulk(far, size));
    std::size_t place = 0;
    bool right = true;
    while (const buffer data = co_await near.receive()) {
      right = right && are_bytes_from(place, data);
      place += data.size();
    }
    CHECK(right);
    CHECK(place == size);
    CHECK(near.bytes_read() == size + 3);
    const buffer end = co_await near.receive();
    CHECK_FALSE(end);
    co_await writing.get();
  };
  on_one_scheduler(body, with_eight_buffers());
}

TEST_CASE("streams that are closed or destroyed with a request in flight free their number") {
  const auto body = []() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    const std::uint32_t free_before = current_scheduler().engine().buffers_free();
    for (int round = 0; round < 20; ++round) {
      auto [near, far] = co_await connected_through(listener);
      co_await begin_receiving_really(far, near);
      for (int i = 0; i < 3; ++i) co_await far.write_all("unread");
      const int fd = near.native_handle();
      if (round % 2 == 0) {
        co_await near.close();
        CHECK_FALSE(is_open(fd));
      } else {
        near = tcp_stream();
        while (is_open(fd)) co_await yield();
      }
      CHECK(current_scheduler().engine().buffers_free() == free_before);
    }
  };
  on_one_scheduler(body);
}

TEST_CASE(
    "a stream with a request and arrivals may outlive its run, and closes when it is destroyed") {
  tcp_stream left;
  unique_fd raw;
  const auto body = [&]() -> task<> {
    auto pair = co_await half_raw_pair();
    for (int i = 0; i < 3; ++i) {
      REQUIRE(::send(pair.raw.get(), "abc", 3, 0) == 3);
      std::array<std::byte, 2> part{};
      const buffer whole = co_await pair.stream.receive();
      CHECK(whole.size() == 3);
      REQUIRE(::send(pair.raw.get(), "de", 2, 0) == 2);
      co_await pair.stream.read_exact(part);
      CHECK(text(part) == "de");
    }
    REQUIRE(::send(pair.raw.get(), "left", 4, 0) == 4);
    std::array<std::byte, 1> first{};
    co_await pair.stream.read_exact(first);
    left = std::move(pair.stream);
    raw = std::move(pair.raw);
  };
  on_one_scheduler(body);
  const int fd = left.native_handle();
  REQUIRE(is_open(fd));
  left = tcp_stream();
  CHECK_FALSE(is_open(fd));
}

TEST_SUITE_END();
