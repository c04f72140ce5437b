// connection_server: what serve_connections() does for connections of any kind.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/connection_watch.hpp>
#include <ringlet/detail/server_peer.hpp>
#include <ringlet/event.hpp>
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/server_control.hpp>
#include <ringlet/server_limits.hpp>
#include <ringlet/task.hpp>

#include <cstddef>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace ringlet::detail {

class connection_server;

/// The place of one connection among those of its server, and how it ended. Held by the fiber of
/// its handler.
class connection_place {
 public:
  connection_place(connection_server& server, const server_peer& peer) noexcept
      : server_(&server), peer_(peer) {}
  connection_place(connection_place&& other) noexcept
      : server_(std::exchange(other.server_, nullptr)), peer_(other.peer_) {}
  connection_place& operator=(connection_place&&) = delete;
  /// Without an outcome, the handler never began.
  ~connection_place();

  const watch_limits& limits() const noexcept;
  /// For the connection_watch.
  watch_verdict& verdict() noexcept { return verdict_; }

  void on_returned() noexcept;
  void on_cancelled() noexcept;
  void on_thrown(std::exception_ptr error) noexcept;

 private:
  bool note_verdict() noexcept;

  connection_server* server_;
  server_peer peer_;
  watch_verdict verdict_ = watch_verdict::none;
  bool has_ended_ = false;
};

/// The connections of one call. Thread: its scheduler's.
class connection_server {
 public:
  /// Throws std::invalid_argument: see serve_connections().
  connection_server(server_control& control, server_limits limits);
  connection_server(const connection_server&) = delete;
  connection_server& operator=(const connection_server&) = delete;

  /// Checks the numbers and durations; the same exceptions.
  static void check(const server_limits& limits);

  /// Waits for a signal or server_control::stop(). The control then says that it stops.
  task<> stop_requested();
  /// A place for a connection that was accepted. None if it is beyond a limit: then it was told so,
  /// and is to be closed.
  std::optional<connection_place> admit(const extend::descriptor& connection) noexcept;
  /// Spawns the fiber of a connection: `spawn()` throws std::bad_alloc if there is no memory.
  template <class F>
  void begin(F spawn);
  /// Why accepting ended.
  void on_accept_failed(std::error_code why) noexcept;
  /// Waits until all handlers have ended, or the time for that is over.
  task<> drain();
  /// What was done. Throws the error that ended accepting, if it is one.
  server_report finish() const;

 private:
  friend class connection_place;

  server_report& counts() noexcept { return control_.report_; }
  void refuse(const extend::descriptor& connection) const noexcept;
  void on_unstarted(const server_peer& peer) noexcept;
  void on_cut_off(const server_peer& peer) noexcept;
  void leave(const server_peer& peer) noexcept;

  server_control& control_;
  server_limits limits_;
  watch_limits watch_limits_;
  std::size_t connections_max_;
  std::map<peer_key, std::size_t> of_peer_;  // empty without a limit per peer
  event all_ended_;
  std::error_code accept_error_;
  bool has_complained_ = false;
  bool is_spawning_ = false;
  bool is_unstarted_ = false;
};

template <class F>
void connection_server::begin(F spawn) {
  is_spawning_ = true;
  is_unstarted_ = false;
  bool has_memory = true;
  try {
    spawn();
  } catch (const std::bad_alloc&) {
    has_memory = false;
  }
  is_spawning_ = false;
  if (is_unstarted_) ++(has_memory ? counts().cut_off : counts().refused_for_memory);
}

}  // namespace ringlet::detail
