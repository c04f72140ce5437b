// watched: an operation that records what was dispatched to it.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/engine.hpp>
#include <ringlet/extend/operation.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ringlet::test {
using namespace extend;

struct watched : operation {
  explicit watched(opcode kind = opcode::nop, int descriptor = -1) : operation(kind, &note) {
    fd = descriptor;
  }
  watched(opcode kind, int descriptor, std::span<std::byte> memory) : watched(kind, descriptor) {
    data = memory.data();
    length = static_cast<std::uint32_t>(memory.size());
  }
  watched(opcode kind, int descriptor, std::span<const std::byte> memory)
      : watched(kind, descriptor, std::span(const_cast<std::byte*>(memory.data()), memory.size())) {
  }

  bool done() const noexcept { return current_state() == state::done; }

  std::vector<completion> seen;
  state state_when_seen = state::idle;

 private:
  static void note(operation& op, const completion& done) noexcept {
    auto& self = static_cast<watched&>(op);
    self.seen.push_back(done);
    self.state_when_seen = self.current_state();
  }
};

/// Waits once and dispatches the completions; returns how many there were.
inline std::size_t turn(extend::engine& engine, steady_ns deadline = 0, std::size_t batch = 256) {
  std::vector<completion> out(batch);
  const std::size_t count = engine.wait(deadline, out);
  for (std::size_t i = 0; i < count; ++i) engine.dispatch(out[i]);
  return count;
}

/// Takes turns until the operation is done. Blocking workers post their answers.
inline void finish(extend::engine& engine, const operation& op) {
  while (op.in_flight()) {
    turn(engine, never);
    engine.run_posted();
  }
}

/// Takes turns until nothing is in flight.
inline void finish_all(extend::engine& engine) {
  while (engine.in_flight() != 0) {
    turn(engine, never);
    engine.run_posted();
  }
}

}  // namespace ringlet::test
