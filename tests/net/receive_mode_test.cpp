// How a stream asks for bytes: one request for many buffers while the peer waits for answers, one
// request a call in bulk and on sockets that are no TCP sockets.
//
// Method: as in arrivals_test.cpp, on a scripted engine that tells how it was asked; then with real
// sockets, for what the kernel makes of it.
#include <ringlet/as_result.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_stream.hpp>

#include <doctest/doctest.h>

#include <sys/socket.h>

#include <chrono>
#include <string>
#include <utility>

#include "support/loopback.hpp"
#include "support/schedulers.hpp"
#include "support/sockets.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Has SO_DOMAIN answered with `domain`.
void answer_family(scripted_engine& engine, int domain) {
  engine.answer(opcode::get_option, [domain](operation& op) {
    CHECK(op.flags == SOL_SOCKET);
    CHECK(op.detail == SO_DOMAIN);
    *static_cast<int*>(op.data) = domain;
    return 0;
  });
}

// Whether the next receive() of the stage's stream makes a request that stays.
task<bool> asks_to_stay(stage& s, std::string_view answer = "abc") {
  const auto reading = spawn(outcome_of_receive(s, forever));
  co_await settle();
  const bool stays = s.engine.oldest(opcode::receive).multishot;
  s.engine.deliver(s.engine.oldest(opcode::receive), answer);
  co_await reading.join();
  co_return stays;
}

}  // namespace

TEST_SUITE_BEGIN("receive mode");

TEST_CASE(
    "an adopted socket is asked once what it is; only IPv4 and IPv6 get a request that stays") {
  for (const int domain : {AF_INET, AF_INET6, AF_UNIX, AF_VSOCK}) {
    CAPTURE(domain);
    on_stage([&](stage& s) -> task<> {
      answer_family(s.engine, domain);
      CHECK(s.engine.called(opcode::get_option) == 0);
      for (int round = 0; round < 3; ++round) {
        const bool stays = co_await asks_to_stay(s);
        CHECK(stays == (domain == AF_INET || domain == AF_INET6));
      }
      CHECK(s.engine.called(opcode::get_option) == 1);
    });
  }
}

TEST_CASE("a descriptor that does not tell what it is gets one request a call") {
  on_stage([](stage& s) -> task<> {
    s.engine.answer(opcode::get_option, -ENOTSOCK);
    const bool stays = co_await asks_to_stay(s);
    CHECK_FALSE(stays);
  });
}

TEST_CASE("a connection that ringlet has made or accepted itself is not asked what it is") {
  on_stage([](stage& s) -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    const auto accepting = [&]() -> task<> { s.stream = co_await listener.accept(); };
    const auto accepted = spawn(accepting);
    co_await settle();
    s.engine.complete(s.engine.oldest(opcode::accept), 20, {.more = true});
    co_await accepted.join();
    bool stays = co_await asks_to_stay(s);
    CHECK(stays);
    s.engine.on_start = [&s](operation& op) {
      if (op.code == opcode::connect) s.engine.complete(op, 0);
    };
    s.stream = co_await tcp_stream::connect(address::parse("127.0.0.1:1"));
    stays = co_await asks_to_stay(s);
    CHECK(stays);
    CHECK(s.engine.called(opcode::get_option) == 0);
  });
}

// With a request that stays, Linux 6.18 tells of the bytes and never of the end.
TEST_CASE("the end of a Unix stream comes, whatever was waited for in vain before") {
  on_one_scheduler([]() -> task<> {
    fd_pair pair = socket_pair();
    tcp_stream stream(std::move(pair.near));
    put(pair.far, "abc");
    { const buffer first = co_await stream.receive(); }
    const auto in_vain = [&]() -> task<> { co_await stream.receive(); };
    const auto waiting = spawn(in_vain);
    co_await settle();
    co_await waiting.kill();
    put(pair.far, "hello");
    REQUIRE(::shutdown(pair.far.get(), SHUT_WR) == 0);
    std::string got;
    while (const buffer data = co_await stream.receive(10s)) got += data.text();
    CHECK(got == "hello");
  });
}

TEST_SUITE_END();
