// connect() to a name with real sockets, on the system's resolver. What is tried when is in
// connect_race_test.cpp.
// SPDX-License-Identifier: MIT
#include <ringlet/connect_options.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_stream.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <new>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>

#include "support/allocations.hpp"
#include "support/loopback.hpp"
#include "support/schedulers.hpp"
#include "support/test_resolver.hpp"

using namespace ringlet;
using namespace ringlet::test;

TEST_SUITE_BEGIN("connect_options");

// rows: SK-03 SK-04
TEST_CASE("connect reaches a listener by name, and by a numeric address as text") {
  on_schedulers([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    const std::string port = std::to_string(listener.local_address().port());
    for (const std::string host : {"localhost:", "127.0.0.1:"}) {
      if (host == "localhost:" && !has_localhost()) continue;
      const tcp_stream here = co_await tcp_stream::connect(host + port);
      const tcp_stream there = co_await listener.accept();
      CHECK(here.peer_address() == listener.local_address());
      CHECK(there.peer_address() == here.local_address());
    }
  });
}

TEST_CASE("connect to a port without a listener fails with the name and the address") {
  if (!has_localhost()) return;
  on_schedulers([]() -> task<> {
    std::string port;
    {
      const auto listener = tcp_listener::bind("127.0.0.1:0");
      port = std::to_string(listener.local_address().port());
    }
    connect_options how;
    how.family = address_family::ipv4;
    std::string words;
    try {
      co_await tcp_stream::connect("localhost:" + port, how);
    } catch (const std::system_error& error) {
      CHECK(error.code() == std::errc::connection_refused);
      words = error.what();
    }
    CHECK(words ==
          "connect to \"localhost:" + port + "\" at 127.0.0.1:" + port + ": Connection refused");
  });
}

task<> reach_without_memory(connect_options how, std::string to, int number, bool& has_failed) {
  const failing_allocation failing(number);
  try {
    const tcp_stream made = co_await tcp_stream::connect(std::move(to), how);
  } catch (const std::bad_alloc&) {
  }
  has_failed = failing.has_failed();
}

TEST_CASE("a failed allocation at any point is thrown, and leaves no socket") {
  if (!allocations_are_counted()) return;
  on_one_scheduler([]() -> task<> {
    const auto listener = tcp_listener::bind("127.0.0.1:0");
    const std::string to = "host:" + std::to_string(listener.local_address().port());
    test_resolver names;
    names.add("host", {"127.0.0.1"});
    connect_options how;
    how.with = &names;
    bool has_failed = true;
    const std::size_t before = open_descriptors();
    int number = 0;
    for (; has_failed; ++number) co_await reach_without_memory(how, to, number, has_failed);
    CHECK(number > 5);
    CHECK(open_descriptors() == before);
  });
}

TEST_SUITE_END();
