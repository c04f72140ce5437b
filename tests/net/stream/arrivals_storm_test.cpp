// Bytes that arrive while no call reads: in random orders on a scripted engine (see
// arrivals_test.cpp), and on real sockets.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/extend/stream_waits.hpp>

#include <doctest/doctest.h>

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "arrivals.hpp"
#include "support/checked_bytes.hpp"
#include "support/loopback.hpp"
#include "support/random.hpp"
#include "support/schedulers.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("arrivals");

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
