// What most tests of core include. It saves time and nothing else: a test includes what it uses, and
// what only few include is not here, or a change there would compile all of them.
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
