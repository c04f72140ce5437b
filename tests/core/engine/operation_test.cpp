// The life of an operation, step by step on a scripted engine.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/operation.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <optional>

#include "support/aborts.hpp"
#include "support/scripted_engine.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("operation");

TEST_CASE("an operation is idle, then in flight, then done, and can be started again") {
  scripted_engine engine;
  watched op;
  CHECK(op.current_state() == operation::state::idle);
  CHECK_FALSE(op.in_flight());
  for (int round = 1; round <= 2; ++round) {
    engine.start(op);
    CHECK(op.in_flight());
    CHECK(engine.in_flight() == 1);
    engine.complete(op, round);
    CHECK(op.in_flight());
    turn(engine);
    CHECK(op.current_state() == operation::state::done);
    CHECK(op.answer == round);
    CHECK(engine.in_flight() == 0);
  }
  CHECK(op.seen.size() == 2);
}

TEST_CASE("an operation is done when its final completion is dispatched, not when it is reaped") {
  scripted_engine engine;
  watched op;
  engine.start(op);
  engine.complete(op, 7);
  completion done[1];
  REQUIRE(engine.wait(0, done) == 1);
  CHECK(op.in_flight());
  CHECK(engine.in_flight() == 1);
  engine.dispatch(done[0]);
  CHECK_FALSE(op.in_flight());
  CHECK(op.state_when_seen == operation::state::done);
}

TEST_CASE("a completion with more to come leaves an operation in flight") {
  scripted_engine engine;
  watched op(opcode::accept);
  op.multishot = true;
  engine.start(op);
  engine.complete(op, 5, {.more = true});
  engine.complete(op, 6, {.more = true});
  CHECK(turn(engine) == 2);
  CHECK(op.in_flight());
  CHECK(op.answer == 6);
  engine.complete(op, -ECONNABORTED);
  turn(engine);
  CHECK_FALSE(op.in_flight());
  CHECK(op.seen.size() == 3);
  CHECK(op.answer == -ECONNABORTED);
}

TEST_CASE("the handler of an operation may start it again") {
  struct repeated : operation {
    explicit repeated(extend::engine& by) : operation(opcode::nop, &again), engine(by) {}
    static void again(operation& op, const completion&) noexcept {
      auto& self = static_cast<repeated&>(op);
      if (++self.completions == 1) self.engine.start(self);
    }
    extend::engine& engine;
    int completions = 0;
  };
  scripted_engine engine;
  repeated op(engine);
  engine.start(op);
  engine.complete(op, 1);
  turn(engine);
  CHECK(op.in_flight());
  CHECK(engine.in_flight() == 1);
  engine.complete(op, 2);
  turn(engine);
  CHECK_FALSE(op.in_flight());
  CHECK(op.completions == 2);
}

TEST_CASE("a cancelled operation stays in flight until it has completed") {
  scripted_engine engine;
  watched op;
  engine.start(op);
  CHECK_FALSE(op.cancel_requested());
  engine.cancel(op);
  CHECK(op.cancel_requested());
  CHECK(op.in_flight());
  turn(engine);
  CHECK(op.answer == -ECANCELED);
  CHECK(op.seen.size() == 1);
}

TEST_CASE(
    "success wins: an operation that had completed when it was cancelled delivers its result") {
  scripted_engine engine;
  watched before, after;
  engine.start(before);
  engine.start(after);
  engine.complete(before, 7);
  engine.cancel(before);
  engine.cancel(after);
  engine.complete(after, 8);
  turn(engine);
  turn(engine);
  CHECK(before.answer == 7);
  CHECK(after.answer == 8);
  CHECK(before.seen.size() == 1);
  CHECK(after.seen.size() == 1);
}

TEST_CASE("cancelling twice sends one request, and cancelling an idle operation sends none") {
  scripted_engine engine;
  watched op;
  engine.cancel(op);
  CHECK(engine.cancelled(opcode::nop) == 0);
  engine.start(op);
  engine.cancel(op);
  engine.cancel(op);
  CHECK(engine.cancelled(opcode::nop) == 1);
  turn(engine);
  engine.cancel(op);
  CHECK(engine.cancelled(opcode::nop) == 1);
  CHECK(turn(engine) == 0);
}

TEST_CASE("a new start forgets the previous start's cancellation") {
  scripted_engine engine;
  watched op;
  engine.start(op);
  engine.cancel(op);
  turn(engine);
  engine.start(op);
  CHECK_FALSE(op.cancel_requested());
  CHECK(turn(engine) == 0);
  engine.complete(op, 7);
  turn(engine);
  CHECK(op.answer == 7);
}

TEST_CASE("starting an operation twice aborts and says so") {
  CHECK(aborts_with("an operation was started while it was in flight", [] {
    scripted_engine engine;
    watched op;
    engine.start(op);
    engine.start(op);
  }));
}

TEST_CASE("destroying an operation in flight aborts and says so") {
  CHECK(aborts_with("an operation was destroyed while it was in flight", [] {
    scripted_engine engine;
    watched op;
    engine.start(op);
  }));
  CHECK(aborts_with("an operation was destroyed while it was in flight", [] {
    scripted_engine engine;
    std::optional<watched> op(std::in_place);
    engine.start(*op);
    engine.complete(*op, 1);
    op.reset();  // completed, but not yet dispatched
  }));
}

TEST_SUITE_END();
