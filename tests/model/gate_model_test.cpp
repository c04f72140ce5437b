// gate: no thread is inside once the gate is closed, in any order of the steps of its threads.
//
// Method: as in mailbox_model_test.cpp. Each memory order is weakened and each read-modify-write is
// split, one at a time, and some program must fail.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/gate.hpp>

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <string>

#include "model/explorer.hpp"
#include "model/memory.hpp"
#include "support/scale.hpp"

using namespace ringlet;
using namespace ringlet::model;

namespace {

// Two threads enter, one of them twice, while the owner closes.
struct visits {
  static constexpr int threads = 3;
  ringlet::detail::gate<modelled> gate;
  std::array<variable<int>, 2> used{};  // by each thread inside, then by the owner
  variable<bool> ended = false;         // by the owner, then by threads that were refused

  void visit(std::size_t thread) {
    if (gate.enter()) {
      used[thread] = used[thread] + 1;
      gate.leave();
    } else {
      expect(ended, "a refused thread sees that the owner ended");
      expect(gate.is_closed(), "a gate that refused a thread is closed");
    }
  }
  void run(int thread) {
    if (thread == 1) visit(0);
    if (thread == 2) {
      visit(1);
      visit(1);
    }
    if (thread != 0) return;
    ended = true;
    gate.close();
    for (variable<int>& each : used) each = -1;
  }
  void finish() {
    for (variable<int>& each : used) expect(each == -1, "no thread enters a closed gate");
  }
};

// A thread that only looks whether the owner has ended.
struct looks {
  static constexpr int threads = 2;
  ringlet::detail::gate<modelled> gate;
  variable<bool> ended = false;

  void run(int thread) {
    if (thread == 0) {
      ended = true;
      gate.close();
    } else if (gate.is_closed()) {
      expect(ended, "a thread that saw the gate closed sees that the owner ended");
    }
  }
  void finish() { expect(gate.is_closed(), "a closed gate stays closed"); }
};

template <class World>
void check_holds(const std::string& name) {
  bounds limits;
  if (test::test_scale() > 1) limits.preemptions = limits.stale = 3;
  const verdict found = explore<World>(limits);
  CHECK_MESSAGE(found.failure.empty(), found.failure, "\n", found.trace);
  CHECK(found.is_complete);
  MESSAGE(name << ": " << found.executions << " executions");
}

}  // namespace

TEST_SUITE_BEGIN("gate model");

TEST_CASE("no thread is inside a closed gate, and the owner sees what threads did inside") {
  known_sites().clear();
  check_holds<visits>("visits");
  check_holds<looks>("looks");
}

TEST_CASE("each memory order and each read-modify-write of the gate is needed") {
  int changes = 0;
  for (const auto& [place, where] : std::map(known_sites())) {
    if (!place.starts_with("gate.hpp")) continue;
    for (const mutation& changed : weakenings_of(where)) {
      std::string failure = explore<visits>({}, &changed).failure;
      if (failure.empty()) failure = explore<looks>({}, &changed).failure;
      MESSAGE(changed.text() << ": " << failure);
      CHECK_MESSAGE(!failure.empty(), changed.text());
      ++changes;
    }
  }
  CHECK(changes >= 8);
}

TEST_SUITE_END();
