// Calls that the kernel answers at once, through the real engine.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <span>

#include "support/aborts.hpp"
#include "support/bytes.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("direct calls");

namespace {

std::int32_t answer_of(extend::engine& engine, watched& op) {
  const std::int32_t answer = engine.call(op);
  CHECK(op.answer == answer);
  CHECK(op.seen.empty());
  CHECK_FALSE(op.in_flight());
  return answer;
}

std::int32_t call(extend::engine& engine, opcode code, int fd) {
  watched op(code, fd);
  return answer_of(engine, op);
}

// Answers a call whose memory is `value`.
template <class T>
std::int32_t call_with(extend::engine& engine, opcode code, int fd, T& value) {
  watched op(code, fd, std::as_writable_bytes(std::span(&value, 1)));
  return answer_of(engine, op);
}

template <class T>
std::int32_t call_option(extend::engine& engine, opcode code, int fd, T& value, int level,
                         int name) {
  watched op(code, fd, std::as_writable_bytes(std::span(&value, 1)));
  op.option = {level, name};
  return answer_of(engine, op);
}

std::int32_t open_socket(extend::engine& engine, std::int16_t family) {
  watched op(opcode::open_socket);
  op.socket = {family, SOCK_STREAM, 0};
  return answer_of(engine, op);
}

std::int32_t listen(extend::engine& engine, int fd) {
  watched op(opcode::listen, fd);
  op.listen.backlog = 16;
  return answer_of(engine, op);
}

std::int32_t shut_down(extend::engine& engine, int fd) {
  watched op(opcode::shutdown, fd);
  op.shutdown.how = SHUT_WR;
  return answer_of(engine, op);
}

std::int32_t poll(extend::engine& engine, int fd, int events) {
  watched op(opcode::poll, fd);
  op.poll.events = events;
  return answer_of(engine, op);
}

sockaddr_in loopback() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

TEST_CASE("direct calls create, name and configure a listener without a completion") {
  const auto engine = make_engine(engine_kind::automatic);
  const unique_fd fd(open_socket(*engine, AF_INET));
  REQUIRE(fd);
  CHECK((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  int on = 1;
  CHECK(call_option(*engine, opcode::set_option, fd.get(), on, SOL_SOCKET, SO_REUSEADDR) == 0);
  int value = 0;
  CHECK(call_option(*engine, opcode::get_option, fd.get(), value, SOL_SOCKET, SO_REUSEADDR) == 0);
  CHECK(value == 1);
  sockaddr_in address = loopback();
  CHECK(call_with(*engine, opcode::bind, fd.get(), address) == 0);
  CHECK(listen(*engine, fd.get()) == 0);
  sockaddr_in name{};
  CHECK(call_with(*engine, opcode::local_name, fd.get(), name) == 0);
  CHECK(name.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
  CHECK(name.sin_port != 0);
  CHECK(engine->in_flight() == 0);
}

TEST_CASE("direct calls return the addresses of both ends of a connection") {
  const auto engine = make_engine(engine_kind::automatic);
  const fd_pair pair = tcp_pair();
  sockaddr_in local{}, peer{};
  CHECK(call_with(*engine, opcode::local_name, pair.near.get(), local) == 0);
  CHECK(call_with(*engine, opcode::peer_name, pair.far.get(), peer) == 0);
  CHECK(local.sin_port == peer.sin_port);
  int no_delay = 1;
  CHECK(call_option(*engine, opcode::set_option, pair.near.get(), no_delay, IPPROTO_TCP,
                    TCP_NODELAY) == 0);
}

TEST_CASE("direct calls make two connected sockets, and a pipe") {
  const auto engine = make_engine(engine_kind::automatic);
  watched sockets(opcode::open_socket_pair);
  std::array<int, 2> ends{-1, -1};
  sockets.data = ends.data();
  sockets.length = sizeof ends;
  sockets.socket = {AF_UNIX, SOCK_STREAM, 0};
  REQUIRE(answer_of(*engine, sockets) == 0);
  const fd_pair pair{unique_fd(ends[0]), unique_fd(ends[1])};
  put(pair.far, "abc");
  CHECK(drain(pair.near) == "abc");
  put(pair.near, "def");
  CHECK(drain(pair.far) == "def");
  REQUIRE(call_with(*engine, opcode::open_pipe, -1, ends) == 0);
  const fd_pair pipe{unique_fd(ends[0]), unique_fd(ends[1])};
  put(pipe.far, "abc");
  CHECK(drain(pipe.near) == "abc");
  for (const unique_fd* one : {&pair.near, &pair.far, &pipe.near, &pipe.far}) {
    CHECK((::fcntl(one->get(), F_GETFD) & FD_CLOEXEC) != 0);
  }
}

TEST_CASE("a direct connect tries once") {
  const auto engine = make_engine(engine_kind::automatic);
  const loopback_listener listener;
  sockaddr_in there = listener.address;
  const unique_fd made(open_socket(*engine, AF_INET));
  CHECK(call_with(*engine, opcode::connect, made.get(), there) == 0);
  sockaddr_in unused = loopback();
  unused.sin_port = htons(1);
  const unique_fd refused(open_socket(*engine, AF_INET));
  CHECK(call_with(*engine, opcode::connect, refused.get(), unused) == -ECONNREFUSED);
}

TEST_CASE("a direct send of a message sends what fits, and does not wait") {
  const auto engine = make_engine(engine_kind::automatic);
  fd_pair pair = socket_pair();
  iovec part{const_cast<char*>("abc"), 3};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  CHECK(call_with(*engine, opcode::send_message, pair.near.get(), message) == 3);
  CHECK(drain(pair.far) == "abc");
  fill(pair.near);
  CHECK(call_with(*engine, opcode::send_message, pair.near.get(), message) == -EAGAIN);
  pair.far.reset();
  CHECK(call_with(*engine, opcode::send_message, pair.near.get(), message) == -EPIPE);
}

TEST_CASE("receive_now takes what has arrived, and does not wait on a blocking socket") {
  const auto engine = make_engine(engine_kind::automatic);
  fd_pair pair = socket_pair();
  std::array<char, 16> memory{};
  CHECK(call_with(*engine, opcode::receive_now, pair.near.get(), memory) == -EAGAIN);
  put(pair.far, "abc");
  CHECK(call_with(*engine, opcode::receive_now, pair.near.get(), memory) == 3);
  CHECK(text(std::as_bytes(std::span(memory)), 3) == "abc");
  pair.far.reset();
  CHECK(call_with(*engine, opcode::receive_now, pair.near.get(), memory) == 0);
}

TEST_CASE("a direct poll returns what is ready now, and does not wait") {
  const auto engine = make_engine(engine_kind::automatic);
  fd_pair pair = pipe_pair();
  CHECK(poll(*engine, pair.near.get(), POLLIN) == -EAGAIN);
  CHECK(poll(*engine, pair.far.get(), POLLIN | POLLOUT) == POLLOUT);
  put(pair.far, "abc");
  CHECK(poll(*engine, pair.near.get(), POLLIN) == POLLIN);
  pair.far.reset();
  CHECK(poll(*engine, pair.near.get(), POLLIN) == (POLLIN | POLLHUP));
  CHECK(engine->in_flight() == 0);
}

TEST_CASE("a direct shutdown ends one side") {
  const auto engine = make_engine(engine_kind::automatic);
  const fd_pair pair = socket_pair();
  CHECK(shut_down(*engine, pair.near.get()) == 0);
  std::array<char, 1> memory{};
  CHECK(call_with(*engine, opcode::receive_now, pair.far.get(), memory) == 0);
  put(pair.far, "x");
  CHECK(drain(pair.near) == "x");
}

TEST_CASE("a direct close frees the descriptor number") {
  const auto engine = make_engine(engine_kind::automatic);
  fd_pair pair = socket_pair();
  const int fd = pair.near.release();
  CHECK(call(*engine, opcode::close, fd) == 0);
  CHECK(::fcntl(fd, F_GETFD) < 0);
  CHECK(call(*engine, opcode::close, fd) == -EBADF);
}

TEST_CASE("direct calls return errors as negated errno") {
  const auto engine = make_engine(engine_kind::automatic);
  sockaddr_in address = loopback();
  int value = 0;
  CHECK(open_socket(*engine, -1) == -EAFNOSUPPORT);
  CHECK(listen(*engine, -1) == -EBADF);
  CHECK(shut_down(*engine, -1) == -EBADF);
  CHECK(poll(*engine, -1, POLLIN) == -EBADF);
  CHECK(call_with(*engine, opcode::bind, -1, address) == -EBADF);
  CHECK(call_with(*engine, opcode::connect, -1, address) == -EBADF);
  CHECK(call_with(*engine, opcode::local_name, -1, address) == -EBADF);
  CHECK(call_with(*engine, opcode::peer_name, -1, address) == -EBADF);
  CHECK(call_with(*engine, opcode::receive_now, -1, value) == -EBADF);
  CHECK(call_option(*engine, opcode::set_option, -1, value, SOL_SOCKET, SO_REUSEADDR) == -EBADF);
  CHECK(call_option(*engine, opcode::get_option, -1, value, SOL_SOCKET, SO_REUSEADDR) == -EBADF);
  const unique_fd fd(open_socket(*engine, AF_INET));
  CHECK(call_with(*engine, opcode::peer_name, fd.get(), address) == -ENOTCONN);
  CHECK(call_option(*engine, opcode::get_option, fd.get(), value, SOL_SOCKET, 0xffff) ==
        -ENOPROTOOPT);
}

TEST_CASE("each direct call is counted as a system call") {
  const auto engine = make_engine(engine_kind::automatic);
  const std::uint64_t before = engine->statistics().system_calls;
  shut_down(*engine, -1);
  shut_down(*engine, -1);
  CHECK(engine->statistics().system_calls == before + 2);
}

TEST_CASE("a direct call with an opcode that can wait is refused and says so") {
  CHECK(aborts_with("an operation that takes time was made as a direct call", [] {
    const auto engine = make_engine(engine_kind::automatic);
    call(*engine, opcode::recv, -1);
  }));
}

TEST_SUITE_END();
