// Models of queue in its forms, lifo_queue, priority_queue and joinable_queue; see
// primitives_model.hpp.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/joinable_queue.hpp>
#include <ringlet/lifo_queue.hpp>
#include <ringlet/priority_queue.hpp>
#include <ringlet/queue.hpp>

#include <algorithm>
#include <deque>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "numbered_item.hpp"
#include "primitives_model.hpp"

namespace ringlet::test {

struct no_guard {};
template <class Queue>
struct guard_of {
  using type = no_guard;
};
template <class Queue>
requires requires { typename Queue::task_guard; }
struct guard_of<Queue> {
  using type = typename Queue::task_guard;
};

template <class Store>
auto& base_of(basic_queue<numbered_item, Store, weigh_number>& queue) {
  return queue;
}

template <class Queue>
struct queue_model : primitive {
  enum kinds { push, pop, peek, join };
  static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();
  static constexpr bool is_lifo = std::is_same_v<Queue, lifo_queue<numbered_item, weigh_number>>;
  static constexpr bool is_sorted =
      std::is_same_v<Queue, priority_queue<numbered_item, less_by_rank, weigh_number>>;
  static constexpr bool is_joinable =
      std::is_same_v<Queue, joinable_queue<numbered_item, weigh_number>>;
  using guard = typename guard_of<Queue>::type;

  queue_model(primitives_world& in, const char* name, std::size_t most, std::size_t heaviest)
      : primitive(in, name), size_max(most), weight_max(heaviest), held(in.workers.size()) {
    remake();
  }
  void remake() {
    is_closed = false;
    items.clear();
    unfinished = peak = 0;
    real.reset();
    if constexpr (is_sorted) {
      real.emplace(size_max, less_by_rank(), weight_max);
    } else {
      real.emplace(size_max, weight_max);
    }
  }

  void poke(model_worker& f) override {
    const std::size_t what = world.random.below(24);
    if (what < (is_closed ? 12 : 1) && line.empty() && unfinished <= items.size()) {
      ++reached.recreated;
      remake();
    } else if (what < 3) {
      if (world.random.once_in(2)) close(f, what == 2);
    } else if (what < 14) {
      push_now(f);
    } else if (is_joinable && what < 20 && !held[f.id].empty()) {
      finish_one(f);
    } else {
      pop_now(f);
    }
  }
  void close(model_worker& f, bool now) {
    world.note(f, now ? "close_now" : "close", this);
    if (now) real->close_now();
    if (!now) real->close();
    is_closed = true;
    serve_all(push, {ending::closed, 0});
    serve_all(pop, {ending::closed, 0});
    serve_all(peek);  // and the next one finds the queue closed
    if (!now) return;
    const std::size_t dropped = items.size();
    items.clear();
    if (dropped != 0) finish(dropped);
  }
  void push_now(model_worker& f) {
    numbered_item item = next_item();
    const std::size_t number = item.number;
    world.note(f, "try_push", this, number);
    answer a = {ending::late, 0};  // no room
    if (!is_closed && put(number, item.is_bad)) a = {last_put, 0};
    answer got;
    try {
      got = yes_or_late(real->try_push(std::move(item)));
    } catch (const planted_error&) {
      got = {ending::failed, 0};
    }
    expect(got == a, "try_push");
    expect((item.number == 0) == (a.how == ending::success), "try_push takes its item, or not");
  }
  void pop_now(model_worker& f) {
    world.note(f, "try_pop", this);
    auto got = real->try_pop();
    const std::size_t number = take();
    if constexpr (is_joinable) {
      expect((got ? (*got)->number : 0) == number, "try_pop");
      if (got) held[f.id].push_back(*std::move(got));
    } else {
      expect((got ? got->number : 0) == number, "try_pop");
    }
  }
  void finish_one(model_worker& f) {
    if constexpr (is_joinable) {
      auto& mine = held[f.id];
      world.note(f, "done", this, mine.back()->number);
      if (world.random.once_in(2)) mine.back().done();
      mine.pop_back();
      finish(1);
    }
  }
  void drop(model_worker& f) override {
    while (!held[f.id].empty()) finish_one(f);
  }

  task<> wait(model_worker& f) override {
    const std::size_t what = world.random.below(16);
    if (what < 7) return push_one(f);
    request r{this, "pop", 0, pop};
    if constexpr (is_joinable) {
      if (what > 12) return join_all(f);
    } else if (what > 13) {
      return see_one(f);
    }
    r.throws_late = true;
    const auto make = [this](time_limit limit) { return real->pop(limit); };
    if constexpr (is_joinable) {
      const auto took = [this, &f](typename Queue::task_guard got) {
        const std::size_t number = got->number;
        held[f.id].push_back(std::move(got));
        return answer{ending::success, number};
      };
      return world.wait(f, r, make, took);
    } else {
      const auto took = [](numbered_item got) { return answer{ending::success, got.number}; };
      return world.wait(f, r, make, took);
    }
  }
  task<> push_one(model_worker& f) {
    numbered_item item = next_item();
    request r{this, "push", item.number, push, true};
    r.is_bad = item.is_bad;
    const auto make = [this, &item](time_limit limit) {
      return real->push(std::move(item), limit);
    };
    bool was_pushed = false;
    const auto took = [&was_pushed](auto) {
      was_pushed = true;
      return answer();
    };
    co_await world.wait(f, r, make, took);
    expect((item.number == 0) == was_pushed, "a push takes its item if it succeeds");
  }
  // One round of wait_peek(), which waits again where another fiber has taken the item; or the
  // whole, where it need not wait.
  task<> see_one(model_worker& f) {
    request r{this, "peek", 0, peek};
    r.throws_late = true;
    const bool whole = !items.empty() && world.random.once_in(2);
    const auto sees = [this](time_limit limit) { return real->wait_peek(limit); };
    const auto round = [this](time_limit limit) {
      return extend::item_wait(base_of(*real), limit);
    };
    const auto seen = [](auto) { return answer(); };
    return whole ? world.wait_alone(f, r, sees, seen) : world.wait(f, r, round, seen);
  }
  task<> join_all(model_worker& f) {
    const request r{this, "join", 0, join};
    const auto make = [this](time_limit limit) { return real->join(limit); };
    const auto took = [](bool are_done) { return yes_or_late(are_done); };
    return world.wait(f, r, make, took);
  }

  bool try_now(request& r, answer& a) override {
    switch (r.kind) {
      case push:
        if (is_closed) {
          a.how = ending::closed;
        } else if (put(r.count, r.is_bad)) {
          a.how = last_put;
        } else {
          return false;
        }
        return true;
      case pop:
        a.got = take();
        if (a.got == 0 && is_closed) a.how = ending::closed;
        return a.got != 0 || is_closed;
      case peek:
        if (first_number() == 0 && is_closed) a.how = ending::closed;
        return first_number() != 0 || is_closed;
      default:
        return unfinished == 0;
    }
  }
  void joined(request& r) override {
    if (r.kind == push && size_max == 0) serve_all(peek);
  }
  void left(request& r) override {
    if (r.kind == push) admit();
  }
  void compare() override {
    expect_equal(real->size(), items.size(), "size");
    expect_equal(real->peak(), peak, "peak");
    expect_equal(real->weight(), weight(), "weight");
    expect_equal(real->waiting_to_push(), waiting(push), "waiting_to_push");
    expect_equal(real->waiting_to_pop(), waiting(pop), "waiting_to_pop");
    expect(real->is_closed() == is_closed, "is_closed");
    const numbered_item* const next = real->peek();
    expect((next != nullptr ? next->number : 0) == first_number(), "peek");
    if constexpr (is_joinable) expect_equal(real->unfinished(), unfinished, "unfinished");
  }

  numbered_item next_item() {
    const bool is_bad = is_sorted && world.random.once_in(12);
    return numbered_item(++numbers, is_bad);
  }
  std::size_t first_number() const {
    if (!items.empty()) return items.front();
    const request* const pushes = first(push);
    return pushes != nullptr ? pushes->count : 0;
  }
  std::size_t weight() const {
    std::size_t all = 0;
    for (const std::size_t each : items) all += weight_of_number(each);
    return all;
  }
  bool has_room(std::size_t number) const {
    if (items.size() >= size_max) return false;
    return items.empty() || weight() + weight_of_number(number) <= weight_max;
  }
  // Whether it could be tried; last_put says how that ended.
  bool put(std::size_t number, bool is_bad) {
    last_put = ending::success;
    if (request* const next = first(pop)) {
      enters();
      serve(*next, {ending::success, number});
      return true;
    }
    if (first(push) != nullptr || !has_room(number)) return false;
    store(number, is_bad);
    return true;
  }
  void store(std::size_t number, bool is_bad) {
    last_put = is_bad && !items.empty() ? ending::failed : ending::success;
    if (last_put == ending::failed) return;
    enters();
    auto at = is_lifo ? items.begin() : items.end();
    if (is_sorted) at = std::upper_bound(items.begin(), items.end(), number, rank_is_less);
    items.insert(at, number);
    peak = std::max(peak, items.size());
    serve_all(peek);
  }
  std::size_t take() {
    std::size_t got = 0;
    if (!items.empty()) {
      got = items.front();
      items.pop_front();
    } else if (request* const next = first(push)) {
      enters();
      got = next->count;
      serve(*next);
    }
    admit();
    return got;
  }
  void admit() {
    for (request* next = first(push); !is_closed && next != nullptr && has_room(next->count);
         next = first(push)) {
      store(next->count, next->is_bad);
      serve(*next, {last_put, 0});
    }
  }
  void enters() {
    if (is_joinable) ++unfinished;
  }
  void finish(std::size_t count) {
    if (!is_joinable) return;
    unfinished -= count;
    if (unfinished == 0) serve_all(join);
  }

  std::size_t size_max, weight_max;
  std::optional<Queue> real;
  std::deque<std::size_t> items;  // in the order in which they leave
  std::size_t numbers = 0, unfinished = 0, peak = 0;
  ending last_put = ending::success;
  bool is_closed = false;
  std::vector<std::vector<guard>> held;
};

}  // namespace ringlet::test
