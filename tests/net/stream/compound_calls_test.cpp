// read_exact() and write_all(): all bytes in as many steps as needed; when they are interrupted
// midway, their direction is closed to further calls and the count tells how far they came.
//
// Method: as in stream_waits_test.cpp, on a scripted engine.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/stream_waits.hpp>

#include <doctest/doctest.h>

#include <limits.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view partial_transfer =
    "an earlier call in this direction was cut short; the position in the stream is lost";

bool is_compound(const byte_call& call) { return call.success == "done"; }

template <class F>
void for_each_compound_call(F body) {
  for (const byte_call& call : byte_calls) {
    if (!is_compound(call)) continue;
    CAPTURE(call.name);
    on_stage([&](stage& s) -> task<> { return body(s, call); });
  }
}

std::uint64_t count_of(const stage& s, const byte_call& call) {
  return call.is_read() ? s.stream.bytes_read() : s.stream.bytes_written();
}

// Whether calls in that direction are refused from now on, and those in the other direction work.
task<> check_partial_transfer(stage& s, const byte_call& cut) {
  for (const byte_call& call : byte_calls) {
    if (call.on_tcp() != cut.on_tcp()) continue;
    CAPTURE(call.name);
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    const bool refused = call.is_read() == cut.is_read();
    CHECK(call.is_in_flight(s) == !refused);
    if (!refused) call.complete(s);
    const std::string words = co_await fiber.get();
    CHECK(words == (refused ? partial_transfer : call.success));
  }
}

// Begins the call and completes one byte of it.
task<fiber<std::string>> begun(stage& s, const byte_call& call, time_limit timeout) {
  auto fiber = spawn(call.outcome(s, timeout));
  co_await settle();
  call.complete(s, "a");
  co_await settle();
  CHECK_FALSE(fiber.done());
  CHECK(call.in_flight(s).answer == 1);
  co_return fiber;
}

}  // namespace

TEST_SUITE_BEGIN("compound calls");

TEST_CASE("bytes that arrive or leave one at a time add up") {
  for_each_compound_call([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = spawn(call.outcome(s, forever));
    for (const std::string_view one : {"a", "b", "c"}) {
      co_await settle();
      CHECK_FALSE(fiber.done());
      call.complete(s, one);
    }
    const std::string words = co_await fiber.get();
    CHECK(words == "done");
    CHECK(s.engine.started(call.code) == 3);
    if (call.is_read()) CHECK(text(s.memory) == "abc");
    if (call.on_tcp()) CHECK(count_of(s, call) == 3);
  });
}

TEST_CASE("a call that is killed midway makes its direction unusable, and counts how far it came") {
  for_each_compound_call([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = co_await begun(s, call, forever);
    fiber.request_kill();
    const std::string words = co_await fiber.get();
    CHECK(words == "cancelled");
    if (call.on_tcp()) CHECK(count_of(s, call) == 1);
    co_await check_partial_transfer(s, call);
  });
}

TEST_CASE("a call whose limit passes midway makes its direction unusable, too") {
  for_each_compound_call([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = co_await begun(s, call, 5ms);
    co_await sleep(6ms);
    const std::string words = co_await fiber.get();
    CHECK(words == "timed out");
    if (call.on_tcp()) CHECK(count_of(s, call) == 1);
    co_await check_partial_transfer(s, call);
  });
}

TEST_CASE("a kill interrupts a call whose first step then succeeds in part") {
  for_each_compound_call([](stage& s, const byte_call& call) -> task<> {
    s.engine.hold_cancellations(true);
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    fiber.request_kill();
    co_await settle();
    call.complete(s, "ab");
    const std::string words = co_await fiber.get();
    CHECK(words == "cancelled");
    CHECK(s.engine.started(call.code) == 1);
    if (call.on_tcp()) CHECK(count_of(s, call) == 2);
    s.engine.hold_cancellations(false);
    co_await check_partial_transfer(s, call);
  });
}

TEST_CASE("a killed call completes when its last step succeeds") {
  for_each_compound_call([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = co_await begun(s, call, forever);
    s.engine.hold_cancellations(true);
    fiber.request_kill();
    co_await settle();
    call.complete(s, "bc");
    const std::string words = co_await fiber.get();
    CHECK(words == "done, then cancelled");
    s.engine.on_start = [&](operation&) { call.complete(s); };
    const std::string again = co_await call.outcome(s, forever);
    CHECK(again == "done");
  });
}

TEST_CASE("a kill interrupts a call whose step asks for a retry") {
  for_each_compound_call([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = co_await begun(s, call, forever);
    s.engine.hold_cancellations(true);
    fiber.request_kill();
    co_await settle();
    call.fail(s, EAGAIN);
    const std::string words = co_await fiber.get();
    CHECK(words == "cancelled");
    s.engine.hold_cancellations(false);
    co_await check_partial_transfer(s, call);
  });
}

TEST_CASE("an interrupted call that has moved no byte leaves its direction usable") {
  for_each_compound_call([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = spawn(call.outcome(s, 5ms));
    co_await settle();
    fiber.request_kill();
    std::string words = co_await fiber.get();
    CHECK(words == "cancelled");
    const auto timed = spawn(call.outcome(s, 5ms));
    words = co_await timed.get();
    CHECK(words == "timed out");
    s.engine.on_start = [&](operation&) { call.complete(s); };
    words = co_await call.outcome(s, forever);
    CHECK(words == "done");
  });
}

TEST_CASE("the limit covers the whole call, not each of its steps") {
  for_each_compound_call([](stage& s, const byte_call& call) -> task<> {
    const steady_ns start = s.engine.now();
    const auto fiber = spawn(call.outcome(s, 10ms));
    co_await settle();
    co_await sleep(6ms);
    call.complete(s, "a");
    co_await sleep(6ms);
    const std::string words = co_await fiber.get();
    CHECK(words == "timed out");
    CHECK(s.engine.now() - start == 12'000'000);
  });
}

TEST_CASE("an error midway is returned and leaves the direction usable") {
  for_each_compound_call([](stage& s, const byte_call& call) -> task<> {
    const auto fiber = co_await begun(s, call, forever);
    call.fail(s, ECONNRESET);
    std::string words = co_await fiber.get();
    CHECK(words == "Connection reset by peer");
    if (call.on_tcp()) CHECK(count_of(s, call) == 1);
    s.engine.on_start = [&](operation&) { call.fail(s, EPIPE); };
    words = co_await call.outcome(s, forever);
    CHECK(words == "Broken pipe");
  });
}

TEST_CASE("a call ends with closed when its stream is closed midway") {
  for_each_compound_call([](stage& s, const byte_call& call) -> task<> {
    if (!call.on_tcp()) co_return;
    const auto fiber = co_await begun(s, call, forever);
    co_await s.stream.close();
    const std::string words = co_await fiber.get();
    CHECK(words == "closed by this program");
    CHECK(count_of(s, call) == 1);
    CHECK(s.engine.closes(stream_fd) == 1);
  });
}

TEST_CASE("a call ends with closed when its stream is destroyed between two steps") {
  for_each_compound_call([](stage& s, const byte_call& call) -> task<> {
    if (!call.on_tcp()) co_return;
    const auto fiber = spawn(call.outcome(s, forever));
    co_await settle();
    call.complete(s, "a");  // not delivered yet
    s.stream = tcp_stream();
    const std::string words = co_await fiber.get();
    CHECK(words == "closed by this program");
    CHECK(s.engine.closes(stream_fd) == 1);
  });
}

TEST_CASE("reading or writing zero bytes completes at once, even on a closed stream") {
  on_stage([](stage& s) -> task<> {
    const auto check = [&]() -> task<> {
      std::string words = co_await outcome_of([&] { return s.stream.read_exact({}); });
      CHECK(words == "done");
      words = co_await outcome_of([&] { return s.stream.write_all(""); });
      CHECK(words == "done");
      const std::vector<std::span<const std::byte>> none(3);
      words = co_await outcome_of([&] { return s.stream.write_all(none); });
      CHECK(words == "done");
      words = co_await outcome_of([&] { return s.stream.write_all(buffer()); });
      CHECK(words == "done");
      current().kill();
      words = co_await outcome_of([&] { return s.stream.write_all(""); });
      CHECK(words == "cancelled");
    };
    co_await check();
    co_await s.stream.close();
    co_await check();
    for (const opcode code : {opcode::recv, opcode::send, opcode::send_message}) {
      CHECK(s.engine.started(code) == 0);
    }
  });
}

TEST_CASE("a loop that writes zero bytes lets other fibers run") {
  on_stage([](stage& s) -> task<> {
    bool other_ran = false;
    const auto other = [&]() -> task<> {
      other_ran = true;
      co_return;
    };
    spawn(other);
    int writes = 0;
    for (; !other_ran && writes < 1000; ++writes) co_await s.stream.write_all("");
    CHECK(writes <= 128);
  });
}

// read_exact

TEST_CASE("read_exact keeps the bytes before an early end of the stream") {
  for (const byte_call& call : byte_calls) {
    if (!is_compound(call) || !call.is_read()) continue;
    CAPTURE(call.name);
    on_stage([&](stage& s) -> task<> {
      const auto fiber = co_await begun(s, call, forever);
      s.engine.complete(call.in_flight(s), 0);
      std::string words = co_await fiber.get();
      CHECK(words == "unexpected end of stream");
      CHECK(text(s.memory, 1) == "a");
      if (call.on_tcp()) CHECK(s.stream.bytes_read() == 1);
      s.engine.on_start = [&](operation& op) { s.engine.complete(op, 0); };
      words = co_await call.outcome(s, forever);
      CHECK(words == "unexpected end of stream");
    });
  }
}

TEST_CASE("the end of the stream is a value for all other reads, every time") {
  on_stage([](stage& s) -> task<> {
    s.engine.on_start = [&](operation& op) { s.engine.complete(op, 0); };
    for (int round = 0; round < 3; ++round) {
      const buffer lent = co_await s.stream.receive();
      CHECK_FALSE(lent);
      const std::size_t count = co_await s.stream.read_some(s.memory);
      CHECK(count == 0);
      const std::size_t standard_count = co_await s.standard.read_some(s.memory);
      CHECK(standard_count == 0);
    }
  });
}

// write_all

TEST_CASE("a descriptor that accepts no bytes does not hold write_all forever") {
  for (const byte_call& call : byte_calls) {
    if (call.is_read()) continue;
    CAPTURE(call.name);
    on_stage([&](stage& s) -> task<> {
      const auto fiber = spawn(call.outcome(s, forever));
      co_await settle();
      s.engine.complete(call.in_flight(s), 0);
      const std::string words = co_await fiber.get();
      CHECK(words == "Broken pipe");
    });
  }
}

TEST_CASE("write_all continues where the last step stopped, and sends at most 256 KiB at once") {
  on_stage([](stage& s) -> task<> {
    const std::string all = pattern(1'000'000);
    std::string sent;
    s.engine.on_start = [&](operation& op) {
      CHECK(op.length <= 256 * 1024);
      CHECK((op.transfer.flags & MSG_WAITALL) != 0);
      const std::size_t taken = (op.length + 1) / 2;
      sent.append(static_cast<const char*>(op.data), taken);
      s.engine.complete(op, static_cast<std::int32_t>(taken));
    };
    co_await s.stream.write_all(all);
    CHECK(sent == all);
    CHECK(s.stream.bytes_written() == all.size());
  });
}

TEST_CASE("write_all sends parts in order, at most IOV_MAX at once, and no empty one") {
  on_stage([](stage& s) -> task<> {
    const std::string all = pattern(10'000);
    std::vector<std::span<const std::byte>> parts;
    for (std::size_t at = 0, size = 0; at < all.size(); at += size) {
      size = std::min(at % 7, all.size() - at);  // 0 to 6 bytes
      parts.push_back(bytes(std::string_view(all).substr(at, size)));
      if (size == 0) parts.push_back(bytes(std::string_view(all).substr(at, size = 1)));
    }
    REQUIRE(parts.size() > 2 * IOV_MAX);
    std::string sent;
    std::size_t step = 0;
    s.engine.on_start = [&](operation& op) {
      const auto& message = *static_cast<const msghdr*>(op.data);
      CHECK(message.msg_iovlen <= IOV_MAX);
      std::size_t left = ++step * 100;  // from the middle of a part to the middle of another
      const std::size_t before = sent.size();
      for (std::size_t i = 0; i < message.msg_iovlen; ++i) {
        const iovec& part = message.msg_iov[i];
        CHECK(part.iov_len != 0);
        sent.append(static_cast<const char*>(part.iov_base), std::min(left, part.iov_len));
        left -= std::min(left, part.iov_len);
      }
      s.engine.complete(op, static_cast<std::int32_t>(sent.size() - before));
    };
    co_await s.stream.write_all(parts);
    CHECK(sent == all);
    CHECK(s.stream.bytes_written() == all.size());
  });
}

TEST_CASE("write_all copies the list of parts: only the bytes must stay alive") {
  on_stage([](stage& s) -> task<> {
    std::vector<std::span<const std::byte>> parts{bytes("ab"), bytes("c")};
    const auto writing = [&]() -> task<> {
      auto wait = s.stream.write_all(parts);
      parts.assign(2, bytes("XX"));
      co_await std::move(wait);
    };
    std::string sent;
    s.engine.on_start = [&](operation& op) {
      const auto& message = *static_cast<const msghdr*>(op.data);
      for (std::size_t i = 0; i < message.msg_iovlen; ++i) {
        const iovec& part = message.msg_iov[i];
        sent.append(static_cast<const char*>(part.iov_base), part.iov_len);
      }
      s.engine.complete(op, 3);
    };
    co_await writing();
    CHECK(sent == "abc");
  });
}

TEST_SUITE_END();
