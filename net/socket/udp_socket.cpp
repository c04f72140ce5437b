// Opening UDP sockets, and their options.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/socket_calls.hpp>
#include <ringlet/detail/throw_invalid.hpp>
#include <ringlet/error.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/udp_socket.hpp>

#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#include <array>
#include <cerrno>
#include <new>
#include <stdexcept>

#include "why_invalid.hpp"

namespace ringlet {
using namespace extend;
using namespace detail;

namespace {

void check_answer(std::int32_t answer, const descriptor& on, const std::string& call,
                  const char* why = "the socket is of another kind") {
  if (answer >= 0) return;
  if (on.fd() < 0) throw_error(make_error_code(errc::closed), call.c_str());
  detail::throw_error(system_error_code(answer), call, why);
}

void check_buffer_size(const char* name, int size) {
  if (size >= 0) return;
  throw std::invalid_argument("udp_options::" + std::string(name) + " is " + std::to_string(size) +
                              ": at least 0");
}

// if_nametoindex(3) asks a socket of its own, which does not wait.
unsigned index_of(std::string_view interface) {
  if (interface.empty()) return 0;
  const unsigned index = ::if_nametoindex(std::string(interface).c_str());
  if (index != 0) return index;
  throw_error(system_error_code(-errno), ("interface '" + std::string(interface) + "'").c_str());
}

bool is_multicast(const address& group) noexcept {
  if (!group.is_ipv6()) {
    const auto& name = *reinterpret_cast<const sockaddr_in*>(group.data());
    return IN_MULTICAST(ntohl(name.sin_addr.s_addr));
  }
  const auto& name = *reinterpret_cast<const sockaddr_in6*>(group.data());
  return IN6_IS_ADDR_MULTICAST(&name.sin6_addr);
}

// Opens a socket of the family of `end`, with the options.
udp_socket open_udp(const address& end, const udp_options& options, const std::string& call) {
  check_buffer_size("receive_buffer", options.receive_buffer);
  check_buffer_size("send_buffer", options.send_buffer);
  extend::engine& engine = current_scheduler().engine();
  const auto checked = [&call](std::int32_t answer) {
    if (answer < 0) throw_error(system_error_code(answer), call.c_str());
    return answer;
  };
  unique_fd made(checked(socket_calls::open_socket(engine, end.is_ipv6() ? AF_INET6 : AF_INET,
                                                   SOCK_DGRAM, IPPROTO_UDP)));
  const socket_calls::socket_on on{engine, made.get()};
  const auto set = [&](int level, int name, int value) {
    checked(socket_calls::set_option(on, level, name, value));
  };
  if (options.reuse_address) set(SOL_SOCKET, SO_REUSEADDR, 1);
  if (options.reuse_port) set(SOL_SOCKET, SO_REUSEPORT, 1);
  if (options.broadcast) set(SOL_SOCKET, SO_BROADCAST, 1);
  if (end.is_ipv6()) set(IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6_only);
  if (options.receive_buffer != 0) set(SOL_SOCKET, SO_RCVBUF, options.receive_buffer);
  if (options.send_buffer != 0) set(SOL_SOCKET, SO_SNDBUF, options.send_buffer);
  return udp_socket(std::move(made));
}

}  // namespace

udp_socket::udp_socket(unique_fd fd)
    : state_(descriptor::make_for_datagrams(fd.get(), udp_form())) {
  [[maybe_unused]] const int owned_now = fd.release();
}

udp_socket::udp_socket(udp_socket&&) noexcept = default;
udp_socket& udp_socket::operator=(udp_socket&&) noexcept = default;
udp_socket::~udp_socket() = default;

udp_socket udp_socket::bind(std::string_view host_and_port, const udp_options& options) {
  return bind(address::parse(host_and_port), options);
}

udp_socket udp_socket::bind(const address& where, const udp_options& options) {
  const std::string call = "cannot receive on " + where.to_string();
  udp_socket made = open_udp(where, options, call);
  check_answer(socket_calls::bind(made.checked(), where), made.checked(), call,
               why_invalid(where, options.ipv6_only));
  return made;
}

udp_socket udp_socket::connect(const address& peer, const udp_options& options) {
  udp_socket made = open_udp(peer, options, "cannot connect to " + peer.to_string());
  made.connect_to(peer);
  return made;
}

void udp_socket::connect_to(const address& peer) {
  check_answer(socket_calls::connect_now(checked(), peer), checked(),
               "cannot connect to " + peer.to_string(), why_invalid(peer));
}

void udp_socket::set(int level, int name, int value, const char* what) {
  check_answer(socket_calls::set_option(checked(), level, name, value), checked(), what);
}

void udp_socket::join(const address& group, std::string_view interface) {
  change_membership(true, group, interface);
}

void udp_socket::leave(const address& group, std::string_view interface) {
  change_membership(false, group, interface);
}

void udp_socket::change_membership(bool join, const address& group, std::string_view interface) {
  const std::string call = (join ? "join " : "leave ") + group.host();
  if (!is_multicast(group)) throw std::invalid_argument(call + ": not a multicast address");
  const unsigned index = index_of(interface);
  const char* const why = "the socket is of another address family";
  if (group.is_ipv6()) {
    ipv6_mreq asked{};
    asked.ipv6mr_multiaddr = reinterpret_cast<const sockaddr_in6*>(group.data())->sin6_addr;
    asked.ipv6mr_interface = index;
    const int name = join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP;
    check_answer(socket_calls::set_option(checked(), IPPROTO_IPV6, name, asked), checked(), call,
                 why);
  } else {
    ip_mreqn asked{};
    asked.imr_multiaddr = reinterpret_cast<const sockaddr_in*>(group.data())->sin_addr;
    asked.imr_ifindex = static_cast<int>(index);
    const int name = join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP;
    check_answer(socket_calls::set_option(checked(), IPPROTO_IP, name, asked), checked(), call,
                 why);
  }
}

void udp_socket::set_multicast_hops(int hops) {
  if (hops < 0 || hops > 255) {
    throw std::invalid_argument("set_multicast_hops: " + std::to_string(hops) +
                                " is not from 0 to 255");
  }
  const bool ipv6 = local_address().is_ipv6();
  ipv6 ? set(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops, "set_multicast_hops")
       : set(IPPROTO_IP, IP_MULTICAST_TTL, hops, "set_multicast_hops");
}

void udp_socket::set_multicast_loop(bool on) {
  const bool ipv6 = local_address().is_ipv6();
  ipv6 ? set(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, on, "set_multicast_loop")
       : set(IPPROTO_IP, IP_MULTICAST_LOOP, on, "set_multicast_loop");
}

void udp_socket::set_multicast_interface(std::string_view interface) {
  const int index = static_cast<int>(index_of(interface));
  if (local_address().is_ipv6()) {
    return set(IPPROTO_IPV6, IPV6_MULTICAST_IF, index, "set_multicast_interface");
  }
  ip_mreqn asked{};
  asked.imr_ifindex = index;
  check_answer(socket_calls::set_option(checked(), IPPROTO_IP, IP_MULTICAST_IF, asked), checked(),
               "set_multicast_interface");
}

bool udp_socket::set_coalescing(bool on) {
  const std::int32_t answer =
      socket_calls::set_option(checked(), IPPROTO_UDP, UDP_GRO, static_cast<int>(on));
  if (answer == -EBADF) check_answer(answer, checked(), "set_coalescing");
  is_coalescing_ = on && answer >= 0;
  return answer >= 0;
}

std::uint64_t udp_socket::lost() const {
  std::array<std::uint32_t, SK_MEMINFO_VARS> counts{};
  check_answer(socket_calls::option(checked(), opcode::get_option, SOL_SOCKET, SO_MEMINFO, counts),
               checked(), "lost");
  return counts[SK_MEMINFO_DROPS];
}

int udp_socket::receive_buffer_size() const {
  int size = 0;
  check_answer(socket_calls::get_option(checked(), SOL_SOCKET, SO_RCVBUF, size), checked(),
               "receive_buffer_size");
  return size;
}

int udp_socket::send_buffer_size() const {
  int size = 0;
  check_answer(socket_calls::get_option(checked(), SOL_SOCKET, SO_SNDBUF, size), checked(),
               "send_buffer_size");
  return size;
}

address udp_socket::local_address() const {
  address found;
  check_answer(socket_calls::local_name(checked(), found), checked(), "local_address");
  return found;
}

address udp_socket::peer_address() const {
  address found;
  check_answer(socket_calls::peer_name(checked(), found), checked(), "peer_address");
  return found;
}

}  // namespace ringlet
