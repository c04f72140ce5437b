// Where the system reports "Invalid argument", ringlet reports which argument.
//
// Method: real calls that the system refuses with EINVAL; where a call has none, a scripted engine
// that answers with it.
// SPDX-License-Identifier: MIT
#include <ringlet/poll_fd.hpp>
#include <ringlet/standard_streams.hpp>
#include <ringlet/tcp_listener.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

#include "support/schedulers.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// The message of an error, which must be EINVAL.
std::string sentence(const std::system_error& error) {
  CHECK(error.code() == std::errc::invalid_argument);
  CHECK(std::string_view(error.what()).find("Invalid argument") == std::string_view::npos);
  return error.what();
}

template <class Call>
std::string said_by(Call call) {
  try {
    call();
  } catch (const std::system_error& error) {
    return sentence(error);
  }
  return "nothing";
}

template <class Make>
task<std::string> said_by_wait(Make make) {
  try {
    co_await make();
  } catch (const std::system_error& error) {
    co_return sentence(error);
  }
  co_return "nothing";
}

}  // namespace

TEST_SUITE_BEGIN("invalid_argument");

TEST_CASE("a read or write that fails with EINVAL names the kind of descriptor") {
  on_stage([](stage& s) -> task<> {
    s.engine.on_start = [&](operation& op) { s.engine.complete(op, -EINVAL); };
    const std::string unreadable =
        ": this kind of descriptor cannot be read, or needs a larger buffer";
    const std::string unwritable =
        ": this kind of descriptor cannot be written to, or does not accept these bytes";
    std::string said = co_await said_by_wait([&] { return s.stream.receive(); });
    CHECK(said == "receive" + unreadable);
    said = co_await said_by_wait([&] { return s.stream.read_some(s.memory); });
    CHECK(said == "read_some" + unreadable);
    said = co_await said_by_wait([&] { return s.stream.read_exact(s.memory); });
    CHECK(said == "read_exact" + unreadable);
    said = co_await said_by_wait([&] { return s.stream.write_all("abc"); });
    CHECK(said == "write_all" + unwritable);
    const std::array parts{std::as_bytes(std::span(std::string_view("abc")))};
    said = co_await said_by_wait([&] { return s.stream.write_all(parts); });
    CHECK(said == "write_all" + unwritable);
    const auto failed = co_await as_result(s.stream.write_all("abc"));
    CHECK(failed.error() == std::errc::invalid_argument);
  });
}

TEST_CASE("a read or write that is too short for an eventfd also names the kind of descriptor") {
  on_schedulers([]() -> task<> {
    const unique_fd event(::eventfd(1, EFD_CLOEXEC));
    REQUIRE(event);
    standard_stream stream(event.get());
    std::array<std::byte, 1> byte{};
    std::string said = co_await said_by_wait([&] { return stream.read_some(byte); });
    CHECK(said.starts_with("read_some: this kind of descriptor "));
    said = co_await said_by_wait([&] { return stream.write_all(byte); });
    CHECK(said.starts_with("write_all: this kind of descriptor "));
  });
}

TEST_CASE("accepting from a socket that does not listen reports that") {
  on_schedulers([]() -> task<> {
    tcp_listener listener(unique_fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    const std::string said = co_await said_by_wait([&] { return listener.accept(); });
    CHECK(said == "accept: the socket does not listen");
  });
}

TEST_CASE("connect and bind report a link-local address without its interface") {
  on_schedulers([]() -> task<> {
    const address target = address::parse("[fe80::1]:9");
    const std::string reason =
        "[fe80::1]:9: a link-local address needs its interface, as in [fe80::1%eth0]:9090";
    const std::string said = co_await said_by_wait([&] { return tcp_stream::connect(target); });
    CHECK(said == "connect to " + reason);
    CHECK(said_by([&] { tcp_listener::bind(target); }) == "cannot listen on " + reason);
  });
}

TEST_CASE("connect and bind quote any other address that the system refuses") {
  on_stage([](stage& s) -> task<> {
    s.engine.on_start = [&](operation& op) { s.engine.complete(op, -EINVAL); };
    const std::string said =
        co_await said_by_wait([] { return tcp_stream::connect(address::loopback(9)); });
    CHECK(said == "connect to 127.0.0.1:9: the system does not accept this address");
  });
}

TEST_CASE("a socket option that is out of range is reported with its value") {
  on_schedulers([]() -> task<> {
    const auto listener = tcp_listener::bind("127.0.0.1:0");
    auto stream = co_await tcp_stream::connect(listener.local_address());
    CHECK(said_by([&] { stream.set_keep_alive(100'000s); }) ==
          "set_keep_alive(100000): the value is out of range, or the socket is of another kind");
    const std::chrono::seconds beyond_32_bits((1LL << 32) + 60);
    CHECK(
        said_by([&] { stream.set_keep_alive(beyond_32_bits); }) ==
        "set_keep_alive(2147483647): the value is out of range, or the socket is of another kind");
  });
}

TEST_CASE("a poll for events that cannot occur ends with the reason") {
  on_schedulers([]() -> task<> {
    const unique_fd directory(::open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const std::string said =
        co_await said_by_wait([&] { return poll_fd(directory.get(), POLLPRI); });
    CHECK(said == "poll_fd of fd " + std::to_string(directory.get()) +
                      " for events 2: this descriptor never reports these events");
  });
}

TEST_CASE("value() of a result that holds EINVAL throws it with a reason") {
  CHECK(said_by([] { result<int>(std::make_error_code(std::errc::invalid_argument)).value(); }) ==
        "result: an argument is out of range, or the descriptor is of another kind");
}

TEST_SUITE_END();
