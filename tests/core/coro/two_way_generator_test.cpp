// two_way_generator<Y, S, R>: start, send, throw_into and close, how it ends, and what aborts.
//
// elements_of_test.cpp has two_way_generators that yield from others.
// SPDX-License-Identifier: MIT
#include <ringlet/generator.hpp>
#include <ringlet/two_way_generator.hpp>

#include <doctest/doctest.h>

#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/aborts.hpp"
#include "support/counted.hpp"

using namespace ringlet;
using namespace ringlet::test;

TEST_SUITE_BEGIN("two_way_generator");

namespace {

two_way_generator<double, double> mean() {
  double sum = 0;
  double last = 0;
  for (int count = 1;; ++count) {
    sum += co_yield last;
    last = sum / count;
  }
}

two_way_generator<int, int, std::string> add_until_zero() {
  int sum = 0;
  while (const int sent = co_yield sum) sum += sent;
  co_return std::to_string(sum) + " in all";
}

// Answers every exception with its text.
two_way_generator<std::string, int> catcher() {
  for (std::string answer = "ready";;) {
    try {
      const int sent = co_yield answer;
      answer = std::to_string(sent);
    } catch (const std::exception& error) {
      answer = error.what();
    }
  }
}

}  // namespace

// row: GN-02
TEST_CASE("a co_yield returns the value that was sent, and the next co_yield answers it") {
  auto numbers = mean();
  CHECK(numbers.start() == 0);
  CHECK(numbers.send(10) == 10);
  CHECK(numbers.send(20) == 15);
  CHECK_FALSE(numbers.done());
}

// row: GN-02
TEST_CASE("the body runs when it is started, not before") {
  bool ran = false;
  auto call = [](bool& flag) -> two_way_generator<int, int> {
    flag = true;
    co_yield 1;
  }(ran);
  CHECK_FALSE(ran);
  CHECK_FALSE(call.done());
  CHECK(call.start() == 1);
  CHECK(ran);
}

// row: GN-02
TEST_CASE("a two_way_generator whose body has ended returns nothing, at every later call") {
  auto sum = add_until_zero();
  CHECK(sum.start() == 0);
  CHECK(sum.send(3) == 3);
  CHECK(sum.send(0) == std::nullopt);
  CHECK(sum.done());
  CHECK(sum.result() == "3 in all");
  CHECK(sum.send(4) == std::nullopt);
  CHECK(sum.start() == std::nullopt);

  auto empty = []() -> two_way_generator<int, int> { co_return; }();
  CHECK(empty.start() == std::nullopt);
}

// row: GN-02
TEST_CASE("values that can only be moved can be sent and yielded") {
  auto echo = []() -> two_way_generator<std::unique_ptr<int>, std::unique_ptr<int>> {
    std::unique_ptr<int> value = std::make_unique<int>(0);
    for (;;) value = co_yield std::move(value);
  }();
  CHECK(**echo.start() == 0);
  auto answer = echo.send(std::make_unique<int>(7));
  CHECK(**answer == 7);
}

// row: GN-02
TEST_CASE("values that are sent and yielded are destroyed once") {
  life_count lives;
  {
    auto echo = [](life_count& of) -> two_way_generator<counted, counted> {
      counted kept(of, 0);
      for (;;) {
        // An lvalue is copied, and the body's own object is unchanged.
        counted next = co_yield kept;
        CHECK(kept.value() != -1);
        kept = std::move(next);
        counted other = co_yield counted(of, 9);
        kept = std::move(other);
      }
    }(lives);
    const auto value_of = [](const std::optional<counted>& answer) { return answer->value(); };
    CHECK(value_of(echo.start()) == 0);
    CHECK(value_of(echo.send(counted(lives, 1))) == 9);
    CHECK(value_of(echo.send(counted(lives, 2))) == 2);
    CHECK(value_of(echo.send(counted(lives, 3))) == 9);
  }
  CHECK(lives.made > 0);
  CHECK(lives.alive() == 0);
}

// row: GN-02
TEST_CASE(
    "an exception in the body is thrown by the call that resumed it, and ends the "
    "two_way_generator") {
  auto failing = []() -> two_way_generator<int, int> {
    const int sent = co_yield 1;
    throw std::runtime_error(std::to_string(sent));
  }();
  failing.start();
  CHECK_THROWS_WITH_AS(failing.send(7), "7", std::runtime_error);
  CHECK(failing.done());
  CHECK(failing.send(8) == std::nullopt);

  auto at_once = []() -> two_way_generator<int, int> {
    throw 7;
    co_yield 1;
  }();
  CHECK_THROWS_AS(at_once.start(), int);
  CHECK(at_once.done());
}

// row: GN-03
TEST_CASE("throw_into throws its exception at the co_yield") {
  auto errors = catcher();
  errors.start();
  CHECK(errors.throw_into(std::runtime_error("first")) == "first");
  CHECK(errors.throw_into(std::make_exception_ptr(std::logic_error("second"))) == "second");
  CHECK(errors.send(7) == "7");
}

// row: GN-03
TEST_CASE("an exception that the body does not catch is rethrown to the caller and ends the body") {
  auto errors = catcher();
  errors.start();
  CHECK_THROWS_AS(errors.throw_into(7), int);
  CHECK(errors.done());
  CHECK_THROWS_WITH_AS(errors.throw_into(std::runtime_error("late")), "late", std::runtime_error);
  CHECK(errors.send(1) == std::nullopt);
}

// row: GN-03
TEST_CASE(
    "an exception thrown into an unstarted two_way_generator is rethrown, and the body never "
    "runs") {
  bool ran = false;
  auto call = [](bool& flag) -> two_way_generator<int, int> {
    flag = true;
    co_yield 1;
  }(ran);
  CHECK_THROWS_WITH_AS(call.throw_into(std::runtime_error("early")), "early", std::runtime_error);
  CHECK(call.done());
  CHECK(call.start() == std::nullopt);
  CHECK(call.send(1) == std::nullopt);
  CHECK_FALSE(ran);
}

// row: GN-03
TEST_CASE("throw_into returns nothing when the body returns") {
  auto call = []() -> two_way_generator<int, int, int> {
    try {
      co_yield 1;
    } catch (const std::runtime_error&) {
      co_return 7;
    }
    co_return 0;
  }();
  call.start();
  CHECK(call.throw_into(std::runtime_error("stop")) == std::nullopt);
  CHECK(call.result() == 7);
}

// row: GN-04
TEST_CASE("close ends the body at its co_yield without passing through handlers of errors") {
  life_count lives;
  bool caught = false;
  auto call = [](life_count& of, bool& flag) -> two_way_generator<int, int> {
    const counted local(of);
    try {
      co_yield 1;
      FAIL_CHECK("nothing was sent");
    } catch (const std::exception&) {
      flag = true;
    }
  }(lives, caught);
  call.start();
  CHECK(lives.alive() == 1);
  call.close();
  CHECK(call.done());
  CHECK(lives.alive() == 0);
  CHECK_FALSE(caught);
  CHECK(call.send(1) == std::nullopt);
}

// row: GN-04
TEST_CASE("close does nothing when called again or after the end") {
  auto errors = catcher();
  errors.start();
  errors.close();
  errors.close();
  CHECK(errors.done());
  auto sum = add_until_zero();
  sum.start();
  sum.send(0);
  sum.close();
  CHECK(sum.result() == "0 in all");
}

// row: GN-04
TEST_CASE("a two_way_generator that is closed before its start never runs") {
  bool ran = false;
  auto call = [](bool& flag) -> two_way_generator<int, int> {
    flag = true;
    co_yield 1;
  }(ran);
  call.close();
  CHECK(call.done());
  CHECK(call.start() == std::nullopt);
  CHECK_FALSE(ran);
}

// row: GN-04
TEST_CASE("a body may return a result when it is closed") {
  auto sum = []() -> two_way_generator<void, int, int> {
    int total = 0;
    try {
      for (;;) total += co_yield {};
    } catch (const generator_exit&) {
      co_return total;
    }
  }();
  sum.start();
  sum.send(3);
  sum.send(4);
  sum.close();
  CHECK(sum.result() == 7);
}

// row: GN-04
TEST_CASE("close rethrows any other exception of the body") {
  auto call = []() -> two_way_generator<int, int> {
    try {
      co_yield 1;
    } catch (const generator_exit&) {
      throw std::runtime_error("not now");
    }
  }();
  call.start();
  CHECK_THROWS_WITH_AS(call.close(), "not now", std::runtime_error);
  CHECK(call.done());
  call.close();
}

// row: GN-04
TEST_CASE("dropping a two_way_generator destroys its locals without an exception") {
  life_count lives;
  bool caught = false;
  {
    auto call = [](counted argument, bool& flag) -> two_way_generator<int, int> {
      const counted local = argument;
      try {
        co_yield local.value();
      } catch (...) {
        flag = true;
      }
    }(counted(lives, 7), caught);
    CHECK(call.start() == 7);
    CHECK(lives.alive() == 2);
    const auto unstarted = [](counted) -> two_way_generator<int, int> {
      co_yield 1;
    }(counted(lives));
    CHECK(lives.alive() == 3);
  }
  CHECK(lives.alive() == 0);
  CHECK_FALSE(caught);
}

// row: GN-07
TEST_CASE("a consumer takes what a producer sends, and answers") {
  std::string log;
  auto consumer = [](std::string& text) -> two_way_generator<std::string, int> {
    for (std::string answer = "ready";; answer = "200 OK") {
      text += "consuming " + std::to_string(co_yield answer) + "; ";
    }
  }(log);
  log += *consumer.start() + "; ";
  for (int item = 1; item <= 2; ++item) log += *consumer.send(item) + "; ";
  consumer.close();
  CHECK(log == "ready; consuming 1; 200 OK; consuming 2; 200 OK; ");
}

// row: GN-07
TEST_CASE("a consumer that yields nothing tells the producer whether it takes more") {
  std::vector<int> taken;
  auto take_two = [](std::vector<int>& to) -> two_way_generator<void, int> {
    to.push_back(co_yield {});
    to.push_back(co_yield {});
  }(taken);
  CHECK(std::is_same_v<decltype(take_two)::answer, bool>);
  CHECK(take_two.start());
  CHECK(take_two.send(1));
  CHECK_FALSE(take_two.send(2));
  CHECK_FALSE(take_two.send(3));
  CHECK(taken == std::vector{1, 2});
}

// row: GN-07
TEST_CASE("generators take turns on one thread without a scheduler") {
  std::string log;
  const auto count_down = [](std::string& text, char name, int from) -> generator<int> {
    for (int i = from; i > 0; --i) {
      text += name + std::to_string(i) + " ";
      co_yield i;
    }
  };
  std::deque<generator<int>> ready;
  ready.push_back(count_down(log, 'a', 3));
  ready.push_back(count_down(log, 'b', 1));
  ready.push_back(count_down(log, 'c', 2));
  while (!ready.empty()) {
    generator<int> first = std::move(ready.front());
    ready.pop_front();
    if (first.begin() != first.end()) ready.push_back(std::move(first));
  }
  CHECK(log == "a3 b1 c2 a2 c1 a1 ");
}

TEST_CASE("a moved two_way_generator is the same call, and can be moved but not copied") {
  auto first = mean();
  first.start();
  auto second = std::move(first);
  CHECK(second.send(4) == 4);
  first = std::move(second);
  CHECK(first.send(6) == 5);
  CHECK(std::is_nothrow_move_constructible_v<two_way_generator<int, int>>);
  CHECK_FALSE(std::is_copy_constructible_v<two_way_generator<int, int>>);
}

TEST_CASE("assigning destroys the two_way_generator that was held before") {
  life_count lives;
  auto call = [](counted held) -> two_way_generator<double, double> {
    co_yield held.value();
  }(counted(lives, 7));
  call.start();
  call = mean();
  CHECK(lives.alive() == 0);
  CHECK(call.start() == 0);
}

// generator_test.cpp has the rest of the proof.
TEST_CASE("co_await in a two_way_generator does not compile") {
  CHECK(std::is_base_of_v<detail::nest_node, two_way_generator<int, int>::promise_type>);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("two_way_generator: broken rules");

// row: GN-02
TEST_CASE("sending a value before the start aborts and says so") {
  CHECK(aborts_with("a value was sent to a two_way_generator before its start()",
                    [] { mean().send(1); }));
}

// row: GN-02
TEST_CASE("a second start aborts and says so") {
  CHECK(aborts_with("a two_way_generator was started twice", [] {
    auto numbers = mean();
    numbers.start();
    numbers.start();
  }));
}

// row: GN-03
TEST_CASE("throwing a null exception aborts and says so") {
  CHECK(aborts_with("throw_into() was given no exception", [] {
    auto numbers = mean();
    numbers.start();
    numbers.throw_into(std::exception_ptr());
  }));
}

// row: GN-04
TEST_CASE("a body that yields after close aborts and says so") {
  CHECK(aborts_with("a two_way_generator yielded again when it was closed", [] {
    auto stubborn = []() -> two_way_generator<int, int> {
      for (;;) {
        try {
          co_yield 1;
        } catch (const generator_exit&) {
        }
      }
    }();
    stubborn.start();
    stubborn.close();
  }));
}

// row: GN-06
TEST_CASE("resuming a two_way_generator from its own body aborts and says so, whatever the call") {
  using self_call = void (*)(two_way_generator<int, int>&);
  for (const self_call call :
       {self_call([](two_way_generator<int, int>& self) { self.send(1); }),
        self_call([](two_way_generator<int, int>& self) { self.start(); }),
        self_call([](two_way_generator<int, int>& self) { self.throw_into(1); }),
        self_call([](two_way_generator<int, int>& self) { self.close(); })}) {
    CHECK(aborts_with("a generator was resumed while it was running", [call] {
      two_way_generator<int, int>* self = nullptr;
      auto numbers = [](two_way_generator<int, int>*& own,
                        self_call then) -> two_way_generator<int, int> {
        then(*own);
        co_yield 1;
      }(self, call);
      self = &numbers;
      numbers.start();
    }));
  }
}

TEST_CASE("destroying a two_way_generator in its own body aborts and says so") {
  CHECK(aborts_with("a generator was destroyed while it was running", [] {
    std::unique_ptr<two_way_generator<int, int>> call;
    const auto drop =
        [](std::unique_ptr<two_way_generator<int, int>>& self) -> two_way_generator<int, int> {
      self.reset();
      co_yield 1;
    };
    call = std::make_unique<two_way_generator<int, int>>(drop(call));
    call->start();
  }));
}

TEST_CASE("using an empty two_way_generator aborts and says so") {
  CHECK(aborts_with("an empty two_way_generator (moved from) was used", [] {
    auto first = mean();
    const auto second = std::move(first);
    first.start();
  }));
}

TEST_CASE(
    "reading the result of a two_way_generator that was closed or has not ended aborts and says "
    "so") {
  CHECK(aborts_with("a generator that threw or was closed has no result", [] {
    auto sum = add_until_zero();
    sum.start();
    sum.close();
    sum.result();
  }));
  CHECK(aborts_with("the result of a generator was taken before its end", [] {
    auto sum = add_until_zero();
    sum.start();
    sum.result();
  }));
}

TEST_SUITE_END();
