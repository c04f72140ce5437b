// What every engine guarantees for all operations: batches, shutting down, the count of operations
// in flight, thousands of operations, and calls that are answered at once.
//
// The other subjects: conformance_operations_test.cpp (every operation in every phase),
// conformance_descriptors_test.cpp (closing, and edges), conformance_files_test.cpp (files, pipes,
// terminals), conformance_multishot_test.cpp, conformance_buffers_test.cpp,
// conformance_sleep_test.cpp, conformance_storm_test.cpp (random operations and a model).
// SPDX-License-Identifier: MIT
#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <deque>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "support/aborts.hpp"
#include "support/bytes.hpp"
#include "support/engines.hpp"
#include "support/situations.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("conformance: engines");

TEST_CASE("in_flight() counts an operation until its last completion is dispatched") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    std::array<watched, 3> ops;
    CHECK(engine->in_flight() == 0);
    for (watched& op : ops) engine->start(op);
    CHECK(engine->in_flight() == 3);
    std::array<completion, 8> out;
    REQUIRE(engine->wait(never, out) == 3);
    CHECK(engine->in_flight() == 3);
    for (std::size_t i = 0; i < 3; ++i) engine->dispatch(out[i]);
    CHECK(engine->in_flight() == 0);
    CHECK(engine->statistics().completions == 3);
  });
}

TEST_CASE("the clock is steady, and random numbers do not repeat") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const steady_ns first = engine->now();
    CHECK(engine->now() >= first);
    std::set<std::uint64_t> numbers;
    for (int i = 0; i < 1000; ++i) numbers.insert(engine->random());
    CHECK(numbers.size() == 1000);
    const auto other = make();
    CHECK(numbers.count(other->random()) == 0);
  });
}

TEST_CASE("a direct call returns the system's answer at once") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    watched call(opcode::open_socket);
    call.socket = {AF_INET, SOCK_STREAM, 0};
    const unique_fd fd(engine->call(call));
    REQUIRE(fd);
    CHECK(call.answer == fd.get());
    CHECK((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(call.current_state() == operation::state::idle);
    CHECK(call.seen.empty());
    watched close(opcode::close, -1);
    CHECK(engine->call(close) == -EBADF);
    CHECK(engine->in_flight() == 0);
  });
}

TEST_CASE("receive_now takes what has arrived, and leaves a waiting receive alone") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const fd_pair pair = tcp_pair();
    const int fd = pair.near.get();
    engine->register_fd(fd);
    std::array<std::byte, 16> memory{};
    watched now(opcode::receive_now, fd, std::span<std::byte>(memory));
    CHECK(engine->call(now) == -EAGAIN);
    std::array<std::byte, 16> later{};
    watched op(opcode::recv, fd, std::span<std::byte>(later));
    engine->start(op);
    turn(*engine);
    CHECK(engine->call(now) == -EAGAIN);
    put(pair.far, "abc");
    finish(*engine, op);
    CHECK(op.answer == 3);
    put(pair.far, "def");
    watched readable(opcode::poll, fd);
    readable.poll.events = POLLIN;
    engine->start(readable);
    finish(*engine, readable);
    CHECK(engine->call(now) == 3);
    CHECK(text(memory, 3) == "def");
    CHECK(engine->call(now) == -EAGAIN);
    put(pair.far, "ghi");
    engine->start(op);
    finish(*engine, op);
    CHECK(text(later, 3) == "ghi");
    engine->unregister_fd(fd);
  });
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("conformance: batches");

TEST_CASE("a wait takes no more completions than there is room for, and loses none") {
  for_each_kernel_engine([](const engine_maker& make) {
    for (const std::size_t batch : {1U, 2U, 7U}) {
      const auto engine = make();
      std::array<watched, 15> ops;
      for (watched& op : ops) engine->start(op);
      std::size_t count = 0;
      while (engine->in_flight() != 0) {
        const std::size_t came = turn(*engine, never, batch);
        CHECK(came <= batch);
        count += came;
      }
      CHECK(count == ops.size());
      for (const watched& op : ops) CHECK(op.seen.size() == 1);
    }
  });
}

TEST_CASE("waits with room for one completion deliver everything that is ready, one at a time") {
  for_each_kernel_engine([](const engine_maker& make) {
    constexpr std::size_t count = 40;
    const auto engine = make();
    std::vector<fd_pair> pairs;
    std::deque<watched> ops;
    std::array<std::array<std::byte, 4>, count> memory{};
    for (std::size_t i = 0; i < count; ++i) {
      pairs.push_back(socket_pair());
      if (i % 2 == 0) engine->register_fd(pairs[i].near.get());
      engine->start(
          ops.emplace_back(opcode::recv, pairs[i].near.get(), std::span<std::byte>(memory[i])));
    }
    CHECK(turn(*engine, 0, 1) == 0);
    for (const fd_pair& pair : pairs) put(pair.far, "abc");
    std::size_t came = 0;
    while (engine->in_flight() != 0) came += turn(*engine, never, 1);
    CHECK(came == count);
    for (const watched& op : ops) CHECK(op.answer == 3);
    for (std::size_t i = 0; i < count; i += 2) engine->unregister_fd(pairs[i].near.get());
  });
}

TEST_CASE("an operation that is always ready does not keep another one waiting") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const fd_pair busy = socket_pair(), rare = socket_pair();
    std::array<std::byte, 1> memory{}, other_memory{};
    watched rare_op(opcode::recv, rare.near.get(), std::span<std::byte>(other_memory));
    watched busy_op(opcode::recv, busy.near.get(), std::span<std::byte>(memory));
    engine->start(rare_op);
    turn(*engine);
    put(rare.far, "x");
    constexpr int patience = 100;
    for (int i = 0; i < patience && rare_op.in_flight(); ++i) {
      put(busy.far, "x");
      if (!busy_op.in_flight()) engine->start(busy_op);
      turn(*engine, 0, 1);
    }
    CHECK(rare_op.done());
    put(busy.far, "x");
    finish_all(*engine);
  });
}

TEST_CASE("each of thousands of reads in flight gets its own bytes") {
  for_each_kernel_engine([](const engine_maker& make) {
    constexpr std::size_t count = 250;
    constexpr int rounds = 8;
    const auto engine = make();
    std::vector<fd_pair> pairs;
    std::deque<watched> ops;
    std::vector<std::uint32_t> memory(count * rounds);
    for (std::size_t i = 0; i < count; ++i) {
      pairs.push_back(socket_pair());
      if (i % 2 == 0) engine->register_fd(pairs[i].near.get());
      // Several reads on one descriptor: each byte goes to one of them.
      for (std::size_t round = 0; round < rounds; ++round) {
        std::uint32_t& place = memory[i * rounds + round];
        engine->start(ops.emplace_back(opcode::recv, pairs[i].near.get(),
                                       std::as_writable_bytes(std::span(&place, 1))));
      }
    }
    CHECK(engine->in_flight() == count * rounds);
    turn(*engine);
    for (int round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i < count; ++i) {
        const auto number = static_cast<std::uint32_t>(i + 1);
        put(pairs[i].far, {reinterpret_cast<const char*>(&number), sizeof number});
        if (i % 16 == 0) turn(*engine);
      }
    }
    finish_all(*engine);
    for (std::size_t i = 0; i < memory.size(); ++i) {
      REQUIRE(ops[i].answer == 4);
      REQUIRE(memory[i] == i / rounds + 1);
    }
    for (std::size_t i = 0; i < count; i += 2) engine->unregister_fd(pairs[i].near.get());
  });
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("conformance: the end of an engine");

namespace {

// How many descriptors a program would inherit that this one executes.
std::size_t count_passed_on() {
  std::size_t count = 0;
  for (int fd = 0; fd < 1024; ++fd) count += ::fcntl(fd, F_GETFD) == 0 ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("an engine leaves no descriptor open, and passes none on to executed programs") {
  for_each_kernel_engine([](const engine_maker& make) {
    const std::size_t before = count_open_descriptors();
    const std::size_t passed_on = count_passed_on();
    for (int i = 0; i < 3; ++i) {
      const auto engine = make();
      CHECK(count_open_descriptors() > before);
      CHECK(count_passed_on() == passed_on);
      watched op;
      engine->start(op);
      finish(*engine, op);
    }
    CHECK(count_open_descriptors() == before);
  });
}

TEST_CASE("an engine can be destroyed after everything in flight was cancelled and drained") {
  for_each_engine([](const engine_maker& make) {
    const std::size_t before = count_open_descriptors();
    {
      const auto engine = make();
      for_each_situation(*engine, [&](situation& one) {
        engine->start(one.op);
        turn(*engine);
        engine->cancel(one.op);
        finish_all(*engine);
        CHECK(one.op.answer == -ECANCELED);
        CHECK(engine->in_flight() == 0);
      });
    }
    CHECK(count_open_descriptors() == before);
  });
}

TEST_CASE("thousands of cancellations all take effect, before a turn and after it") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const fd_pair pair = socket_pair();
    for (const bool kept : {false, true}) {
      if (kept) engine->register_fd(pair.near.get());
      for (const bool turned : {false, true}) {
        std::vector<std::byte> memory(3000);
        std::deque<watched> ops;
        for (std::byte& place : memory) {
          engine->start(ops.emplace_back(opcode::recv, pair.near.get(), std::span(&place, 1)));
        }
        if (turned) turn(*engine);
        for (watched& op : ops) engine->cancel(op);
        finish_all(*engine);
        for (const watched& op : ops) {
          REQUIRE(op.answer == -ECANCELED);
          REQUIRE(op.seen.size() == 1);
        }
      }
    }
    engine->unregister_fd(pair.near.get());
  });
}

TEST_CASE("an engine that is destroyed while operations are in flight aborts and says so") {
  for_each_kernel_engine([](const engine_maker& make) {
    CHECK(aborts_with("an engine ended while operations were in flight", [&] {
      const fd_pair pair = socket_pair();
      std::array<std::byte, 1> memory{};
      auto* const op = new watched(opcode::recv, pair.near.get(), std::span<std::byte>(memory));
      const auto engine = make();
      engine->start(*op);
    }));
  });
}

TEST_SUITE_END();
