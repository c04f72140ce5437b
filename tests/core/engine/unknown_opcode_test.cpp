// An operation with an unknown opcode ends the program: it must not look like a success.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>

#include "support/aborts.hpp"
#include "support/engines.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("unknown opcodes");

namespace {

constexpr auto unknown = static_cast<opcode>(static_cast<int>(opcode::close) + 1);

// Never destroyed: it is in flight when the program ends.
operation& lasting(opcode code) { return *new watched(code); }

}  // namespace

TEST_CASE("every engine aborts when an operation with an unknown opcode is started") {
  for_each_engine([](const engine_maker& make) {
    CHECK(aborts_with("an operation was started that", [&] {
      const auto engine = make();
      engine->start(lasting(unknown));
      turn(*engine);
    }));
  });
}

TEST_CASE("every engine aborts when an operation with the opcode of a direct call is started") {
  for_each_engine([](const engine_maker& make) {
    for (const opcode code : {opcode::open_socket, opcode::shutdown, opcode::close}) {
      CHECK(aborts_with("an operation that is answered at once was started", [&] {
        const auto engine = make();
        engine->start(lasting(code));
        turn(*engine);
      }));
    }
  });
}

TEST_CASE("every engine aborts when a direct call has an unknown opcode, or one that can wait") {
  for_each_engine([](const engine_maker& make) {
    CHECK(aborts_with("a call was made that", [&] { make()->call(lasting(unknown)); }));
    for (const opcode code : {opcode::nop, opcode::accept, opcode::write}) {
      CHECK(aborts_with("an operation that takes time was made as a direct call",
                        [&] { make()->call(lasting(code)); }));
    }
  });
}

TEST_SUITE_END();
