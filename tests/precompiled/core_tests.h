// What most tests of core include. It only saves time: a test includes what it uses. Headers that
// few tests include are not here, because a change to them would recompile all tests.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/assert.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>
