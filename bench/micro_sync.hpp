// The rows of micro's table for locks, events and queues.
// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "micro_measure.hpp"

namespace bench {

std::vector<row> sync_rows();

}  // namespace bench
