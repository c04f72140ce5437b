// Whether each test case returns what it takes: memory, coroutine frames, descriptors.
// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>

namespace ringlet::test {

/// Runs `tests`, and returns its exit status. The cases that pass and leave more behind than before
/// then run again, alone: a case that leaves more behind each time leaks, is named on standard
/// output, and fails the program. (The first run fills caches and starts threads, which stay.)
/// Sanitizers have their own leak check: under them this is run().
int run_without_leaks(doctest::Context& tests);

}  // namespace ringlet::test
