// Connecting, names and options of TCP sockets.
#include <ringlet/detail/throw_invalid.hpp>
#include <ringlet/tcp_stream.hpp>

#include <netinet/tcp.h>

#include <cerrno>

#include "why_invalid.hpp"

namespace ringlet {
namespace {

// Whether a connection leads to itself: an attempt to connect to a port without a listener may be
// given that same port for its own end, and TCP then lets the socket connect to itself. Only who
// sees equal ports has to look at the hosts.
bool leads_to_itself(engine& carrier, int fd, const address& peer) noexcept {
  address ends[2];
  operation name(opcode::local_name, nullptr);
  name.fd = fd;
  name.data = ends[0].data();
  name.length = address::capacity;
  if (carrier.call(name) < 0 || ends[0].port() != peer.port()) return false;
  operation peer_name(opcode::peer_name, nullptr);
  peer_name.fd = fd;
  peer_name.data = ends[1].data();
  peer_name.length = address::capacity;
  return carrier.call(peer_name) >= 0 && ends[0] == ends[1];
}

}  // namespace

const wait_type connect_wait::type = make_type<connect_wait>("connect");

tcp_stream::tcp_stream(unique_fd fd) : tcp_stream(std::move(fd), descriptor::family::unknown) {}

tcp_stream::tcp_stream(unique_fd fd, descriptor::family of)
    : state_(descriptor::make(fd.get(), descriptor::kind::connection, of)) {
  [[maybe_unused]] const int owned_now = fd.release();
}

// A call that is answered at once.
void tcp_stream::call(operation& op, const char* what) const {
  const bool is_open = checked().fd() >= 0;
  const std::int32_t answer = checked().call(op);
  if (answer >= 0) return;
  const std::error_code code = is_open ? system_error_code(answer) : make_error_code(errc::closed);
  detail::throw_error(code, what,
                      op.code == opcode::set_option
                          ? "the value is out of range, or the socket is of another kind"
                          : "the socket is in another state, or of another kind");
}

void tcp_stream::shutdown_write() {
  operation op(opcode::shutdown, nullptr);
  op.shutdown.how = SHUT_WR;
  call(op, "shutdown_write");
}

address tcp_stream::local_address() const {
  address found;
  operation op(opcode::local_name, nullptr);
  op.data = found.data();
  op.length = address::capacity;
  call(op, "local_address");
  return found;
}

address tcp_stream::peer_address() const {
  address found;
  operation op(opcode::peer_name, nullptr);
  op.data = found.data();
  op.length = address::capacity;
  call(op, "peer_address");
  return found;
}

void tcp_stream::set_option(int level, int name, int value, const char* what) {
  operation op(opcode::set_option, nullptr);
  op.option = {level, name};
  op.data = &value;
  op.length = sizeof value;
  const std::string with_value = what + ("(" + std::to_string(value)) + ')';
  call(op, with_value.c_str());
}

void tcp_stream::set_no_delay(bool on) { set_option(IPPROTO_TCP, TCP_NODELAY, on, "set_no_delay"); }

void tcp_stream::set_keep_alive(std::chrono::seconds idle) {
  set_option(SOL_SOCKET, SO_KEEPALIVE, idle.count() != 0, "set_keep_alive");
  if (idle.count() == 0) return;
  set_option(IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(idle.count()), "set_keep_alive");
}

void tcp_stream::set_receive_buffer(int bytes) {
  set_option(SOL_SOCKET, SO_RCVBUF, bytes, "set_receive_buffer");
}

void tcp_stream::set_send_buffer(int bytes) {
  set_option(SOL_SOCKET, SO_SNDBUF, bytes, "set_send_buffer");
}

void tcp_stream::set_reset_on_close(bool on) {
  linger how{on, 0};
  operation op(opcode::set_option, nullptr);
  op.option = {SOL_SOCKET, SO_LINGER};
  op.data = &how;
  op.length = sizeof how;
  call(op, "set_reset_on_close");
  checked().set_reset_on_close(on);
}

bool connect_wait::begin(frame_record& at) noexcept {
  if (!enter(at)) return continue_or_yield(at);
  operation open(opcode::open_socket, nullptr);
  open.socket = {static_cast<std::int16_t>(peer_.is_ipv6() ? AF_INET6 : AF_INET), SOCK_STREAM,
                 IPPROTO_TCP};
  answer = carrier().call(open);
  if (answer < 0) return continue_or_yield(at);
  socket_.reset(answer);
  fd = answer;
  data = peer_.data();
  length = peer_.size();
  return begin_operation(type, at);
}

result<tcp_stream> connect_wait::take() {
  rethrow_interruption_before_start();
  if (answer < 0) {
    // A socket whose attempt was given up may still connect: it is never used again.
    socket_.reset();
    return failure();
  }
  if (leads_to_itself(carrier(), socket_.get(), peer_)) {
    socket_.reset();
    return std::make_error_code(std::errc::connection_refused);
  }
  // Its failure would be no reason to give the connection up, and nothing may be thrown here.
  int on = 1;
  operation no_delay(opcode::set_option, nullptr);
  no_delay.fd = socket_.get();
  no_delay.option = {IPPROTO_TCP, TCP_NODELAY};
  no_delay.data = &on;
  no_delay.length = sizeof on;
  carrier().call(no_delay);
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
