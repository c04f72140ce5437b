// The part of micro's table for locks, events and queues.
#pragma once

#include <vector>

#include "micro_figures.hpp"

namespace bench {

std::vector<figure> measure_sync();

}  // namespace bench
