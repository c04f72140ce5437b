// The names that `using namespace ringlet` brings in: those for programs. Each name in `everyday`
// would be ambiguous below if the library declared it in that namespace.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <doctest/doctest.h>

namespace {
namespace everyday {

struct context {};
struct scope {};
struct timer_entry {};
struct operation {};
struct completion {};
struct engine {};
struct scheduler {};
struct descriptor {};
enum class direction { up, down };
enum class opcode { add, subtract };
struct awaiter {};
struct wait_base {};
struct list_wait {};
struct sleep_wait {};
struct join_wait {};
struct receive_wait {};
struct accept_wait {};
struct select_wait {};
struct buffer_pool {};
struct frame_pool {};
struct intrusive_list {};
inline constexpr int never = 0;
inline int current() { return 1; }

}  // namespace everyday

using namespace ringlet;
using namespace everyday;

// Uses all the names, so that each one is looked up.
template <class... T>
constexpr int count(T...) {
  return sizeof...(T);
}

}  // namespace

TEST_SUITE_BEGIN("ringlet");

TEST_CASE("using namespace ringlet brings in no name for authors of waits and engines") {
  CHECK(count(context(), scope(), timer_entry(), operation(), completion(), engine(), scheduler(),
              descriptor(), direction::up, opcode::add, awaiter(), wait_base(), list_wait(),
              sleep_wait(), join_wait(), receive_wait(), accept_wait(), select_wait(),
              buffer_pool(), frame_pool(), intrusive_list(), never, current()) == 23);
}

TEST_SUITE_END();
