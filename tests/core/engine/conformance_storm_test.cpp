// Operations, cancellations and peers in random order, compared with a model.
//
// Model: each direction of a connection is a stream of bytes that follow from their position, so
// each reader can check that its bytes are the next ones: nothing is lost, duplicated or out of
// order. And each start of an operation is answered by exactly one final completion.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "support/engines.hpp"
#include "support/random.hpp"
#include "support/sanitized.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("conformance: storm");

namespace {

// A stream of bytes that follow from their position.
class byte_stream {
 public:
  explicit byte_stream(std::uint64_t seed) : seed_(seed) {}

  void write(std::span<std::byte> memory) const {
    for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = at(written_ + i);
  }
  void was_written(std::size_t count) { written_ += count; }
  void was_read(std::span<const std::byte> memory) {
    for (const std::byte one : memory) wrong_ += one == at(read_++) ? 0 : 1;
  }
  std::size_t wrong() const noexcept { return wrong_; }
  bool is_empty() const noexcept { return read_ == written_; }

 private:
  std::byte at(std::size_t position) const noexcept {
    const std::uint64_t mixed = (position + seed_) * 0x9e3779b97f4a7c15;
    return static_cast<std::byte>(mixed >> 56);
  }
  std::uint64_t seed_;
  std::size_t written_ = 0;
  std::size_t read_ = 0;
  std::size_t wrong_ = 0;
};

// An operation that counts its starts and final completions, and reports each to its owner.
template <class Owner>
struct told_operation : operation {
  using listener = void (Owner::*)(const completion&);

  told_operation(Owner& to, opcode kind, listener told)
      : operation(kind,
                  [](operation& op, const completion& done) noexcept {
                    auto& self = static_cast<told_operation&>(op);
                    if (!done.more) ++self.finals;
                    (self.owner.*self.tell)(done);
                  }),
        owner(to),
        tell(told) {}

  Owner& owner;
  listener tell;
  std::size_t starts = 0;
  std::size_t finals = 0;
};

constexpr std::size_t memory_size = 3000;

// One connection: the engine drives the near end, plain calls drive the far end.
class storm_connection {
 public:
  storm_connection(extend::engine& engine, random_numbers& chance)
      : engine_(engine),
        chance_(chance),
        kept_(chance.once_in(2)),
        ends_(chance.once_in(2) ? tcp_pair() : socket_pair()),
        in_(chance.next()),
        out_(chance.next()) {
    if (kept_) engine_.register_fd(ends_.near.get());
  }
  ~storm_connection() {
    if (kept_) engine_.unregister_fd(ends_.near.get());
  }
  storm_connection(const storm_connection&) = delete;
  storm_connection& operator=(const storm_connection&) = delete;

  void step() {
    switch (chance_.below(8)) {
      case 0:
      case 1:
        return start_reading();
      case 2:
        return start_writing();
      case 3:
        return engine_.cancel(reading_);
      case 4:
        return engine_.cancel(writing_);
      case 5:
        return held_.clear();
      case 6:
        return far_writes();
      default:
        return far_reads();
    }
  }
  // Cancels everything in flight, and reads the rest.
  void cancel() {
    engine_.cancel(reading_);
    engine_.cancel(writing_);
  }
  bool in_flight() const noexcept { return reading_.in_flight() || writing_.in_flight(); }
  void check() {
    held_.clear();
    ::shutdown(ends_.near.get(), SHUT_WR);
    ::shutdown(ends_.far.get(), SHUT_WR);
    read_to_the_end(ends_.near, in_);
    read_to_the_end(ends_.far, out_);
    CHECK(in_.wrong() == 0);
    CHECK(out_.wrong() == 0);
    CHECK(in_.is_empty());
    CHECK(out_.is_empty());
    CHECK(failures_ == 0);
    CHECK(reading_.starts == reading_.finals);
    CHECK(writing_.starts == writing_.finals);
  }

 private:
  void start_reading() {
    if (reading_.in_flight()) return;
    reading_.become(std::array{opcode::recv, opcode::read, opcode::receive}[chance_.below(3)]);
    reading_.fd = ends_.near.get();
    reading_.data = in_memory_.data();
    reading_.length = static_cast<std::uint32_t>(1 + chance_.below(memory_size));
    reading_.multishot = reading_.code == opcode::receive && chance_.once_in(2);
    if (reading_.code == opcode::receive) {
      const std::uint32_t limit = std::exchange(reading_.length, 0);
      reading_.data = nullptr;
      if (reading_.multishot && !chance_.once_in(2)) reading_.receive.limit = limit;
    }
    reading_.poll_first = reading_.code != opcode::read && chance_.once_in(4);
    ++reading_.starts;
    engine_.start(reading_);
  }
  void start_writing() {
    if (writing_.in_flight()) return;
    writing_.become(chance_.once_in(2) ? opcode::send : opcode::write);
    writing_.fd = ends_.near.get();
    writing_.data = out_memory_.data();
    const std::size_t size = 1 + chance_.below(memory_size);
    writing_.length = static_cast<std::uint32_t>(size);
    out_.write(std::span(out_memory_).first(size));
    ++writing_.starts;
    engine_.start(writing_);
  }
  void was_read(const completion& done) {
    if (done.buffer != completion::no_buffer) {
      const auto size = static_cast<std::uint32_t>(std::max(0, done.result));
      buffer lease = engine_.buffers().lend(done.buffer, size);
      in_.was_read(lease.bytes());
      if (chance_.once_in(2)) held_.push_back(std::move(lease));
    } else if (done.result > 0) {
      in_.was_read(std::span(in_memory_).first(static_cast<std::size_t>(done.result)));
    } else if (done.result != -ECANCELED && done.result != -ENOBUFS) {
      ++failures_;
    }
  }
  void was_written(const completion& done) {
    if (done.result > 0) {
      out_.was_written(static_cast<std::size_t>(done.result));
    } else if (done.result != -ECANCELED) {
      ++failures_;
    }
  }
  void far_writes() {
    std::array<std::byte, memory_size> memory;
    const auto piece = std::span(memory).first(1 + chance_.below(memory_size));
    in_.write(piece);
    const ssize_t count = ::send(ends_.far.get(), piece.data(), piece.size(), MSG_DONTWAIT);
    if (count > 0) in_.was_written(static_cast<std::size_t>(count));
  }
  void far_reads() {
    std::array<std::byte, memory_size * 2> memory;
    const std::size_t size = 1 + chance_.below(memory.size());
    const ssize_t count = ::recv(ends_.far.get(), memory.data(), size, MSG_DONTWAIT);
    if (count > 0) out_.was_read(std::span(memory).first(static_cast<std::size_t>(count)));
  }
  static void read_to_the_end(const unique_fd& fd, byte_stream& stream) {
    std::array<std::byte, memory_size> memory;
    for (ssize_t count; (count = ::recv(fd.get(), memory.data(), memory.size(), 0)) > 0;) {
      stream.was_read(std::span(memory).first(static_cast<std::size_t>(count)));
    }
  }

  engine& engine_;
  random_numbers& chance_;
  bool kept_;
  fd_pair ends_;
  byte_stream in_;
  byte_stream out_;
  std::size_t failures_ = 0;
  std::vector<buffer> held_;
  std::array<std::byte, memory_size> in_memory_{};
  std::array<std::byte, memory_size> out_memory_{};
  told_operation<storm_connection> reading_{*this, opcode::recv, &storm_connection::was_read};
  told_operation<storm_connection> writing_{*this, opcode::send, &storm_connection::was_written};
};

void storm(extend::engine& engine, std::uint64_t seed) {
  constexpr int steps = 2000;
  constexpr std::size_t connections = 5;
  constexpr std::array<std::size_t, 4> batches{1, 2, 8, 256};
  random_numbers chance(seed);
  std::vector<std::unique_ptr<storm_connection>> all;
  for (std::size_t i = 0; i < connections; ++i) {
    all.push_back(std::make_unique<storm_connection>(engine, chance));
  }
  for (int i = 0; i < steps; ++i) {
    all[chance.below(connections)]->step();
    if (chance.once_in(3)) turn(engine, 0, batches[chance.below(batches.size())]);
    if (chance.once_in(300)) {
      // Reuses an old number for a new connection.
      std::unique_ptr<storm_connection>& one = all[chance.below(connections)];
      one->cancel();
      while (one->in_flight()) turn(engine, never);
      one->check();
      one = std::make_unique<storm_connection>(engine, chance);
    }
  }
  for (auto& one : all) one->cancel();
  finish_all(engine);
  for (auto& one : all) one->check();
  CHECK(engine.buffers_free() == engine.buffers().count());
}

}  // namespace

TEST_CASE("random operations lose and duplicate no byte, and complete each start once") {
  for_each_kernel_engine([](const engine_maker& make) {
    const std::uint64_t seeds = make.is_rung() || sanitized ? 8 : 40;
    const auto engine = make(
        {.submission_entries = 8, .completion_entries = 16, .buffer_count = 8, .buffer_size = 256});
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      INFO("seed ", seed);
      storm(*engine, seed);
    }
  });
}

TEST_SUITE_END();
