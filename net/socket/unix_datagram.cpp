// Opening, binding and connecting Unix datagram sockets.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/socket_calls.hpp>
#include <ringlet/error.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/unix_datagram.hpp>

#include "socket_file.hpp"
#include "socket_pair.hpp"
#include "unix_names.hpp"

namespace ringlet {
using namespace extend;
using namespace detail;

namespace {

void must(std::int32_t answer, const descriptor& on, const std::string& call) {
  if (answer >= 0) return;
  throw_error(on.fd() >= 0 ? system_error_code(answer) : make_error_code(errc::closed),
              call.c_str());
}

}  // namespace

unix_datagram::unix_datagram(unique_fd fd)
    : state_(descriptor::make(fd.get(), descriptor::kind::shared, descriptor::family::other)) {
  [[maybe_unused]] const int owned_now = fd.release();
}

unix_datagram::unix_datagram(unix_datagram&&) noexcept = default;
unix_datagram& unix_datagram::operator=(unix_datagram&&) noexcept = default;
unix_datagram::~unix_datagram() = default;

unix_datagram unix_datagram::open() {
  const std::int32_t fd =
      socket_calls::open_socket(current_scheduler().engine(), AF_UNIX, SOCK_DGRAM, 0);
  if (fd < 0) throw_error(system_error_code(fd), "cannot open a Unix socket");
  return unix_datagram(unique_fd(fd));
}

unix_datagram unix_datagram::bind(std::string_view where, int permissions) {
  return bind(unix_address::parse(where), permissions);
}

unix_datagram unix_datagram::bind(const unix_address& where, int permissions) {
  unix_datagram made = open();
  auto file = std::make_unique<socket_file>();
  socket_binder binder(current_scheduler().engine());
  *file = binder.bind(made.native_handle(), where, {SOCK_DGRAM, permissions});
  made.file_ = std::move(file);
  return made;
}

std::pair<unix_datagram, unix_datagram> unix_datagram::pair() {
  auto [one, other] = open_socket_pair(SOCK_DGRAM);
  unix_datagram first(std::move(one));
  return {std::move(first), unix_datagram(std::move(other))};
}

void unix_datagram::connect(const unix_address& peer) {
  must(socket_calls::connect_now(checked(), peer), checked(), "connect to " + peer.to_string());
}

send_datagram_wait unix_datagram::send_to(const unix_address& peer,
                                          std::span<const std::byte> bytes,
                                          const time_limit& timeout) {
  RINGLET_ASSERT(!peer.name().empty(), "send_to() needs the name of a socket");
  return send_datagram_wait(checked(), bytes, &peer, timeout);
}

close_wait unix_datagram::close() noexcept {
  file_.reset();
  return close_wait(state_.get());
}

unix_address unix_datagram::local_address() const {
  unix_address found;
  must(unix_name(checked(), opcode::local_name, found), checked(), "local_address");
  return found;
}

}  // namespace ringlet
