// Asks for TCP_INFO.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/tcp_info.hpp>
#include <ringlet/extend/operation.hpp>

#include <linux/tcp.h>
#include <netinet/in.h>

#include <cerrno>

namespace ringlet::detail {

namespace {

template <class Socket>
std::int32_t ask(const Socket& on, tcp_counters& found) noexcept {
  tcp_info info{};
  extend::operation op(extend::opcode::get_option, nullptr);
  op.option = {IPPROTO_TCP, TCP_INFO};
  op.data = &info;
  op.length = sizeof info;
  const std::int32_t answer = on.call(op);
  // A Unix socket reports that it has no such option.
  if (answer == -ENOPROTOOPT) return -EOPNOTSUPP;
  if (answer < 0) return answer;
  if (info.tcpi_state == 0) return -EOPNOTSUPP;  // every connection has a state
  found.bytes_received = info.tcpi_bytes_received;
  found.bytes_acknowledged = info.tcpi_bytes_acked;
  found.round_trip_us = info.tcpi_rtt;
  found.round_trip_variation_us = info.tcpi_rttvar;
  found.retransmits = info.tcpi_total_retrans;
  found.unacknowledged = info.tcpi_unacked;
  found.congestion_window = info.tcpi_snd_cwnd;
  return 0;
}

}  // namespace

std::int32_t read_tcp_info(const extend::descriptor& on, tcp_counters& found) noexcept {
  return ask(on, found);
}

std::int32_t read_tcp_info(const socket_calls::socket_on& on, tcp_counters& found) noexcept {
  return ask(on, found);
}

}  // namespace ringlet::detail
