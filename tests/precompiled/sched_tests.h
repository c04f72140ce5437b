// What most tests of sched include: see core_tests.h.
// SPDX-License-Identifier: MIT
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>
