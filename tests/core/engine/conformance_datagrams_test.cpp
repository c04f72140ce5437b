// Receiving datagrams into lent buffers: the layout, what ends a request, and running out.
//
// Method: UDP sockets on the loopback interface, driven with plain system calls.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/datagram_header.hpp>
#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "support/bytes.hpp"
#include "support/engines.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("conformance: datagrams");

namespace {

constexpr std::uint32_t buffer_count = 8;
constexpr std::uint32_t buffer_size = 128;
constexpr engine_options small{.submission_entries = 8,
                               .completion_entries = 32,
                               .buffer_count = buffer_count,
                               .buffer_size = buffer_size};

const msghdr& form() {
  static const msghdr made = [] {
    msghdr one{};
    one.msg_namelen = sizeof(sockaddr_in6);
    return one;
  }();
  return made;
}

struct datagram_receive : watched {
  explicit datagram_receive(int descriptor) : watched(opcode::receive_datagram, descriptor) {
    data = const_cast<msghdr*>(&form());
    multishot = true;
    receive.flags = MSG_TRUNC;
  }
};

// Two sockets that are connected to each other.
struct udp_pair {
  udp_pair() : near(open()), far(open()) {
    connect(near, far);
    connect(far, near);
  }
  static unique_fd open() {
    unique_fd made(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(made.get(), reinterpret_cast<sockaddr*>(&any), sizeof any) == 0);
    return made;
  }
  static sockaddr_in name_of(const unique_fd& fd) {
    sockaddr_in name{};
    socklen_t size = sizeof name;
    REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&name), &size) == 0);
    return name;
  }
  static void connect(const unique_fd& from, const unique_fd& to) {
    const sockaddr_in name = name_of(to);
    REQUIRE(::connect(from.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
  }
  void send(std::string_view text) const {
    REQUIRE(::send(far.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  }
  unique_fd near;
  unique_fd far;
};

struct datagram {
  datagram_header header;
  sockaddr_in sender;
  std::string bytes;
};

datagram take(extend::engine& engine, const completion& done) {
  REQUIRE(done.result >= static_cast<std::int32_t>(datagram_offset(form())));
  REQUIRE(done.buffer != completion::no_buffer);
  const buffer lent = engine.buffers().lend(done.buffer, static_cast<std::uint32_t>(done.result));
  datagram made{};
  std::memcpy(&made.header, lent.data(), sizeof made.header);
  std::memcpy(&made.sender, lent.data() + sizeof made.header, sizeof made.sender);
  made.bytes = lent.text().substr(datagram_offset(form()));
  return made;
}

void turn_until(extend::engine& engine, const watched& op, std::size_t count) {
  while (op.seen.size() < count) turn(engine, never);
}

void end(extend::engine& engine, operation& op) {
  engine.cancel(op);
  finish(engine, op);
}

}  // namespace

TEST_CASE("one request receives many datagrams, each with its header and its sender") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make(small);
    const udp_pair pair;
    datagram_receive op(pair.near.get());
    pair.send("early");
    engine->start(op);
    turn_until(*engine, op, 1);
    pair.send("one");
    pair.send("two");
    turn_until(*engine, op, 3);
    const sockaddr_in far = udp_pair::name_of(pair.far);
    const char* const expected[] = {"early", "one", "two"};
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(op.seen[i].more);
      const datagram got = take(*engine, op.seen[i]);
      CHECK(got.bytes == expected[i]);
      CHECK(got.header.size == got.bytes.size());
      CHECK(got.header.name_size == sizeof far);
      CHECK((got.header.flags & MSG_TRUNC) == 0);
      CHECK(got.sender.sin_port == far.sin_port);
      CHECK(got.sender.sin_addr.s_addr == far.sin_addr.s_addr);
    }
    end(*engine, op);
    CHECK(op.answer == -ECANCELED);
    CHECK(engine->buffers_free() == buffer_count);
  });
}

TEST_CASE("an empty datagram has a positive result") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make(small);
    const udp_pair pair;
    datagram_receive op(pair.near.get());
    engine->start(op);
    pair.send("");
    turn_until(*engine, op, 1);
    const datagram got = take(*engine, op.seen[0]);
    CHECK(got.header.size == 0);
    CHECK(got.bytes.empty());
    if (!op.in_flight()) engine->start(op);  // io_uring ends the request
    pair.send("next");
    turn_until(*engine, op, 2);
    const datagram next = take(*engine, op.seen[1]);
    CHECK(next.bytes == "next");
    end(*engine, op);
  });
}

TEST_CASE("a datagram that does not fit is truncated, and its header tells the size") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make(small);
    const udp_pair pair;
    datagram_receive op(pair.near.get());
    engine->start(op);
    const std::string sent = pattern(300);
    pair.send(sent);
    turn_until(*engine, op, 1);
    CHECK(op.seen[0].result == buffer_size);
    const datagram got = take(*engine, op.seen[0]);
    CHECK(got.header.size == 300);
    CHECK((got.header.flags & MSG_TRUNC) != 0);
    CHECK(got.bytes == sent.substr(0, buffer_size - datagram_offset(form())));
    end(*engine, op);
  });
}

TEST_CASE("an error ends the request, and another one can be started") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make(small);
    udp_pair pair;
    const sockaddr_in far = udp_pair::name_of(pair.far);
    pair.far.reset();
    datagram_receive op(pair.near.get());
    engine->start(op);
    turn(*engine);
    REQUIRE(::send(pair.near.get(), "x", 1, 0) == 1);
    finish(*engine, op);
    CHECK(op.answer == -ECONNREFUSED);
    CHECK(op.seen.back().buffer == completion::no_buffer);
    pair.far = unique_fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(pair.far.get(), reinterpret_cast<const sockaddr*>(&far), sizeof far) == 0);
    udp_pair::connect(pair.far, pair.near);
    engine->start(op);
    pair.send("back");
    turn_until(*engine, op, 2);
    CHECK(take(*engine, op.seen[1]).bytes == "back");
    end(*engine, op);
    CHECK(engine->buffers_free() == buffer_count);
  });
}

TEST_CASE("without a free buffer a request ends with ENOBUFS, takes nothing, and is counted") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make(small);
    const udp_pair pair;
    datagram_receive op(pair.near.get());
    engine->start(op);
    for (std::uint32_t i = 0; i <= buffer_count; ++i) pair.send(std::to_string(i));
    finish(*engine, op);
    CHECK(op.answer == -ENOBUFS);
    CHECK(op.seen.size() == buffer_count + 1);
    CHECK(engine->statistics().buffers_dry == 1);
    CHECK(drain(pair.near) == std::to_string(buffer_count));
    for (std::uint32_t i = 0; i < buffer_count; ++i) {
      CHECK(take(*engine, op.seen[i]).bytes == std::to_string(i));
    }
    CHECK(engine->buffers_free() == buffer_count);
  });
}

TEST_CASE("a waiting request holds no buffer, and a cancelled one has used none") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make(small);
    const udp_pair pair;
    for (const bool poll_first : {false, true}) {
      datagram_receive op(pair.near.get());
      op.poll_first = poll_first;
      engine->start(op);
      turn(*engine);
      CHECK(engine->buffers_free() == buffer_count);
      end(*engine, op);
      CHECK(op.seen.back().buffer == completion::no_buffer);
      CHECK(engine->buffers_free() == buffer_count);
    }
  });
}

TEST_SUITE_END();
