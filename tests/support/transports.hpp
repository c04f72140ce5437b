// Transports: one struct for each kind of byte stream, with the same interface, so that one suite
// of tests runs on all of them. What is written to `out` arrives at `in`.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/memory_stream.hpp>
#include <ringlet/pipe.hpp>
#include <ringlet/standard_streams.hpp>
#include <ringlet/task.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_stream.hpp>
#include <ringlet/unix_listener.hpp>
#include <ringlet/unix_stream.hpp>

#include <unistd.h>

#include <csignal>
#include <optional>
#include <string>
#include <utility>

#include "support/loopback.hpp"
#include "support/sockets.hpp"

namespace ringlet::test {

/// While it exists, writing to a pipe without a reader is an error instead of a signal.
class without_sigpipe {
 public:
  without_sigpipe() : before_(std::signal(SIGPIPE, SIG_IGN)) {}
  without_sigpipe(const without_sigpipe&) = delete;
  without_sigpipe& operator=(const without_sigpipe&) = delete;
  ~without_sigpipe() { std::signal(SIGPIPE, before_); }

 private:
  void (*before_)(int);
};

/// The ends are optional so that a test can destroy one of them. `end()` ends the stream, so that
/// its reader sees the end; `lose_reader()` and `lose_writer()` let one side vanish.
template <class Source, class Sink = Source>
struct transport_of {
  using source = Source;
  using sink = Sink;

  std::optional<Source> in;
  std::optional<Sink> out;

  void end() { out->shutdown_write(); }
  void lose_reader() { in.reset(); }
  void lose_writer() { out.reset(); }
};

struct tcp_transport : transport_of<tcp_stream> {
  static constexpr const char* name = "TCP";
  static task<tcp_transport> make() {
    connection made = co_await connected_pair();
    co_return tcp_transport{{std::move(made.near), std::move(made.far)}};
  }
};

struct unix_transport : transport_of<unix_stream> {
  static constexpr const char* name = "Unix";
  static task<unix_transport> make() {
    const auto where = unix_address::abstract("ringlet-test-" + std::to_string(::getpid()));
    auto listener = unix_listener::bind(where);
    unix_stream near = co_await unix_stream::connect(where);
    unix_stream far = co_await listener.accept();
    co_await listener.close();  // so that the name is free
    co_return unix_transport{{std::move(near), std::move(far)}};
  }
};

struct socket_pair_transport : transport_of<unix_stream> {
  static constexpr const char* name = "socket pair";
  static task<socket_pair_transport> make() {
    auto [near, far] = unix_stream::pair();
    co_return socket_pair_transport{{std::move(near), std::move(far)}};
  }
};

struct pipe_transport : transport_of<pipe_reader, pipe_writer> {
  static constexpr const char* name = "pipe";
  static task<pipe_transport> make() {
    auto [in, out] = make_pipe();
    co_return pipe_transport{{std::move(in), std::move(out)}};
  }
};

/// Two standard streams on a pipe, which is theirs as if they had inherited it.
struct standard_transport : transport_of<standard_stream> {
  static constexpr const char* name = "standard streams";
  static task<standard_transport> make() {
    fd_pair raw = pipe_pair();
    standard_stream near(raw.near.get());
    standard_stream far(raw.far.get());
    co_return standard_transport{{std::move(near), std::move(far)}, std::move(raw)};
  }
  void end() { raw.far.reset(); }
  void lose_reader() {
    in.reset();
    raw.near.reset();
  }
  void lose_writer() {
    out.reset();
    raw.far.reset();
  }

  fd_pair raw;
};

struct memory_transport : transport_of<memory_stream> {
  static constexpr const char* name = "memory";
  static task<memory_transport> make() {
    auto [near, far] = memory_stream::pair();
    co_return memory_transport{{std::move(near), std::move(far)}};
  }
};

}  // namespace ringlet::test
