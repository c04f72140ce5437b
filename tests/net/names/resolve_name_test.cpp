// resolve_name(): what a resolver is asked for, equal lookups, limits and kills.
//
// Method: a function that waits for a gate, on real threads; the system's hosts file.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/threaded_resolver.hpp>
#include <ringlet/resolve_name.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <netdb.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <ostream>
#include <string>
#include <system_error>
#include <vector>

#include "support/on_script.hpp"
#include "support/schedulers.hpp"
#include "support/test_resolver.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Answers with the address itself, after a while.
class slow_names final : public resolver {
 public:
  task<std::vector<address>> look_up(name_query) override { co_return std::vector<address>(); }
  task<std::string> look_up_name(address of) override {
    ++asked;
    co_await sleep(100ms);
    ++answered;
    co_return of.to_string();
  }
  int asked = 0;
  int answered = 0;
};

task<std::string> name_of(resolver& names, address of, time_limit timeout = forever) {
  std::string words;
  try {
    words = co_await resolve_name(of, names, timeout);
  } catch (const std::system_error& error) {
    words = error.what();
  }
  co_return words;
}

void set(std::atomic<bool>& flag) {
  flag = true;
  flag.notify_all();
}

result<std::vector<address>> no_addresses(const name_query&) { return std::vector<address>(); }

}  // namespace

TEST_SUITE_BEGIN("resolve_name");

TEST_CASE("a resolver is asked without the port, and for the IPv4 address that IPv6 maps") {
  on_script([]() -> task<> {
    slow_names names;
    const std::string ipv4 = co_await name_of(names, address::parse("192.0.2.1:80"));
    CHECK(ipv4 == "192.0.2.1:0");
    const std::string mapped = co_await name_of(names, address::parse("[::ffff:192.0.2.1]:80"));
    CHECK(mapped == "192.0.2.1:0");
    const std::string ipv6 = co_await name_of(names, address::parse("[2001:db8::1]:80"));
    CHECK(ipv6 == "[2001:db8::1]:0");
  });
}

TEST_CASE("a lookup of a name that takes too long times out, and is cancelled") {
  on_script([]() -> task<> {
    slow_names names;
    const address of = address::parse("[2001:db8::1]:80");
    const std::string late = co_await name_of(names, of, 99ms);
    CHECK(late == "cannot find the name of 2001:db8::1: timed out");
    const std::string in_time = co_await name_of(names, of, 101ms);
    CHECK(in_time == "[2001:db8::1]:0");
    CHECK(names.asked == 2);
    CHECK(names.answered == 1);
  });
}

TEST_CASE("a kill ends a lookup of a name") {
  on_script([]() -> task<> {
    slow_names names;
    const auto looking = spawn(name_of(names, address::loopback(1)));
    co_await sleep(1ms);
    looking.request_kill();
    co_await looking.join();
    CHECK(looking.result() == outcome::cancelled);
    CHECK(names.answered == 0);
  });
}

TEST_CASE("no address has a name unless the resolver knows names") {
  on_script([]() -> task<> {
    const std::string expected = "cannot find the name of 127.0.0.1: the address has no name";
    test_resolver of_a_class;
    const std::string not_overridden = co_await name_of(of_a_class, address::loopback(1));
    CHECK(not_overridden == expected);
    threaded_resolver of_a_function(no_addresses);
    const std::string not_given = co_await name_of(of_a_function, address::loopback(1));
    CHECK(not_given == expected);
  });
}

TEST_CASE("equal lookups of a name are one call, beside those of addresses") {
  on_one_scheduler([]() -> task<> {
    const auto begun = std::make_shared<std::atomic<bool>>(false);
    const auto opened = std::make_shared<std::atomic<bool>>(false);
    const auto calls = std::make_shared<std::atomic<int>>(0);
    const auto wait_and_answer = [=](const address& of) -> result<std::string> {
      ++*calls;
      set(*begun);
      opened->wait(false);
      return "host-of-" + of.host();
    };
    threaded_resolver names(no_addresses, wait_and_answer);
    std::vector<fiber<std::string>> asking;
    for (std::uint16_t port = 1; port <= 100; ++port) {
      asking.push_back(spawn(name_of(names, address::loopback(port))));
    }
    co_await yield();
    begun->wait(false);
    const auto late = spawn(name_of(names, address::loopback(1), 1ms));
    asking[0].request_kill();
    const std::string said = co_await late.get();
    CHECK(said == "cannot find the name of 127.0.0.1: timed out");
    set(*opened);
    for (std::size_t i = 1; i < asking.size(); ++i) {
      const std::string name = co_await asking[i].get();
      CHECK(name == "host-of-127.0.0.1");
    }
    CHECK(asking[0].result() == outcome::cancelled);
    CHECK(*calls == 1);
  });
}

TEST_CASE("errors and empty names of the function are errors with the address") {
  on_one_scheduler([]() -> task<> {
    const auto fail = [](const address& of) -> result<std::string> {
      if (of == address::loopback(0)) return make_error_code(resolve_errc::temporary_failure);
      return std::string();
    };
    threaded_resolver names(no_addresses, fail);
    const std::string failed = co_await name_of(names, address::loopback(1));
    CHECK(failed ==
          "cannot find the name of 127.0.0.1: no name server has answered; try again later");
    const std::string empty = co_await name_of(names, address::any(1));
    CHECK(empty == "cannot find the name of 0.0.0.0: the address has no name");
  });
}

// row: DN-01
TEST_CASE("the system's resolver gives the name that other programs get") {
  on_schedulers([]() -> task<> {
    const address here = address::loopback(80);
    char expected[NI_MAXHOST] = "";
    const int refusal =
        ::getnameinfo(here.data(), here.size(), expected, sizeof expected, nullptr, 0, NI_NAMEREQD);
    const std::string name = co_await name_of(system_resolver(), here, 60s);
    CHECK(name ==
          (refusal == 0 ? expected : "cannot find the name of 127.0.0.1: the address has no name"));
  });
}

TEST_SUITE_END();
