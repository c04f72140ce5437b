// scripted_server: a server on a scripted engine, whose peers and clock the test controls.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/as_result.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/serve_connections.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/tcp_listener.hpp>

#include <chrono>
#include <functional>
#include <utility>

#include "support/stage.hpp"

namespace ringlet::test {

/// Not a real descriptor: the scripted engine closes none.
inline int fresh_fd() {
  static int last = 300'000;
  return ++last;
}

/// Must be stopped, or its scheduler must end, before it is destroyed.
struct scripted_server {
  using handler = std::function<task<>(tcp_stream)>;

  scripted_server(stage& s, handler handle, server_limits limits)
      : engine(s.engine), listening_fd(fresh_fd()), listener(listener_on(engine, listening_fd)) {
    serving = spawn(run(std::move(handle), limits));
  }

  task<> run(handler handle, server_limits limits) {
    result = co_await serve_connections(listener, std::move(handle), limits, control);
  }

  /// A peer connects. Returns the descriptor of its connection.
  task<int> connect() {
    co_await settle();
    const int fd = fresh_fd();
    engine.complete(engine.oldest(opcode::accept, listening_fd), fd, {.more = true});
    co_await settle();
    co_return fd;
  }
  /// Bytes of that peer arrive.
  task<> send(int fd, std::string_view bytes) {
    const opcode code = engine.is_waiting(opcode::receive, fd) ? opcode::receive : opcode::recv;
    engine.deliver(engine.oldest(code, fd), bytes);
    co_await settle();
  }
  bool is_open(int fd) const { return engine.closes(fd) == 0; }
  task<> stop() {
    control.stop();
    co_await serving.join();
  }

  scripted_engine& engine;
  int listening_fd;
  tcp_listener listener;
  server_control control;
  server_report result;
  fiber<void> serving;
};

}  // namespace ringlet::test
