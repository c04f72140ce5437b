// udp_socket on real sockets of this host, on both engines: datagrams, their senders and limits,
// refused peers, loss under overload, multicast, and what the kernel splits and puts together.
//
// Method: sockets on the loopback interface. Waiting is forced by sending nothing, never by
// sleeping; udp_waits_test.cpp tests exact phases.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/udp_socket.hpp>
#include <ringlet/unique_fd.hpp>

#include <doctest/doctest.h>

#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "support/bytes.hpp"
#include "support/schedulers.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

bool has_ipv6() {
  const unique_fd made(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const address there = address::parse("[::1]:0");
  return ::bind(made.get(), there.data(), there.size()) == 0;
}

udp_socket on_loopback(const udp_options& options = {}) {
  return udp_socket::bind("127.0.0.1:0", options);
}

}  // namespace

TEST_SUITE_BEGIN("udp_socket");

TEST_CASE("datagrams keep their limits, and name their sender") {
  on_schedulers([]() -> task<> {
    std::vector<const char*> hosts{"127.0.0.1:0"};
    if (has_ipv6()) hosts.push_back("[::1]:0");
    for (const char* const host : hosts) {
      CAPTURE(host);
      auto server = udp_socket::bind(host);
      auto client = udp_socket::bind(host);
      const address there = server.local_address();
      co_await client.send_to(there, "one");
      co_await client.send_to(there, "");
      co_await client.send_to(there, "three");
      const udp_datagram one = co_await server.receive();
      CHECK(one.data.text() == "one");
      CHECK(one.size == 3);
      CHECK(one.sender == client.local_address());
      CHECK_FALSE(one.is_truncated);
      const udp_datagram empty = co_await server.receive();
      CHECK(empty.size == 0);
      CHECK(empty.data.empty());
      CHECK(empty.sender == client.local_address());
      const udp_datagram three = co_await server.receive();
      CHECK(three.data.text() == "three");
      CHECK(server.bytes_read() == 8);
      CHECK(client.bytes_written() == 8);
      co_await server.send_to(three.sender, three.data);
      std::array<std::byte, 16> memory;
      const received_udp back = co_await client.receive_into(memory);
      CHECK(text(memory, back.size) == "three");
      CHECK(back.sender == there);
      CHECK(back.segment_size == 5);
    }
  });
}

TEST_CASE("a connected socket sends without an address, and receives only from its peer") {
  on_one_scheduler([]() -> task<> {
    auto server = on_loopback();
    auto stranger = on_loopback();
    auto client = udp_socket::connect(server.local_address());
    CHECK(client.peer_address() == server.local_address());
    co_await stranger.send_to(client.local_address(), "stranger");
    co_await client.send("hello");
    const udp_datagram got = co_await server.receive();
    CHECK(got.data.text() == "hello");
    co_await server.send_to(got.sender, "answer");
    const udp_datagram answer = co_await client.receive();
    CHECK(answer.data.text() == "answer");
    const auto unconnected = co_await as_result(stranger.send("x"));
    CHECK(unconnected.error() == std::errc::destination_address_required);
    CHECK_THROWS_AS(stranger.peer_address(), std::system_error);
    stranger.connect_to(server.local_address());
    co_await stranger.send("now");
    const udp_datagram now = co_await server.receive();
    CHECK(now.sender == stranger.local_address());
  });
}

TEST_CASE("a datagram larger than the memory is truncated, and tells its size") {
  on_one_scheduler([]() -> task<> {
    auto server = on_loopback();
    auto client = udp_socket::connect(server.local_address());
    const std::string large = pattern(60'000);
    std::vector<std::byte> memory(65'536);
    co_await client.send(large);
    const received_udp whole = co_await server.receive_into(memory);
    CHECK(whole.size == 60'000);
    CHECK_FALSE(whole.is_truncated);
    CHECK(text(memory, 60'000) == large);
    co_await client.send(large);
    const received_udp cut = co_await server.receive_into(std::span(memory).first(100));
    CHECK(cut.size == 60'000);
    CHECK(cut.is_truncated);
    co_await client.send(large);
    co_await client.send("next");
    const udp_datagram lent = co_await server.receive();
    CHECK(lent.size == 60'000);
    CHECK(lent.is_truncated);
    CHECK(lent.data.text() == std::string_view(large).substr(0, lent.data.size()));
    CHECK(lent.data.size() == 16'384 - 44);
    const udp_datagram next = co_await server.receive();
    CHECK(next.data.text() == "next");
    const auto refused = co_await as_result(client.send(pattern(65'508)));
    CHECK(refused.error() == std::errc::message_size);
  });
}

TEST_CASE("a receive waits for a datagram; a timeout and a kill lose nothing") {
  on_schedulers([]() -> task<> {
    auto server = on_loopback();
    auto client = udp_socket::connect(server.local_address());
    const auto late = co_await as_result(server.receive(1ms));
    CHECK(late.error() == errc::timed_out);
    const auto killed = spawn([&]() -> task<> { co_await server.receive(); });
    co_await yield();
    co_await killed.kill();
    CHECK(killed.result() == outcome::cancelled);
    std::array<std::byte, 8> memory;
    const auto killed_too = spawn([&]() -> task<> { co_await server.receive_into(memory); });
    co_await yield();
    co_await killed_too.kill();
    const auto waiting = spawn([&]() -> task<std::string> {
      const udp_datagram got = co_await server.receive();
      co_return std::string(got.data.text());
    });
    co_await yield();
    co_await client.send("kept");
    const std::string words = co_await waiting.get();
    CHECK(words == "kept");
  });
}

TEST_CASE("a refused peer is the error of one call, and the socket remains usable") {
  on_one_scheduler([]() -> task<> {
    auto gone = on_loopback();
    const address there = gone.local_address();
    co_await gone.close();
    auto client = udp_socket::connect(there);
    co_await client.send("lost");
    const auto by_receive = co_await as_result(client.receive());
    CHECK(by_receive.error() == std::errc::connection_refused);
    co_await client.send("lost");
    std::array<std::byte, 8> memory;
    const auto by_receive_into = co_await as_result(client.receive_into(memory));
    CHECK(by_receive_into.error() == std::errc::connection_refused);
    auto sender = udp_socket::connect(there);
    co_await sender.send("lost");
    const auto by_send = co_await as_result(sender.send("not sent"));
    CHECK(by_send.error() == std::errc::connection_refused);
    auto back = udp_socket::bind(there);
    co_await client.send("found");
    const udp_datagram found = co_await back.receive();
    CHECK(found.data.text() == "found");
    co_await back.send_to(found.sender, "answer");
    const udp_datagram answer = co_await client.receive();
    CHECK(answer.data.text() == "answer");
  });
}

TEST_CASE("a socket that is not connected is not told of a refusal") {
  on_one_scheduler([]() -> task<> {
    auto gone = on_loopback();
    const address there = gone.local_address();
    co_await gone.close();
    auto client = on_loopback();
    co_await client.send_to(there, "lost");
    co_await client.send_to(there, "lost");
    const auto none = co_await as_result(client.receive(1ms));
    CHECK(none.error() == errc::timed_out);
  });
}

TEST_CASE("closing ends a receive, and refuses later calls") {
  on_schedulers([]() -> task<> {
    auto socket = on_loopback();
    const auto waiting = spawn([&]() -> task<> { co_await socket.receive(); });
    co_await yield();
    co_await socket.close();
    co_await socket.close();
    const auto ended = co_await as_result(waiting.get());
    CHECK(ended.error() == errc::closed);
    const auto sent = co_await as_result(socket.send("x"));
    CHECK(sent.error() == errc::closed);
    const auto received = co_await as_result(socket.receive());
    CHECK(received.error() == errc::closed);
    CHECK_THROWS_AS(socket.local_address(), std::system_error);
    CHECK_THROWS_AS(static_cast<void>(socket.lost()), std::system_error);
    CHECK_THROWS_AS(socket.set_coalescing(true), std::system_error);
    CHECK_THROWS_AS(socket.connect_to(address::loopback(9)), std::system_error);
    CHECK(socket.native_handle() == -1);
  });
}

TEST_CASE("datagrams that were received and not taken are dropped by a close") {
  on_one_scheduler([]() -> task<> {
    auto server = on_loopback();
    auto client = udp_socket::connect(server.local_address());
    for (int i = 0; i < 20; ++i) co_await client.send("x");
    co_await server.receive();
    co_await server.close();
  });
}

TEST_CASE("more datagrams than there are buffers all arrive, in order") {
  options few;
  few.sizes.buffer_count = 8;
  on_one_scheduler(
      []() -> task<> {
        auto server = on_loopback();
        auto client = udp_socket::connect(server.local_address());
        constexpr int count = 60;
        for (int i = 0; i < count; ++i) co_await client.send(std::to_string(i));
        std::vector<udp_datagram> held;
        for (int i = 0; i < count; ++i) held.push_back(co_await server.receive());
        for (int i = 0; i < count; ++i) {
          const auto& one = held[static_cast<std::size_t>(i)];
          CHECK(one.data.text() == std::to_string(i));
          CHECK(one.sender == client.local_address());
        }
      },
      few);
}

TEST_CASE("loss under overload is counted") {
  on_one_scheduler([]() -> task<> {
    auto server = on_loopback({.receive_buffer = 1});  // the system's minimum
    auto client = udp_socket::connect(server.local_address());
    CHECK(server.lost() == 0);
    CHECK(server.receive_buffer_size() > 0);
    const std::string piece = pattern(500);
    constexpr std::uint64_t sent = 200;
    for (std::uint64_t i = 0; i < sent; ++i) co_await client.send(piece);
    const std::uint64_t lost = server.lost();
    CHECK(lost > 0);
    CHECK(lost < sent);
    for (std::uint64_t i = lost; i < sent; ++i) {
      const auto got = co_await as_result(server.receive(1s));
      REQUIRE(got);
      CHECK(got->size == 500);
    }
    CHECK(server.lost() == lost);
  });
}

TEST_CASE("a flood does not take more buffers than a socket may keep") {
  on_one_scheduler([]() -> task<> {
    auto server = on_loopback();
    auto client = udp_socket::connect(server.local_address());
    co_await client.send("first");
    co_await server.receive();
    for (int i = 0; i < 150; ++i) {
      co_await client.send("x");
      if (i % 10 == 0) co_await yield();
    }
    for (int i = 0; i < 10; ++i) co_await yield();
    for (int i = 0; i < 150; ++i) {
      const udp_datagram got = co_await server.receive(1s);
      CHECK(got.data.text() == "x");
    }
    CHECK(server.lost() == 0);
  });
}

TEST_CASE("segments arrive as datagrams, and coalesced ones together") {
  on_one_scheduler([]() -> task<> {
    auto server = on_loopback();
    auto client = udp_socket::connect(server.local_address());
    const std::string all = pattern(1000);
    co_await client.send_segments(bytes(all), 300);
    std::string arrived;
    for (const std::size_t size : {300U, 300U, 300U, 100U}) {
      const udp_datagram got = co_await server.receive();
      CHECK(got.size == size);
      arrived += got.data.text();
    }
    CHECK(arrived == all);
    auto together = on_loopback();
    const bool can = together.set_coalescing(true);
    co_await client.send_segments_to(together.local_address(), bytes(all), 300);
    std::vector<std::byte> memory(65'536);
    arrived.clear();
    while (arrived.size() < all.size()) {
      const received_udp got = co_await together.receive_into(memory, 1s);
      CHECK_FALSE(got.is_truncated);
      if (can && got.size > 300) CHECK(got.segment_size == 300);
      arrived += text(memory, got.size);
    }
    CHECK(arrived == all);
    CHECK(client.bytes_written() == 2000);
  });
}

TEST_CASE("many segments go in calls of at most 64, and none is lost") {
  on_one_scheduler([]() -> task<> {
    auto server = on_loopback({.receive_buffer = 1 << 20});
    auto client = udp_socket::connect(server.local_address());
    const std::string all = pattern(150 * 10);
    co_await client.send_segments(bytes(all), 10);
    std::string arrived;
    for (int i = 0; i < 150; ++i) {
      const udp_datagram got = co_await server.receive(1s);
      arrived += got.data.text();
    }
    CHECK(arrived == all);
  });
}

TEST_CASE("a multicast group is joined and left") {
  on_one_scheduler([]() -> task<> {
    const address group = address::parse("239.255.77.1:0");
    auto server = udp_socket::bind("0.0.0.0:0", {.reuse_address = true});
    auto client = on_loopback();
    client.set_multicast_interface("lo");
    client.set_multicast_hops(0);
    client.set_multicast_loop(true);
    server.join(group, "lo");
    CHECK_THROWS_AS(server.join(group, "lo"), std::system_error);
    const address there = address::parse("239.255.77.1", server.local_address().port());
    co_await client.send_to(there, "to all");
    const udp_datagram got = co_await server.receive(5s);
    CHECK(got.data.text() == "to all");
    server.leave(group, "lo");
    CHECK_THROWS_AS(server.leave(group, "lo"), std::system_error);
    CHECK_THROWS_AS(server.join(address::loopback(0)), std::invalid_argument);
    CHECK_THROWS_AS(server.join(group, "no such interface"), std::system_error);
    CHECK_THROWS_AS(client.set_multicast_hops(256), std::invalid_argument);
    CHECK_THROWS_AS(client.set_multicast_hops(-1), std::invalid_argument);
  });
}

TEST_CASE("an IPv6 multicast group is joined and left") {
  if (!has_ipv6()) return;
  on_one_scheduler([]() -> task<> {
    const address group = address::parse("[ff01::77]:0");
    auto server = udp_socket::bind("[::]:0", {.ipv6_only = true});
    auto client = udp_socket::bind("[::1]:0");
    client.set_multicast_interface("lo");
    client.set_multicast_hops(1);
    client.set_multicast_loop(true);
    server.join(group, "lo");
    server.leave(group, "lo");
    co_return;
  });
}

TEST_CASE("sockets share a port if all of them say so") {
  on_one_scheduler([]() -> task<> {
    auto one = on_loopback({.reuse_port = true});
    const address there = one.local_address();
    auto two = udp_socket::bind(there, {.reuse_port = true});
    CHECK(two.local_address() == there);
    CHECK_THROWS_WITH_AS(udp_socket::bind(there), doctest::Contains(there.to_string().c_str()),
                         std::system_error);
    co_return;
  });
}

TEST_CASE("options are checked, and broadcast is refused without its option") {
  on_one_scheduler([]() -> task<> {
    CHECK_THROWS_AS(on_loopback({.receive_buffer = -1}), std::invalid_argument);
    CHECK_THROWS_AS(on_loopback({.send_buffer = -1}), std::invalid_argument);
    auto with = udp_socket::bind("0.0.0.0:0", {.broadcast = true, .send_buffer = 65'536});
    CHECK(with.send_buffer_size() >= 65'536);
    auto without = udp_socket::bind("0.0.0.0:0");
    const address all = address::parse("255.255.255.255:9");
    const auto refused = co_await as_result(without.send_to(all, "x"));
    REQUIRE_FALSE(refused);
    CHECK((refused.error() == std::errc::permission_denied ||
           refused.error() == std::errc::network_unreachable));
  });
}

TEST_SUITE_END();
