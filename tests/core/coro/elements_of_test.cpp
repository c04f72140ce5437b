// elements_of: generators and two_way_generators that yield from other generators.
//
// stack_growth_test.cpp tests how deep they may nest.
// SPDX-License-Identifier: MIT
#include <ringlet/elements_of.hpp>
#include <ringlet/generator.hpp>
#include <ringlet/two_way_generator.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/aborts.hpp"
#include "support/counted.hpp"

using namespace ringlet;
using namespace ringlet::test;

TEST_SUITE_BEGIN("elements_of");

namespace {

struct tree {
  std::string name;
  std::unique_ptr<tree> left, right;
};

std::unique_ptr<tree> leaf(std::string name) {
  return std::make_unique<tree>(tree{std::move(name), nullptr, nullptr});
}

// An in-order traversal.
generator<const std::string&> names(const tree* root) {
  if (root == nullptr) co_return;
  co_yield elements_of(names(root->left.get()));
  co_yield root->name;
  co_yield elements_of(names(root->right.get()));
}

generator<int> count_to(int last) {
  for (int i = 1; i <= last; ++i) co_yield i;
}

// Yields its depth, then the elements of a call that is one level deeper.
generator<int> down(int depth, int deepest, counted held) {
  co_yield depth;
  if (depth == deepest) co_return;
  co_yield elements_of(down(depth + 1, deepest, held));
  co_yield held.value();
}

template <class G>
std::vector<int> all_of(G&& values) {
  std::vector<int> all;
  for (const int value : values) all.push_back(value);
  return all;
}

}  // namespace

// row: GN-05
TEST_CASE("a generator yields all elements of other generators, in their order") {
  tree root{"d", leaf("b"), leaf("e")};
  root.left->left = leaf("a");
  root.left->right = leaf("c");
  std::string text;
  for (const std::string& name : names(&root)) text += name;
  CHECK(text == "abcde");
}

// row: GN-05
TEST_CASE("the elements are the inner generator's own objects, not copies") {
  const tree root{"only", nullptr, nullptr};
  const auto around = [](const tree* of) -> generator<const std::string&> {
    co_yield elements_of(names(of));
  };
  for (const std::string& name : around(&root)) CHECK(&name == &root.name);
}

// row: GN-05
TEST_CASE("the co_yield returns what the inner generator returned") {
  const auto outer = []() -> generator<int, std::string> {
    const auto inner = [](int first) -> generator<int, std::unique_ptr<int>> {
      co_yield first;
      co_return std::make_unique<int>(first + 1);
    };
    const std::unique_ptr<int> one = co_yield elements_of(inner(1));
    auto named = inner(5);
    const std::unique_ptr<int> two = co_yield elements_of(named);
    co_return std::to_string(*one) + std::to_string(*two);
  };
  auto values = outer();
  CHECK(all_of(values) == std::vector{1, 5});
  CHECK(values.result() == "26");
}

// row: GN-05
TEST_CASE("inner generators that yield nothing add no elements") {
  const auto outer = []() -> generator<int> {
    for (int i = 0; i < 3; ++i) co_yield elements_of(count_to(0));
    co_yield elements_of(count_to(1));
    for (int i = 0; i < 3; ++i) co_yield elements_of(count_to(0));
  };
  CHECK(all_of(outer()) == std::vector{1});
}

// row: GN-05
TEST_CASE("an exception in the inner generator is thrown at the co_yield") {
  const auto outer = []() -> generator<int> {
    const auto inner = []() -> generator<int, int> {
      co_yield 1;
      throw std::runtime_error("inner");
    };
    try {
      co_yield elements_of(inner());
    } catch (const std::runtime_error& error) {
      if (std::string(error.what()) != "inner") throw;
    }
    co_yield 2;
    co_yield elements_of(inner());
  };
  auto values = outer();
  auto at = values.begin();
  ++at;
  CHECK(*at == 2);
  ++at;
  CHECK(*at == 1);
  CHECK_THROWS_WITH_AS(++at, "inner", std::runtime_error);
}

// row: GN-05
TEST_CASE("an inner generator that has already begun continues after its current element") {
  auto numbers = count_to(5);
  for (const int value : numbers) {
    if (value == 2) break;
  }
  const auto rest = [](generator<int> of) -> generator<int> {
    co_yield 0;
    co_yield elements_of(of);
    co_yield 9;
  };
  CHECK(all_of(rest(std::move(numbers))) == std::vector{0, 3, 4, 5, 9});
}

// row: GN-05
TEST_CASE("a nest that has already begun can be joined to another generator") {
  life_count lives;
  {
    auto nest = down(1, 4, counted(lives, 7));
    auto at = nest.begin();
    while (*at != 3) ++at;
    const auto around = [](generator<int> of) -> generator<int> {
      co_yield elements_of(of);
      co_yield 9;
    };
    CHECK(all_of(around(std::move(nest))) == std::vector{4, 7, 7, 7, 9});
  }
  CHECK(lives.alive() == 0);
}

// row: GN-05
TEST_CASE("a generator that has ended adds no elements") {
  auto numbers = count_to(2);
  CHECK(all_of(numbers).size() == 2);
  const auto around = [](generator<int> of) -> generator<int> {
    co_yield elements_of(of);
    co_yield 9;
  };
  CHECK(all_of(around(std::move(numbers))) == std::vector{9});
}

TEST_CASE("an inner generator and its arguments are destroyed when the co_yield returns") {
  life_count lives;
  const auto outer = [](life_count& of) -> generator<int> {
    co_yield elements_of(down(1, 1, counted(of)));
    CHECK(of.alive() == 0);
    auto named = down(1, 1, counted(of));
    co_yield elements_of(named);
    CHECK(of.alive() == 0);
  };
  CHECK(all_of(outer(lives)) == std::vector{1, 1});
}

TEST_CASE("a dropped nest is destroyed from the innermost call outwards") {
  struct letter {
    std::string& to;
    char name;
    letter(std::string& where, char which) : to(where), name(which) {}
    letter(const letter&) = delete;
    ~letter() { to += name; }
  };
  struct nest {
    static generator<int> of(std::string& text, char name) {
      const letter local(text, name);
      if (name == 'd') co_yield 1;
      if (name != 'd') co_yield elements_of(of(text, static_cast<char>(name + 1)));
    }
  };
  std::string order;
  {
    auto values = nest::of(order, 'a');
    CHECK(*values.begin() == 1);
    CHECK(order.empty());
  }
  CHECK(order == "dcba");
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("elements_of: two_way_generator");

namespace {

using talk = two_way_generator<std::string, int>;

two_way_generator<std::string, int, int> add_until_zero(std::string name) {
  int sum = 0;
  for (;;) {
    const int sent = co_yield name + std::to_string(sum);
    if (sent == 0) co_return sum;
    sum += sent;
  }
}

talk two_sums(std::string& log) {
  const int first = co_yield elements_of(add_until_zero("a"));
  const int second = co_yield elements_of(add_until_zero("b"));
  log = std::to_string(first) + "+" + std::to_string(second);
}

// Catches what is thrown in and yields its name; ends when it is closed.
two_way_generator<std::string, int, int> name_errors(std::string& log) {
  for (std::string answer = "ready";;) {
    try {
      co_yield answer;
      answer = "nothing";
    } catch (const std::runtime_error& error) {
      answer = error.what();
    } catch (const generator_exit&) {
      log += "inner closed ";
      co_return 7;
    }
  }
}

talk around_errors(std::string& log) {
  try {
    const int sum = co_yield elements_of(name_errors(log));
    log += std::to_string(sum);
  } catch (const generator_exit&) {
    log += "outer closed";
    throw;
  }
  co_yield "not reached";
}

}  // namespace

// row: GN-05
TEST_CASE("a value sent to a two_way_generator arrives in the inner one that it yields from") {
  std::string log;
  auto sums = two_sums(log);
  CHECK(sums.start() == "a0");
  CHECK(sums.send(1) == "a1");
  CHECK(sums.send(2) == "a3");
  CHECK(sums.send(0) == "b0");
  CHECK(sums.send(4) == "b4");
  CHECK_FALSE(sums.send(0));
  CHECK(log == "3+4");
}

// row: GN-05
TEST_CASE(
    "an exception thrown into a two_way_generator arrives in the inner one that it yields from") {
  std::string log;
  auto errors = around_errors(log);
  CHECK(errors.start() == "ready");
  CHECK(errors.throw_into(std::runtime_error("first")) == "first");
  CHECK(errors.send(1) == "nothing");
  CHECK_THROWS_AS(errors.throw_into(7), int);
  CHECK(errors.done());
  CHECK(log.empty());
}

// row: GN-05
TEST_CASE("close ends the innermost two_way_generator first, and then all of them") {
  std::string log;
  auto errors = around_errors(log);
  errors.start();
  errors.close();
  CHECK(log == "inner closed outer closed");
  CHECK(errors.done());
}

TEST_CASE("a dropped nest of two_way_generators is destroyed completely") {
  life_count lives;
  {
    struct nest {
      static two_way_generator<int, int> of(int depth, counted held) {
        if (depth == 0) co_yield held.value();
        if (depth != 0) co_yield elements_of(of(depth - 1, held));
      }
    };
    auto values = nest::of(10, counted(lives, 7));
    CHECK(values.start() == 7);
    CHECK(lives.alive() >= 11);
  }
  CHECK(lives.alive() == 0);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("elements_of: broken rules");

// row: GN-06
TEST_CASE("a generator that yields from itself aborts and says so") {
  CHECK(aborts_with("a generator was resumed while it was running", [] {
    generator<int>* self = nullptr;
    auto numbers = [](generator<int>*& of) -> generator<int> { co_yield elements_of(*of); }(self);
    self = &numbers;
    numbers.begin();
  }));
}

// row: GN-06
TEST_CASE("resuming a nest in its innermost body aborts and says so") {
  CHECK(aborts_with("a generator was resumed while it was running", [] {
    generator<int>* self = nullptr;
    struct nest {
      static generator<int> of(generator<int>*& whole, int depth) {
        if (depth == 0) whole->begin();
        if (depth != 0) co_yield elements_of(of(whole, depth - 1));
      }
    };
    auto numbers = nest::of(self, 5);
    self = &numbers;
    numbers.begin();
  }));
}

TEST_CASE("using an iterator of a generator that is now part of a nest aborts and says so") {
  CHECK(aborts_with("a generator was resumed while it was running", [] {
    auto numbers = count_to(5);
    auto at = numbers.begin();
    const auto around = [](generator<int> of) -> generator<int> { co_yield elements_of(of); };
    auto outer = around(std::move(numbers));
    outer.begin();
    ++at;
  }));
}

TEST_CASE("yielding from an empty generator or a started two_way_generator aborts and says so") {
  CHECK(aborts_with("an empty generator (moved from) was used", [] {
    const auto around = []() -> generator<int> {
      auto numbers = count_to(1);
      const auto taken = std::move(numbers);
      co_yield elements_of(numbers);
    };
    around().begin();
  }));
  CHECK(aborts_with("elements_of was given a two_way_generator that had been started", [] {
    const auto around = []() -> talk {
      auto sum = add_until_zero("a");
      sum.start();
      co_yield elements_of(sum);
    };
    around().start();
  }));
}

TEST_CASE("reading the result of an inner generator that threw aborts and says so") {
  CHECK(aborts_with("a generator that threw or was closed has no result", [] {
    const auto around = []() -> generator<int> {
      auto inner = []() -> generator<int, int> {
        throw 7;
        co_yield 1;
      }();
      try {
        inner.begin();
      } catch (int) {
      }
      const int result = co_yield elements_of(inner);
      co_yield result;
    };
    around().begin();
  }));
}

TEST_SUITE_END();
