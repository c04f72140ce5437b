// udp_server: a handler for each datagram, a bounded number of them at a time.
//
//     task<> answer(udp_request request) { co_await request.reply(request.data); }
//
//     task<> serve(udp_socket socket) {
//       udp_server server(std::move(socket), answer, {.handlers = 100});
//       const auto until_stopped = [&](task_group& group) -> task<> {
//         group.spawn(&udp_server::serve, std::ref(server));
//         co_await shutdown_requested();  // Ctrl-C
//         server.stop();                  // handlers that have begun may finish
//       };
//       co_await with_group(until_stopped);
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/buffer.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/pool.hpp>
#include <ringlet/task.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/udp_socket.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace ringlet {

class udp_server;

/// What a udp_server's handler gets: one datagram, and the way back.
/// Lifetime  The server must outlive it, as it outlives its handlers. Each request holds a lent
///           buffer: see buffer.
class udp_request {
 public:
  /// For the server.
  udp_request(udp_server& server, udp_datagram received) noexcept
      : data(std::move(received.data)),
        peer(received.sender),
        size(received.size),
        is_truncated(received.is_truncated),
        server_(&server) {}

  /// The bytes, none for an empty datagram. Of a truncated one, those that fitted.
  buffer data;
  /// Who sent it.
  address peer;
  /// The size of the datagram in bytes, 0 to 65,527.
  std::size_t size;
  /// Whether it was larger than the buffer: the rest of it is lost.
  bool is_truncated;

  /// Sends one datagram to the peer. Several handlers may reply at once: they take turns. `bytes`
  /// may be the request's own.
  /// Errors    Those of udp_socket::send_to().
  /// Cancellation  Loses nothing: the reply is sent, or it is not.
  task<> reply(std::span<const std::byte> bytes) const;
  /// The same for text.
  task<> reply(std::string_view text) const { return reply(std::as_bytes(std::span(text))); }
  /// The same for a lent buffer.
  task<> reply(const buffer& bytes) const { return reply(bytes.bytes()); }

 private:
  udp_server* server_;
};

/// What a udp_server does with a datagram that comes while all handlers are busy.
enum class udp_overload : std::uint8_t {
  /// It stays in the socket's receive buffer. When that is full, the system drops what comes:
  /// udp_socket::lost() counts it.
  wait,
  /// The server drops it: udp_server::dropped() counts it. No handler gets an old datagram.
  drop,
};

/// Options of a udp_server.
struct udp_server_options {
  /// How many handlers may run at once, at least 1.
  std::size_t handlers = 1024;
  /// What happens to a datagram that comes while all of them run.
  udp_overload overload = udp_overload::wait;
  /// Called with an exception that a handler let escape, and the peer whose datagram it handled;
  /// must not throw. If empty, the error is reported like an unhandled error of a fiber that is
  /// named after the peer: see options::on_unhandled_error.
  std::function<void(const address& peer, std::exception_ptr error)> on_error = {};
};

/// Reads datagrams from a socket, and runs a handler for each in a fiber of its own, as gevent's
/// DatagramServer does.
///
/// Lifetime  Must outlive serve().
/// Thread    That of the socket's scheduler.
/// Memory    For each datagram one fiber, and the frames of the handler; the buffer is lent.
class udp_server {
 public:
  /// Called with each datagram, in a fiber of its own.
  using handler = std::function<task<>(udp_request)>;

  /// Takes the socket and the handler; serve() starts. Throws std::invalid_argument without
  /// handlers.
  udp_server(udp_socket socket, handler handle, udp_server_options options = {});
  udp_server(const udp_server&) = delete;
  udp_server& operator=(const udp_server&) = delete;

  /// Serves until stop(), or until the socket is closed, and then until all handlers have ended.
  /// Call it once. An error of a handler does not end it; nor does an ICMP message to a connected
  /// socket, or a shortage of memory: the datagram is then dropped.
  ///
  /// Errors    Other errors of udp_socket::receive(), after the handlers have ended.
  /// Cancellation  Cancels the handlers, and waits for their ends.
  task<> serve();
  /// Ends the reading. Handlers that have begun finish, and may still reply; datagrams that were
  /// not read stay in the socket. Idempotent, also before serve(). Needs no fiber.
  void stop() noexcept;

  /// The socket, for its addresses, options and counts. Receiving from it during serve() aborts.
  udp_socket& socket() noexcept { return socket_; }
  const udp_socket& socket() const noexcept { return socket_; }
  /// How many handlers returned.
  std::uint64_t handled() const noexcept { return handled_; }
  /// How many handlers threw.
  std::uint64_t failed() const noexcept { return failed_; }
  /// How many datagrams were dropped, because all handlers were busy or there was no memory for
  /// one.
  std::uint64_t dropped() const noexcept { return dropped_; }
  /// How many handlers run now.
  std::size_t running() const noexcept { return running_; }

 private:
  friend class udp_request;
  task<> read(task_group& handlers);
  bool begin_handler(task_group& handlers, udp_datagram received, pool::slot busy);
  task<> run_handler(udp_request request, pool::slot busy);
  task<> reply(address peer, std::span<const std::byte> bytes);
  void report(const address& peer, std::exception_ptr error) const noexcept;

  udp_socket socket_;
  handler handle_;
  udp_server_options options_;
  pool slots_;       // one for each handler
  pool sending_{1};  // its slot is the turn to send
  std::optional<fiber<void>> reader_;
  std::error_code broken_;
  bool has_begun_ = false;
  bool is_stopped_ = false;
  std::size_t running_ = 0;
  std::uint64_t handled_ = 0;
  std::uint64_t failed_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace ringlet
