// Admitting connections, counting how they end, and draining.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/connection_server.hpp>
#include <ringlet/detail/report.hpp>
#include <ringlet/detail/socket_calls.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/select.hpp>
#include <ringlet/shutdown.hpp>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>
#include <utility>

namespace ringlet {
using namespace extend;
using namespace detail;

namespace {

// How many connections the descriptors of this process allow. Some are kept back for other uses.
std::size_t descriptors_for_connections() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return server_limits::unlimited;
  }
  const auto all = static_cast<std::size_t>(limit.rlim_cur);
  return std::max<std::size_t>(all - std::min<std::size_t>(all / 8, 1000), 1);
}

void check_number(const char* name, std::size_t value) {
  if (value != 0) return;
  throw std::invalid_argument(std::string("server_limits::") + name + " is 0: at least 1");
}

// The duration in nanoseconds.
steady_ns duration_of(const char* name, const time_limit& limit) {
  if (limit.is_forever()) return never;
  const steady_ns length = limit.resolve(0);
  const bool is_point = limit.resolve(1) == length;
  if (!is_point && length > 0) return length;
  throw std::invalid_argument(std::string("server_limits::") + name + " is " +
                              (is_point ? "a point in time" : "not more than 0") +
                              ": a duration of more than 0, or forever");
}

watch_limits durations_of(const server_limits& limits) {
  return {duration_of("first_byte_timeout", limits.first_byte_timeout),
          duration_of("idle_timeout", limits.idle_timeout),
          duration_of("write_stall_timeout", limits.write_stall_timeout)};
}

bool is_of_the_peer(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& thrown) {
    return is_disconnect(thrown.code());
  } catch (...) {
    return false;
  }
}

}  // namespace

connection_place::~connection_place() {
  if (server_ == nullptr) return;
  if (!has_ended_) server_->on_unstarted(peer_);
  server_->leave(peer_);
}

const watch_limits& connection_place::limits() const noexcept { return server_->watch_limits_; }

// True if the server closed the stream: then it does not matter how the handler ends.
bool connection_place::note_verdict() noexcept {
  has_ended_ = true;
  switch (verdict_) {
    case watch_verdict::none:
      return false;
    case watch_verdict::first_byte:
      ++server_->counts().timed_out_at_first_byte;
      return true;
    case watch_verdict::idle:
      ++server_->counts().timed_out_idle;
      return true;
    case watch_verdict::write_stall:
      ++server_->counts().timed_out_in_write;
      return true;
  }
  return false;
}

void connection_place::on_returned() noexcept {
  if (!note_verdict()) ++server_->counts().finished;
}

void connection_place::on_cancelled() noexcept {
  if (!note_verdict()) server_->on_cut_off(peer_);
}

void connection_place::on_thrown(std::exception_ptr error) noexcept {
  if (note_verdict()) return;
  if (is_of_the_peer(error)) {
    ++server_->counts().disconnected;
    return;
  }
  ++server_->counts().failed;
  std::string name;
  try {
    name = "connection from " + peer_.to_string();
  } catch (const std::bad_alloc&) {  // then without the name
  }
  detail::report_unhandled({.id = current().id(), .name = name, .error = std::move(error)});
}

connection_server::connection_server(server_control& control, server_limits limits)
    : control_(control),
      limits_(limits),
      watch_limits_(durations_of(limits_)),
      connections_max_(std::min(limits_.connections, descriptors_for_connections())) {
  RINGLET_ASSERT(!std::exchange(control.is_used_, true),
                 "a server_control was given to two calls of serve_connections()");
  // From now on a signal is a request, also before the first wait for one.
  static_cast<void>(shutdown_requested());
}

void connection_server::check(const server_limits& limits) {
  check_number("connections", limits.connections);
  check_number("connections_per_peer", limits.connections_per_peer);
  static_cast<void>(durations_of(limits));
}

task<> connection_server::stop_requested() {
  co_await select(control_.stopping(), shutdown_requested());
  control_.stop();
}

std::optional<connection_place> connection_server::admit(const descriptor& connection) noexcept {
  ++counts().accepted;
  if (control_.running_ >= connections_max_) {
    if (!std::exchange(has_complained_, true)) {
      detail::report("ringlet: a server has %zu connections, its limit: it closes new ones\n",
                     control_.running_);
    }
    ++counts().refused;
    refuse(connection);
    return {};
  }
  const server_peer peer(connection);
  if (limits_.connections_per_peer != server_limits::unlimited) {
    try {
      std::size_t& count = of_peer_[peer.key()];
      if (count >= limits_.connections_per_peer) {
        ++counts().refused_per_peer;
        refuse(connection);
        return {};
      }
      ++count;
    } catch (const std::bad_alloc&) {
      ++counts().refused_for_memory;
      return {};
    }
  }
  counts().peak = std::max(counts().peak, ++control_.running_);
  return std::optional<connection_place>(std::in_place, *this, peer);
}

// Without waiting, so that a flood of connections costs little. Bytes that were not read would turn
// the close into a reset, and the peer might lose the line.
void connection_server::refuse(const descriptor& connection) const noexcept {
  if (limits_.busy_line.empty()) return;
  iovec line{const_cast<char*>(limits_.busy_line.data()), limits_.busy_line.size()};
  msghdr message{};
  message.msg_iov = &line;
  message.msg_iovlen = 1;
  operation told(opcode::send_message, nullptr);
  told.data = &message;
  if (connection.call(told) < 0) return;
  socket_calls::shutdown(connection, SHUT_WR);
  std::array<std::byte, 4096> dropped;
  operation read(opcode::receive_now, nullptr);
  read.data = dropped.data();
  read.length = dropped.size();
  for (int i = 0; i < 4 && connection.call(read) > 0; ++i) continue;
}

void connection_server::on_unstarted(const server_peer& peer) noexcept {
  if (is_spawning_) {
    is_unstarted_ = true;
  } else {
    on_cut_off(peer);
  }
}

void connection_server::on_cut_off(const server_peer& peer) noexcept {
  ++counts().cut_off;
  if (counts().cut_off_peers.size() >= server_report::peers_max) return;
  try {
    counts().cut_off_peers.push_back(peer.to_string());
  } catch (const std::bad_alloc&) {  // then only the number
  }
}

void connection_server::leave(const server_peer& peer) noexcept {
  if (!of_peer_.empty()) {
    const auto found = of_peer_.find(peer.key());
    if (found != of_peer_.end() && --found->second == 0) of_peer_.erase(found);
  }
  if (--control_.running_ == 0) all_ended_.set();
}

void connection_server::on_accept_failed(std::error_code why) noexcept {
  if (why != errc::closed) accept_error_ = why;
}

task<> connection_server::drain() {
  control_.stop();
  if (control_.running_ == 0) co_return;
  all_ended_.reset();
  co_await all_ended_.wait(limits_.drain_timeout);
}

server_report connection_server::finish() const {
  if (accept_error_) ringlet::throw_error(accept_error_, "serve_connections: accept");
  return control_.report();
}

}  // namespace ringlet
