// Every kind of operation on the real kernel, in every phase of its life.
//
// Method: for each kind a situation in which it has to wait (support/situations.hpp); the phases
// are forced by the order of start, turn, make_ready and cancel. That a cancelled operation has
// taken nothing is shown by starting it again: then it finds everything.
#include <ringlet/engine.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <memory>
#include <set>
#include <string>

#include "support/bytes.hpp"
#include "support/situations.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::test;

TEST_SUITE_BEGIN("uring: operations");

namespace {

bool closes_on_exec(int fd) { return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }

}  // namespace

TEST_CASE("an operation that can complete at once does so at the next wait, not at its start") {
  const auto engine = make_uring_engine();
  for_each_situation([&](situation& one) {
    one.make_ready();
    engine->start(one.op);
    CHECK(one.op.in_flight());
    CHECK(one.op.seen.empty());
    finish(*engine, one.op);
    CHECK(one.op.seen.size() == 1);
    one.check_success(*engine);
  });
}

TEST_CASE("an operation that cannot complete yet completes when it can") {
  const auto engine = make_uring_engine();
  for_each_situation([&](situation& one) {
    engine->start(one.op);
    turn(*engine);
    CHECK(one.op.in_flight());
    one.make_ready();
    finish(*engine, one.op);
    CHECK(one.op.seen.size() == 1);
    one.check_success(*engine);
  });
}

TEST_CASE(
    "cancelled before it was handed to the kernel, it ends with ECANCELED and takes nothing") {
  const auto engine = make_uring_engine();
  for_each_situation([&](situation& one) {
    engine->start(one.op);
    engine->cancel(one.op);
    CHECK(one.op.in_flight());
    finish(*engine, one.op);
    CHECK(one.op.answer == -ECANCELED);
    CHECK(one.op.seen.size() == 1);
    one.make_ready();
    engine->start(one.op);
    finish(*engine, one.op);
    one.check_success(*engine);
  });
}

TEST_CASE("cancelled in the kernel, it ends with ECANCELED and takes nothing") {
  const auto engine = make_uring_engine();
  for_each_situation([&](situation& one) {
    engine->start(one.op);
    turn(*engine);
    engine->cancel(one.op);
    engine->cancel(one.op);
    CHECK(one.op.in_flight());
    finish(*engine, one.op);
    CHECK(one.op.answer == -ECANCELED);
    CHECK(one.op.seen.size() == 1);
    one.make_ready();
    engine->start(one.op);
    finish(*engine, one.op);
    one.check_success(*engine);
  });
}

TEST_CASE("success wins: completed in the kernel when it is cancelled, it delivers its result") {
  const auto engine = make_uring_engine();
  for_each_situation([&](situation& one) {
    if (one.op.code == opcode::connect) return;  // completes on another thread, at its own time
    watched before;
    one.make_ready();
    engine->start(before);
    engine->start(one.op);
    // Room for one completion: that of the other operation.
    CHECK(turn(*engine, 0, 1) == 1);
    CHECK(before.done());
    CHECK(one.op.in_flight());
    engine->cancel(one.op);
    finish(*engine, one.op);
    CHECK(one.op.seen.size() == 1);
    one.check_success(*engine);
  });
}

TEST_CASE("a race of success and cancellation has one winner, and nothing is lost") {
  const auto engine = make_uring_engine();
  for_each_situation([&](situation& one) {
    engine->start(one.op);
    turn(*engine);
    one.make_ready();
    engine->cancel(one.op);
    finish(*engine, one.op);
    CHECK(one.op.seen.size() == 1);
    if (one.op.answer == -ECANCELED) {
      engine->start(one.op);
      finish(*engine, one.op);
    }
    one.check_success(*engine);
  });
}

TEST_CASE("a cancellation does not reach the next start of the same operation") {
  const auto engine = make_uring_engine();
  for_each_situation([&](situation& one) {
    if (one.op.code == opcode::connect) return;  // a connected socket cannot connect again
    watched before;
    one.make_ready();
    engine->start(before);
    engine->start(one.op);
    CHECK(turn(*engine, 0, 1) == 1);
    engine->cancel(one.op);  // on its way to the kernel while the operation is found done
    turn(*engine, 0, 1);
    REQUIRE(one.op.done());
    one.check_success(*engine);
    engine->start(one.op);
    turn(*engine);
    turn(*engine);
    if (one.op.in_flight()) one.make_ready();
    finish(*engine, one.op);
    one.check_success(*engine);
  });
}

TEST_CASE("a nop completes with 0, and a cancellation behind it changes nothing") {
  const auto engine = make_uring_engine();
  watched op;
  op.answer = 1;
  engine->start(op);
  engine->cancel(op);
  finish(*engine, op);
  CHECK(op.answer == 0);
  CHECK(op.seen.size() == 1);
}

TEST_CASE("a multishot accept gives one completion a connection, until it is cancelled") {
  const auto engine = make_uring_engine();
  const loopback_listener listener;
  watched op(opcode::accept, listener.fd.get());
  op.multishot = true;
  engine->start(op);
  for (std::size_t count = 1; count <= 3; ++count) {
    const unique_fd client = connect_to(listener);
    while (op.seen.size() < count) turn(*engine, never);
    CHECK(op.seen.size() == count);
    CHECK(op.seen.back().more);
    const unique_fd server(op.answer);
    CHECK(server);
    CHECK(closes_on_exec(server.get()));
  }
  CHECK(op.in_flight());
  engine->cancel(op);
  finish(*engine, op);
  CHECK(op.answer == -ECANCELED);
  CHECK_FALSE(op.seen.back().more);
  CHECK(op.seen.size() == 4);
}

TEST_CASE("a connection that comes after a multishot accept was cancelled is not lost") {
  const auto engine = make_uring_engine();
  const loopback_listener listener;
  watched op(opcode::accept, listener.fd.get());
  op.multishot = true;
  engine->start(op);
  turn(*engine);
  engine->cancel(op);
  finish(*engine, op);
  const unique_fd client = connect_to(listener);
  engine->start(op);
  while (op.seen.size() < 2) turn(*engine, never);
  const unique_fd server(op.answer);
  CHECK(server);
  engine->cancel(op);
  finish(*engine, op);
}

TEST_CASE("a multishot poll tells every time, until it is cancelled") {
  const auto engine = make_uring_engine();
  const fd_pair pair = socket_pair();
  watched op(opcode::poll, pair.near.get());
  op.flags = POLLIN;
  op.multishot = true;
  engine->start(op);
  turn(*engine);
  for (std::size_t count = 1; count <= 3; ++count) {
    put(pair.far, "x");
    while (op.seen.size() < count) turn(*engine, never);
    CHECK((op.answer & POLLIN) != 0);
    CHECK(op.seen.back().more);
    CHECK(drain(pair.near) == "x");
  }
  engine->cancel(op);
  finish(*engine, op);
  CHECK(op.answer == -ECANCELED);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("uring: errors");

TEST_CASE("a descriptor that is not open is an error of the completion, not of the start") {
  const auto engine = make_uring_engine();
  for (const opcode code : {opcode::recv, opcode::receive, opcode::send, opcode::read,
                            opcode::write, opcode::poll, opcode::accept, opcode::connect}) {
    std::array<std::byte, 16> memory{};
    watched op(code, -1, std::span<std::byte>(memory));
    if (code == opcode::poll || code == opcode::accept || code == opcode::receive) {
      op.data = nullptr;
      op.length = 0;
    }
    engine->start(op);
    finish(*engine, op);
    CHECK(op.answer == -EBADF);
    CHECK(op.seen.size() == 1);
  }
}

TEST_CASE("a refused connection, a listener that is none, a socket that is not connected") {
  const auto engine = make_uring_engine();
  sockaddr_in nobody{};
  {
    const loopback_listener gone;
    nobody = gone.address;
  }
  const unique_fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  watched connect(opcode::connect, fd.get());
  connect.data = &nobody;
  connect.length = sizeof nobody;
  watched accept(opcode::accept, fd.get());
  engine->start(connect);
  finish(*engine, connect);
  CHECK(connect.answer == -ECONNREFUSED);
  engine->start(accept);
  finish(*engine, accept);
  CHECK(accept.answer == -EINVAL);
  const unique_fd fresh(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  std::array<std::byte, 4> memory{};
  watched recv(opcode::recv, fresh.get(), std::span<std::byte>(memory));
  engine->start(recv);
  finish(*engine, recv);
  CHECK(recv.answer == -ENOTCONN);
}

TEST_CASE("sending to a peer that is gone is EPIPE and raises no SIGPIPE") {
  const auto engine = make_uring_engine();
  fd_pair pair = socket_pair();
  pair.far.reset();
  iovec piece{const_cast<char*>("abc"), 3};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  watched send(opcode::send, pair.near.get(), bytes("abc"));
  watched send_message(opcode::send_message, pair.near.get());
  send_message.data = &message;
  engine->start(send);
  engine->start(send_message);
  finish_all(*engine);
  CHECK(send.answer == -EPIPE);
  CHECK(send_message.answer == -EPIPE);
}

TEST_CASE("the end of the stream is 0, for every call that reads") {
  const auto engine = make_uring_engine();
  fd_pair pair = socket_pair();
  pair.far.reset();
  std::array<std::byte, 4> memory{};
  for (const opcode code : {opcode::recv, opcode::read, opcode::receive}) {
    watched op(code, pair.near.get());
    if (code != opcode::receive) {
      op.data = memory.data();
      op.length = static_cast<std::uint32_t>(memory.size());
    }
    engine->start(op);
    finish(*engine, op);
    CHECK(op.answer == 0);
    if (op.seen.back().buffer != completion::no_buffer) {
      const buffer empty = engine->buffers().lend(op.seen.back().buffer, 0);
    }
  }
  CHECK(engine->buffers_free() == engine->buffers().count());
}

TEST_CASE("a reset by the peer is ECONNRESET") {
  const auto engine = make_uring_engine();
  fd_pair pair = tcp_pair();
  const linger at_once{1, 0};
  REQUIRE(::setsockopt(pair.far.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
  std::array<std::byte, 4> memory{};
  watched op(opcode::recv, pair.near.get(), std::span<std::byte>(memory));
  engine->start(op);
  turn(*engine);
  pair.far.reset();
  finish(*engine, op);
  CHECK(op.answer == -ECONNRESET);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("uring: what operations can be told");

TEST_CASE("recv takes what has come, no more than it has room for, and flags of recv(2)") {
  const auto engine = make_uring_engine();
  const fd_pair pair = socket_pair();
  put(pair.far, "abcdef");
  std::array<std::byte, 4> memory{};
  watched op(opcode::recv, pair.near.get(), std::span<std::byte>(memory));
  op.flags = MSG_PEEK;
  engine->start(op);
  finish(*engine, op);
  CHECK(op.answer == 4);
  op.flags = 0;
  engine->start(op);
  finish(*engine, op);
  CHECK(text(memory, 4) == "abcd");
  engine->start(op);
  finish(*engine, op);
  CHECK(op.answer == 2);
  CHECK(text(memory, 2) == "ef");
}

TEST_CASE("a read that polls first completes when data is there, before or after") {
  const auto engine = make_uring_engine();
  for (const bool before : {true, false}) {
    const fd_pair pair = socket_pair();
    std::array<std::byte, 4> memory{};
    watched op(opcode::recv, pair.near.get(), std::span<std::byte>(memory));
    op.poll_first = true;
    if (before) put(pair.far, "abc");
    engine->start(op);
    if (!before) {
      turn(*engine);
      put(pair.far, "abc");
    }
    finish(*engine, op);
    CHECK(op.answer == 3);
  }
}

TEST_CASE("a TCP socket that had more data says so") {
  const auto engine = make_uring_engine();
  const fd_pair pair = tcp_pair();
  put(pair.far, "abcdef");
  watched readable(opcode::poll, pair.near.get());
  readable.flags = POLLIN;
  engine->start(readable);
  finish(*engine, readable);
  std::array<std::byte, 3> memory{};
  watched op(opcode::recv, pair.near.get(), std::span<std::byte>(memory));
  engine->start(op);
  finish(*engine, op);
  CHECK(op.seen.back().nonempty);
  engine->start(op);
  finish(*engine, op);
  CHECK_FALSE(op.seen.back().nonempty);
}

TEST_CASE("read and write of a file go on from the current position") {
  const auto engine = make_uring_engine();
  const unique_fd file(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  REQUIRE(file);
  for (const char* piece : {"abc", "def"}) {
    watched write(opcode::write, file.get(), bytes(piece));
    engine->start(write);
    finish(*engine, write);
    CHECK(write.answer == 3);
  }
  REQUIRE(::lseek(file.get(), 0, SEEK_SET) == 0);
  std::string read_back;
  for (int i = 0; i < 3; ++i) {
    std::array<std::byte, 4> memory{};
    watched read(opcode::read, file.get(), std::span<std::byte>(memory));
    engine->start(read);
    finish(*engine, read);
    REQUIRE(read.answer >= 0);
    read_back += text(memory, static_cast<std::size_t>(read.answer));
  }
  CHECK(read_back == "abcdef");
}

namespace {

// Gives up at its first completion.
class impatient : public operation {
 public:
  impatient(engine& carrier, int from)
      : operation(opcode::receive, &on_completion), carrier_(carrier) {
    fd = from;
    multishot = true;
  }
  int completions = 0;

 private:
  static void on_completion(operation& op, const completion& done) noexcept {
    auto& self = static_cast<impatient&>(op);
    if (done.buffer != completion::no_buffer) self.carrier_.give_back(done.buffer);
    if (++self.completions == 1) self.carrier_.cancel(self);
  }
  engine& carrier_;
};

}  // namespace

TEST_CASE("an operation may be cancelled while its final completion is on its way, and then die") {
  const auto engine = make_uring_engine();
  for (int round = 0; round < 3; ++round) {
    const fd_pair pair = tcp_pair();
    impatient op(*engine, pair.near.get());
    put(pair.far, "abc");
    ::shutdown(pair.far.get(), SHUT_WR);
    engine->start(op);
    finish(*engine, op);
    CHECK(op.completions == 2);
    CHECK(op.answer == 0);
  }
  turn(*engine);
  CHECK(engine->in_flight() == 0);
}

TEST_SUITE_END();
