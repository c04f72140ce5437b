// The scripted engine keeps its promises, and aborts tests that break the rules of operations.
// SPDX-License-Identifier: MIT
#include "support/scripted_engine.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "support/aborts.hpp"
#include "support/bytes.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("scripted_engine");

TEST_CASE("the scripted engine delivers what the test completes, in that order, at the next wait") {
  scripted_engine engine;
  watched first(opcode::recv, 3), second(opcode::send, 4);
  engine.start(first);
  engine.start(second);
  CHECK(turn(engine) == 0);
  engine.complete(engine.last_started(), 2);
  engine.complete(engine.oldest(opcode::recv), 1);
  CHECK(engine.waiting().empty());
  std::array<completion, 2> out;
  REQUIRE(engine.wait(0, out) == 2);
  CHECK(out[0].request == &second);
  CHECK(out[1].request == &first);
  for (const completion& one : out) engine.dispatch(one);
  CHECK(first.answer == 1);
  CHECK(second.answer == 2);
}

TEST_CASE("the scripted engine records requests, by kind and by descriptor") {
  scripted_engine engine;
  watched recv(opcode::recv, 3), close(opcode::close, 3);
  engine.start(recv);
  engine.cancel(recv);
  turn(engine);
  engine.call(close);
  CHECK(engine.started(opcode::recv) == 1);
  CHECK(engine.started(opcode::recv, 4) == 0);
  CHECK(engine.cancelled(opcode::recv, 3) == 1);
  CHECK(engine.closes(3) == 1);
  CHECK(engine.log().size() == 3);
  CHECK_FALSE(engine.is_waiting(opcode::recv));
}

TEST_CASE(
    "the scripted engine answers cancellations at the next wait, or when the test allows it") {
  scripted_engine engine;
  watched held(opcode::recv), faster(opcode::recv);
  engine.hold_cancellations(true);
  engine.start(held);
  engine.start(faster);
  engine.cancel(held);
  engine.cancel(faster);
  CHECK(turn(engine) == 0);
  engine.complete(faster, 7);
  CHECK(turn(engine) == 1);
  engine.hold_cancellations(false);
  CHECK(turn(engine) == 1);
  CHECK(held.answer == -ECANCELED);
  CHECK(faster.answer == 7);
}

TEST_CASE(
    "the scripted engine delivers bytes into the reader's memory or a lent buffer, until none is "
    "left") {
  scripted_engine engine(1, 8);
  std::array<std::byte, 8> memory{};
  watched recv(opcode::recv, 3, std::span<std::byte>(memory)), receive(opcode::receive, 3);
  engine.start(recv);
  engine.deliver(recv, "abc");
  turn(engine);
  CHECK(text(memory, 3) == "abc");
  engine.start(receive);
  engine.deliver(receive, "xyz", true);
  turn(engine);
  CHECK(receive.seen.back().nonempty);
  const buffer lease = engine.buffers().lend(receive.seen.back().buffer, 3);
  CHECK(lease.text() == "xyz");
  engine.start(receive);
  engine.deliver(receive, "dry");
  turn(engine);
  CHECK(receive.answer == -ENOBUFS);
  engine.start(receive);
  engine.deliver(receive, "");
  turn(engine);
  CHECK(receive.answer == 0);
}

TEST_CASE("the scripted engine answers calls with success unless the test says otherwise") {
  scripted_engine engine;
  watched open(opcode::open_socket), listen(opcode::listen, 1000);
  open.socket.protocol = 1;
  CHECK(engine.call(open) == scripted_engine::first_fd);
  CHECK(engine.call(open) == scripted_engine::first_fd + 1);
  CHECK(engine.call(listen) == 0);
  engine.answer(opcode::listen, -EADDRINUSE);
  engine.answer(opcode::open_socket, [](operation& op) { return -op.socket.protocol; });
  CHECK(engine.call(listen) == -EADDRINUSE);
  CHECK(engine.call(open) == -1);
}

TEST_CASE("the scripted engine's clock moves only to deadlines that nothing else ends") {
  scripted_engine engine;
  const steady_ns begin = engine.now();
  watched op;
  engine.start(op);
  engine.complete(op, 0);
  CHECK(turn(engine, begin + 100) == 1);
  CHECK(engine.now() == begin);
  CHECK(turn(engine, begin + 100) == 0);
  CHECK(engine.now() == begin + 100);
  engine.advance(50);
  CHECK(engine.now() == begin + 150);
}

TEST_CASE("the scripted engine runs the script's next step when nothing else is left to do") {
  scripted_engine engine;
  watched op;
  engine.start(op);
  std::string steps;
  engine.on_start = [&](operation&) { steps += 's'; };
  engine.on_idle = [&] {
    steps += 'i';
    if (steps.size() == 2) engine.complete(op, 7);
    return steps.size() <= 2;
  };
  CHECK(turn(engine, never) == 0);
  CHECK(turn(engine, never) == 1);
  CHECK(op.answer == 7);
  engine.start(op);
  engine.complete(op, 8);
  CHECK(turn(engine, never) == 1);
  CHECK(steps == "iis");
}

TEST_CASE("the scripted engine aborts a test that would hang, and lists what is in flight") {
  CHECK(aborts_with(
      "nothing is left to happen, and wait() would sleep forever; in flight: recv(fd 7)", [] {
        scripted_engine engine;
        watched op(opcode::recv, 7);
        engine.start(op);
        turn(engine, never);
      }));
}

TEST_CASE("the scripted engine aborts a test that breaks the rules of operations") {
  CHECK(aborts_with("an operation was started as multishot that completes only once", [] {
    scripted_engine engine;
    watched op(opcode::send, 7);
    op.multishot = true;
    engine.start(op);
  }));
  CHECK(aborts_with("an operation was completed that is not in flight", [] {
    scripted_engine engine;
    watched op;
    engine.start(op);
    engine.complete(op, 0);
    engine.complete(op, 0);
  }));
  CHECK(aborts_with("before all completions of the last one had been dispatched", [] {
    scripted_engine engine;
    watched op;
    engine.start(op);
    engine.complete(op, 0);
    std::array<completion, 1> out;
    engine.wait(0, out);
    engine.wait(0, out);
  }));
  CHECK(aborts_with("the engine ended while operations were in flight", [] {
    watched op;
    scripted_engine engine;
    engine.start(op);
  }));
  CHECK(aborts_with("a buffer was given back twice", [] {
    scripted_engine engine;
    const std::int32_t id = engine.take_buffer();
    engine.recycle_buffer(id);
    engine.recycle_buffer(id);
  }));
  CHECK(aborts_with("the test looked for an operation: accept", [] {
    scripted_engine engine;
    engine.oldest(opcode::accept);
  }));
}

TEST_SUITE_END();
