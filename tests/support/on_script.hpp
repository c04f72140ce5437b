// on_script: runs a test that no kernel takes part in.
// SPDX-License-Identifier: MIT
#pragma once

#include <source_location>

#include "support/scripted_engine.hpp"
#include "support/stage.hpp"

namespace ringlet::test {

/// Runs the task that `body()` returns on a scripted engine with its own clock.
template <class F>
void on_script(F body) {
  scripted_engine engine(4, 1024);
  detail::run_on(engine, beside_main(body()), {}, std::source_location::current());
}

}  // namespace ringlet::test
