// The uring engine when room runs out: full queues, an overflowing completion queue, a kernel
// without memory, and sleeps that fail. Nothing is lost, and no operation waits forever.
//
// Method: rings of the smallest sizes, and an io_uring_enter(2) that fails on command
// (support/faulty_enter.hpp).
// SPDX-License-Identifier: MIT
#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>
#include <liburing.h>

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <deque>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "support/aborts.hpp"
#include "support/faulty_enter.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("uring: full queues");

namespace {

// The smallest ring: 8 submissions, 16 completions.
std::unique_ptr<extend::engine> make_small_engine() {
  return make_uring_engine(
      {.submission_entries = 8, .completion_entries = 16, .buffer_count = 8, .buffer_size = 64});
}

// Operations that record the order of their completions.
struct ordered : operation {
  explicit ordered(std::vector<ordered*>& order) : operation(opcode::nop, &note), done_(&order) {}
  ordered(std::vector<ordered*>& order, int descriptor) : ordered(order) {
    become(opcode::recv);
    fd = descriptor;
    data = &byte;
    length = 1;
  }
  char byte = 0;

 private:
  static void note(operation& op, const completion&) noexcept {
    auto& self = static_cast<ordered&>(op);
    self.done_->push_back(&self);
  }
  std::vector<ordered*>* done_;
};

bool in_order(const std::deque<ordered>& started, const std::vector<ordered*>& done) {
  if (started.size() != done.size()) return false;
  for (std::size_t i = 0; i < done.size(); ++i) {
    if (done[i] != &started[i]) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("more starts than the submission queue holds all complete in order") {
  const auto engine = make_small_engine();
  std::vector<ordered*> done;
  std::deque<ordered> ops;
  for (int i = 0; i < 1000; ++i) engine->start(ops.emplace_back(done));
  CHECK(done.empty());
  finish_all(*engine);
  CHECK(in_order(ops, done));
}

TEST_CASE("the kernel keeps more completions than the completion queue holds, and loses none") {
  const auto engine = make_small_engine();
  std::vector<ordered*> done;
  std::deque<ordered> ops;
  for (int i = 0; i < 1000; ++i) engine->start(ops.emplace_back(done));
  while (engine->in_flight() != 0) CHECK(turn(*engine, never, 3) <= 3);
  CHECK(in_order(ops, done));
  CHECK(engine->statistics().overflows > 0);
  CHECK(engine->statistics().completions == 1000);
}

TEST_CASE("connections that overflow the completion queue are all accepted") {
  constexpr int count = 64;
  const auto engine = make_small_engine();
  const loopback_listener listener(count);
  watched op(opcode::accept, listener.fd.get());
  op.multishot = true;
  engine->start(op);
  turn(*engine);
  std::vector<unique_fd> clients, servers;
  for (int i = 0; i < count; ++i) clients.push_back(connect_to(listener));
  std::size_t looked_at = 0;
  while (servers.size() < count) {
    if (!op.in_flight()) engine->start(op);  // the kernel may end it for lack of room
    turn(*engine, never, 3);
    for (; looked_at < op.seen.size(); ++looked_at) {
      REQUIRE(op.seen[looked_at].result >= 0);
      servers.emplace_back(op.seen[looked_at].result);
    }
  }
  engine->cancel(op);
  finish_all(*engine);
  CHECK(servers.size() == count);
}

// Ten milliseconds: five thousand polls are armed and cancelled.
TEST_CASE("a cancel is never dropped with 5,000 in flight, 8 submissions and 16 completions") {
  const auto engine = make_small_engine();
  const fd_pair pair = socket_pair();
  for (const bool in_kernel : {true, false}) {
    std::vector<ordered*> done;
    std::deque<ordered> ops;
    for (int i = 0; i < 5000; ++i) engine->start(ops.emplace_back(done, pair.near.get()));
    if (in_kernel) turn(*engine);
    for (ordered& op : ops) engine->cancel(op);
    finish_all(*engine);
    CHECK(done.size() == ops.size());
    for (const ordered& op : ops) REQUIRE(op.answer == -ECANCELED);
  }
}

TEST_CASE("a cancellation sent before its operation was submitted still completes") {
  const auto engine = make_small_engine();
  const fd_pair pair = socket_pair();
  std::vector<ordered*> done;
  std::deque<ordered> ops;
  for (int i = 0; i < 100; ++i) {
    engine->start(ops.emplace_back(done, pair.near.get()));
    engine->cancel(ops.back());
  }
  finish_all(*engine);
  CHECK(done.size() == ops.size());
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("uring: a kernel without memory");

namespace {

// Refuses enters that submit without reaping: the engine makes them when the submission queue is
// full in the middle of a turn.
int refuse_bursts(const enter_call& call) {
  return (call.flags & IORING_ENTER_GETEVENTS) == 0 ? -EAGAIN : 0;
}

}  // namespace

TEST_CASE("operations without room wait for it, and keep their order") {
  const auto engine = make_small_engine();
  const faulty_enter faults(refuse_bursts);
  std::vector<ordered*> done;
  std::deque<ordered> ops;
  for (int i = 0; i < 100; ++i) engine->start(ops.emplace_back(done));
  finish_all(*engine);
  CHECK(in_order(ops, done));
  CHECK(faults.calls() > 0);
}

TEST_CASE("a new operation does not overtake those that waited for room") {
  const auto engine = make_small_engine();
  std::vector<ordered*> done;
  std::deque<ordered> ops;
  {
    const faulty_enter faults(refuse_bursts);
    for (int i = 0; i < 10; ++i) engine->start(ops.emplace_back(done));
  }
  for (int i = 0; i < 10; ++i) engine->start(ops.emplace_back(done));
  finish_all(*engine);
  CHECK(in_order(ops, done));
}

TEST_CASE("an operation cancelled while it waited for room never reaches the kernel") {
  for (const bool room_again : {false, true}) {
    const auto engine = make_small_engine();
    std::optional<faulty_enter> faults(std::in_place, refuse_bursts);
    const fd_pair pair = socket_pair();
    std::vector<ordered*> done;
    std::deque<ordered> nops, reads;
    for (int i = 0; i < 8; ++i) engine->start(nops.emplace_back(done));
    for (int i = 0; i < 3; ++i) engine->start(reads.emplace_back(done, pair.near.get()));
    CHECK(reads.back().current_state() == operation::state::queued);
    for (ordered& op : reads) engine->cancel(op);
    if (room_again) faults.reset();
    finish_all(*engine);
    CHECK(done.size() == 11);
    for (const ordered& op : reads) CHECK(op.answer == -ECANCELED);
    for (const ordered& op : nops) CHECK(op.answer == 0);
  }
}

// The engine used to sleep forever with the cancellation still in its list.
TEST_CASE("a cancellation that finds no room does not wait for another completion") {
  const auto engine = make_small_engine();
  const fd_pair pair = socket_pair();
  std::vector<ordered*> done;
  std::deque<ordered> ops;
  ordered target(done, pair.near.get());
  engine->start(target);
  turn(*engine);
  {
    const faulty_enter faults(refuse_bursts);
    for (int i = 0; i < 8; ++i) engine->start(ops.emplace_back(done, pair.near.get()));
    engine->cancel(target);
    finish(*engine, target);
    CHECK(target.answer == -ECANCELED);
  }
  for (ordered& op : ops) engine->cancel(op);
  finish_all(*engine);
}

TEST_CASE("an operation that completes while its cancellation waits for room is left alone") {
  const auto engine = make_small_engine();
  const fd_pair pair = socket_pair();
  std::vector<ordered*> done;
  std::deque<ordered> ops;
  {
    ordered target(done, pair.near.get());
    engine->start(target);
    turn(*engine);
    const faulty_enter faults(refuse_bursts);
    for (int i = 0; i < 8; ++i) engine->start(ops.emplace_back(done));
    put(pair.far, "x");
    engine->cancel(target);
    finish(*engine, target);
    CHECK((target.answer == 1 || target.answer == -ECANCELED));
  }
  finish_all(*engine);
  CHECK(done.size() == 9);
}

TEST_CASE("a sleep that ends with EINTR, EAGAIN, EBUSY or ETIME loses nothing") {
  for (const int error : {EINTR, EAGAIN, EBUSY, ETIME}) {
    const auto engine = make_small_engine();
    const fd_pair pair = socket_pair();
    std::vector<ordered*> done;
    ordered read(done, pair.near.get()), nop(done);
    int failures = 0;
    const faulty_enter faults([&](const enter_call&) { return failures-- > 0 ? -error : 0; });
    failures = 3;
    engine->start(read);
    engine->start(nop);
    for (int i = 0; i < 3; ++i) CHECK(turn(*engine, never) == 0);
    finish(*engine, nop);
    failures = 3;
    put(pair.far, "x");
    finish(*engine, read);
    CHECK(read.answer == 1);
    CHECK(done.size() == 2);
  }
}

TEST_CASE("a deadline is kept when sleeps are interrupted") {
  const auto engine = make_small_engine();
  const steady_ns deadline = engine->now() + 2'000'000;
  int calls = 0;
  const faulty_enter faults([&](const enter_call&) { return ++calls % 2 == 1 ? -EINTR : 0; });
  while (engine->now() < deadline) CHECK(turn(*engine, deadline) == 0);
  CHECK(calls >= 2);
}

TEST_CASE("an error that the engine cannot handle is thrown, with its number") {
  const auto engine = make_small_engine();
  watched op;
  engine->start(op);
  {
    const faulty_enter faults([](const enter_call&) { return -EBADR; });
    try {
      turn(*engine, never);
      FAIL("nothing was thrown");
    } catch (const std::system_error& error) {
      CHECK(error.code() == std::error_code(EBADR, std::system_category()));
      CHECK(std::string(error.what()).rfind("io_uring_enter", 0) == 0);
    }
  }
  finish(*engine, op);
}

TEST_CASE("an engine can be destroyed while signals arrive") {
  auto engine = make_small_engine();
  int calls = 0;
  const faulty_enter faults([&](const enter_call&) { return ++calls <= 3 ? -EINTR : 0; });
  engine.reset();
  CHECK(calls > 3);
}

TEST_CASE("a uring engine that is destroyed while operations are in flight aborts and says so") {
  CHECK(aborts_with("an engine ended while operations were in flight", [] {
    const fd_pair pair = socket_pair();
    std::array<std::byte, 1> memory{};
    auto* const op = new watched(opcode::recv, pair.near.get(), std::span<std::byte>(memory));
    const auto engine = make_small_engine();
    engine->start(*op);
  }));
}

TEST_SUITE_END();
