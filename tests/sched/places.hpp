// places: where fibers were spawned, for tests of the recorded call sites.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/fiber_base.hpp>
#include <ringlet/task.hpp>

#include <source_location>
#include <string>

namespace ringlet::test {

inline std::string place_of(const std::source_location& where) {
  return std::string(where.file_name()) + ':' + std::to_string(where.line());
}
/// The place of this call.
inline std::string place_here(std::source_location where = std::source_location::current()) {
  return place_of(where);
}
/// Where the running fiber was spawned.
inline task<std::string> place_of_spawn() { co_return place_of(extend::current().spawned_at()); }

}  // namespace ringlet::test
