// A row of micro_threads.cpp: what handing an accepted socket to another scheduler costs.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/runtime.hpp>

namespace bench {

/// The CPU time, in nanoseconds, of one hand-over by a tcp_listener_group. `count` is about how
/// many connections to make.
double hand_overs(ringlet::runtime& two, int count);

}  // namespace bench
