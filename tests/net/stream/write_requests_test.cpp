// What a write requests from the kernel: pieces of limited size, in order, however much of each is
// accepted.
//
// Method: a scripted engine that accepts as much of a request as it likes. The kernel moves a
// request to its own thread after 128 wake-ups; a small request is complete before that.
// SPDX-License-Identifier: MIT
#include <ringlet/standard_streams.hpp>
#include <ringlet/tcp_stream.hpp>

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "support/bytes.hpp"
#include "support/random.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

namespace {

constexpr std::size_t request_max = 256 * 1024;

// The bytes that a request of any kind asks to write.
std::vector<std::span<const std::byte>> pieces_of(const operation& op) {
  if (op.code != opcode::send_message) {
    return {{static_cast<const std::byte*>(op.data), op.length}};
  }
  const auto& message = *static_cast<const msghdr*>(op.data);
  std::vector<std::span<const std::byte>> pieces;
  for (std::size_t i = 0; i < message.msg_iovlen; ++i) {
    const iovec& part = message.msg_iov[i];
    pieces.emplace_back(static_cast<const std::byte*>(part.iov_base), part.iov_len);
  }
  return pieces;
}

// Accepts some or all of each request, at random, and records it.
struct taker {
  taker(stage& on, std::uint64_t seed) : engine(on.engine), chance(seed) {
    engine.on_start = [this](operation& op) { take(op); };
  }
  ~taker() { engine.on_start = nullptr; }

  void take(operation& op) {
    std::size_t asked = 0;
    for (const auto piece : pieces_of(op)) asked += piece.size();
    largest = std::max(largest, asked);
    const std::size_t all = chance.below(2) == 0 ? asked : 1 + chance.below(asked);
    std::size_t left = all;
    for (const auto piece : pieces_of(op)) {
      const std::size_t some = std::min(left, piece.size());
      taken.append(reinterpret_cast<const char*>(piece.data()), some);
      left -= some;
    }
    engine.complete(op, static_cast<std::int32_t>(all));
  }

  scripted_engine& engine;
  random_numbers chance;
  std::size_t largest = 0;
  std::string taken;
};

}  // namespace

TEST_SUITE_BEGIN("write requests");

TEST_CASE("a write of one span requests at most 256 KiB at a time, and all of it in order") {
  const std::string all = pattern(3 * request_max + 77);
  on_stage([&](stage& s) -> task<> {
    for (const bool standard : {false, true}) {
      taker kernel(s, 1);
      if (standard) {
        co_await s.standard.write_all(all);
      } else {
        co_await s.stream.write_all(all);
      }
      CHECK(kernel.taken == all);
      CHECK(kernel.largest == request_max);
    }
  });
}

TEST_CASE("a write of several spans requests at most 256 KiB at a time, and all of it in order") {
  const std::string all = pattern(4 * request_max);
  on_stage([&](stage& s) -> task<> {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
      CAPTURE(seed);
      random_numbers chance(seed);
      std::vector<std::span<const std::byte>> parts;
      for (auto rest = bytes(all); !rest.empty();) {
        const std::size_t most = seed % 2 == 0 ? all.size() : 10'000;
        const std::size_t size = std::min(rest.size(), chance.below(most));
        parts.push_back(rest.first(size));
        rest = rest.subspan(size);
      }
      taker kernel(s, seed);
      co_await s.stream.write_all(parts);
      CHECK((kernel.taken == all));
      CHECK(kernel.largest <= request_max);
    }
  });
}

TEST_SUITE_END();
