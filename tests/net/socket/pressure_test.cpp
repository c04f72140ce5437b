// Streams under pressure: large transfers through small socket buffers, many connections, many
// limits that pass at the same instant in a tiny ring, peers that do not read.
//
// Method: real connections; every byte follows from its position in the stream.
// SPDX-License-Identifier: MIT
#include <ringlet/joinall.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_stream.hpp>

#include <doctest/doctest.h>

#include <limits.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "support/checked_bytes.hpp"
#include "support/loopback.hpp"
#include "support/outcome.hpp"
#include "support/random.hpp"
#include "support/sanitized.hpp"
#include "support/schedulers.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t large = sanitized ? 8 << 20 : 64 << 20;

// As many pairs as `wanted`, or as the limit on descriptors allows.
std::size_t pairs_allowed(std::size_t wanted) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return std::min<std::size_t>(wanted, (limit.rlim_cur - 100) / 2);
}

// Threads that the kernel has started because a request did not complete in time. A thread from
// an earlier test lives on for some seconds.
std::set<std::string> kernel_workers() {
  std::set<std::string> ids;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::ifstream(thread.path() / "comm") >> name;
    if (name.starts_with("iou-wrk")) ids.insert(thread.path().filename());
  }
  return ids;
}

bool has_new_worker(const std::set<std::string>& before) {
  const std::set<std::string> now = kernel_workers();
  return !std::ranges::includes(before, now);
}

// Reads and checks the stream to its end, in pieces of odd sizes, and lets other fibers run in
// between.
task<std::uint64_t> check_all_of(tcp_stream& stream) {
  std::vector<std::byte> memory(5000);
  random_numbers random(1);
  std::uint64_t place = 0;
  bool right = true;
  for (;;) {
    const auto room = std::span(memory).first(1 + random.below(memory.size()));
    const std::size_t count = co_await stream.read_some(room);
    if (count == 0) break;
    right = right && are_bytes_from(place, room.first(count));
    place += count;
    if (random.once_in(8)) co_await yield();
  }
  CHECK(right);
  co_return place;
}

task<connection> connected_with_small_buffers() {
  auto pair = co_await connected_pair();
  pair.near.set_send_buffer(16 << 10);
  pair.far.set_receive_buffer(64 << 10);
  co_return std::move(pair);
}

}  // namespace

TEST_SUITE_BEGIN("pressure");

TEST_CASE("a large write through small socket buffers arrives complete and in order") {
  on_schedulers([]() -> task<> {
    const auto workers = kernel_workers();
    auto [near, far] = co_await connected_with_small_buffers();
    const auto reading = spawn(check_all_of(far));
    const auto all = bytes_from(0, large);
    co_await near.write_all(all);
    near.shutdown_write();
    const std::uint64_t received = co_await reading.get();
    CHECK(received == large);
    CHECK(near.bytes_written() == large);
    CHECK(far.bytes_read() == large);
    CHECK_FALSE(has_new_worker(workers));
  });
}

// As one request it would be woken some 500 times, and the kernel moves a request to its own thread
// after 128 wake-ups. write_requests_test.cpp checks the requests.
TEST_CASE("a large part is sent like a large write, not on a kernel thread") {
  on_schedulers([]() -> task<> {
    const auto workers = kernel_workers();
    auto [near, far] = co_await connected_with_small_buffers();
    const auto reading = spawn(check_all_of(far));
    const auto all = bytes_from(0, 16 << 20);
    const std::span<const std::byte> whole(all);
    const std::array parts{whole.first(1000), whole.subspan(1000, 15 << 20),
                           whole.subspan((15 << 20) + 1000)};
    co_await near.write_all(parts);
    near.shutdown_write();
    const std::uint64_t received = co_await reading.get();
    CHECK(received == all.size());
    CHECK_FALSE(has_new_worker(workers));
  });
}

TEST_CASE("a large write in many parts arrives complete and in order") {
  on_schedulers([]() -> task<> {
    auto [near, far] = co_await connected_with_small_buffers();
    const auto reading = spawn(check_all_of(far));
    const auto all = bytes_from(0, 1'000'003);
    std::vector<std::span<const std::byte>> parts;
    random_numbers random(2);
    for (std::size_t at = 0; at < all.size();) {
      const std::size_t size = std::min(random.below(500), all.size() - at);  // also empty ones
      parts.push_back(std::span(all).subspan(at, size));
      at += size;
    }
    REQUIRE(parts.size() > 3 * IOV_MAX);
    co_await near.write_all(parts);
    near.shutdown_write();
    const std::uint64_t received = co_await reading.get();
    CHECK(received == all.size());
  });
}

TEST_CASE("bytes that are written and read one at a time all arrive") {
  on_schedulers([]() -> task<> {
    auto [near, far] = co_await connected_pair();
    constexpr std::uint64_t count = 10'000;
    const auto write_each = [&near]() -> task<> {
      for (std::uint64_t place = 0; place < count; ++place) {
        const std::array one{byte_at(place)};
        co_await near.write_all(one);
      }
    };
    const auto writing = spawn(write_each);
    std::uint64_t wrong = 0;
    for (std::uint64_t place = 0; place < count; ++place) {
      std::array<std::byte, 1> one{};
      co_await far.read_exact(one);
      if (one[0] != byte_at(place)) ++wrong;
    }
    CHECK(wrong == 0);
    co_await writing.join();
  });
}

TEST_CASE("both directions of a connection carry a large transfer at the same time") {
  on_schedulers([]() -> task<> {
    auto [near, far] = co_await connected_with_small_buffers();
    const auto all = bytes_from(0, 1 << 20);
    const auto send = [&](tcp_stream& stream) -> task<> {
      co_await stream.write_all(all);
      stream.shutdown_write();
    };
    const auto a = spawn(send, std::ref(near));
    const auto b = spawn(send, std::ref(far));
    const auto c = spawn(check_all_of(near));
    const auto d = spawn(check_all_of(far));
    co_await joinall(a, b, c, d);
    CHECK(near.bytes_read() == all.size());
    CHECK(far.bytes_read() == all.size());
  });
}

TEST_CASE("a thousand connections are served at once") {
  on_schedulers([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    const auto echo = [](tcp_stream peer) -> task<> {
      while (const buffer data = co_await peer.receive()) co_await peer.write_all(data);
    };
    const auto serve = [&]() -> task<> {
      for (;;) {
        auto made = co_await as_result(listener.accept());
        if (!made) co_return;
        spawn(echo(std::move(*made)));
      }
    };
    const auto server = spawn(serve);
    std::vector<tcp_stream> clients;
    const std::size_t count = pairs_allowed(2000) / 2;  // two schedulers
    for (std::size_t i = 0; i < count; ++i) {
      clients.push_back(co_await tcp_stream::connect(listener.local_address()));
    }
    for (int round = 0; round < 3; ++round) {
      for (auto& client : clients) co_await client.write_all("are you there?");
      for (auto& client : clients) {
        std::array<std::byte, 14> answer{};
        co_await client.read_exact(answer);
        CHECK(text(answer) == "are you there?");
      }
    }
    co_await listener.close();
    co_await server.join();
  });
}

TEST_CASE("no stream loses a byte when 5,000 limits pass at the same instant in a tiny ring") {
  options settings;
  settings.sizes.submission_entries = 8;
  settings.sizes.completion_entries = 16;
  const auto body = []() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    std::vector<connection> pairs;
    const std::size_t count = pairs_allowed(5000);
    for (std::size_t i = 0; i < count; ++i) pairs.push_back(co_await connected_through(listener));

    const time_limit instant = time_limit::at(current_scheduler().now() + 100'000'000);
    std::vector<fiber<std::string>> reads;
    std::vector<std::array<std::byte, 8>> memory(count);
    for (std::size_t i = 0; i < count; ++i) {
      reads.push_back(spawn(outcome_of(
          [&pairs, &memory, instant, i] { return pairs[i].near.read_some(memory[i], instant); })));
    }
    for (auto& read : reads) {
      const std::string words = co_await read.get();
      CHECK(words == "timed out");
    }
    for (std::size_t i = 0; i < count; ++i) co_await pairs[i].far.write_all(std::to_string(i));
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t got = co_await pairs[i].near.read_some(memory[i]);
      CHECK(text(memory[i], got) == std::to_string(i));
    }
  };
  on_one_scheduler(body, settings);
}

TEST_CASE("a peer that never reads delays only its own connection, in bounded memory") {
  on_schedulers([]() -> task<> {
    auto [stalled, silent] = co_await connected_with_small_buffers();
    const auto all = bytes_from(0, 16 << 20);
    const auto writing = spawn(outcome_of([&stalled, &all] { return stalled.write_all(all); }));
    auto [near, far] = co_await connected_pair();
    for (int round = 0; round < 1000; ++round) {
      co_await near.write_all("ping");
      const buffer data = co_await far.receive();
      CHECK(data.text() == "ping");
    }
    CHECK_FALSE(writing.done());
    CHECK(stalled.bytes_written() < 4 << 20);
    const std::uint64_t before = stalled.bytes_written();
    CHECK(current_scheduler().engine().buffers().on_lease() == 0);

    writing.request_kill();
    std::string words = co_await writing.get();
    CHECK(words == "cancelled");
    CHECK(stalled.bytes_written() >= before);
    words = co_await outcome_of([&stalled] { return stalled.write_all("more"); });
    CHECK(words.find("cut short") != std::string::npos);
    // The peer receives as many bytes as the count says.
    const std::uint64_t written = stalled.bytes_written();
    stalled.shutdown_write();
    const std::uint64_t received = co_await check_all_of(silent);
    CHECK(received == written);
    // The other direction works.
    co_await silent.write_all("still here");
    const buffer data = co_await stalled.receive();
    CHECK(data.text() == "still here");
  });
}

TEST_CASE("a write whose limit passes while the peer does not read ends early and is counted") {
  on_schedulers([]() -> task<> {
    auto [near, far] = co_await connected_with_small_buffers();
    const auto all = bytes_from(0, 8 << 20);
    const std::string words =
        co_await outcome_of([&near, &all] { return near.write_all(all, 5ms); });
    CHECK(words == "timed out");
    near.shutdown_write();
    const std::uint64_t received = co_await check_all_of(far);
    CHECK(received == near.bytes_written());
  });
}

TEST_SUITE_END();
