// tcp_listener: a TCP port that is listened on.
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/result.hpp>
#include <ringlet/tcp_stream.hpp>
#include <ringlet/wait.hpp>

#include <coroutine>
#include <cstdint>
#include <memory>
#include <string_view>

namespace ringlet {

class listener_state;

/// See tcp_listener::accept().
class [[nodiscard]] accept_wait : public list_wait {
 public:
  accept_wait(listener_state& from, until limit) noexcept : list_wait(limit), from_(&from) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<tcp_stream> take();
  tcp_stream await_resume();

  static constexpr bool has_hope = true;
  bool try_now() noexcept;
  void watch() noexcept;
  void unwatch() noexcept;
  void on_cancel(cancel_reason reason) noexcept;
  void describe(std::string& out) const;
  static const wait_type type;

 private:
  friend class listener_state;
  bool begin(frame_record& at) noexcept { return begin_alone(*this, at); }
  void deliver(descriptor::owner made) noexcept;
  void fail(std::int32_t error) noexcept;
  listener_state* from_;
  std::int32_t answer_ = 0;
  descriptor::owner made_;
};

/// See tcp_listener::close().
class [[nodiscard]] close_listener_wait : public wait_base {
 public:
  explicit close_listener_wait(listener_state* closed) noexcept
      : wait_base(forever), closed_(closed) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<void> take() {
    rethrow_interruption();
    return {};
  }
  void await_resume() { rethrow_interruption(); }

 private:
  friend class listener_state;
  bool begin(frame_record& at) noexcept;
  listener_state* closed_;
};

/// Options of tcp_listener::bind().
struct listen_options {
  /// Connections that the system keeps until they are accepted; it has a limit of its own
  /// (net.core.somaxconn).
  int backlog = 4096;
  /// SO_REUSEPORT: several listeners share the port, and the system spreads connections over them;
  /// all of them must ask for it.
  bool reuse_port = false;
  /// SO_REUSEADDR: bind although connections of an earlier listener linger on.
  bool reuse_address = true;
  /// IPV6_V6ONLY: an IPv6 listener takes no IPv4 connections.
  bool ipv6_only = false;
};

/// Accepts TCP connections. Movable; destroying it closes it.
///
/// When descriptors or memory run out (EMFILE, ENFILE, ENOBUFS, ENOMEM, std::bad_alloc) accept()
/// keeps waiting: it tries again when ringlet has closed a descriptor, and otherwise after 10 ms,
/// doubled each time up to 1 s. The first time it says so on standard error. Until then connections
/// wait in the backlog. A connection that failed before it was accepted is passed over.
///
/// Sharing: a listening socket may be open in other threads and processes, too. Closing it here
/// does not end the listening there, and the system chooses who accepts which connection.
///
/// Thread: that of the scheduler it was made on.
class tcp_listener {
 public:
  /// Listens on "host:port"; port 0 takes a free one (local_address() tells it). Numeric, see
  /// address::parse().
  /// Errors  address_in_use, address_not_available, permission_denied (ports below 1024), ...
  static tcp_listener bind(std::string_view host_and_port, const listen_options& options = {});
  static tcp_listener bind(const address& where, const listen_options& options = {});
  /// Takes over a listening socket, say from a service manager. Other threads and processes may
  /// listen on it, too: each with a duplicate of its own (dup(2)). So it accepts one connection at
  /// a time, and none that no fiber waits for; who is idle gets the next one. That costs some
  /// throughput: where each thread can have a socket of its own, prefer bind() with reuse_port. On
  /// epoll the socket becomes non-blocking, for all who share it.
  explicit tcp_listener(unique_fd fd);

  /// Waits for the next connection. Several fibers may wait: first come, first served.
  /// Errors        errc::closed when the listener is closed; timed_out. What the system refuses for
  ///               good (EPERM and EACCES of a security policy, EINVAL of a socket that does not
  ///               listen, ...); each further call tries once more.
  /// Cancellation  No connection is lost.
  accept_wait accept(until limit = forever) { return accept_wait(checked(), limit); }

  /// Stops listening: those who wait get errc::closed, connections that were accepted by the system
  /// but not handed out are closed, then the descriptor is. Twice is fine.
  close_listener_wait close() noexcept { return close_listener_wait(state_.get()); }

  address local_address() const;
  /// The descriptor, or -1 once closed. Stays owned.
  int native_handle() const noexcept;

 private:
  struct releaser {
    void operator()(listener_state* released) const noexcept;
  };
  listener_state& checked() const noexcept {
    RINGLET_ASSERT(state_ != nullptr, "a listener that was moved from was used");
    return *state_;
  }

  tcp_listener(unique_fd fd, descriptor::family of);

  std::unique_ptr<listener_state, releaser> state_;
};

}  // namespace ringlet
