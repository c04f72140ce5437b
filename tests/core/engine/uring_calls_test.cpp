// The system calls of the uring engine: none when there is nothing to do; and the details that only
// this engine reports. conformance_*_test.cpp tests its contract.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>

#include <poll.h>

#include <array>
#include <memory>
#include <string>

#include "support/faulty_enter.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"
#include "uring_engine.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("uring: system calls");

namespace {

std::uint64_t calls(const extend::engine& engine) { return engine.statistics().system_calls; }

}  // namespace

TEST_CASE("uring makes no system call when there is nothing to submit or to reap") {
  const auto engine = make_uring_engine();
  const fd_pair pair = socket_pair();
  std::array<std::byte, 1> memory{};
  watched op(opcode::recv, pair.near.get(), std::span<std::byte>(memory));
  engine->start(op);
  turn(*engine);
  const std::uint64_t before = calls(*engine);
  {
    const faulty_enter counter([](const enter_call&) { return 0; });
    for (int i = 0; i < 1000; ++i) CHECK(turn(*engine) == 0);
    CHECK(counter.calls() == 0);
  }
  CHECK(calls(*engine) == before);
  put(pair.far, "x");
  finish(*engine, op);
}

TEST_CASE("uring submits and reaps in one system call per turn, and counts it") {
  const auto engine = make_uring_engine();
  std::array<watched, 5> ops;
  const std::uint64_t before = calls(*engine);
  const faulty_enter counter([](const enter_call&) { return 0; });
  for (watched& op : ops) engine->start(op);
  CHECK(calls(*engine) == before);
  CHECK(turn(*engine) == ops.size());
  CHECK(calls(*engine) == before + 1);
  CHECK(counter.calls() == 1);
  for (watched& op : ops) CHECK(op.done());
}

TEST_CASE("the batch size limits what a wait returns, and the rest costs no further system call") {
  const auto engine = make_uring_engine();
  std::array<watched, 5> ops;
  for (watched& op : ops) engine->start(op);
  CHECK(turn(*engine, 0, 2) == 2);
  const std::uint64_t before = calls(*engine);
  CHECK(turn(*engine, never, 2) == 2);
  CHECK(turn(*engine, never, 2) == 1);
  CHECK(calls(*engine) == before);
}

TEST_CASE("a TCP socket with more data is reported as such, and one without is not") {
  const auto engine = make_uring_engine();
  const fd_pair pair = tcp_pair();
  put(pair.far, "abcdef");
  watched readable(opcode::poll, pair.near.get());
  readable.poll.events = POLLIN;
  engine->start(readable);
  finish(*engine, readable);
  std::array<std::byte, 3> memory{};
  watched op(opcode::recv, pair.near.get(), std::span<std::byte>(memory));
  for (const bool more : {true, false}) {
    engine->start(op);
    finish(*engine, op);
    CHECK(op.seen.back().nonempty == more);
  }
}

// As large as a level 2 cache allows, and fully used: the kernel takes the buffers in turn.
TEST_CASE("uring uses buffers first in, first out") {
  constexpr std::uint32_t count = 4;
  const auto engine = make_uring_engine({.submission_entries = 8,
                                         .completion_entries = 16,
                                         .buffer_count = count,
                                         .buffer_size = 64});
  const fd_pair pair = socket_pair();
  watched op(opcode::receive, pair.near.get());
  for (std::int32_t round = 0; round < 10; ++round) {
    put(pair.far, "x");
    engine->start(op);
    finish(*engine, op);
    CHECK(op.seen.back().buffer == round % static_cast<std::int32_t>(count));
    engine->recycle_buffer(op.seen.back().buffer);
  }
}

TEST_CASE("the kernel's worker threads are limited to 16 of each kind per ring") {
  const auto engine = make_uring_engine();
  unsigned workers[2] = {0, 0};  // queries the limit
  io_uring& ring = static_cast<uring_engine&>(*engine).ring();
  REQUIRE(io_uring_register_iowq_max_workers(&ring, workers) == 0);
  CHECK(workers[0] == 16);
  CHECK(workers[1] == 16);
}

TEST_CASE("the name of a uring engine says how many entries and buffers it has") {
  const auto engine = make_uring_engine(
      {.submission_entries = 8, .completion_entries = 16, .buffer_count = 4, .buffer_size = 64});
  const std::string name = engine->name();
  CHECK(name.rfind("uring (8 submissions, 16 completions, 4 buffers", 0) == 0);
}

TEST_SUITE_END();
