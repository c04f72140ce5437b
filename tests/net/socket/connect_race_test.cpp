// connect() to a name: which address is tried when, and what becomes of the attempts.
//
// Method: a scripted engine answers the attempts after given times of its own clock, and a resolver
// answers on the same clock. The sockets are real descriptors of /dev/null, so that a leaked one
// shows.
// SPDX-License-Identifier: MIT
#include <ringlet/connect_options.hpp>
#include <ringlet/now.hpp>
#include <ringlet/tcp_stream.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <map>
#include <ostream>
#include <random>
#include <set>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "support/loopback.hpp"
#include "support/scale.hpp"
#include "support/stage.hpp"
#include "support/test_resolver.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

using ms = std::chrono::milliseconds;

struct net {
  explicit net(scripted_engine& used, bool splits = false) : engine(used), names(splits) {
    engine.answer(opcode::open_socket, [this](operation&) {
      sockets.push_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      return sockets.back();
    });
    engine.answer(opcode::close, [](operation& op) { return ::close(op.fd); });
    // The local end has another port than the peer.
    engine.answer(opcode::local_name, [](operation& op) {
      static_cast<sockaddr_in*>(op.data)->sin_port = htons(50'000);
      return 0;
    });
    engine.on_start = [this](operation& op) { begin(op); };
    began = now();
  }

  // How an attempt to reach that address ends, and how long after its begin; never without it.
  void answer(const std::string& host, int result, ms after) { plan[host] = {result, after}; }

  struct attempt {
    std::string to;
    ms at;
  };
  std::string attempts() const {
    std::string text;
    for (const attempt& one : log) {
      text += (text.empty() ? "" : " ") + one.to + "@" + std::to_string(one.at.count());
    }
    return text;
  }
  std::size_t open_sockets() const {
    std::size_t count = 0;
    const std::set<int> numbers(sockets.begin(), sockets.end());  // the system uses them again
    for (const int one : numbers) count += is_open(one) ? 1 : 0;
    return count;
  }
  ms elapsed() const { return std::chrono::duration_cast<ms>(now() - began); }

  scripted_engine& engine;
  test_resolver names;
  connect_options options{};
  std::vector<int> sockets;
  std::vector<attempt> log;
  std::size_t in_flight_max = 0;
  std::chrono::steady_clock::time_point began{};

 private:
  struct ending {
    int result;
    ms after;
  };
  std::map<std::string, ending> plan;
  std::vector<fiber<>> answers_;

  static task<> end(net& self, int fd, ending how) {
    co_await sleep(how.after);
    if (self.engine.is_waiting(opcode::connect, fd)) {
      self.engine.complete(self.engine.oldest(opcode::connect, fd), how.result);
    }
  }
  void begin(operation& op) {
    if (op.code != opcode::connect) return;
    address to;
    std::memcpy(to.data(), op.data, op.length);
    log.push_back({to.host(), elapsed()});
    std::size_t now_waiting = 0;
    for (const operation* one : engine.waiting()) now_waiting += one->code == opcode::connect;
    in_flight_max = std::max(in_flight_max, now_waiting);
    const auto found = plan.find(to.host());
    if (found != plan.end()) answers_.push_back(spawn(end(*this, op.fd, found->second)));
  }
};

template <class F>
task<> in_new_net(scripted_engine& engine, F& body, bool splits) {
  net made(engine, splits);
  made.options.with = &made.names;
  co_await body(made);
  co_await settle();
  CHECK(made.open_sockets() == 0);
}

template <class F>
void in_net(F body, bool splits = false) {
  scripted_engine engine;
  detail::run_on(engine, beside_main(in_new_net(engine, body, splits)), {},
                 std::source_location::current());
}

// "2001:db8::1 after 270 ms", or the message of the error.
task<std::string> reach(net& n, std::string text = "host:80", time_limit timeout = forever) {
  std::string words;
  try {
    const tcp_stream made = co_await tcp_stream::connect(std::move(text), n.options, timeout);
    CHECK(n.open_sockets() == 1);
    words = "connected";
  } catch (const cancelled&) {
    words = "cancelled";
  } catch (const std::exception& error) {
    words = error.what();
  }
  co_return words + " after " + std::to_string(n.elapsed().count());
}

constexpr const char* v6 = "2001:db8::1";
constexpr const char* v6b = "2001:db8::2";
constexpr const char* v6c = "2001:db8::3";
constexpr const char* v4 = "192.0.2.1";
constexpr const char* v4b = "192.0.2.2";

}  // namespace

TEST_SUITE_BEGIN("connect race");

TEST_CASE("an address that does not answer delays the next one by the attempt delay") {
  in_net([](net& n) -> task<> {
    n.names.add("host", {v6, v4});
    n.answer(v4, 0, 20ms);
    const std::string words = co_await reach(n);
    CHECK(words == "connected after 270");
    CHECK(n.attempts() == "2001:db8::1@0 192.0.2.1@250");
  });
}

// row: SK-04
TEST_CASE("an address that refuses starts the next attempt at once") {
  in_net([](net& n) -> task<> {
    n.names.add("host", {v6, v4});
    n.answer(v6, -ECONNREFUSED, 10ms);
    n.answer(v4, 0, 20ms);
    const std::string words = co_await reach(n);
    CHECK(words == "connected after 30");
  });
}

// rows: SK-03 SK-04
TEST_CASE("an error lists all addresses when all have failed, and has the code of the first") {
  in_net([](net& n) -> task<> {
    n.names.add("host", {v6, v4});
    n.answer(v6, -ECONNREFUSED, 10ms);
    n.answer(v4, -ETIMEDOUT, 5ms);
    const std::string words = co_await reach(n);
    CHECK(words ==
          "connect to \"host:80\" ([2001:db8::1]:80: Connection refused, 192.0.2.1:80: Connection "
          "timed out): Connection refused after 15");
  });
}

TEST_CASE("an error names the address when there is one") {
  in_net([](net& n) -> task<> {
    n.names.add("host", {v4});
    n.answer(v4, -ECONNREFUSED, 10ms);
    const std::string words = co_await reach(n);
    CHECK(words == "connect to \"host:80\" at 192.0.2.1:80: Connection refused after 10");
  });
}

TEST_CASE("a slow attempt is not given up when the next one begins") {
  in_net([](net& n) -> task<> {
    n.names.add("host", {v6, v4});
    n.answer(v6, 0, 400ms);
    const std::string words = co_await reach(n);
    CHECK(words == "connected after 400");
    CHECK(n.attempts() == "2001:db8::1@0 192.0.2.1@250");
  });
}

TEST_CASE("two attempts that succeed together leave one connection") {
  in_net([](net& n) -> task<> {
    n.names.add("host", {v6, v4});
    n.answer(v6, 0, 260ms);
    n.answer(v4, 0, 10ms);
    const std::string words = co_await reach(n);
    CHECK(words == "connected after 260");
    CHECK(n.sockets.size() == 2);
  });
}

TEST_CASE("families alternate in the order of the resolver, and duplicates are dropped") {
  in_net([](net& n) -> task<> {
    n.names.add("host", {v6, v6b, v6, v6c, v4, v4b, v4});
    for (const char* one : {v6, v6b, v6c, v4, v4b}) n.answer(one, -ECONNREFUSED, 1ms);
    co_await reach(n);
    CHECK(n.attempts() == "2001:db8::1@0 192.0.2.1@1 2001:db8::2@2 192.0.2.2@3 2001:db8::3@4");
  });
}

TEST_CASE("after an unreachable network, the rest of its family is tried last") {
  in_net([](net& n) -> task<> {
    n.names.add("host", {v6, v6b, v6c, v4, v4b});
    for (const char* one : {v6, v6b}) n.answer(one, -ENETUNREACH, 0ms);
    for (const char* one : {v4, v4b}) n.answer(one, -ECONNREFUSED, 1ms);
    n.answer(v6c, 0, 1ms);
    const std::string words = co_await reach(n);
    CHECK(words == "connected after 3");
    CHECK(n.attempts() == "2001:db8::1@0 192.0.2.1@0 192.0.2.2@1 2001:db8::2@2 2001:db8::3@2");
  });
}

TEST_CASE("if the networks of both families are unreachable, every address is tried at once") {
  in_net([](net& n) -> task<> {
    n.names.add("host", {v6, v6b, v4, v4b});
    for (const char* one : {v6, v6b, v4, v4b}) n.answer(one, -ENETUNREACH, 0ms);
    const std::string words = co_await reach(n);
    CHECK(n.attempts() == "2001:db8::1@0 192.0.2.1@0 2001:db8::2@0 192.0.2.2@0");
    CHECK(words.find("[2001:db8::2]:80: Network is unreachable") != std::string::npos);
  });
}

TEST_CASE("no more attempts are in flight than allowed") {
  in_net([](net& n) -> task<> {
    n.names.add("host", {v6, v6b, v6c, v4, v4b, "192.0.2.3", "192.0.2.4", "192.0.2.5"});
    const std::string words = co_await reach(n, "host:80", 10s);
    CHECK(n.in_flight_max == 6);
    CHECK(n.log.size() == 6);
    CHECK(words == "connect to \"host:80\": timed out after 10000");
  });
}

TEST_CASE("the limit covers the lookup and all attempts, and the error lists what failed") {
  in_net([](net& n) -> task<> {
    n.names.add("host", {v6, v4}, 100ms);
    n.answer(v6, -ECONNREFUSED, 10ms);
    const std::string late = co_await reach(n, "host:80", 50ms);
    CHECK(late == "connect to \"host:80\": timed out after 50");
    const std::string words = co_await reach(n, "host:80", 200ms);
    CHECK(words ==
          "connect to \"host:80\" ([2001:db8::1]:80: Connection refused): timed out after 250");
  });
}

TEST_CASE("IPv6 addresses that come shortly after IPv4 addresses are tried first") {
  const bool splits = true;
  const auto body = [](net& n) -> task<> {
    n.names.add("host", {v4}, 10ms, address_family::ipv4);
    n.names.add("host", {v6}, 50ms, address_family::ipv6);
    n.answer(v6, 0, 20ms);
    const std::string words = co_await reach(n);
    CHECK(words == "connected after 70");
    CHECK(n.attempts() == "2001:db8::1@50");
  };
  in_net(body, splits);
}

TEST_CASE("IPv6 addresses that come late join the attempts") {
  const auto body = [](net& n) -> task<> {
    n.names.add("host", {v4, v4b}, 10ms, address_family::ipv4);
    n.names.add("host", {v6}, 100ms, address_family::ipv6);
    n.answer(v6, 0, 20ms);
    const std::string words = co_await reach(n);
    CHECK(n.attempts() == "192.0.2.1@60 2001:db8::1@310");
    CHECK(words == "connected after 330");
  };
  in_net(body, true);
}

TEST_CASE("IPv6 addresses that come first are tried without waiting for the rest") {
  const auto body = [](net& n) -> task<> {
    n.names.add("host", {v4}, 500ms, address_family::ipv4);
    n.names.add("host", {v6}, 10ms, address_family::ipv6);
    n.answer(v6, 0, 20ms);
    const std::string words = co_await reach(n);
    CHECK(words == "connected after 30");
    CHECK(n.names.answered() == 1);
  };
  in_net(body, true);
}

TEST_CASE("a family without addresses does not delay the other one") {
  const auto body = [](net& n) -> task<> {
    n.names.add("host", {v4}, 10ms, address_family::ipv4);
    n.names.add("host", {}, 20ms, address_family::ipv6, resolve_errc::no_address);
    n.answer(v4, 0, 5ms);
    const std::string words = co_await reach(n);
    CHECK(words == "connected after 25");
  };
  in_net(body, true);
}

TEST_CASE("a name that does not exist is the error of connect, with both kinds of resolver") {
  for (const bool splits : {false, true}) {
    const auto body = [](net& n) -> task<> {
      const std::string words = co_await reach(n);
      CHECK(words == "host: the host does not exist after 0");
    };
    in_net(body, splits);
  }
}

TEST_CASE("a numeric address is not looked up") {
  in_net([](net& n) -> task<> {
    n.answer(v6, 0, 5ms);
    const std::string words = co_await reach(n, "[2001:db8::1]:80");
    CHECK(words == "connected after 5");
    CHECK(n.names.asked() == 0);
  });
}

// row: SK-04
TEST_CASE("a kill at any instant leaves no socket and no attempt") {
  for (const bool splits : {false, true}) {
    for (int instant = 0; instant <= 620; instant += 5) {
      CAPTURE(instant);
      const auto body = [instant](net& n) -> task<> {
        n.names.add("host", {v6, v4, v6b}, 5ms);
        n.names.add("host", {v6, v6b}, 30ms, address_family::ipv6);
        n.names.add("host", {v4}, 5ms, address_family::ipv4);
        n.answer(v6, -ECONNREFUSED, 300ms);
        n.answer(v4, -ECONNREFUSED, 270ms);
        n.answer(v6b, 0, 50ms);
        const auto reaching = spawn(reach(n));
        co_await sleep(ms(instant));
        reaching.request_kill();
        co_await reaching.join();
        co_await settle();
        CHECK(n.open_sockets() == 0);
        CHECK_FALSE(n.engine.is_waiting(opcode::connect));
      };
      in_net(body, splits);
    }
  }
}

// Up to eight addresses with any outcome, and a kill or a limit at any instant.
task<> reach_at_random(net& n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto up_to = [&random](int most) {
    return std::uniform_int_distribution<int>(0, most)(random);
  };
  std::vector<std::string_view> both, families[2];
  for (const char* one : {v6, v4, v6b, v4b, v6c, "192.0.2.3", "2001:db8::4", "192.0.2.4"}) {
    if (up_to(3) == 0) continue;
    both.push_back(one);
    families[std::string_view(one).find(':') == std::string_view::npos].push_back(one);
    const int results[] = {0, -ECONNREFUSED, -ENETUNREACH, -ETIMEDOUT};
    const int result = results[up_to(3)];
    const ms after(up_to(400));
    if (up_to(4) != 0) n.answer(one, result, after);
  }
  n.names.add("host", both, ms(up_to(60)));
  n.names.add("host", families[0], ms(up_to(200)), address_family::ipv6);
  n.names.add("host", families[1], ms(up_to(200)), address_family::ipv4);
  n.options.attempt_delay = ms(10 + up_to(300));
  n.options.attempts_max = std::uniform_int_distribution<std::size_t>(1, 6)(random);
  const auto reaching = spawn(reach(n, "host:80", ms(up_to(1500))));
  co_await sleep(ms(up_to(1500)));
  reaching.request_kill();
  co_await reaching.join();
  co_await settle();
  CHECK(n.open_sockets() == 0);
  CHECK_FALSE(n.engine.is_waiting(opcode::connect));
  CHECK(n.in_flight_max <= n.options.attempts_max);
  std::set<std::string> tried;
  for (const auto& one : n.log) CHECK(tried.insert(one.to).second);
}

TEST_CASE("any outcomes of the attempts, any kill and any limit leave nothing behind") {
  const std::size_t programs = 500 * test_scale();
  for (std::uint64_t seed = 1; seed <= programs; ++seed) {
    if (test_seed() != 0 && test_seed() != seed) continue;
    CAPTURE(seed);
    const auto body = [seed](net& n) -> task<> { return reach_at_random(n, seed); };
    in_net(body, seed % 2 == 0);
  }
}

TEST_CASE("options and text that are out of range are refused with the value") {
  in_net([](net& n) -> task<> {
    n.options.attempt_delay = 9ms;
    const std::string delay = co_await reach(n);
    CHECK(delay == "the connect option attempt_delay is 9; it must be at least 10 ms after 0");
    n.options = {};
    n.options.resolution_delay = -1ms;
    const std::string resolution = co_await reach(n);
    CHECK(resolution ==
          "the connect option resolution_delay is -1; it must be at least 0 ms after 0");
    for (const std::size_t count : {std::size_t{0}, std::size_t{65}}) {
      n.options = {};
      n.options.attempts_max = count;
      const std::string words = co_await reach(n);
      CHECK(words == "the connect option attempts_max is " + std::to_string(count) +
                         "; it must be from 1 to 64 after 0");
    }
    n.options = {};
    const std::string text = co_await reach(n, "host");
    CHECK(text ==
          "\"host\" is not a host and a port: the port is missing, as in example.org:443 after 0");
  });
}

TEST_SUITE_END();
