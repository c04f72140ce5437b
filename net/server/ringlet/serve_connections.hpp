// serve_connections: runs a handler for each connection, within limits, until it is asked to stop.
//
//     task<> echo(tcp_stream peer) {
//       while (buffer data = co_await peer.receive()) co_await peer.write_all(data);
//     }
//
//     task<> serve(tcp_listener listener) {
//       const server_report done = co_await serve_connections(listener, echo);  // until Ctrl-C
//       for (const std::string& peer : done.cut_off_peers) show(peer);
//     }
//
// A new version of a program takes over from the old one, and no connection is lost, if both use
// the same socket: the system gives a connection to either, and none waits in a queue that is
// closed. The new process gets the socket from a service manager (see listening_descriptors()), or
// from the old process:
//
//     task<> hand_over(unix_stream& successor, tcp_listener& listener, server_control& control) {
//       const int socket = listener.native_handle();
//       co_await successor.send_descriptors(std::span(&socket, 1), "l");
//       std::byte ready{};
//       co_await successor.read_exact(std::span(&ready, 1));  // it accepts now
//       control.stop();
//     }
//
//     task<tcp_listener> take_over(unix_stream& predecessor) {
//       std::byte byte{};
//       unique_fd socket;
//       co_await predecessor.receive_descriptors(std::span(&byte, 1), std::span(&socket, 1));
//       tcp_listener listener(std::move(socket));
//       co_await predecessor.write_all("r");
//       co_return listener;
//     }
//
// With SO_REUSEPORT and a socket each, the connections in the queue of the old one are reset when
// it closes, unless net.ipv4.tcp_migrate_req is set.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/as_result.hpp>
#include <ringlet/cancelled.hpp>
#include <ringlet/detail/connection_server.hpp>
#include <ringlet/server_control.hpp>
#include <ringlet/server_limits.hpp>
#include <ringlet/task.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/unix_listener.hpp>

#include <concepts>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

namespace ringlet {

/// What serve_connections() accepts from: tcp_listener and unix_listener.
template <class L>
concept connection_listener = std::same_as<L, tcp_listener> || std::same_as<L, unix_listener>;

}  // namespace ringlet

namespace ringlet::detail {

template <class Listener>
using accepted_by =
    decltype(std::declval<std::remove_cvref_t<Listener>&>().accept().await_resume());

}  // namespace ringlet::detail

namespace ringlet {

/// What serve_connections() calls: `handler(stream)` returns a task.
template <class F, class Listener>
concept connection_handler = std::invocable<F&, detail::accepted_by<Listener>> &&
    detail::is_task<std::invoke_result_t<F&, detail::accepted_by<Listener>>>;

}  // namespace ringlet

namespace ringlet::detail {

// One connection. Its frame is what a connection costs, besides the handler's.
template <class Handler, class Stream>
task<> serve_one(Handler& handle, Stream peer, connection_place place) {
  try {
    const connection_watch watch(extend::descriptor_access::of(peer), place.limits(),
                                 place.verdict());
    co_await std::invoke(handle, std::move(peer));
    place.on_returned();
  } catch (const cancelled&) {
    place.on_cancelled();
    throw;
  } catch (...) {
    place.on_thrown(std::current_exception());
  }
}

template <class Listener>
task<> stop_when_asked(connection_server& server, Listener& listener) {
  co_await server.stop_requested();
  listener.stop();
}

template <class Listener, class Handler>
task<> accept_all(connection_server& server, Listener& listener, Handler& handle,
                  task_group& connections) {
  for (;;) {
    auto made = co_await as_result(listener.accept());
    if (!made) {
      server.on_accept_failed(made.error());
      co_return;
    }
    auto place = server.admit(extend::descriptor_access::of(*made));
    if (!place) continue;
    server.begin(
        [&] { connections.spawn(serve_one(handle, std::move(*made), std::move(*place))); });
  }
}

// `Listener` is a reference if the caller keeps the listener.
template <class Listener, class Handler>
task<server_report> serve(Listener listener, Handler handle, server_limits limits,
                          server_control* given) {
  std::optional<server_control> own;
  if (given == nullptr) given = &own.emplace();
  connection_server server(*given, limits);
  const auto body = [&](task_group& connections) -> task<> {
    connections.spawn(stop_when_asked(server, listener));
    co_await accept_all(server, listener, handle, connections);
    co_await listener.close();
    co_await server.drain();
    connections.cancel();
  };
  const group_options independent{.on_failure = group_failure::report};
  co_await with_group(independent, body);
  co_return server.finish();
}

}  // namespace ringlet::detail

namespace ringlet {

/// Accepts connections, and runs `handler(stream)` for each in a fiber of its own, until a signal
/// (see shutdown_requested()) or the end of the listener. Then it serves the connections that have
/// already been accepted, closes the listener, and waits for the handlers: shutting_down() tells
/// them of a signal. Those that are left when server_limits::drain_timeout has passed are
/// cancelled. Returns when all handlers have ended, with what was done.
///
/// On several schedulers each has a listener of its own, see tcp_listener_group, and calls this for
/// it. The limits on numbers then hold for each of them.
///
/// The limits hold from the beginning to the end of a handler, for its stream, wherever that was
/// moved. A stream that outlives its handler has no limits and counts no more.
///
/// Handlers  An exception that a handler lets escape is reported with the address of its peer, like
///           an unhandled error of a fiber (see options::on_unhandled_error), and does not end the
///           server. A peer that disconnects is counted only.
/// Shortages  The listener waits when descriptors or memory run out: see tcp_listener.
/// Errors    std::invalid_argument, with the name, for a limit out of range. Permanent errors of
///           accept(), after the handlers have drained.
/// Cancellation  A kill cancels the handlers at once, and waits for their ends. The report is lost,
///           unless a server_control was given.
/// Lifetime  Borrows the listener, unless it is moved into the call, and closes it; a kill leaves a
///           borrowed one open. The handler is moved into the call, and outlives what it returned.
/// Thread    That of the listener's scheduler.
/// Memory    For each connection the stream, a fiber, the frames of this call and the handler, and
///           a node of a map if there is a limit per peer.
template <class Listener, connection_handler<Listener> Handler>
requires connection_listener<std::remove_cvref_t<Listener>> task<server_report> serve_connections(
    Listener&& listener, Handler handler, server_limits limits = {}) {
  detail::connection_server::check(limits);
  return detail::serve<Listener>(std::forward<Listener>(listener), std::move(handler), limits,
                                 nullptr);
}

/// The same; `control` can stop it, and tells what it does.
/// Lifetime  Borrows `control`, too.
template <class Listener, connection_handler<Listener> Handler>
requires connection_listener<std::remove_cvref_t<Listener>> task<server_report> serve_connections(
    Listener&& listener, Handler handler, server_limits limits, server_control& control) {
  detail::connection_server::check(limits);
  return detail::serve<Listener>(std::forward<Listener>(listener), std::move(handler), limits,
                                 &control);
}

}  // namespace ringlet
