// tcp_stream on real connections of this host, alone and beside another scheduler.
//
// Method: each case opens its own connections. Waiting is forced by leaving data unsent, never by
// sleeping; stream_waits_test.cpp tests exact phases.
// SPDX-License-Identifier: MIT
#include <ringlet/dump.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/tcp_stream.hpp>

#include <doctest/doctest.h>

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "support/child.hpp"
#include "support/loopback.hpp"
#include "support/outcome.hpp"
#include "support/schedulers.hpp"
#include "support/sockets.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view closed = "closed by this program";

int option_of(const tcp_stream& stream, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  ::getsockopt(stream.native_handle(), level, name, &value, &size);
  return value;
}

fiber<std::string> receiving(tcp_stream& stream, time_limit timeout = forever) {
  return spawn(outcome_of([&stream, timeout] { return stream.receive(timeout); }));
}

// Reads until the end of the stream.
task<std::string> all_of(tcp_stream& stream) {
  std::string all;
  while (const buffer piece = co_await stream.receive()) all += piece.text();
  co_return all;
}

// The result of recv(2) on the other side, which waits for it.
std::string raw_receive(const unique_fd& raw) {
  std::array<char, 64> memory;
  const ssize_t count = ::recv(raw.get(), memory.data(), memory.size(), 0);
  if (count < 0) return std::system_category().message(errno);
  return {memory.data(), static_cast<std::size_t>(count)};
}

}  // namespace

TEST_SUITE_BEGIN("tcp_stream");

TEST_CASE("every reading call receives what every writing call sends") {
  on_schedulers([]() -> task<> {
    auto [near, far] = co_await connected_pair();
    std::array<std::byte, 16> memory{};

    co_await near.write_all("abc");
    std::size_t count = co_await far.read_some(memory);
    CHECK(text(memory, count) == "abc");

    co_await near.write_all(bytes("defg"));
    buffer lent = co_await far.receive();
    CHECK(lent.text() == "defg");

    co_await far.write_all(lent);
    co_await near.read_exact(std::span(memory).first(4));
    CHECK(text(memory, 4) == "defg");

    const std::array parts{bytes("h"), bytes(""), bytes("ijk")};
    co_await near.write_all(parts);
    co_await far.read_exact(std::span(memory).first(4));
    CHECK(text(memory, 4) == "hijk");

    CHECK(near.bytes_written() == 11);
    CHECK(near.bytes_read() == 4);
    CHECK(far.bytes_written() == 4);
    CHECK(far.bytes_read() == 11);
  });
}

TEST_CASE("a read returns what has arrived, and waits for the first byte only") {
  on_schedulers([]() -> task<> {
    auto [near, far] = co_await connected_pair();
    std::array<std::byte, 16> memory{};
    const auto reading = spawn(outcome_of([&far, &memory] { return far.read_some(memory); }));
    co_await yield();
    CHECK_FALSE(reading.done());
    co_await near.write_all("ab");
    const std::string words = co_await reading.get();
    CHECK(words == "2 bytes");
  });
}

TEST_CASE("the two addresses of a connection match those of its peer, swapped") {
  on_schedulers([]() -> task<> {
    auto [near, far] = co_await connected_pair();
    CHECK(near.local_address() == far.peer_address());
    CHECK(far.local_address() == near.peer_address());
    CHECK(near.local_address().host() == "127.0.0.1");
    CHECK(near.local_address().port() != 0);
  });
}

TEST_CASE("stream options have the documented effect, and small writes are sent at once") {
  on_schedulers([]() -> task<> {
    auto [near, far] = co_await connected_pair();
    CHECK(option_of(near, IPPROTO_TCP, TCP_NODELAY) != 0);
    CHECK(option_of(far, IPPROTO_TCP, TCP_NODELAY) != 0);
    near.set_no_delay(false);
    CHECK(option_of(near, IPPROTO_TCP, TCP_NODELAY) == 0);
    near.set_no_delay(true);
    CHECK(option_of(near, IPPROTO_TCP, TCP_NODELAY) != 0);

    CHECK(option_of(near, SOL_SOCKET, SO_KEEPALIVE) == 0);
    near.set_keep_alive(77s);
    CHECK(option_of(near, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(option_of(near, IPPROTO_TCP, TCP_KEEPIDLE) == 77);
    near.set_keep_alive(0s);
    CHECK(option_of(near, SOL_SOCKET, SO_KEEPALIVE) == 0);
    near.set_keep_alive(30s, 7s, 3);
    CHECK(option_of(near, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(option_of(near, IPPROTO_TCP, TCP_KEEPIDLE) == 30);
    CHECK(option_of(near, IPPROTO_TCP, TCP_KEEPINTVL) == 7);
    CHECK(option_of(near, IPPROTO_TCP, TCP_KEEPCNT) == 3);
    CHECK_THROWS_AS(near.set_keep_alive(30s, 0s, 3), std::system_error);
    CHECK_THROWS_AS(near.set_keep_alive(30s, 7s, 128), std::system_error);

    near.set_user_timeout(1'500'001us);
    CHECK(option_of(near, IPPROTO_TCP, TCP_USER_TIMEOUT) == 1501);
    near.set_user_timeout(0s);
    CHECK(option_of(near, IPPROTO_TCP, TCP_USER_TIMEOUT) == 0);
    CHECK_THROWS_AS(near.set_user_timeout(-1s), std::system_error);
    CHECK_THROWS_AS(near.set_user_timeout(1000h), std::system_error);

    near.set_receive_buffer(8192);
    near.set_send_buffer(16384);
    CHECK(option_of(near, SOL_SOCKET, SO_RCVBUF) == 2 * 8192);
    CHECK(option_of(near, SOL_SOCKET, SO_SNDBUF) == 2 * 16384);
  });
}

TEST_CASE("a closed stream reports an error when its addresses or options are used") {
  on_schedulers([]() -> task<> {
    auto [near, far] = co_await connected_pair();
    co_await near.close();
    const auto code_of = [](auto call) {
      try {
        call();
      } catch (const std::system_error& error) {
        return error.code();
      }
      return std::error_code();
    };
    CHECK(code_of([&near] { near.local_address(); }) == errc::closed);
    CHECK(code_of([&near] { near.peer_address(); }) == errc::closed);
    CHECK(code_of([&near] { near.set_no_delay(true); }) == errc::closed);
    CHECK(code_of([&near] { near.shutdown_write(); }) == errc::closed);
  });
}

TEST_CASE("a call whose limit has passed succeeds at once or times out") {
  on_schedulers([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    for (const time_limit passed : {time_limit(0s), time_limit::at(1)}) {
      auto near = co_await tcp_stream::connect(listener.local_address(), passed);
      auto far = co_await listener.accept();
      std::array<std::byte, 3> memory{};
      // For both values of the hint that tells whether the socket was emptied last time.
      for (int round = 0; round < 3; ++round) {
        const auto receive = [&] { return far.receive(passed); };
        const auto read_some = [&] { return far.read_some(memory, passed); };
        const auto read_exact = [&] { return far.read_exact(memory, passed); };
        std::string words = co_await outcome_of(receive);
        CHECK(words == "timed out");
        words = co_await outcome_of(read_some);
        CHECK(words == "timed out");
        words = co_await outcome_of(read_exact);
        CHECK(words == "timed out");
        words = co_await outcome_of([&] { return near.write_all("abcdefghi", passed); });
        CHECK(words == "done");
        words = co_await outcome_of(read_some);
        CHECK(words == "3 bytes");
        words = co_await outcome_of(read_exact);
        CHECK(words == "done");
        words = co_await outcome_of(receive);
        CHECK(words == "3 bytes");
      }
    }
  });
}

// The end of a stream

TEST_CASE("either end can be shut down first, and the other end continues") {
  on_schedulers([]() -> task<> {
    auto [near, far] = co_await connected_pair();
    co_await near.write_all("question");
    near.shutdown_write();
    const std::string asked = co_await all_of(far);
    CHECK(asked == "question");
    // At every call.
    std::array<std::byte, 4> memory{};
    for (int i = 0; i < 3; ++i) {
      const std::size_t count = co_await far.read_some(memory);
      CHECK(count == 0);
      const buffer nothing = co_await far.receive();
      CHECK_FALSE(nothing);
    }
    co_await far.write_all("answer");
    far.shutdown_write();
    const std::string answered = co_await all_of(near);
    CHECK(answered == "answer");
    const std::string refused = co_await outcome_of([&near] { return near.write_all("x"); });
    CHECK(refused == "Broken pipe");
  });
}

TEST_CASE("shutting down a connection that the peer has reset is an error") {
  on_schedulers([]() -> task<> {
    auto [near, far] = co_await connected_pair();
    far.set_reset_on_close(true);
    co_await far.close();
    const std::string words = co_await outcome_of([&near] { return near.receive(); });
    CHECK(words == "Connection reset by peer");
    std::error_code error;
    try {
      near.shutdown_write();
    } catch (const std::system_error& thrown) {
      error = thrown.code();
    }
    CHECK(error == std::errc::not_connected);
  });
}

TEST_CASE("read_exact reports the end of the stream, and keeps the bytes that arrived") {
  on_schedulers([]() -> task<> {
    auto [near, far] = co_await connected_pair();
    std::array<std::byte, 8> memory{};
    co_await near.write_all("abc");
    const auto reading = spawn(outcome_of([&far, &memory] { return far.read_exact(memory); }));
    while (far.bytes_read() != 3) co_await yield();
    near.shutdown_write();
    const std::string words = co_await reading.get();
    CHECK(words == "unexpected end of stream");
    CHECK(text(memory, 3) == "abc");
  });
}

TEST_CASE("the peer sees a close at once, although a read was pending here") {
  on_schedulers([]() -> task<> {
    auto [near, raw] = co_await half_raw_pair();
    const auto reading = receiving(near);
    co_await yield();
    co_await near.close();
    CHECK(raw_receive(raw) == "");
    const std::string words = co_await reading.get();
    CHECK(words == closed);
  });
}

TEST_CASE("the peer sees a destruction at once, although a read is pending here") {
  on_schedulers([]() -> task<> {
    auto [near, raw] = co_await half_raw_pair();
    const int fd = near.native_handle();
    const auto reading = receiving(near);
    co_await sleep(0s);  // the request is in the kernel
    near = tcp_stream();
    CHECK(raw_receive(raw) == "");
    CHECK(is_open(fd));
    const std::string words = co_await reading.get();
    CHECK(words == closed);
  });
}

TEST_CASE("a read or a write begun in the same turn as the close ends with closed") {
  on_schedulers([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    for (const bool destroyed : {true, false}) {
      auto [near, far] = co_await connected_through(listener);
      std::array<std::byte, 4> memory{};
      const std::string large(8 << 20, 'x');  // more than the system accepts at once
      const auto reading = spawn(outcome_of([&near, &memory] { return near.read_some(memory); }));
      const auto writing = spawn(outcome_of([&near, &large] { return near.write_all(large); }));
      co_await yield();  // begun, and not yet in the kernel
      if (destroyed) near = tcp_stream();
      if (!destroyed) co_await near.close();
      const std::string read = co_await reading.get();
      const std::string written = co_await writing.get();
      CHECK(read == closed);
      CHECK(written == closed);
    }
  });
}

TEST_CASE("bytes written before the close reach the peer") {
  on_schedulers([]() -> task<> {
    auto [near, far] = co_await connected_pair();
    const std::string all = pattern(50'000);
    co_await near.write_all(all);
    co_await near.close();
    const std::string got = co_await all_of(far);
    CHECK(got == all);
  });
}

TEST_CASE("closing with unread bytes ends the connection both ways") {
  on_schedulers([]() -> task<> {
    auto [near, far] = co_await connected_pair();
    co_await far.write_all("unread");
    co_await near.write_all("read");
    co_await near.close();
    const std::string got = co_await all_of(far);
    CHECK(got == "read");
    const std::string words = co_await outcome_of([&far] { return far.write_all("more"); });
    CHECK(words == "Broken pipe");
  });
}

TEST_CASE("the peer reads an error, not the end of the stream, with reset-on-close") {
  on_schedulers([]() -> task<> {
    auto [near, raw] = co_await half_raw_pair();
    near.set_reset_on_close(true);
    co_await near.close();
    CHECK(raw_receive(raw) == "Connection reset by peer");
  });
  on_schedulers([]() -> task<> {
    auto [near, far] = co_await connected_pair();
    near.set_reset_on_close(true);
    const auto far_reading = receiving(far);
    const auto near_reading = receiving(near);
    co_await sleep(0s);
    near = tcp_stream();
    const std::string near_words = co_await near_reading.get();
    CHECK(near_words == closed);
    const std::string far_words = co_await far_reading.get();
    CHECK(far_words == "Connection reset by peer");
  });
  on_schedulers([]() -> task<> {
    auto [near, raw] = co_await half_raw_pair();
    near.set_reset_on_close(true);
    near.set_reset_on_close(false);
    co_await near.close();
    CHECK(raw_receive(raw) == "");
  });
}

TEST_CASE("a peer that resets the connection ends a read with connection_reset") {
  on_schedulers([]() -> task<> {
    auto [near, raw] = co_await half_raw_pair();
    const auto reading = receiving(near);
    co_await sleep(0s);
    const linger at_once{1, 0};
    ::setsockopt(raw.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    raw.reset();
    const std::string words = co_await reading.get();
    CHECK(words == "Connection reset by peer");
    CHECK(is_disconnect(std::make_error_code(std::errc::connection_reset)));
  });
}

TEST_CASE("writing to a disconnected peer is an error and raises no signal") {
  const auto body = []() -> task<> {
    auto [near, raw] = co_await half_raw_pair();
    raw.reset();
    std::string words;
    for (int i = 0; i < 100 && (words.empty() || words == "done"); ++i) {
      words = co_await outcome_of([&near] { return near.write_all("to nobody"); });
    }
    CHECK((words == "Broken pipe" || words == "Connection reset by peer"));
    const std::array parts{bytes("to"), bytes("nobody")};
    words = co_await outcome_of([&near, &parts] { return near.write_all(parts); });
    CHECK(words == "Broken pipe");
  };
  on_schedulers(body);
  // Also where SIGPIPE would end the process.
  const child_end end = run_in_child([&] {
    std::signal(SIGPIPE, SIG_DFL);
    on_one_scheduler(body);
  });
  CHECK(end.status == 0);
  CHECK(end.signal == 0);
}

// The number

TEST_CASE("the close that freed a number does not touch the stream that reuses it at once") {
  on_schedulers([]() -> task<> {
    for (int round = 0; round < 20; ++round) {
      auto [near, raw] = co_await half_raw_pair();
      const auto reading = receiving(near);
      co_await sleep(0s);
      if (round % 2 == 0) {
        co_await near.close();
      } else {
        near = tcp_stream();
      }
      // A descriptor opened now may get the number, and nothing that still arrives for the old one
      // may touch it.
      std::vector<connection> fresh;
      for (int i = 0; i < 3; ++i) fresh.push_back(co_await connected_pair());
      for (auto& pair : fresh) co_await pair.near.write_all("mine");
      const std::string words = co_await reading.get();
      CHECK(words == closed);
      for (auto& pair : fresh) {
        const std::string got = co_await receiving(pair.far).get();
        CHECK(got == "4 bytes");
        CHECK(is_open(pair.near.native_handle()));
      }
    }
  });
}

TEST_CASE("a number is not freed while a read of it is in flight") {
  on_schedulers([]() -> task<> {
    auto [near, raw] = co_await half_raw_pair();
    const int fd = near.native_handle();
    const auto reading = receiving(near);
    co_await sleep(0s);
    near = tcp_stream();
    std::vector<unique_fd> opened;
    for (int i = 0; i < 5; ++i) opened.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    for (const auto& one : opened) CHECK(one.get() != fd);
    co_await reading.join();
  });
}

// Connecting

TEST_CASE("connections work over IPv6") {
  on_schedulers([]() -> task<> {
    auto listener = tcp_listener::bind("[::1]:0");
    auto [near, far] = co_await connected_through(listener);
    CHECK(near.peer_address() == listener.local_address());
    CHECK(near.peer_address().host() == "::1");
    co_await near.write_all("over six");
    const std::string words = co_await receiving(far).get();
    CHECK(words == "8 bytes");
  });
}

TEST_CASE("connecting to a port where no socket listens is refused") {
  on_schedulers([]() -> task<> {
    // Occupied, so that no other process begins to listen there.
    const unique_fd taken(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    address nobody = address::loopback(0);
    REQUIRE(::bind(taken.get(), nobody.data(), nobody.size()) == 0);
    socklen_t size = address::capacity;
    ::getsockname(taken.get(), nobody.data(), &size);
    const std::string words =
        co_await outcome_of([&nobody] { return tcp_stream::connect(nobody); });
    CHECK(words == "Connection refused");
  });
}

TEST_CASE("an attempt that is not answered ends at its limit, and its socket is closed") {
  // A listener with a full backlog that never accepts does not answer further attempts.
  on_one_scheduler([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0", {.backlog = 0});
    const address full = listener.local_address();
    std::vector<tcp_stream> filling;
    const std::size_t before = open_descriptors();
    std::size_t made = 0;
    for (; made < 10; ++made) {
      auto attempt = co_await as_result(tcp_stream::connect(full, 50ms));
      if (!attempt) {
        CHECK(attempt.error() == errc::timed_out);
        break;
      }
      filling.push_back(std::move(*attempt));
    }
    CHECK(made < 10);
    CHECK(open_descriptors() == before + made);
    const auto killed = spawn(outcome_of([&full] { return tcp_stream::connect(full); }));
    co_await sleep(0s);
    CHECK(open_descriptors() == before + made + 1);
    killed.request_kill();
    const std::string words = co_await killed.get();
    CHECK(words == "cancelled");
    CHECK(open_descriptors() == before + made);
  });
}

TEST_CASE("an error is thrown without as_result, and the fiber that awaits the call continues") {
  on_schedulers([]() -> task<> {
    auto [near, far] = co_await connected_pair();
    co_await far.close();
    std::array<std::byte, 4> memory{};
    std::error_code code;
    try {
      co_await near.read_exact(memory);
    } catch (const std::system_error& error) {
      code = error.code();
    }
    CHECK(code == errc::end_of_stream);
  });
}

TEST_CASE("other fibers get their turn while one closes hundreds of streams") {
  on_schedulers([]() -> task<> {
    constexpr int count = 2 * ready_queue::budget + 44;
    auto listener = tcp_listener::bind("127.0.0.1:0");
    std::vector<connection> all;
    for (int i = 0; i < count; ++i) all.push_back(co_await connected_through(listener));
    int turns = 0;
    const fiber<> other = spawn([&turns]() -> task<> {
      for (;;) {
        co_await yield();
        ++turns;
      }
    });
    co_await yield();
    turns = 0;
    for (connection& each : all) co_await each.near.close();
    CHECK(turns >= 2);
    co_await other.kill();
  });
}

TEST_CASE("statistics() counts what has gone over the connection, and dump() shows it") {
  on_one_scheduler([]() -> task<> {
    auto [near, far] = co_await connected_pair();
    co_await near.write_all("hello");
    const buffer got = co_await far.receive();
    co_await far.write_all("hi");
    const buffer back = co_await near.receive();
    const tcp_statistics sent = near.statistics();
    CHECK(sent.bytes_acknowledged >= 5);
    CHECK(sent.bytes_received == 2);
    CHECK(sent.round_trip > 0us);
    CHECK(sent.congestion_window > 0);
    CHECK(sent.retransmits == 0);
    CHECK(far.statistics().bytes_received == 5);
    tcp_stream& waits = near;
    const auto waiting = spawn([&]() -> task<> { co_await waits.receive(); });
    co_await yield();
    CHECK(dump().find("), 2 bytes in, 5 out, round trip ") != std::string::npos);
    CHECK(dump().find(" us, 0 retransmits") != std::string::npos);
    waiting.request_kill();
    co_await waiting.join();
    co_await near.close();
    CHECK_THROWS_AS(near.statistics(), std::system_error);
  });
}

TEST_CASE("statistics() of an adopted socket that is not TCP is refused") {
  on_one_scheduler([]() -> task<> {
    fd_pair raw = socket_pair();
    const tcp_stream adopted(std::move(raw.near));
    std::error_code code;
    try {
      static_cast<void>(adopted.statistics());
    } catch (const std::system_error& error) {
      code = error.code();
    }
    CHECK(code == std::errc::operation_not_supported);
    co_return;
  });
}

TEST_SUITE_END();
