// map, imap and imap_unordered over a pool: order, errors, how far ahead, and what ends the calls.
//
// Method: as in pool_test.cpp.
// SPDX-License-Identifier: MIT
#include <ringlet/dump.hpp>
#include <ringlet/generator.hpp>
#include <ringlet/pool.hpp>
#include <ringlet/run.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <list>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "sched/calls.hpp"
#include "support/counted.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// Sleeps that many milliseconds and returns the square.
task<int> square(int number) {
  co_await sleep(1ms * number);
  co_return number* number;
}

// Not a coroutine: throws before there is a task.
task<int> refuse_two(int number) {
  if (number == 2) throw std::runtime_error("refused");
  return square(number);
}

// Throws when it is copied, if the test asks for it.
struct fragile {
  fragile() = default;
  fragile(const fragile& other) : number(other.number), breaks(other.breaks) {
    if (breaks != nullptr && *breaks) throw std::runtime_error("not copied");
  }
  int number = 0;
  std::shared_ptr<bool> breaks;
};

task<int> fail_even(int number) {
  co_await sleep(1ms * number);
  if (number % 2 == 0) throw std::runtime_error("even " + std::to_string(number));
  co_return number;
}

// A view whose iterators count the items as they are taken.
auto counted_items(int& taken, int count) {
  return std::views::iota(1, count + 1) | std::views::transform([&taken](int number) {
           ++taken;
           return number;
         });
}

// The results of the iteration in words, until its end.
template <class T>
task<std::string> words_of(async_generator<fiber<T>>& results) {
  std::string words;
  while (auto one = co_await results.next()) {
    CHECK(one->done());
    if (one->result() == outcome::value) {
      words += std::to_string(one->value()) + " ";
    } else {
      words += one->result() == outcome::error ? text_of(one->error()) + " " : "cancelled ";
    }
  }
  co_return words;
}

}  // namespace

TEST_SUITE_BEGIN("pool map");

// map

// row: PO-03
TEST_CASE("map returns the values in the order of the items, and runs size() calls at once") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    pool workers(2);
    const std::vector items = {3, 1, 2, 1};
    const std::vector<int> values = co_await workers.map(items, square);
    CHECK(values == std::vector{9, 1, 4, 1});
    // 3 beside 1 and 2, then 1.
    CHECK(engine.now() == begin + 4'000'000);
    CHECK(workers.free() == 2);
    CHECK(workers.empty());
  });
}

TEST_CASE("map accepts any forward range, and functions that return any type") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(3);
    const std::vector<int> of_view = co_await workers.map(std::views::iota(1, 4), square);
    CHECK(of_view == std::vector{1, 4, 9});
    const std::list<std::string> words = {"a", "bb"};
    const auto length = [](const std::string& word) -> task<std::unique_ptr<std::size_t>> {
      co_await yield();
      co_return std::make_unique<std::size_t>(word.size());
    };
    const std::vector<std::unique_ptr<std::size_t>> lengths = co_await workers.map(words, length);
    CHECK(*lengths.at(0) == 1);
    CHECK(*lengths.at(1) == 2);
    const auto nothing = [](int) -> task<> { co_return; };
    const std::array some = {1, 2, 3};
    const std::vector<std::monostate> units = co_await workers.map(some, nothing);
    CHECK(units.size() == 3);
    const std::vector<int> empty;
    const std::vector<int> none = co_await workers.map(empty, square);
    CHECK(none.empty());
  });
}

TEST_CASE("items that cannot be copied may be shared") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(2);
    std::vector<std::shared_ptr<std::unique_ptr<int>>> items;
    for (int i = 1; i <= 3; ++i) {
      items.push_back(std::make_shared<std::unique_ptr<int>>(std::make_unique<int>(i)));
    }
    const auto read = [](const std::shared_ptr<std::unique_ptr<int>>& item) -> task<int> {
      co_await yield();
      co_return **item;
    };
    const std::vector<int> values = co_await workers.map(items, read);
    CHECK(values == std::vector{1, 2, 3});
    std::vector<int> numbers = {1, 2};
    const std::vector<std::reference_wrapper<int>> references = {numbers[0], numbers[1]};
    const auto add = [](int& number) -> task<> {
      co_await yield();
      number += 10;
    };
    co_await workers.map(references, add);
    CHECK(numbers == std::vector{11, 12});
  });
}

TEST_CASE("items, function and values are destroyed once each") {
  life_count lives;
  run_scripted([&](scripted_engine&) -> task<> {
    pool workers(2);
    std::vector<counted> items;
    items.reserve(3);
    for (int i = 1; i <= 3; ++i) items.emplace_back(lives, i);
    const counted offset(lives, 10);
    const auto add = [offset, &lives](const counted& item) -> task<counted> {
      const int sum = item.value() + offset.value();
      co_await yield();
      co_return counted(lives, sum);
    };
    const int before = lives.alive();
    {
      const std::vector<counted> sums = co_await workers.map(items, add);
      CHECK(sums.at(2).value() == 13);
      CHECK(lives.alive() == before + 3);
    }
    auto results = workers.imap(items, add);
    while (auto one = co_await results.next()) CHECK(one->value().value() > 10);
  });
  CHECK(lives.alive() == 0);
}

// row: W27
TEST_CASE("map throws the exception of the first item that failed, after all calls have ended") {
  std::vector<std::string> reports;
  run_scripted(
      [](scripted_engine&) -> task<> {
        pool workers(5);
        std::string log;
        const auto call = [&](int number) -> task<> {
          co_await sleep(1ms * number);
          log += std::to_string(number);
          if (number == 3 || number == 2) throw std::runtime_error(std::to_string(number));
        };
        const std::vector items = {4, 3, 2, 5, 1};
        CHECK(co_await outcome_of(workers.map(items, call)) == "3");
        CHECK(log == "12345");
        CHECK(workers.free() == 5);
      },
      collecting(reports));
  CHECK(reports == std::vector<std::string>{"2"});  // the one that was not thrown
}

TEST_CASE("an exception from the function before there is a task is the error of that call") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    pool workers(2);
    const std::vector items = {5, 2, 3};
    CHECK(co_await outcome_of(workers.map(items, refuse_two)) == "refused");
    CHECK(engine.now() == begin + 5'000'000);
    CHECK(workers.free() == 2);
    auto results = workers.imap(items, refuse_two);
    CHECK(co_await words_of(results) == "25 refused 9 ");
    CHECK(workers.free() == 2);
  });
}

TEST_CASE("an item that cannot be copied frees its slot, and ends the map and the iteration") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(2);
    std::vector<fragile> items(3);
    items[1].number = 1;
    items[1].breaks = std::make_shared<bool>(false);
    bool ran = false;
    const auto call = [&](const fragile&) -> task<int> {
      ran = true;
      co_return 0;
    };
    auto map = workers.map(items, call);
    auto results = workers.imap(items, call);
    *items[1].breaks = true;
    CHECK(co_await outcome_of(std::move(map)) == "not copied");
    CHECK_FALSE(ran);  // the first call had not begun
    CHECK(workers.free() == 2);
    const auto next = [&]() -> task<> { co_await results.next(); };
    CHECK(co_await outcome_of(next()) == "not copied");
    CHECK(co_await workers.join());
    CHECK(workers.free() == 2);
  });
}

TEST_CASE("a killed call makes map throw errc::fiber_cancelled") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(2);
    const auto call = [](int number) -> task<int> {
      if (number == 2) current().kill();
      co_await yield();
      co_return number;
    };
    const std::vector items = {1, 2, 3};
    CHECK(co_await outcome_of(workers.map(items, call)) == "fiber_cancelled");
  });
}

// row: W25
TEST_CASE("an interruption of map's caller first ends its calls, and no further call begins") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    pool workers(2);
    std::string log;
    const auto call = [&](int) -> task<> {
      log += 'b';
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
        log += 'c';
      }
      co_await shield(1h, sleep_for(2ms));
      log += 'e';
    };
    const std::vector items = {1, 2, 3, 4};
    const fiber<> caller =
        spawn([&]() -> task<> { log += co_await outcome_of(workers.map(items, call)); });
    SUBCASE("by a kill") {
      co_await sleep(1ms);
      co_await caller.kill();
      CHECK(log == "bbcceecancelled");
    }
    SUBCASE("by a kill with an exception, which is rethrown unchanged") {
      co_await sleep(1ms);
      co_await caller.kill(std::make_exception_ptr(std::runtime_error("given")));
      CHECK(log == "bbcceegiven");
    }
    CHECK(engine.now() == begin + 3'000'000);
    CHECK(workers.empty());
    CHECK(workers.free() == 2);
  });
}

TEST_CASE("a limit around map ends its calls") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    pool workers(2);
    const std::vector items = {10, 20, 30};
    CHECK(co_await outcome_of(with_timeout(5ms, workers.map(items, square))) == "timed out");
    CHECK(engine.now() == begin + 5'000'000);
    CHECK(workers.empty());
  });
}

// row: PO-04
TEST_CASE("closing the pool ends a map and an imap with errc::closed") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(1);
    const std::vector items = {5, 6};
    std::string log;
    const fiber<> mapping =
        spawn([&]() -> task<> { log += co_await outcome_of(workers.map(items, square)) + " "; });
    co_await sleep(1ms);
    workers.close();
    co_await mapping.join();
    CHECK(log == "closed ");
    CHECK(workers.empty());
    auto results = workers.imap(items, square);
    const auto next = [&]() -> task<> { co_await results.next(); };
    CHECK(co_await outcome_of(next()) == "closed");
    const auto end = co_await results.next();
    CHECK_FALSE(end);
  });
}

TEST_CASE("several maps share a pool in turn") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(2);
    std::string log;
    int running = 0;
    const auto call = [&](char name) -> task<> {
      CHECK(++running <= 2);
      log += name;
      co_await sleep(1ms);
      --running;
    };
    const auto mapping = [&](std::string items) -> task<> { co_await workers.map(items, call); };
    const fiber<> a = spawn(mapping, "aaaa"), b = spawn(mapping, "bbbb");
    co_await a.join();
    co_await b.join();
    CHECK(log == "aaababbb");
    CHECK(workers.free() == 2);
  });
}

namespace {

generator<int> numbers(int& read, int count, int breaks_at) {
  for (int i = 1; i <= count; ++i) {
    ++read;
    if (i == breaks_at) throw std::runtime_error("no more numbers");
    co_yield i;
  }
}

generator<std::unique_ptr<int>> boxes(int count) {
  for (int i = 1; i <= count; ++i) co_yield std::make_unique<int>(i);
}

task<int> unbox(std::unique_ptr<int> box) {
  co_await yield();
  co_return *box;
}

}  // namespace

TEST_CASE("single-pass ranges, such as generators, are read as slots become free") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(2);
    int read = 0;
    const std::vector<int> squares = co_await workers.map(numbers(read, 4, 0), square);
    CHECK(squares == std::vector{1, 4, 9, 16});
    read = 0;
    auto ordered = workers.imap(numbers(read, 5, 0), square);
    CHECK(read == 0);
    const auto first = co_await ordered.next();
    CHECK(first->value() == 1);
    CHECK(read == 2);  // no more than the calls in progress
    CHECK(co_await words_of(ordered) == "4 9 16 25 ");
    auto unordered = workers.imap_unordered(numbers(read, 0, 0), square);
    CHECK(co_await words_of(unordered) == "");
    // Items that cannot be copied: from a generator, and from a container that is passed.
    const std::vector<int> unboxed = co_await workers.map(boxes(3), unbox);
    CHECK(unboxed == std::vector{1, 2, 3});
    auto each = workers.imap(boxes(3), unbox);
    CHECK(co_await words_of(each) == "1 2 3 ");
    std::vector<std::unique_ptr<int>> owned;
    for (int i = 1; i <= 3; ++i) owned.push_back(std::make_unique<int>(i));
    auto all = workers.imap_unordered(std::move(owned), unbox);
    CHECK(co_await words_of(all) == "1 2 3 ");
    CHECK(workers.free() == 2);
  });
}

TEST_CASE("an exception from the range ends map and imap and their calls, and no slot is lost") {
  run_scripted([](scripted_engine& engine) -> task<> {
    pool workers(3);
    int read = 0;
    const auto next = [](auto& results) -> task<> { co_await results.next(); };
    const auto broken = std::views::iota(1, 9) | std::views::transform([](int number) {
                          if (number == 3) throw std::runtime_error("no more numbers");
                          return number * 100;
                        });
    for (int round = 0; round < 2; ++round) {
      CHECK(co_await outcome_of(workers.map(broken, square)) == "no more numbers");
      CHECK(workers.free() == 3);
      CHECK(co_await outcome_of(workers.map(numbers(read, 4, 3), square)) == "no more numbers");
      CHECK(workers.free() == 3);
      auto ordered = workers.imap(broken, square);
      CHECK(co_await outcome_of(next(ordered)) == "no more numbers");
      CHECK(co_await workers.join());  // its calls were killed, but had not ended
      auto unordered = workers.imap_unordered(numbers(read, 9, 3), square);
      CHECK(co_await outcome_of(next(unordered)) == "no more numbers");
      CHECK(co_await workers.join());
      CHECK(workers.free() == 3);
    }
    CHECK(engine.now() == scripted_engine::start_time);
  });
}

// imap

// row: PO-03
TEST_CASE("imap returns fibers that have ended, in the order of the items") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    pool workers(2);
    auto results = workers.imap(std::vector{3, 1, 2}, square);
    CHECK(co_await words_of(results) == "9 1 4 ");
    CHECK(engine.now() == begin + 5'000'000);  // at most two are ahead of the iteration
    const auto end = co_await results.next();
    CHECK_FALSE(end);
    auto none = workers.imap(std::vector<int>(), square);
    CHECK(co_await words_of(none) == "");
  });
}

// row: PO-03
TEST_CASE("imap_unordered returns fibers in the order in which they end") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    pool workers(3);
    auto results = workers.imap_unordered(std::vector{5, 1, 3, 1}, square);
    CHECK(co_await words_of(results) == "1 1 9 25 ");
    CHECK(engine.now() == begin + 5'000'000);
    auto none = workers.imap_unordered(std::vector<int>(), square);
    CHECK(co_await words_of(none) == "");
  });
}

// row: PO-03
TEST_CASE("imap_unordered keeps the order of fibers that end while no fiber waits") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(4);
    auto results = workers.imap_unordered(std::vector{1, 9, 5, 7, 2}, square);
    const auto first = co_await results.next();
    CHECK(first->value() == 1);
    co_await sleep(20ms);
    CHECK(co_await words_of(results) == "25 49 81 4 ");
  });
}

TEST_CASE("dump shows that an imap waits for one of its calls, and how many there are") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(2);
    const auto read = [&](bool in_order) -> task<> {
      auto results = in_order ? workers.imap(std::vector{1, 2}, square)
                              : workers.imap_unordered(std::vector{1, 2}, square);
      CHECK(co_await words_of(results) == "1 4 ");
    };
    const fiber<> ordered = spawn(read, true);
    co_await yield();
    CHECK(dump().find("join the first of 2 calls of an imap") != std::string::npos);
    co_await ordered.join();
    const fiber<> unordered = spawn(read, false);
    co_await yield();
    CHECK(dump().find("join one of 2 calls of an imap") != std::string::npos);
    co_await unordered.join();
  });
}

// row: W27
TEST_CASE("a failed item does not end the iteration") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(2);
    auto ordered = workers.imap(std::vector{3, 2, 1, 4, 5}, fail_even);
    CHECK(co_await words_of(ordered) == "3 even 2 1 even 4 5 ");
    auto unordered = workers.imap_unordered(std::vector{3, 2, 5, 4}, fail_even);
    CHECK(co_await words_of(unordered) == "even 2 3 5 even 4 ");
    auto rethrown = workers.imap(std::vector{2, 1}, fail_even);
    auto first = co_await rethrown.next();
    const auto get = [&]() -> task<> { co_await first->get(); };
    CHECK(co_await outcome_of(get()) == "even 2");
    const auto second = co_await rethrown.next();
    CHECK(second->value() == 1);
  });
}

// row: PO-03
TEST_CASE("imap takes items only as they are requested, and as slots become free") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(2);
    int taken = 0;
    const auto at_once = [](int number) -> task<int> { co_return number; };
    bool in_order = true;
    SUBCASE("in order") { in_order = true; }
    SUBCASE("unordered") { in_order = false; }
    auto results = in_order ? workers.imap(counted_items(taken, 10), at_once)
                            : workers.imap_unordered(counted_items(taken, 10), at_once);
    co_await sleep(1ms);
    CHECK(taken == 0);
    const auto first = co_await results.next();
    CHECK(first->value() == 1);
    CHECK(taken == 2);
    co_await sleep(1ms);
    CHECK(taken == 2);  // the second call has ended, and no value was requested
    const auto second = co_await results.next();
    CHECK(second->value() == 2);
    CHECK(taken == 3);
    // While there is a result to return, the iteration does not wait for a slot that another fiber
    // has.
    const fiber<> other = co_await workers.spawn(sleep_for, 1h);
    const fiber<> another = co_await workers.spawn(sleep_for, 1h);
    const auto third = co_await results.next();
    CHECK(third->value() == 3);
    CHECK(taken == 3);
    other.request_kill();
    CHECK(co_await words_of(results) == "4 5 6 7 8 9 10 ");
    co_await another.kill();
  });
}

TEST_CASE("imap of a pool of size 0 waits forever for a slot") {
  run_scripted([](scripted_engine&) -> task<> {
    pool none(0);
    auto results = none.imap(std::vector{1}, square);
    const auto next = [&]() -> task<> { co_await results.next(); };
    CHECK(co_await outcome_of(with_timeout(1ms, next())) == "timed out");
    auto unordered = none.imap_unordered(std::vector{1}, square);
    const auto next_of_those = [&]() -> task<> { co_await unordered.next(); };
    CHECK(co_await outcome_of(with_timeout(1ms, next_of_those())) == "timed out");
    const std::vector items = {1};
    CHECK(co_await outcome_of(with_timeout(1ms, none.map(items, square))) == "timed out");
    CHECK(none.free() == 0);
  });
}

// row: PO-03
TEST_CASE("an imap that is dropped kills its running calls") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    pool workers(3);
    std::string log;
    const auto call = [&](int number) -> task<int> {
      try {
        co_await sleep(1ms * number);
      } catch (const cancelled&) {
        log += 'x';
        throw;
      }
      co_return number;
    };
    SUBCASE("dropped between two values") {
      auto results = workers.imap(std::vector{1, 100, 200, 300}, call);
      const auto first = co_await results.next();
      CHECK(first->value() == 1);
    }
    SUBCASE("never asked for a value") { auto results = workers.imap(std::vector{1, 2}, call); }
    SUBCASE("unordered") {
      auto results = workers.imap_unordered(std::vector{100, 200, 1, 300}, call);
      const auto first = co_await results.next();
      CHECK(first->value() == 1);
    }
    SUBCASE("the caller of next() is killed") {
      const fiber<> caller = spawn([&]() -> task<> {
        auto results = workers.imap(std::vector{100, 200, 300}, call);
        while (co_await results.next()) {
        }
      });
      co_await sleep(1ms);
      co_await caller.kill();
      CHECK(caller.result() == outcome::cancelled);
    }
    co_await yield();
    CHECK(workers.empty());
    CHECK(workers.free() == 3);
    CHECK(engine.now() <= begin + 1'000'000);
    CHECK(log.size() <= 3);
  });
}

TEST_CASE("a call that is killed alone is one result of the iteration") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(2);
    const auto call = [](int number) -> task<int> {
      if (number == 2) current().kill();
      co_await yield();
      co_return number;
    };
    auto results = workers.imap(std::vector{1, 2, 3}, call);
    CHECK(co_await words_of(results) == "1 cancelled 3 ");
  });
}

TEST_CASE("imap outlives the callable and the items that it was given") {
  run_scripted([](scripted_engine&) -> task<> {
    pool workers(2);
    std::optional<async_generator<fiber<std::string>>> results;
    {
      const std::string ending(50, '!');
      const std::vector<std::string> items = {"a", "b"};
      const auto call = [ending](std::string item) -> task<std::string> {
        co_await yield();
        co_return item + ending;
      };
      results.emplace(workers.imap(items, call));
    }
    std::string all;
    while (auto one = co_await results->next()) all += one->value().substr(0, 2);
    CHECK(all == "a!b!");
  });
}

TEST_SUITE_END();
