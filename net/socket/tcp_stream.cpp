// TCP sockets: connecting, addresses and options.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/socket_calls.hpp>
#include <ringlet/detail/tcp_info.hpp>
#include <ringlet/detail/throw_invalid.hpp>
#include <ringlet/tcp_stream.hpp>

#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <limits>

#include "why_invalid.hpp"

namespace ringlet {
using namespace extend;
using namespace detail;

namespace {

// Whether the socket is connected to itself. A connect to a local port without a listener may be
// assigned that same port as its source port; TCP then connects the socket to itself. The hosts are
// compared only if the ports are equal.
bool leads_to_itself(extend::engine& engine, int fd, const address& peer) noexcept {
  const detail::socket_calls::socket_on socket{engine, fd};
  address ends[2];
  if (detail::socket_calls::local_name(socket, ends[0]) < 0 || ends[0].port() != peer.port())
    return false;
  return detail::socket_calls::peer_name(socket, ends[1]) >= 0 && ends[0] == ends[1];
}

// A number that does not fit is as invalid as the largest.
int as_int(std::chrono::seconds::rep value) noexcept {
  constexpr std::chrono::seconds::rep most = std::numeric_limits<int>::max();
  return static_cast<int>(std::clamp(value, -most, most));
}

constexpr const char* why_not = "the socket is in another state, or of another kind";
constexpr const char* why_no_option = "the value is out of range, or the socket is of another kind";

}  // namespace

const wait_type connect_wait::type = make_type<connect_wait>("connect");

tcp_stream::tcp_stream(unique_fd fd) : tcp_stream(std::move(fd), descriptor::family::unknown) {}

address tcp_stream::local_address() const {
  address found;
  check(detail::socket_calls::local_name(checked(), found), "local_address", why_not);
  return found;
}

address tcp_stream::peer_address() const {
  address found;
  check(detail::socket_calls::peer_name(checked(), found), "peer_address", why_not);
  return found;
}

void tcp_stream::set_no_delay(bool on) { set_option(IPPROTO_TCP, TCP_NODELAY, on, "set_no_delay"); }

void tcp_stream::set_keep_alive(std::chrono::seconds idle) {
  set_option(SOL_SOCKET, SO_KEEPALIVE, idle.count() != 0, "set_keep_alive");
  if (idle.count() == 0) return;
  set_option(IPPROTO_TCP, TCP_KEEPIDLE, as_int(idle.count()), "set_keep_alive");
}

void tcp_stream::set_keep_alive(std::chrono::seconds idle, std::chrono::seconds interval,
                                int probes) {
  set_option(IPPROTO_TCP, TCP_KEEPINTVL, as_int(interval.count()), "set_keep_alive, interval");
  set_option(IPPROTO_TCP, TCP_KEEPCNT, probes, "set_keep_alive, probes");
  set_keep_alive(idle);
}

void tcp_stream::set_user_timeout(std::chrono::nanoseconds limit) {
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(limit).count();
  // The kernel would take a larger number for a negative one.
  const bool fits = milliseconds >= 0 && milliseconds <= std::numeric_limits<int>::max();
  set_option(IPPROTO_TCP, TCP_USER_TIMEOUT, fits ? static_cast<int>(milliseconds) : -1,
             "set_user_timeout");
}

tcp_statistics tcp_stream::statistics() const {
  tcp_counters found;
  check(read_tcp_info(checked(), found), "statistics", why_not);
  return {.bytes_received = found.bytes_received,
          .bytes_acknowledged = found.bytes_acknowledged,
          .round_trip = std::chrono::microseconds(found.round_trip_us),
          .round_trip_variation = std::chrono::microseconds(found.round_trip_variation_us),
          .retransmits = found.retransmits,
          .unacknowledged = found.unacknowledged,
          .congestion_window = found.congestion_window};
}

void tcp_stream::set_reset_on_close(bool on) {
  const linger how{on, 0};
  check(detail::socket_calls::set_option(checked(), SOL_SOCKET, SO_LINGER, how),
        "set_reset_on_close", why_no_option);
  checked().set_reset_on_close(on);
}

bool connect_wait::begin(frame_record& at) noexcept {
  const int family = peer_.is_ipv6() ? AF_INET6 : AF_INET;
  return begin_connect(type, at, {family, IPPROTO_TCP, peer_.data(), peer_.size()});
}

result<tcp_stream> connect_wait::take() {
  if (const std::error_code error = connect_error()) return error;
  if (leads_to_itself(engine(), socket_.get(), peer_)) {
    socket_.reset();
    return std::make_error_code(std::errc::connection_refused);
  }
  // Errors are ignored: the connection works without the option, and take() does not throw them.
  const detail::socket_calls::socket_on connected{engine(), socket_.get()};
  detail::socket_calls::set_option(connected, IPPROTO_TCP, TCP_NODELAY, 1);
  return tcp_stream(std::move(socket_), descriptor::family::internet);
}

tcp_stream connect_wait::await_resume() {
  auto taken = take();
  if (!taken) {
    detail::throw_error(taken.error(), "connect to " + peer_.to_string(), why_invalid(peer_));
  }
  return std::move(*taken);
}

void connect_wait::describe(std::string& out) const { out += "to " + peer_.to_string(); }

}  // namespace ringlet
