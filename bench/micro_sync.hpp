// The rows of micro's table for locks, events and queues.
#pragma once

#include <vector>

#include "micro_measure.hpp"

namespace bench {

std::vector<row> sync_rows();

}  // namespace bench
