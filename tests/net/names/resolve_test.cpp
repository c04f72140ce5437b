// resolve(): what it asks a resolver for, what it makes of the answer, and what it refuses.
//
// Method: a resolver that answers on the clock of a scripted engine.
// SPDX-License-Identifier: MIT
#include <ringlet/resolve.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <exception>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "support/on_script.hpp"
#include "support/test_resolver.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// The addresses in a line, or the message of the error.
task<std::string> found(test_resolver& names, std::string host, std::string service,
                        address_family family = address_family::any, time_limit timeout = forever) {
  resolve_options how;
  how.with = &names;
  how.family = family;
  std::string words;
  try {
    const auto all = co_await resolve(std::move(host), std::move(service), how, timeout);
    for (const address& one : all) words += (words.empty() ? "" : " ") + one.to_string();
  } catch (const cancelled&) {
    words = "cancelled";
  } catch (const std::exception& error) {
    words = error.what();
  }
  co_return words;
}

}  // namespace

TEST_SUITE_BEGIN("resolve");

TEST_CASE("addresses keep their order, get the port, and come once") {
  on_script([]() -> task<> {
    test_resolver names;
    names.add("host", {"2001:db8::1", "192.0.2.1", "2001:db8::1", "192.0.2.2"});
    const std::string all = co_await found(names, "host", "80");
    CHECK(all == "[2001:db8::1]:80 192.0.2.1:80 192.0.2.2:80");
    const std::string ipv4 = co_await found(names, "host", "80", address_family::ipv4);
    CHECK(ipv4 == "192.0.2.1:80 192.0.2.2:80");
    const std::string ipv6 = co_await found(names, "host", "80", address_family::ipv6);
    CHECK(ipv6 == "[2001:db8::1]:80");
  });
}

// rows: SK-03 DN-01
TEST_CASE("numeric addresses are not looked up") {
  on_script([]() -> task<> {
    test_resolver names;
    for (const std::string_view host : {"127.0.0.1", "::1", "fe80::1%lo", "::ffff:192.0.2.1"}) {
      const std::string words = co_await found(names, std::string(host), "80");
      CHECK(words == address::parse(host, 80).to_string());
    }
    const std::string other = co_await found(names, "::1", "80", address_family::ipv4);
    CHECK(other == "cannot resolve \"::1\": the host has no address of this kind");
    CHECK(names.asked() == 0);
  });
}

TEST_CASE("a resolver is asked for a numeric host if the service is a name") {
  on_script([]() -> task<> {
    test_resolver names;
    names.add("127.0.0.1", {"127.0.0.1"});
    const std::string words = co_await found(names, "127.0.0.1", "http");
    CHECK(words == "127.0.0.1:0");
    CHECK(names.asked() == 1);
  });
}

TEST_CASE("a resolver without an address for a host it knows is an error") {
  on_script([]() -> task<> {
    test_resolver names;
    names.add("host", {});
    const std::string words = co_await found(names, "host", "80");
    CHECK(words == "cannot resolve \"host\": the host has no address of this kind");
  });
}

TEST_CASE("a lookup that takes too long times out, and is cancelled") {
  on_script([]() -> task<> {
    test_resolver names;
    names.add("host", {"192.0.2.1"}, 100ms);
    const std::string late = co_await found(names, "host", "80", address_family::any, 99ms);
    CHECK(late == "cannot resolve \"host\": timed out");
    const std::string in_time = co_await found(names, "host", "80", address_family::any, 101ms);
    CHECK(in_time == "192.0.2.1:80");
    CHECK(names.asked() == 2);
    CHECK(names.answered() == 1);
  });
}

TEST_CASE("a kill ends a lookup") {
  on_script([]() -> task<> {
    test_resolver names;
    names.add("host", {"192.0.2.1"}, 100ms);
    const auto looking = spawn(found(names, "host", "80"));
    co_await sleep(1ms);
    looking.request_kill();
    co_await looking.join();
    CHECK(names.answered() == 0);
  });
}

TEST_CASE("hosts and services that nothing can have are refused before a resolver is asked") {
  using namespace std::string_literals;
  struct refusal {
    std::string host;
    std::string service;
    std::string said;
  };
  const std::vector<refusal> refusals = {
      {"", "80", "\"\" is not a host: it is empty"},
      {"a b", "80", "\"a b\" is not a host: a name has no blanks and no control characters"},
      {"a\0b"s, "80", "\"a?b\" is not a host: a name has no blanks and no control characters"},
      {"a\n", "80", "\"a?\" is not a host: a name has no blanks and no control characters"},
      {"[a]", "80", "\"[a]\" is not a host: a name has no brackets and no slashes"},
      {"localhost:80", "80",
       "\"localhost:80\" is not a host: it has a colon, and is not an IPv6 address"},
      {"host", "", "\"\" is not a service: give a port from 0 to 65535, or a name"},
      {"host", "65536", "\"65536\" is not a service: a port is a number from 0 to 65535"},
      {"host", "a b", "\"a b\" is not a service: a name has no blanks and no control characters"},
  };
  for (const refusal& one : refusals) {
    on_script([&one]() -> task<> {
      test_resolver names;
      const std::string words = co_await found(names, one.host, one.service);
      CHECK(words == one.said);
      CHECK(names.asked() == 0);
    });
  }
}

TEST_CASE("a name may have 253 bytes, and a dot after them") {
  on_script([]() -> task<> {
    test_resolver names;
    const std::string longest(253, 'a');
    names.add(longest, {"192.0.2.1"});
    names.add(longest + '.', {"192.0.2.1"});
    const std::string without = co_await found(names, longest, "1");
    const std::string with = co_await found(names, longest + '.', "1");
    const std::string over = co_await found(names, longest + 'a', "1");
    CHECK(without == "192.0.2.1:1");
    CHECK(with == "192.0.2.1:1");
    CHECK(over.find("is not a host: a name has at most 253 bytes") != std::string::npos);
  });
}

TEST_SUITE_END();
