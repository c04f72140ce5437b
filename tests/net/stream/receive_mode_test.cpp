// How a stream requests bytes: one request for many buffers while the peer waits for answers, one
// for a few buffers in bulk, and one request per call on sockets other than TCP.
//
// Method: as in arrivals_test.cpp, on a scripted engine that records its requests; then with real
// sockets, for the kernel's part.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_stream.hpp>

#include <doctest/doctest.h>

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/loopback.hpp"
#include "support/schedulers.hpp"
#include "support/sockets.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Answers SO_DOMAIN with `domain`.
void answer_family(scripted_engine& engine, int domain) {
  engine.answer(opcode::get_option, [domain](operation& op) {
    CHECK(op.option.level == SOL_SOCKET);
    CHECK(op.option.name == SO_DOMAIN);
    *static_cast<int*>(op.data) = domain;
    return 0;
  });
}

// Whether the next receive() of the stage's stream makes a lasting request.
task<bool> asks_to_stay(stage& s, std::string_view answer = "abc") {
  const auto reading = spawn(outcome_of_receive(s, forever));
  co_await settle();
  const operation& asked = s.engine.oldest(opcode::receive);
  const bool stays = asked.multishot && asked.receive.limit == 0;
  s.engine.deliver(s.engine.oldest(opcode::receive), answer);
  co_await reading.join();
  co_return stays;
}

}  // namespace

TEST_SUITE_BEGIN("receive mode");

TEST_CASE(
    "an adopted socket is asked once for its family, and only IPv4 and IPv6 get a lasting "
    "request") {
  for (const int domain : {AF_INET, AF_INET6, AF_UNIX, AF_VSOCK}) {
    CAPTURE(domain);
    on_stage([&](stage& s) -> task<> {
      answer_family(s.engine, domain);
      CHECK(s.engine.called(opcode::get_option) == 0);
      for (int round = 0; round < 3; ++round) {
        const bool stays = co_await asks_to_stay(s);
        CHECK(stays == (domain == AF_INET || domain == AF_INET6));
      }
      CHECK(s.engine.called(opcode::get_option) == 1);
    });
  }
}

TEST_CASE("a descriptor of unknown kind gets one request per call") {
  on_stage([](stage& s) -> task<> {
    s.engine.answer(opcode::get_option, -ENOTSOCK);
    const bool stays = co_await asks_to_stay(s);
    CHECK_FALSE(stays);
  });
}

TEST_CASE("a connection that ringlet created or accepted itself is not asked for its family") {
  on_stage([](stage& s) -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    const auto accepting = [&]() -> task<> { s.stream = co_await listener.accept(); };
    const auto accepted = spawn(accepting);
    co_await settle();
    s.engine.complete(s.engine.oldest(opcode::accept), 20, {.more = true});
    co_await accepted.join();
    bool stays = co_await asks_to_stay(s);
    CHECK(stays);
    s.engine.on_start = [&s](operation& op) {
      if (op.code == opcode::connect) s.engine.complete(op, 0);
    };
    s.stream = co_await tcp_stream::connect(address::parse("127.0.0.1:1"));
    stays = co_await asks_to_stay(s);
    CHECK(stays);
    CHECK(s.engine.called(opcode::get_option) == 0);
  });
}

TEST_CASE("one full buffer starts bulk mode, which ends when 16 smaller ones have arrived") {
  on_stage([](stage& s) -> task<> {
    const std::string full(s.engine.buffers().size(), 'x');
    const std::string smaller(full.size() - 1, 'x');
    bool stays = co_await asks_to_stay(s, smaller);
    CHECK(stays);
    for (int times = 0; times < 2; ++times) {
      CHECK(s.engine.is_waiting(opcode::receive));
      s.engine.deliver(s.engine.oldest(opcode::receive), full);
      co_await settle();
      // It was cancelled although a fiber may read at any time.
      CHECK_FALSE(s.engine.is_waiting(opcode::receive));
      { const buffer taken = co_await s.stream.receive(); }
      for (int i = 0; i < 15; ++i) {
        stays = co_await asks_to_stay(s, smaller);
        CHECK_FALSE(stays);
      }
      stays = co_await asks_to_stay(s, full);
      CHECK_FALSE(stays);
      for (int i = 0; i < 16; ++i) {
        stays = co_await asks_to_stay(s, smaller);
        CHECK_FALSE(stays);
      }
      stays = co_await asks_to_stay(s, smaller);
      CHECK(stays);
    }
  });
}

TEST_CASE("a full buffer ends a lasting request even while a fiber waits for the next one") {
  on_stage([](stage& s) -> task<> {
    const std::string full(s.engine.buffers().size(), 'x');
    const auto read_two = [&]() -> task<std::size_t> {
      std::size_t got = 0;
      for (int i = 0; i < 2; ++i) got += (co_await s.stream.receive()).size();
      co_return got;
    };
    const auto reading = spawn(read_two);
    co_await settle();
    s.engine.deliver(s.engine.oldest(opcode::receive), full);
    co_await settle();
    CHECK(s.engine.cancelled(opcode::receive) == 1);
    CHECK_FALSE(s.engine.oldest(opcode::receive).multishot);
    s.engine.deliver(s.engine.oldest(opcode::receive), "abc");
    const std::size_t got = co_await reading.get();
    CHECK(got == full.size() + 3);
  });
}

namespace {

// A fiber that receives `count` times. `s.stream` is in bulk mode already, or will be.
fiber<> receive_times(tcp_stream& from, int count) {
  const auto reads = [](tcp_stream& stream, int times) -> task<> {
    for (int i = 0; i < times; ++i) co_await stream.receive();
  };
  return spawn(reads, std::ref(from), count);
}

constexpr std::int32_t another_fd = stream_fd + 50;

}  // namespace

TEST_CASE(
    "a request in bulk mode asks for four buffers while half of the pool is enough for that") {
  struct sharing {
    std::uint32_t buffers;
    std::uint32_t alone;   // buffers that a request of one connection delivers
    std::uint32_t of_two;  // and of two connections
  };
  for (const sharing& shares : {sharing{64, 4, 4}, sharing{16, 4, 4}, sharing{15, 4, 1},
                                sharing{8, 4, 1}, sharing{7, 1, 1}, sharing{1, 1, 1}}) {
    CAPTURE(shares.buffers);
    scripted_engine engine(shares.buffers);
    const std::string full(engine.buffers().size(), 'x');
    const auto body = [&](stage& s) -> task<> {
      const auto bring_in_bulk = [&](tcp_stream& stream, std::int32_t fd) -> task<> {
        const auto reading = receive_times(stream, 1);
        co_await settle();
        engine.deliver(engine.oldest(opcode::receive, fd), full);
        co_await reading.join();
      };
      const auto check_share = [&](tcp_stream& stream, std::int32_t fd,
                                   std::uint32_t share) -> task<> {
        const auto reading = receive_times(stream, 1);
        co_await settle();
        operation& asked = engine.oldest(opcode::receive, fd);
        CHECK(asked.multishot == (share > 1));
        if (share > 1) CHECK(asked.receive.limit == share * full.size());
        const std::size_t cancelled = engine.cancelled(opcode::receive);
        for (std::uint32_t i = 0; i < share; ++i) engine.deliver(asked, full);
        co_await settle();
        // It has delivered its share, and nothing had to be cancelled for that.
        CHECK_FALSE(engine.is_waiting(opcode::receive, fd));
        CHECK(engine.cancelled(opcode::receive) == cancelled);
        for (std::uint32_t i = 1; i < share; ++i) co_await stream.receive();
        co_await reading.join();
      };
      co_await bring_in_bulk(s.stream, stream_fd);
      co_await check_share(s.stream, stream_fd, shares.alone);
      {
        tcp_stream second{unique_fd(another_fd)};
        co_await bring_in_bulk(second, another_fd);
        co_await check_share(s.stream, stream_fd, shares.of_two);
        co_await check_share(second, another_fd, shares.of_two);
      }
      // The second stream is closed, and its share is free.
      co_await check_share(s.stream, stream_fd, shares.alone);
    };
    detail::run_on(engine, beside_main(on_new_stage(engine, body)), {},
                   std::source_location::current());
  }
}

TEST_CASE("a full buffer starts bulk mode even when all buffers of the engine were out") {
  on_stage([](stage& s) -> task<> {
    std::vector<std::int32_t> taken;
    while (s.engine.buffers_free() != 0) taken.push_back(s.engine.take_buffer());
    s.engine.answer(opcode::receive_now,
                    [](operation& op) { return static_cast<std::int32_t>(op.length); });
    bool stays = co_await asks_to_stay(s);
    CHECK(stays);
    for (const std::int32_t id : taken) s.engine.recycle_buffer(id);
    stays = co_await asks_to_stay(s);
    CHECK_FALSE(stays);
  });
}

namespace {

constexpr std::size_t one_buffer = 1024;
constexpr std::size_t bulk = 32;  // buffers of each sender

// Waits until the system has delivered it, which can be late on a busy machine.
void await_bytes(const tcp_stream& stream, std::size_t bytes) {
  int there = 0;
  while (static_cast<std::size_t>(there) < bytes) {
    REQUIRE(::ioctl(stream.native_handle(), FIONREAD, &there) == 0);
  }
}

// Bulk senders, a connection each, and one that sends a byte and expects it to be seen soon.
struct crowd {
  std::vector<half_raw_connection> senders;
  half_raw_connection ping;
  std::vector<std::size_t> received;  // bytes of each sender
  std::vector<std::size_t> when_half;
  std::vector<std::size_t> when_pinged;
};

task<> receive_bulk(crowd& all, std::size_t which) {
  std::size_t& received = all.received[which];
  while (received < (1 + bulk) * one_buffer) {
    received += (co_await all.senders[which].stream.receive()).size();
    if (received >= (1 + bulk / 2) * one_buffer && all.when_half.empty()) {
      all.when_half = all.received;
    }
  }
}

task<> receive_ping(crowd& all) {
  co_await all.ping.stream.receive();
  all.when_pinged = all.received;
}

}  // namespace

// Each sender fills one buffer first. That empties its socket, so the next request would be a
// lasting one, which would take in all the rest at once, one connection after the other.
TEST_CASE("equal bulk senders get equal shares, and a ping is seen between their buffers") {
  for (const std::size_t senders : {2U, 10U, 100U}) {
    CAPTURE(senders);
    const auto body = [senders]() -> task<> {
      crowd all;
      all.received.resize(senders);
      for (std::size_t i = 0; i < senders; ++i) all.senders.push_back(co_await half_raw_pair());
      all.ping = co_await half_raw_pair();
      std::vector<fiber<>> fibers;
      for (std::size_t i = 0; i < senders; ++i) {
        fibers.push_back(spawn(receive_bulk, std::ref(all), i));
        put(all.senders[i].raw, std::string(one_buffer, 'x'));
      }
      fibers.push_back(spawn(receive_ping, std::ref(all)));
      while (std::ranges::min(all.received) < one_buffer) co_await sleep(0ns);
      co_await settle();
      for (const auto& sender : all.senders) put(sender.raw, std::string(bulk * one_buffer, 'x'));
      put(all.ping.raw, "x");
      for (const auto& sender : all.senders) await_bytes(sender.stream, bulk * one_buffer);
      await_bytes(all.ping.stream, 1);
      co_await joinall(fibers);
      CHECK(2 * std::ranges::min(all.when_half) >= std::ranges::max(all.when_half));
      // The first buffer, and those of one request.
      CHECK(std::ranges::max(all.when_pinged) <= (1 + 4) * one_buffer);
    };
    options settings;
    settings.sizes.buffer_size = one_buffer;
    on_one_scheduler(body, settings);
  }
}

// Linux 6.18 reports the bytes to a lasting request, and never the end of the stream.
TEST_CASE("the end of a Unix stream arrives, although an earlier wait ended without bytes") {
  on_one_scheduler([]() -> task<> {
    fd_pair pair = socket_pair();
    tcp_stream stream(std::move(pair.near));
    put(pair.far, "abc");
    { const buffer first = co_await stream.receive(); }
    const auto in_vain = [&]() -> task<> { co_await stream.receive(); };
    const auto waiting = spawn(in_vain);
    co_await settle();
    co_await waiting.kill();
    put(pair.far, "hello");
    REQUIRE(::shutdown(pair.far.get(), SHUT_WR) == 0);
    std::string got;
    while (const buffer data = co_await stream.receive(10s)) got += data.text();
    CHECK(got == "hello");
  });
}

TEST_SUITE_END();
