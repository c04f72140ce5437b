// How long tests with random programs run, and with which: what the environment says.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace ringlet::test {

inline std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

/// RINGLET_TEST_SCALE: how many times longer than in a normal run.
inline std::size_t test_scale() { return number_from("RINGLET_TEST_SCALE", 1); }
/// RINGLET_TEST_SEED: the only random program to run; 0 for all.
inline std::uint64_t test_seed() { return number_from("RINGLET_TEST_SEED", 0); }

}  // namespace ringlet::test
