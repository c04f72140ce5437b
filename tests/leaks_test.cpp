// Cases that leak, one of each kind, and cases that only seem to: leaks_test.py checks which of
// them fail.
// SPDX-License-Identifier: MIT
#include "leaks.hpp"

#include <ringlet/detail/frame_pool.hpp>
#include <ringlet/task.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/mman.h>

#include <memory>
#include <string>
#include <vector>

namespace {

struct alignas(128) aligned {
  int value = 0;
};

ringlet::task<> nothing() { co_return; }

// A pointer that the compiler cannot see through; otherwise it may elide a pair of new and delete.
void* volatile kept = nullptr;

}  // namespace

TEST_CASE("leaks a block") { kept = new int; }
TEST_CASE("leaks an aligned block") { kept = new aligned; }
TEST_CASE("leaks an array, in one of two subcases") {
  SUBCASE("one") { kept = new std::string[3]; }
  SUBCASE("the other") {}
}
TEST_CASE("leaks a frame") { kept = new ringlet::task<>(nothing()); }
TEST_CASE("leaks what lies in the frame pool") { kept = ringlet::detail::frames.allocate(200); }
TEST_CASE("leaks a mapping") {
  kept = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
TEST_CASE("leaks a descriptor") { CHECK(::open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0); }

TEST_CASE("gives everything back") {
  ringlet::detail::frames.deallocate(ringlet::detail::frames.allocate(200), 200);
  kept = std::make_unique<aligned>().get();
}
TEST_CASE("fails, and may have stopped anywhere" * doctest::should_fail()) {
  kept = new int;
  FAIL("on purpose");
}
TEST_CASE("fills a cache when it runs first") {
  static const auto cache = std::make_unique<std::string>(1000, 'x');
  static std::vector<int> grown;
  grown.resize(1000);
  CHECK(cache->size() == 1000);
}
TEST_CASE("has subcases with long names, which doctest keeps for a while") {
  SUBCASE("the first one, whose name is too long for the string class of doctest") {}
  SUBCASE("the second one, whose name is too long for the string class of doctest") {}
}
