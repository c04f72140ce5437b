// An adopted listener, which other threads or processes may share: it accepts a connection only for
// a fiber that waits for one, and one at a time.
//
// Method: a scripted engine that records its requests; then two engines on duplicates of one
// socket, whose turns the test takes.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/extend/engine.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/tcp_listener.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "support/engines.hpp"
#include "support/loopback.hpp"
#include "support/sockets.hpp"
#include "support/stage.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

namespace {

// Not a real descriptor: the scripted engine closes none.
int fresh_fd() {
  static int last = 100'000;
  return ++last;
}

task<int> accept_one(tcp_listener& listener) {
  const tcp_stream made = co_await listener.accept();
  co_return made.native_handle();
}

bool is_accepting(const stage& s) { return s.engine.is_waiting(opcode::accept); }

}  // namespace

TEST_SUITE_BEGIN("shared listeners");

TEST_CASE("an adopted listener accepts one connection for each waiting fiber") {
  on_stage([](stage& s) -> task<> {
    tcp_listener listener{unique_fd(fresh_fd())};
    const auto first = spawn(accept_one(listener));
    const auto second = spawn(accept_one(listener));
    co_await settle();
    for (const auto& waiting : std::array{first, second}) {
      CHECK_FALSE(s.engine.oldest(opcode::accept).multishot);
      const int fd = fresh_fd();
      s.engine.complete(s.engine.oldest(opcode::accept), fd);
      const int got = co_await waiting.get();
      CHECK(got == fd);
    }
    co_await settle();
    CHECK_FALSE(is_accepting(s));
    CHECK(s.engine.started(opcode::accept) == 2);
  });
}

TEST_CASE("an adopted listener takes no connection when the last fiber has given up") {
  on_stage([](stage& s) -> task<> {
    tcp_listener listener{unique_fd(fresh_fd())};
    const auto first = spawn(accept_one(listener));
    const auto second = spawn(accept_one(listener));
    co_await settle();
    co_await first.kill();
    CHECK(is_accepting(s));
    co_await second.kill();
    co_await settle();
    CHECK_FALSE(is_accepting(s));
    CHECK(s.engine.cancelled(opcode::accept) == 1);
    // As a case of a select() that took another one.
    const auto chosen = co_await select(listener.accept(), sleep(std::chrono::nanoseconds(1)));
    CHECK(chosen.index() == 1);
    co_await settle();
    CHECK_FALSE(is_accepting(s));
  });
}

TEST_CASE("a connection that arrives as the last fiber gives up goes to the next accept") {
  on_stage([](stage& s) -> task<> {
    tcp_listener listener{unique_fd(fresh_fd())};
    const auto first = spawn(accept_one(listener));
    co_await settle();
    const int fd = fresh_fd();
    operation& accept = s.engine.oldest(opcode::accept);
    first.request_kill();
    s.engine.complete(accept, fd);
    co_await settle();
    const int got = co_await accept_one(listener);
    CHECK(got == fd);
  });
}

TEST_CASE("a listener created by ringlet accepts many connections with one request") {
  on_stage([](stage& s) -> task<> {
    tcp_listener listener = listener_on(s.engine, fresh_fd());
    const auto first = spawn(accept_one(listener));
    co_await settle();
    CHECK(s.engine.oldest(opcode::accept).multishot);
    co_await first.kill();
    CHECK(is_accepting(s));
  });
}

// An accept that is woken for a connection and does not take it keeps it from the other accepts.
TEST_CASE("single accepts of two engines on one listener get a connection each, and lose none") {
  for_each_kernel_engine([](const engine_maker& make) {
    if (make.is_rung()) return;
    const std::array engines{make(), make()};
    const loopback_listener listener;
    std::array<unique_fd, 2> shares{unique_fd(::dup(listener.fd.get())),
                                    unique_fd(::dup(listener.fd.get()))};
    for (int round = 0; round < 10; ++round) {
      watched first(opcode::accept, shares[0].get());
      watched second(opcode::accept, shares[1].get());
      engines[0]->start(first);
      engines[1]->start(second);
      for (const auto& each : engines) turn(*each);
      const unique_fd one = connect_to(listener);
      const unique_fd two = connect_to(listener);
      finish(*engines[0], first);
      finish(*engines[1], second);
      REQUIRE(first.answer >= 0);
      REQUIRE(second.answer >= 0);
      const unique_fd accepted[] = {unique_fd(first.answer), unique_fd(second.answer)};
      // Neither accepts now: a third connection waits for the next accept.
      const unique_fd three = connect_to(listener);
      CHECK(turn(*engines[0]) == 0);
      watched third(opcode::accept, shares[1].get());
      engines[1]->start(third);
      finish(*engines[1], third);
      REQUIRE(third.answer >= 0);
      const unique_fd last(third.answer);
    }
  });
}

TEST_CASE("one of two single accepts on a listener gets the only connection") {
  for_each_kernel_engine([](const engine_maker& make) {
    if (make.is_rung()) return;
    const std::array engines{make(), make()};
    const loopback_listener listener;
    watched first(opcode::accept, listener.fd.get());
    watched second(opcode::accept, listener.fd.get());
    engines[0]->start(first);
    engines[1]->start(second);
    for (const auto& each : engines) turn(*each);
    const unique_fd client = connect_to(listener);
    for (const auto& each : engines) turn(*each);
    CHECK(first.done() != second.done());
    for (watched* op : {&first, &second}) {
      if (op->answer >= 0 && op->done()) unique_fd(op->answer).reset();
    }
    engines[0]->cancel(first);
    engines[1]->cancel(second);
    for (const auto& each : engines) finish_all(*each);
  });
}

TEST_SUITE_END();
