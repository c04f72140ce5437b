// Every kind of operation on every engine, in every phase of its life.
//
// Method: for each kind, a situation in which it has to wait (support/situations.hpp), on each
// engine (support/engines.hpp); the order of start, turn, make_ready and cancel forces the phases.
// To show that a cancelled operation took nothing, the test starts it again, and it finds
// everything.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <memory>
#include <set>
#include <string>

#include "support/bytes.hpp"
#include "support/engines.hpp"
#include "support/situations.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("conformance: operations");

TEST_CASE("an operation that can complete at once does so at the next wait, not at its start") {
  for_each_engine([](const engine_maker& make) {
    const auto engine = make();
    for_each_situation(*engine, [&](situation& one) {
      one.make_ready();
      engine->start(one.op);
      CHECK(one.op.in_flight());
      CHECK(one.op.seen.empty());
      finish(*engine, one.op);
      CHECK(one.op.seen.size() == 1);
      one.check_success(*engine);
    });
  });
}

TEST_CASE("an operation that cannot complete yet completes when it can") {
  for_each_engine([](const engine_maker& make) {
    const auto engine = make();
    for_each_situation(*engine, [&](situation& one) {
      engine->start(one.op);
      turn(*engine);
      CHECK(one.op.in_flight());
      one.make_ready();
      finish(*engine, one.op);
      CHECK(one.op.seen.size() == 1);
      one.check_success(*engine);
    });
  });
}

TEST_CASE(
    "an operation that is cancelled before submission ends with ECANCELED and takes nothing") {
  for_each_engine([](const engine_maker& make) {
    const auto engine = make();
    for_each_situation(*engine, [&](situation& one) {
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
  });
}

TEST_CASE("an operation that is cancelled in the kernel ends with ECANCELED and takes nothing") {
  for_each_engine([](const engine_maker& make) {
    const auto engine = make();
    for_each_situation(*engine, [&](situation& one) {
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
  });
}

TEST_CASE(
    "success wins: an operation that had completed in the kernel when cancelled delivers its "
    "result") {
  for_each_engine([](const engine_maker& make) {
    const auto engine = make();
    for_each_situation(*engine, [&](situation& one) {
      if (one.op.code == opcode::connect) return;  // completes on another thread, at its own time
      watched before;
      one.make_ready();
      engine->start(before);
      engine->start(one.op);
      // Room for one completion, which the other operation takes.
      CHECK(turn(*engine, 0, 1) == 1);
      CHECK(before.done());
      CHECK(one.op.in_flight());
      engine->cancel(one.op);
      finish(*engine, one.op);
      CHECK(one.op.seen.size() == 1);
      one.check_success(*engine);
    });
  });
}

TEST_CASE("a race of success and cancellation has one winner, and loses nothing") {
  for_each_engine([](const engine_maker& make) {
    const auto engine = make();
    for_each_situation(*engine, [&](situation& one) {
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
  });
}

TEST_CASE("a cancellation does not affect the next start of the same operation") {
  for_each_engine([](const engine_maker& make) {
    const auto engine = make();
    for_each_situation(*engine, [&](situation& one) {
      if (one.op.code == opcode::connect) return;  // a connected socket cannot connect again
      watched before;
      one.make_ready();
      engine->start(before);
      engine->start(one.op);
      CHECK(turn(*engine, 0, 1) == 1);
      engine->cancel(one.op);  // pending in the kernel when the operation turns out to be done
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
  });
}

TEST_CASE("a nop completes with 0, and a cancellation after it changes nothing") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    watched op;
    op.answer = 1;
    engine->start(op);
    engine->cancel(op);
    finish(*engine, op);
    CHECK(op.answer == 0);
    CHECK(op.seen.size() == 1);
  });
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("conformance: errors");

TEST_CASE("a closed descriptor is reported by the completion, not by the start") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    for (const opcode code : {opcode::recv, opcode::receive, opcode::send, opcode::read,
                              opcode::write, opcode::poll, opcode::accept, opcode::connect}) {
      std::array<std::byte, 16> memory{};
      watched op(code, -1, std::span<std::byte>(memory));
      op.poll_first = op.multishot = code == opcode::receive || code == opcode::poll;
      if (code == opcode::poll || code == opcode::accept || code == opcode::receive) {
        op.data = nullptr;
        op.length = 0;
      }
      engine->start(op);
      finish(*engine, op);
      CHECK(op.answer == -EBADF);
      CHECK(op.seen.size() == 1);
    }
  });
}

TEST_CASE(
    "a refused connection, a non-listening socket and an unconnected one report their errors") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
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
  });
}

TEST_CASE("sending to a peer that has gone is EPIPE and raises no SIGPIPE") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
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
  });
}

TEST_CASE("every call that reads returns 0 at the end of the stream") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
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
  });
}

TEST_CASE("a reset by the peer is ECONNRESET") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
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
  });
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("conformance: what operations can be told");

TEST_CASE("recv returns what has arrived, up to its size, and supports the flags of recv(2)") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const fd_pair pair = socket_pair();
    put(pair.far, "abcdef");
    std::array<std::byte, 4> memory{};
    watched op(opcode::recv, pair.near.get(), std::span<std::byte>(memory));
    op.transfer.flags = MSG_PEEK;
    engine->start(op);
    finish(*engine, op);
    CHECK(op.answer == 4);
    op.transfer.flags = 0;
    engine->start(op);
    finish(*engine, op);
    CHECK(text(memory, 4) == "abcd");
    engine->start(op);
    finish(*engine, op);
    CHECK(op.answer == 2);
    CHECK(text(memory, 2) == "ef");
  });
}

TEST_CASE("a read that polls first completes when there is data, earlier or later") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
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
  });
}

TEST_CASE("a TCP socket with more data reports it") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const fd_pair pair = tcp_pair();
    put(pair.far, "abcdef");
    watched readable(opcode::poll, pair.near.get());
    readable.poll.events = POLLIN;
    engine->start(readable);
    finish(*engine, readable);
    std::array<std::byte, 3> memory{};
    watched op(opcode::recv, pair.near.get(), std::span<std::byte>(memory));
    engine->start(op);
    finish(*engine, op);
    CHECK(op.seen.back().nonempty);
  });
}

TEST_SUITE_END();
