// server_control: a stop that handlers see, and counts while the server runs.
//
// Method: a scripted engine.
// SPDX-License-Identifier: MIT
#include <ringlet/select.hpp>
#include <ringlet/server_control.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <chrono>

#include "net/server/scripted_server.hpp"
#include "support/stage.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("server_control");

TEST_CASE("stopping() ends at a stop, at its limit, and at once afterwards") {
  on_stage([](stage&) -> task<> {
    server_control control;
    CHECK_FALSE(control.is_stopping());
    const bool too_early = co_await control.stopping(1s);
    CHECK_FALSE(too_early);
    const auto waiting = spawn([&]() -> task<> {
      const bool came = co_await control.stopping();
      CHECK(came);
    });
    co_await settle();
    CHECK_FALSE(waiting.done());
    control.stop();
    control.stop();
    co_await waiting.get();
    CHECK(control.is_stopping());
    const bool again = co_await control.stopping(0s);
    CHECK(again);
  });
}

TEST_CASE("a handler that waits for its next request ends at a stop") {
  on_stage([](stage& s) -> task<> {
    server_control* control = nullptr;
    const auto handle = [&](tcp_stream peer) -> task<> {
      for (;;) {
        const auto next = co_await select(peer.readable(), control->stopping());
        if (next.index() == 1) co_return;
        const buffer data = co_await peer.receive();
        if (!data) co_return;
      }
    };
    scripted_server server(s, handle, {});
    control = &server.control;
    const int fd = co_await server.connect();
    CHECK(server.control.running() == 1);
    CHECK(server.control.report().accepted == 1);
    co_await server.send(fd, "x");
    CHECK(server.control.running() == 1);
    co_await server.stop();
    CHECK(server.control.running() == 0);
    CHECK(server.result.finished == 1);
    CHECK(server.result.cut_off == 0);
    CHECK(server.result.peak == 1);
  });
}

TEST_SUITE_END();
