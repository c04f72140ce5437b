// Whether a test case gives back what it takes: memory, coroutine frames, descriptors.
#pragma once

#include <doctest/doctest.h>

namespace ringlet::test {

/// Runs `tests`, and returns its exit status. The cases that have passed and left more behind than
/// there was before are then run again, by themselves: one that leaves more behind each time leaks,
/// is named on standard output, and fails the program. (The first time caches are filled and
/// threads started, which stay.) Sanitizers have a leak check of their own: with them this is
/// run().
int run_without_leaks(doctest::Context& tests);

}  // namespace ringlet::test
