// generator<Y, R>: the range, the values, how it ends, and what aborts.
//
// elements_of_test.cpp has generators that yield from others; stack_growth_test.cpp tests depth.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/frame_pool.hpp>
#include <ringlet/generator.hpp>
#include <ringlet/task.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/aborts.hpp"
#include "support/chain.hpp"
#include "support/counted.hpp"

using namespace ringlet;
using namespace ringlet::detail;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("generator");

namespace {

generator<int> count_to(int last) {
  for (int i = 1; i <= last; ++i) co_yield i;
}
generator<int, std::string> count_and_tell(int last) {
  int i = 0;
  while (i < last) co_yield ++i;
  co_return std::to_string(i) + " in all";
}
generator<int> fail_after(int last) {
  for (int i = 1; i <= last; ++i) co_yield i;
  throw std::runtime_error("no more");
}

template <class G>
std::vector<int> all_of(G&& values) {
  std::vector<int> all;
  for (const int value : values) all.push_back(value);
  return all;
}

struct same_name {
  int await_transform;
};
template <class Promise>
struct with_same_name : Promise, same_name {};
template <class Promise>
constexpr bool names_await_transform = !requires {
  &with_same_name<Promise>::await_transform;
};
using generator_base = detail::yielding_promise<int>;

// The start of this thread's free lists.
std::array<const void*, detail::frame_pool::classes> free_blocks() {
  std::array<const void*, detail::frame_pool::classes> heads;
  std::copy(std::begin(detail::frames_here.free), std::end(detail::frames_here.free),
            heads.begin());
  return heads;
}

}  // namespace

// row: GN-01
TEST_CASE("a generator is a range of the values that it yields") {
  CHECK(all_of(count_to(3)) == std::vector{1, 2, 3});
  CHECK(all_of(count_to(0)).empty());
}

// row: GN-01
TEST_CASE("a generator is an input range that can be moved but not copied") {
  using numbers = generator<int>;
  CHECK(std::ranges::input_range<numbers>);
  CHECK_FALSE(std::ranges::forward_range<numbers>);
  CHECK(std::ranges::input_range<generator<std::unique_ptr<int>>>);
  CHECK(std::ranges::input_range<generator<const std::string&>>);
  CHECK(std::is_same_v<std::ranges::range_value_t<generator<const std::string&>>, std::string>);
  CHECK(std::is_same_v<std::ranges::range_reference_t<generator<const std::string&>>,
                       const std::string&>);
  CHECK(std::is_same_v<std::ranges::range_reference_t<numbers>, int&&>);
  CHECK(std::is_nothrow_move_constructible_v<numbers>);
  CHECK(std::is_nothrow_move_assignable_v<numbers>);
  CHECK_FALSE(std::is_copy_constructible_v<numbers>);
}

// row: GN-01
TEST_CASE("the standard library's views and algorithms accept a generator") {
  std::vector<int> even;
  for (const int value : count_to(9) | std::views::filter([](int n) { return n % 2 == 0; }) |
                             std::views::transform([](int n) { return 10 * n; })) {
    even.push_back(value);
  }
  CHECK(even == std::vector{20, 40, 60, 80});
  CHECK(std::ranges::distance(count_to(5)) == 5);
  auto numbers = count_to(9);
  const auto found = std::ranges::find(numbers, 4);
  CHECK(*found == 4);
}

// row: GN-01
TEST_CASE("the body runs when the next value is requested, and only as far as that value") {
  std::string order;
  auto letters = [](std::string& text) -> generator<char> {
    text += '(';
    co_yield 'a';
    text += ',';
    co_yield 'b';
    text += ')';
  }(order);
  CHECK(order.empty());
  auto at = letters.begin();
  CHECK(order == "(");
  CHECK(*at == 'a');
  CHECK(*at == 'a');
  ++at;
  CHECK(order == "(,");
  CHECK(*at == 'b');
  at++;
  CHECK(order == "(,)");
  const bool ended = at == letters.end();
  CHECK(ended);
}

// row: GN-01
TEST_CASE("a generator that has ended stays ended") {
  auto numbers = count_to(2);
  CHECK(all_of(numbers).size() == 2);
  CHECK(all_of(numbers).empty());
  const bool ended = numbers.begin() == numbers.end();
  CHECK(ended);
}

// row: GN-01
TEST_CASE("the value of co_return is available after the end") {
  auto numbers = count_and_tell(3);
  CHECK(all_of(numbers) == std::vector{1, 2, 3});
  CHECK(numbers.result() == "3 in all");
}

// row: GN-01
TEST_CASE("a result may be a reference, or a value that can only be moved") {
  int target = 7;
  auto refer = [](int& to) -> generator<int, int&> {
    co_yield 1;
    co_return to;
  }(target);
  all_of(refer);
  CHECK(&refer.result() == &target);
  auto own = []() -> generator<int, std::unique_ptr<int>> {
    co_yield 1;
    co_return std::make_unique<int>(7);
  }();
  all_of(own);
  CHECK(*own.result() == 7);
}

TEST_CASE("a loop continues where an earlier loop broke off") {
  auto numbers = count_to(5);
  for (const int value : numbers) {
    if (value == 2) break;
  }
  CHECK(all_of(numbers) == std::vector{3, 4, 5});
}

TEST_CASE("a moved generator is the same call, and its iterators stay valid") {
  auto first = count_to(3);
  auto at = first.begin();
  auto second = std::move(first);
  ++at;
  CHECK(*at == 2);
  first = std::move(second);
  CHECK(all_of(first) == std::vector{3});
}

TEST_CASE("assigning destroys the generator that was held before") {
  life_count lives;
  auto numbers = [](counted held) -> generator<int> { co_yield held.value(); }(counted(lives, 7));
  CHECK(lives.alive() == 1);
  numbers = count_to(2);
  CHECK(lives.alive() == 0);
  CHECK(all_of(numbers) == std::vector{1, 2});
}

TEST_CASE("the frame of a generator is allocated from the pool and freed to it") {
  static_cast<void>(all_of(count_to(1)));
  const auto before = free_blocks();
  {
    const auto numbers = count_to(1);
    CHECK(free_blocks() != before);
  }
  CHECK(free_blocks() == before);
}

// Of a promise with a function of that name a coroutine may await what the function takes, and
// this one takes nothing. To look for a name: another one of the base makes it ambiguous.
TEST_CASE("co_await in a generator does not compile") {
  CHECK(names_await_transform<generator_base>);
  CHECK(names_await_transform<task_promise_base>);
  CHECK_FALSE(names_await_transform<detail::returned<int>>);
  const auto can_await = []<class P>(P*) {
    return requires(P promise, yield_wait wait) { promise.await_transform(wait); };
  };
  CHECK_FALSE(can_await(static_cast<generator<int>::promise_type*>(nullptr)));
  CHECK(can_await(static_cast<task<int>::promise_type*>(nullptr)));
}

TEST_CASE("a task may loop over a generator and wait in between") {
  const int sum = run_alone([]() -> task<int> {
    int total = 0;
    for (const int value : count_to(4)) {
      co_await yield_wait();
      total += value;
    }
    co_return total;
  }());
  CHECK(sum == 10);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("generator: values");

TEST_CASE("a yielded rvalue arrives as the same object, neither copied nor moved") {
  life_count lives;
  auto values = [](life_count& of) -> generator<counted> {
    for (int i = 0; i < 3; ++i) co_yield counted(of, i);
  }(lives);
  int next = 0;
  for (const counted& value : values) {
    CHECK(value.value() == next++);
    CHECK(lives.alive() == 1);
  }
  CHECK(lives.made == 3);
  CHECK(lives.alive() == 0);
}

TEST_CASE("a yielded lvalue is copied once, and the body's own object is unchanged") {
  life_count lives;
  {
    auto values = [](life_count& of) -> generator<counted> {
      const counted kept(of, 7);
      for (int i = 0; i < 3; ++i) {
        co_yield kept;
        CHECK(kept.value() == 7);
        CHECK(of.alive() == 1);
      }
    }(lives);
    for (auto&& value : values) {
      const counted taken = std::move(value);
      CHECK(taken.value() == 7);
      CHECK(lives.alive() == 3);
    }
    CHECK(lives.made == 1 + 3 * 2);
  }
  CHECK(lives.alive() == 0);
}

TEST_CASE("a loop can move from a yielded value that can only be moved") {
  auto values = []() -> generator<std::unique_ptr<int>> {
    co_yield std::make_unique<int>(1);
    auto second = std::make_unique<int>(2);
    co_yield std::move(second);
    CHECK(second == nullptr);
  }();
  std::vector<std::unique_ptr<int>> all;
  for (auto&& value : values) all.push_back(std::move(value));
  CHECK(*all.at(0) == 1);
  CHECK(*all.at(1) == 2);
}

TEST_CASE("a yielded reference refers to the body's own object") {
  std::vector<std::string> words{"one", "two"};
  const auto each = [](std::vector<std::string>& from) -> generator<std::string&> {
    for (std::string& word : from) co_yield word;
  };
  for (std::string& word : each(words)) word += '!';
  CHECK(words == std::vector<std::string>{"one!", "two!"});
  const auto look = [](const std::vector<std::string>& at) -> generator<const std::string&> {
    for (const std::string& word : at) co_yield word;
    co_yield std::string("temporary");
  };
  std::vector<const std::string*> seen;
  std::string text;
  for (const std::string& word : look(words)) {
    seen.push_back(&word);
    text += word;
  }
  CHECK(text == "one!two!temporary");
  CHECK(seen.at(1) == &words[1]);
}

TEST_CASE("a value is constructed from the operand of co_yield") {
  std::string text;
  const auto words = []() -> generator<std::string> {
    co_yield "a rather long text, so that it is on the heap";
    co_yield std::string(3, 'x');
  };
  for (const std::string& word : words()) text += word;
  CHECK(text == "a rather long text, so that it is on the heapxxx");
}

TEST_CASE("an exception from copying a yielded value is thrown in the body") {
  struct fragile {
    fragile() = default;
    fragile(const fragile&) { throw std::runtime_error("made of glass"); }
  };
  auto values = []() -> generator<fragile> {
    const fragile kept;
    try {
      co_yield kept;
    } catch (const std::runtime_error&) {
      co_return;
    }
  }();
  const bool ended = values.begin() == values.end();
  CHECK(ended);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("generator: ends");

TEST_CASE("a generator dropped at a co_yield destroys its locals and arguments") {
  life_count lives;
  {
    auto values = [](counted argument) -> generator<int> {
      const counted local = argument;
      co_yield local.value();
      FAIL_CHECK("the body ran further than asked");
    }(counted(lives, 7));
    CHECK(*values.begin() == 7);
    CHECK(lives.alive() == 2);
  }
  CHECK(lives.alive() == 0);
}

TEST_CASE("a yielded value is destroyed with its generator") {
  life_count lives;
  {
    auto values = [](life_count& of) -> generator<counted> {
      const counted kept(of, 7);
      co_yield kept;
      co_yield counted(of, 8);
    }(lives);
    auto at = values.begin();
    auto dropped = [](life_count& of) -> generator<counted> { co_yield counted(of, 9); }(lives);
    CHECK((*dropped.begin()).value() == 9);
    CHECK((*at).value() == 7);
    CHECK(lives.alive() == 3);
  }
  CHECK(lives.alive() == 0);
}

TEST_CASE("a generator that is never asked for a value does not run, and destroys its arguments") {
  life_count lives;
  bool ran = false;
  {
    const auto call = [](bool& flag, counted) -> generator<int> {
      flag = true;
      co_yield 1;
    }(ran, counted(lives));
    CHECK(lives.alive() == 1);
  }
  CHECK_FALSE(ran);
  CHECK(lives.alive() == 0);
}

TEST_CASE("an exception in the body is thrown by begin or ++, and ends the generator") {
  auto at_once = fail_after(0);
  CHECK_THROWS_WITH_AS(at_once.begin(), "no more", std::runtime_error);
  CHECK(all_of(at_once).empty());

  auto later = fail_after(1);
  auto at = later.begin();
  CHECK_THROWS_WITH_AS(++at, "no more", std::runtime_error);
  CHECK(all_of(later).empty());
}

TEST_CASE("an exception in the loop destroys the generator") {
  life_count lives;
  const auto values = [](counted held) -> generator<int> {
    for (;;) co_yield held.value();
  };
  try {
    for (const int value : values(counted(lives, 7))) throw value;
  } catch (int) {
  }
  CHECK(lives.alive() == 0);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("generator: broken rules");

namespace {

generator<int> ask_itself(generator<int>*& self) {
  co_yield 1;
  self->begin();
  co_yield 2;
}

}  // namespace

// row: GN-06
TEST_CASE("resuming a generator in its own body aborts and says so") {
  CHECK(aborts_with("a generator was resumed while it was running", [] {
    generator<int>* self = nullptr;
    auto numbers = ask_itself(self);
    self = &numbers;
    all_of(numbers);
  }));
}

TEST_CASE("destroying a generator in its own body aborts and says so") {
  CHECK(aborts_with("a generator was destroyed while it was running", [] {
    std::unique_ptr<generator<int>> numbers;
    const auto drop = [](std::unique_ptr<generator<int>>& self) -> generator<int> {
      self.reset();
      co_yield 1;
    };
    numbers = std::make_unique<generator<int>>(drop(numbers));
    numbers->begin();
  }));
}

TEST_CASE("incrementing or reading an iterator past the end aborts and says so") {
  CHECK(aborts_with("a generator was resumed after its end", [] {
    auto numbers = count_to(0);
    ++numbers.begin();
  }));
  CHECK(aborts_with("an iterator of a generator was read at the end", [] {
    auto numbers = count_to(0);
    std::exit(*numbers.begin());
  }));
}

TEST_CASE("using an empty generator aborts and says so") {
  CHECK(aborts_with("an empty generator (moved from) was used", [] {
    auto first = count_to(1);
    const auto second = std::move(first);
    first.begin();
  }));
}

TEST_CASE("reading a result before the end, twice, or after an exception aborts and says so") {
  CHECK(aborts_with("the result of a generator was taken before its end", [] {
    auto numbers = count_and_tell(1);
    numbers.begin();
    numbers.result();
  }));
  CHECK(aborts_with("the result of a generator was taken twice", [] {
    auto numbers = count_and_tell(1);
    all_of(numbers);
    numbers.result();
    numbers.result();
  }));
  CHECK(aborts_with("a generator that threw or was closed has no result", [] {
    auto values = []() -> generator<int, int> {
      co_yield 1;
      throw 7;
    }();
    try {
      all_of(values);
    } catch (int) {
    }
    values.result();
  }));
}

TEST_SUITE_END();
