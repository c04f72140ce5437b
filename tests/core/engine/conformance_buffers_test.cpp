// Buffers that engines lend: lending, running out, returning, and which memory may be touched.
//
// Method: a ring with four small buffers and a socket pair; AddressSanitizer tells what may be
// touched.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/bytes.hpp"
#include "support/engines.hpp"
#include "support/poison.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("conformance: buffers");

namespace {

constexpr std::uint32_t buffer_count = 4;
constexpr std::uint32_t buffer_size = 64;

constexpr engine_options small{.submission_entries = 8,
                               .completion_entries = 16,
                               .buffer_count = buffer_count,
                               .buffer_size = buffer_size};

// The lease from the last completion of a receive.
buffer take(extend::engine& engine, const watched& op) {
  const completion& last = op.seen.back();
  if (last.buffer == completion::no_buffer) return {};
  return engine.buffers().lend(last.buffer, static_cast<std::uint32_t>(std::max(0, last.result)));
}

buffer receive(extend::engine& engine, const unique_fd& from) {
  watched op(opcode::receive, from.get());
  engine.start(op);
  finish(engine, op);
  return take(engine, op);
}

}  // namespace

TEST_CASE("a receive lends what has arrived, up to the size of a buffer, in order") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make(small);
    const fd_pair pair = socket_pair();
    const std::string sent = pattern(buffer_size + 10);
    put(pair.far, sent);
    const buffer first = receive(*engine, pair.near);
    const buffer second = receive(*engine, pair.near);
    CHECK(first.text() == sent.substr(0, buffer_size));
    CHECK(second.text() == sent.substr(buffer_size));
    CHECK(engine->buffers_free() == buffer_count - 2);
    CHECK(engine->buffers().on_lease() == 2);
  });
}

TEST_CASE("a receive that ends with a reset or at the end of the stream keeps no buffer") {
  for_each_kernel_engine([](const engine_maker& make) {
    for (const bool multishot : {false, true}) {
      for (const bool reset : {true, false}) {
        CAPTURE(multishot);
        CAPTURE(reset);
        const auto engine = make(small);
        fd_pair pair = tcp_pair();
        watched op(opcode::receive, pair.near.get());
        op.multishot = multishot;
        engine->start(op);
        turn(*engine);
        const linger how{reset, 0};
        REQUIRE(::setsockopt(pair.far.get(), SOL_SOCKET, SO_LINGER, &how, sizeof how) == 0);
        pair.far.reset();
        finish(*engine, op);
        CHECK(op.answer == (reset ? -ECONNRESET : 0));
        { const buffer none = take(*engine, op); }
        CHECK(engine->buffers_free() == buffer_count);
      }
    }
  });
}

TEST_CASE("a waiting receive holds no buffer, and a cancelled one has used none") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make(small);
    const fd_pair pair = socket_pair();
    watched op(opcode::receive, pair.near.get());
    engine->start(op);
    turn(*engine);
    CHECK(engine->buffers_free() == buffer_count);
    engine->cancel(op);
    finish(*engine, op);
    CHECK(op.seen.back().buffer == completion::no_buffer);
    CHECK(engine->buffers_free() == buffer_count);
  });
}

TEST_CASE("a receive without a free buffer ends with ENOBUFS, takes nothing, and is counted") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make(small);
    const fd_pair pair = socket_pair();
    std::vector<buffer> held;
    for (std::uint32_t i = 0; i < buffer_count; ++i) {
      put(pair.far, "x");
      held.push_back(receive(*engine, pair.near));
    }
    CHECK(engine->buffers_free() == 0);
    for (const bool data_first : {true, false}) {
      watched op(opcode::receive, pair.near.get());
      if (data_first) put(pair.far, "abc");
      engine->start(op);
      turn(*engine);
      if (!data_first) put(pair.far, "abc");
      finish(*engine, op);
      CHECK(op.answer == -ENOBUFS);
      CHECK(op.seen.back().buffer == completion::no_buffer);
      CHECK(drain(pair.near) == "abc");
    }
    CHECK(engine->statistics().buffers_dry == 2);
    held.pop_back();
    CHECK(engine->buffers_free() == 1);
    put(pair.far, "abc");
    CHECK(receive(*engine, pair.near).text() == "abc");
  });
}

// Streams do this when they wait for bytes and no buffer is free. Whatever the engine knows of the
// descriptor, the next turn must not end the wait again, or the stream would never sleep.
TEST_CASE("a receive that polls first and finds no buffer waits for bytes before it fails") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make(small);
    const fd_pair pair = tcp_pair();
    engine->register_fd(pair.near.get());
    std::vector<buffer> held;
    for (std::uint32_t i = 0; i < buffer_count; ++i) {
      watched op(opcode::receive, pair.near.get());
      engine->start(op);
      turn(*engine);
      // The message fills the buffer, so nothing shows that there is no more.
      put(pair.far, pattern(buffer_size));
      finish(*engine, op);
      held.push_back(take(*engine, op));
      CHECK(held.back().size() == buffer_size);
    }
    watched asking(opcode::poll, pair.near.get());
    asking.poll.events = POLLIN;
    CHECK(engine->call(asking) == -EAGAIN);
    watched op(opcode::receive, pair.near.get());
    op.poll_first = true;
    engine->start(op);
    for (int i = 0; i < 5; ++i) turn(*engine);
    CHECK(op.in_flight());
    put(pair.far, "x");
    finish(*engine, op);
    CHECK(op.answer == -ENOBUFS);
    engine->unregister_fd(pair.near.get());
  });
}

TEST_CASE("buffers are reused, and every byte arrives in order") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make(small);
    const fd_pair pair = socket_pair();
    const std::string sent = pattern(100'000);
    std::string received;
    std::set<const std::byte*> places;
    for (std::size_t offset = 0; offset < sent.size(); offset += 1000) {
      put(pair.far, sent.substr(offset, 1000));
      while (received.size() < offset + 1000) {
        const buffer data = receive(*engine, pair.near);
        places.insert(data.data());
        received += data.text();
      }
    }
    CHECK(received == sent);
    CHECK(places.size() <= buffer_count);
    CHECK(engine->buffers_free() == buffer_count);
    CHECK(engine->statistics().buffers_dry == 0);
  });
}

TEST_CASE("a lease keeps its bytes while other buffers are reused") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make(small);
    const fd_pair pair = socket_pair();
    put(pair.far, "kept");
    const buffer kept = receive(*engine, pair.near);
    for (int i = 0; i < 20; ++i) {
      put(pair.far, "other");
      CHECK(receive(*engine, pair.near).text() == "other");
    }
    CHECK(kept.text() == "kept");
  });
}

TEST_CASE("several receives in flight get a buffer each") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make(small);
    std::array<fd_pair, buffer_count> pairs{socket_pair(), socket_pair(), socket_pair(),
                                            socket_pair()};
    std::array<std::optional<watched>, buffer_count> ops;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      engine->start(ops[i].emplace(opcode::receive, pairs[i].near.get()));
    }
    turn(*engine);
    for (std::size_t i = 0; i < pairs.size(); ++i) put(pairs[i].far, std::to_string(i));
    finish_all(*engine);
    std::vector<buffer> leases;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      leases.push_back(take(*engine, *ops[i]));
      CHECK(leases.back().text() == std::to_string(i));
    }
    CHECK(engine->buffers_free() == 0);
  });
}

TEST_CASE("leases outlive the engine, and are freed after it") {
  for_each_kernel_engine([](const engine_maker& make) {
    const fd_pair pair = socket_pair();
    std::vector<buffer> leases;
    {
      const auto engine = make(small);
      for (const char* text : {"first", "second"}) {
        put(pair.far, text);
        leases.push_back(receive(*engine, pair.near));
      }
    }
    CHECK(leases[0].text() == "first");
    CHECK(leases[1].text() == "second");
    leases[1].bytes()[0] = std::byte{'S'};
    leases.erase(leases.begin());
    CHECK(leases[0].text() == "Second");
  });
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("conformance: memory that the kernel owns");

// Skipped without AddressSanitizer, which alone detects this.
TEST_CASE("buffers that are not leased may not be touched" * doctest::skip(!sees_poison)) {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make(small);
    const fd_pair pair = socket_pair();
    const std::byte* const first = engine->buffers().at(0);
    constexpr std::size_t whole = buffer_count * buffer_size;
    CHECK(count_poisoned(first, whole) == whole);
    put(pair.far, "abc");
    {
      const buffer lease = receive(*engine, pair.near);
      CHECK(count_poisoned(first, whole) == whole - 3);
      CHECK(count_poisoned(lease.data(), 3) == 0);
    }
    CHECK(count_poisoned(first, whole) == whole);
  });
}

// Skipped without AddressSanitizer, which alone detects this.
TEST_CASE("memory may not be touched from the start of a read to its completion" *
          doctest::skip(!sees_poison)) {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make(small);
    for (const opcode code : {opcode::recv, opcode::read}) {
      const fd_pair pair = socket_pair();
      const auto memory = std::make_unique<std::array<std::byte, 64>>();
      watched op(code, pair.near.get(), std::span<std::byte>(*memory));
      for (const bool cancelled : {false, true}) {
        engine->start(op);
        CHECK(count_poisoned(memory->data(), 64) == 64);
        turn(*engine);
        CHECK(count_poisoned(memory->data(), 64) == 64);
        cancelled ? engine->cancel(op) : put(pair.far, "abc");
        CHECK(count_poisoned(memory->data(), 64) == 64);
        finish(*engine, op);
        CHECK(count_poisoned(memory->data(), 64) == 0);
      }
    }
  });
}

// Skipped without AddressSanitizer, which alone detects this.
TEST_CASE("memory that the kernel only reads may be read" * doctest::skip(!sees_poison)) {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make(small);
    const fd_pair pair = socket_pair();
    fill(pair.far);
    const std::string words = pattern(64);
    watched op(opcode::send, pair.far.get(), bytes(words));
    engine->start(op);
    turn(*engine);
    CHECK(count_poisoned(words.data(), words.size()) == 0);
    engine->cancel(op);
    finish(*engine, op);
  });
}

TEST_SUITE_END();
