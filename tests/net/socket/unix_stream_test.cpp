// Unix streams: connecting, credentials, passing descriptors. What they share with TCP is tested
// with it: see byte_stream_test.cpp.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/unix_listener.hpp>
#include <ringlet/unix_stream.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "support/aborts.hpp"
#include "support/bytes.hpp"
#include "support/loopback.hpp"
#include "support/outcome.hpp"
#include "support/schedulers.hpp"
#include "support/scratch_folder.hpp"
#include "support/sockets.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("unix_stream");

namespace {

using memory = std::array<std::byte, 64>;

std::string_view words(const received_descriptors& got, const memory& in) {
  return text(in, got.bytes);
}

// Whether bytes written to `out` arrive at the descriptor.
bool leads_to(const unique_fd& in, const unique_fd& out) {
  put(out, "through");
  return drain(in) == "through";
}

task<> send_later(unix_stream& to, std::string_view text) {
  co_await yield();
  co_await to.write_all(text);
}

}  // namespace

TEST_CASE("a client connects to a path, and both ends know the addresses") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    const std::string path = folder / "socket";
    auto listener = unix_listener::bind(path);
    unix_stream client = co_await unix_stream::connect(path);
    unix_stream server = co_await listener.accept();
    CHECK(client.peer_address() == unix_address::path(path));
    CHECK(server.local_address() == unix_address::path(path));
    CHECK(server.peer_address() == unix_address());
    CHECK(client.local_address() == unix_address());
    co_await client.write_all("hello");
    const buffer got = co_await server.receive();
    CHECK(got.text() == "hello");
  });
}

TEST_CASE("a client connects to an abstract name") {
  on_one_scheduler([]() -> task<> {
    const auto name = unix_address::abstract("ringlet-test-" + std::to_string(::getpid()));
    auto listener = unix_listener::bind(name);
    CHECK(listener.local_address() == name);
    unix_stream client = co_await unix_stream::connect(name);
    CHECK(client.peer_address() == name);
  });
}

TEST_CASE("connecting where nothing listens says why, with the address") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    const std::string path = folder / "socket";
    std::string message;
    try {
      co_await unix_stream::connect(path);
    } catch (const std::system_error& error) {
      CHECK(error.code() == std::errc::no_such_file_or_directory);
      message = error.what();
    }
    CHECK(message.find("connect to " + path) != std::string::npos);
    const auto gone = unix_address::parse("@ringlet-test-unused");
    const auto refused = co_await as_result(unix_stream::connect(gone));
    CHECK(refused.error() == std::errc::connection_refused);
  });
}

TEST_CASE("connect() waits while the queue of the listener is full, and a limit ends it") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    const std::string path = folder / "socket";
    // A plain socket, because a listener of ringlet accepts before it is asked to.
    const unique_fd raw(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto where = unix_address::parse(path);
    REQUIRE(::bind(raw.get(), where.data(), where.size()) == 0);
    REQUIRE(::listen(raw.get(), 0) == 0);
    unix_stream first = co_await unix_stream::connect(path);
    const auto late = co_await as_result(unix_stream::connect(path, 20ms));
    CHECK(late.error() == errc::timed_out);
    const auto waiting = spawn([&]() -> task<> { co_await unix_stream::connect(path); });
    co_await yield();
    const unique_fd taken(::accept(raw.get(), nullptr, nullptr));
    co_await waiting.get();
  });
}

TEST_CASE("connect() that is killed closes its socket") {
  on_one_scheduler([]() -> task<> {
    const scratch_folder folder;
    const std::string path = folder / "socket";
    const unique_fd raw(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto where = unix_address::parse(path);
    REQUIRE(::bind(raw.get(), where.data(), where.size()) == 0);
    REQUIRE(::listen(raw.get(), 0) == 0);
    unix_stream first = co_await unix_stream::connect(path);
    const std::size_t before = open_descriptors();
    const auto waiting = spawn([&]() -> task<> { co_await unix_stream::connect(path); });
    co_await yield();
    CHECK(open_descriptors() == before + 1);
    co_await waiting.kill();
    CHECK(open_descriptors() == before);
  });
}

TEST_CASE("the kernel says who the peer is") {
  on_one_scheduler([]() -> task<> {
    auto [near, far] = unix_stream::pair();
    const peer_credentials found = near.credentials();
    CHECK(found.pid == ::getpid());
    CHECK(found.uid == ::geteuid());
    CHECK(found.gid == ::getegid());
    co_await near.close();
    const unix_stream& closed = near;
    CHECK_THROWS_AS(closed.credentials(), std::system_error);
    CHECK_THROWS_AS(closed.local_address(), std::system_error);
    CHECK_THROWS_AS(closed.peer_address(), std::system_error);
  });
}

TEST_CASE("descriptors arrive with the bytes, closed on exec, and lead to the same objects") {
  on_one_scheduler([]() -> task<> {
    auto [near, far] = unix_stream::pair();
    fd_pair pipes[2] = {pipe_pair(), pipe_pair()};
    const std::array sent{pipes[0].near.get(), pipes[1].near.get()};
    co_await near.send_descriptors(sent, "two");
    pipes[0].near.reset();
    pipes[1].near.reset();
    memory in;
    std::array<unique_fd, 4> received;
    const received_descriptors got = co_await far.receive_descriptors(in, received);
    CHECK(words(got, in) == "two");
    REQUIRE(got.descriptors == 2);
    for (std::size_t i = 0; i < 2; ++i) {
      CHECK((::fcntl(received[i].get(), F_GETFD) & FD_CLOEXEC) != 0);
      CHECK(leads_to(received[i], pipes[i].far));
    }
    CHECK_FALSE(received[2]);
    CHECK(far.bytes_read() == 3);
    CHECK(near.bytes_written() == 3);
  });
}

TEST_CASE("receive_descriptors() waits, takes bytes without descriptors, and reports the end") {
  on_one_scheduler([]() -> task<> {
    auto [near, far] = unix_stream::pair();
    const auto sending = spawn(send_later(near, "plain"));
    memory in;
    std::array<unique_fd, 1> received;
    received_descriptors got = co_await far.receive_descriptors(in, received);
    CHECK(words(got, in) == "plain");
    CHECK(got.descriptors == 0);
    near.shutdown_write();
    got = co_await far.receive_descriptors(in, received);
    CHECK(got.bytes == 0);
    co_await sending.join();
  });
}

TEST_CASE("one call returns the descriptors of one message") {
  on_one_scheduler([]() -> task<> {
    auto [near, far] = unix_stream::pair();
    const fd_pair pipe = pipe_pair();
    const std::array sent{pipe.near.get()};
    co_await near.send_descriptors(sent, "first");
    co_await near.send_descriptors(sent, "second");
    memory in;
    std::array<unique_fd, 2> received;
    received_descriptors got = co_await far.receive_descriptors(in, received);
    CHECK(words(got, in) == "first");
    CHECK(got.descriptors == 1);
    got = co_await far.receive_descriptors(in, received);
    CHECK(words(got, in) == "second");
    CHECK(got.descriptors == 1);
  });
}

TEST_CASE("more descriptors than there is room for are all closed, and reading ends") {
  on_one_scheduler([]() -> task<> {
    auto [near, far] = unix_stream::pair();
    const fd_pair pipe = pipe_pair();
    // One more than fits; and with three, one more than the padding of the control data hides.
    for (const std::size_t count : {2u, 3u, 253u}) {
      auto [from, to] = unix_stream::pair();
      const std::vector<int> sent(count, pipe.near.get());
      co_await from.send_descriptors(sent, "x");
      const std::size_t before = open_descriptors();
      memory in;
      std::array<unique_fd, 1> received;
      const auto got = co_await as_result(to.receive_descriptors(in, received));
      CHECK(got.error() == std::errc::message_size);
      CHECK_FALSE(received[0]);
      CHECK(open_descriptors() == before);
      const auto after = co_await as_result(to.receive());
      CHECK(after.error() == errc::partial_transfer);
    }
  });
}

TEST_CASE("descriptors that no call asks for are closed") {
  on_one_scheduler([]() -> task<> {
    auto [near, far] = unix_stream::pair();
    const fd_pair pipe = pipe_pair();
    const std::array sent{pipe.near.get()};
    const std::size_t before = open_descriptors();
    co_await near.send_descriptors(sent, "abc");
    const buffer got = co_await far.receive();
    CHECK(got.text() == "abc");
    co_await near.send_descriptors(sent, "abc");
    const bool ready = co_await far.readable();
    CHECK(ready);
    memory in;
    std::array<unique_fd, 1> received;
    const received_descriptors late = co_await far.receive_descriptors(in, received);
    CHECK(words(late, in) == "abc");
    CHECK(late.descriptors == 0);
    CHECK(open_descriptors() == before);
  });
}

TEST_CASE("without a free descriptor the receiver gets too_many_files_open") {
  on_one_scheduler([]() -> task<> {
    auto [near, far] = unix_stream::pair();
    const fd_pair pipe = pipe_pair();
    const std::array sent{pipe.near.get()};
    co_await near.send_descriptors(sent, "x");
    memory in;
    std::array<unique_fd, 1> received;
    rlimit usual{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &usual) == 0);
    rlimit none = usual;
    none.rlim_cur = 0;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    const auto got = co_await as_result(far.receive_descriptors(in, received));
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &usual) == 0);
    CHECK(got.error() == std::errc::too_many_files_open);
  });
}

TEST_CASE("a number of descriptors that no message carries is refused, and names the range") {
  on_one_scheduler([]() -> task<> {
    auto [near, far] = unix_stream::pair();
    for (const std::size_t count : {0u, 254u}) {
      const std::vector<int> sent(count, 0);
      CHECK_THROWS_WITH_AS(static_cast<void>(near.send_descriptors(sent, "x")),
                           doctest::Contains("one message carries 1 to 253 of them"),
                           std::system_error);
    }
    const std::array closed{-1};
    const auto got = co_await as_result(near.send_descriptors(closed, "x"));
    CHECK(got.error() == std::errc::bad_file_descriptor);
    // Nothing was sent, so the direction still works.
    co_await near.write_all("abc");
  });
}

TEST_CASE("descriptors with many bytes arrive before all bytes are sent") {
  on_one_scheduler([]() -> task<> {
    auto [near, far] = unix_stream::pair();
    const fd_pair pipe = pipe_pair();
    const std::array sent{pipe.near.get()};
    const std::string many = pattern(3'000'000);
    unix_stream& from = near;
    const auto sending = spawn([&]() -> task<> { co_await from.send_descriptors(sent, many); });
    std::string all;
    std::array<unique_fd, 1> received;
    memory in;
    const received_descriptors got = co_await far.receive_descriptors(in, received);
    CHECK(got.descriptors == 1);
    all += words(got, in);
    while (all.size() < many.size()) {
      const buffer data = co_await far.receive();
      all += data.text();
    }
    CHECK(all == many);
    co_await sending.get();
  });
}

TEST_CASE("a send of descriptors that is killed in the middle ends its direction") {
  on_one_scheduler([]() -> task<> {
    auto [near, far] = unix_stream::pair();
    const fd_pair pipe = pipe_pair();
    const std::array sent{pipe.near.get()};
    const std::string many(3'000'000, 'x');
    unix_stream& from = near;
    const auto sending = spawn([&]() -> task<> { co_await from.send_descriptors(sent, many); });
    const bool came = co_await far.readable();
    CHECK(came);
    co_await sending.kill();
    const auto after = co_await as_result(near.write_all("x"));
    CHECK(after.error() == errc::partial_transfer);
  });
}

TEST_CASE("a receive of descriptors that is killed, or runs out of time, loses nothing") {
  on_one_scheduler([]() -> task<> {
    auto [near, far] = unix_stream::pair();
    memory in;
    std::array<unique_fd, 1> received;
    const auto late = co_await as_result(far.receive_descriptors(in, received, 1ms));
    CHECK(late.error() == errc::timed_out);
    unix_stream& to = far;
    const auto waiting = spawn([&]() -> task<> { co_await to.receive_descriptors(in, received); });
    co_await yield();
    co_await waiting.kill();
    CHECK(waiting.result() == outcome::cancelled);
    const fd_pair pipe = pipe_pair();
    const std::array sent{pipe.near.get()};
    co_await near.send_descriptors(sent, "x");
    const received_descriptors got = co_await far.receive_descriptors(in, received);
    CHECK(got.descriptors == 1);
  });
}

TEST_CASE("closing ends a receive and a send of descriptors, and refuses later ones") {
  on_one_scheduler([]() -> task<> {
    auto [near, far] = unix_stream::pair();
    memory in;
    std::array<unique_fd, 1> received;
    unix_stream& mine = near;
    const std::array sent{1};
    const std::string many(3'000'000, 'x');
    const auto receiving = spawn([&]() -> task<std::string> {
      const auto got = co_await as_result(mine.receive_descriptors(in, received));
      co_return got ? "received" : got.error().message();
    });
    const auto sending = spawn([&]() -> task<std::string> {
      const auto done = co_await as_result(mine.send_descriptors(sent, many));
      co_return done ? "sent" : done.error().message();
    });
    co_await yield();
    co_await near.close();
    const std::string of_receive = co_await receiving.get();
    const std::string of_send = co_await sending.get();
    CHECK(of_receive == "closed by this program");
    CHECK(of_send == "closed by this program");
    const auto later = co_await as_result(near.receive_descriptors(in, received));
    CHECK(later.error() == errc::closed);
    const auto no_more = co_await as_result(near.send_descriptors(sent, "x"));
    CHECK(no_more.error() == errc::closed);
  });
}

TEST_CASE("sending and receiving descriptors without bytes is refused") {
  CHECK(aborts_with("send_descriptors() needs at least one byte", [] {
    on_one_scheduler([]() -> task<> {
      auto [near, far] = unix_stream::pair();
      const std::array sent{0};
      co_await near.send_descriptors(sent, "");
    });
  }));
  CHECK(aborts_with("receive_descriptors() needs room for at least one byte", [] {
    on_one_scheduler([]() -> task<> {
      auto [near, far] = unix_stream::pair();
      std::array<unique_fd, 1> received;
      co_await near.receive_descriptors({}, received);
    });
  }));
}

TEST_CASE("a stream that was taken over receives by single requests") {
  on_one_scheduler([]() -> task<> {
    fd_pair raw = socket_pair();
    unix_stream near(std::move(raw.near));
    put(raw.far, "abc");
    const buffer got = co_await near.receive();
    CHECK(got.text() == "abc");
    raw.far.reset();
    const buffer end = co_await near.receive();
    CHECK(end.empty());
  });
}

TEST_SUITE_END();
