// Unix datagrams: their limits, their senders, and what a full queue, a kill and a close do.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/unix_datagram.hpp>
#include <ringlet/unix_listener.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <ostream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "support/aborts.hpp"
#include "support/bytes.hpp"
#include "support/loopback.hpp"
#include "support/schedulers.hpp"
#include "support/scratch_folder.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("unix_datagram");

namespace {

using memory = std::array<std::byte, 8>;

// Sends until the queue of the receiver is full: the last send waits, and is then killed.
task<std::size_t> fill_queue(unix_datagram& from) {
  for (std::size_t count = 0;; ++count) {
    const auto sent = co_await as_result(from.send("x", 20ms));
    if (!sent) {
      CHECK(sent.error() == errc::timed_out);
      co_return count;
    }
  }
}

}  // namespace

TEST_CASE("datagrams keep their limits, and name their sender") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    auto server = unix_datagram::bind(folder / "server");
    auto client = unix_datagram::bind(folder / "client");
    const auto there = server.local_address();
    CHECK(there == unix_address::path(folder / "server"));
    co_await client.send_to(there, "one");
    co_await client.send_to(there, "");
    co_await client.send_to(there, "three");
    memory in;
    received_datagram got = co_await server.receive(in);
    CHECK(text(in, got.size) == "one");
    CHECK(got.sender == client.local_address());
    CHECK_FALSE(got.is_truncated);
    got = co_await server.receive(in);
    CHECK(got.size == 0);
    got = co_await server.receive(in);
    CHECK(text(in, got.size) == "three");
    CHECK(server.bytes_read() == 8);
    CHECK(client.bytes_written() == 8);
    co_await server.send_to(got.sender, "back");
    got = co_await client.receive(in);
    CHECK(text(in, got.size) == "back");
  });
}

TEST_CASE("a datagram from a socket without a name has an unnamed sender") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    auto server = unix_datagram::bind(folder / "server");
    auto client = unix_datagram::open();
    client.connect(server.local_address());
    co_await client.send("x");
    memory in;
    const received_datagram got = co_await server.receive(in);
    CHECK(got.sender == unix_address());
  });
}

TEST_CASE("a datagram larger than the memory is truncated, and says its size") {
  on_one_scheduler([]() -> task<> {
    auto [near, far] = unix_datagram::pair();
    co_await near.send("0123456789");
    co_await near.send("next");
    memory in;
    received_datagram got = co_await far.receive(in);
    CHECK(got.is_truncated);
    CHECK(got.size == 10);
    CHECK(text(in) == "01234567");
    CHECK(far.bytes_read() == 8);
    got = co_await far.receive(in);
    CHECK(text(in, got.size) == "next");
    CHECK_FALSE(got.is_truncated);
  });
}

TEST_CASE("a send waits while the queue is full, and goes when there is room") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    auto server = unix_datagram::bind(folder / "server");
    auto connected = unix_datagram::open();
    connected.connect(server.local_address());
    auto other = unix_datagram::open();
    const std::size_t count = co_await fill_queue(connected);
    CHECK(count != 0);
    const auto there = server.local_address();
    const auto by_name = spawn([&]() -> task<> { co_await other.send_to(there, "named"); });
    const auto by_peer = spawn([&]() -> task<> { co_await connected.send("peer"); });
    co_await yield();
    memory in;
    std::string late;
    for (std::size_t i = 0; i < count + 2; ++i) {
      const received_datagram got = co_await server.receive(in);
      if (got.size != 1) late += text(in, got.size);
    }
    co_await by_name.get();
    co_await by_peer.get();
    CHECK((late == "namedpeer" || late == "peernamed"));
  });
}

TEST_CASE("a killed send and a killed receive lose nothing") {
  on_one_scheduler([]() -> task<> {
    auto [near, far] = unix_datagram::pair();
    unix_datagram& from = near;
    unix_datagram& to = far;
    memory in;
    const auto receiving = spawn([&]() -> task<> { co_await to.receive(in); });
    co_await yield();
    co_await receiving.kill();
    CHECK(receiving.result() == outcome::cancelled);
    const std::size_t count = co_await fill_queue(near);
    const auto sending = spawn([&]() -> task<> { co_await from.send("lost"); });
    co_await yield();
    co_await sending.kill();
    for (std::size_t i = 0; i < count; ++i) {
      const received_datagram got = co_await far.receive(in);
      CHECK(got.size == 1);
    }
    const auto empty = co_await as_result(far.receive(in, 1ms));
    CHECK(empty.error() == errc::timed_out);
  });
}

TEST_CASE("closing ends a receive and refuses later calls, and removes the file") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    auto server = unix_datagram::bind(folder / "server", 0600);
    memory in;
    const auto waiting = spawn([&]() -> task<> { co_await server.receive(in); });
    co_await yield();
    co_await server.close();
    CHECK_FALSE(std::filesystem::exists(folder / "server"));
    const auto ended = co_await as_result(waiting.get());
    CHECK(ended.error() == errc::closed);
    const auto received = co_await as_result(server.receive(in));
    CHECK(received.error() == errc::closed);
    const auto sent = co_await as_result(server.send("x"));
    CHECK(sent.error() == errc::closed);
    CHECK_THROWS_AS(server.local_address(), std::system_error);
    CHECK_THROWS_AS(server.connect(unix_address::parse("@x")), std::system_error);
    CHECK(server.native_handle() == -1);
  });
}

TEST_CASE("a peer that is missing, of another type or gone is an error of the send") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    auto client = unix_datagram::open();
    const auto none = co_await as_result(client.send("x"));
    CHECK(none.error() == std::errc::not_connected);
    const auto there = unix_address::path(folder / "server");
    const auto missing = co_await as_result(client.send_to(there, "x"));
    CHECK(missing.error() == std::errc::no_such_file_or_directory);
    {
      const auto listener = unix_listener::bind(there);
      CHECK_THROWS_WITH_AS(client.connect(there), doctest::Contains(there.to_string().c_str()),
                           std::system_error);
    }
    auto server = unix_datagram::bind(there);
    client.connect(there);
    co_await server.close();
    const auto gone = co_await as_result(client.send("x"));
    CHECK(gone.error() == std::errc::connection_refused);
    const std::string large(10'000'000, 'x');
    auto [near, far] = unix_datagram::pair();
    const auto refused = co_await as_result(near.send(large));
    CHECK(refused.error() == std::errc::message_size);
  });
}

TEST_CASE("bind() removes a stale file, and leaves one that is in use") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    const std::string path = folder / "socket";
    auto first = unix_datagram::bind(path);
    CHECK_THROWS_AS(unix_datagram::bind(path), std::system_error);
    const unique_fd kept(::dup(first.native_handle()));
    std::filesystem::rename(path, folder / "moved");
    co_await first.close();
    std::filesystem::rename(folder / "moved", path);
    CHECK_THROWS_AS(unix_datagram::bind(path), std::system_error);
    CHECK(std::filesystem::exists(path));
  });
}

TEST_CASE("two receives, a send without a name and a socket that was moved from abort") {
  CHECK(aborts_with("a second read was begun", [] {
    on_one_scheduler([]() -> task<> {
      auto [near, far] = unix_datagram::pair();
      unix_datagram& to = far;
      memory in;
      const auto waiting = spawn([&]() -> task<> { co_await to.receive(in); });
      co_await yield();
      co_await far.receive(in);
    });
  }));
  CHECK(aborts_with("send_to() needs the name of a socket", [] {
    on_one_scheduler([]() -> task<> {
      auto client = unix_datagram::open();
      co_await client.send_to(unix_address(), "x");
    });
  }));
  CHECK(aborts_with("a datagram socket that was moved from was used", [] {
    on_one_scheduler([]() -> task<> {
      auto client = unix_datagram::open();
      const auto other = std::move(client);
      co_await client.send("x");
    });
  }));
}

TEST_SUITE_END();
