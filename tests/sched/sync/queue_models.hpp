// Models of queue in its forms; see primitives_model.hpp.
#pragma once

#include <ringlet/queue.hpp>

#include <deque>
#include <limits>
#include <optional>
#include <utility>

#include "primitives_model.hpp"

namespace ringlet::test {

// An item that was moved from has no number.
struct numbered_item {
  explicit numbered_item(std::size_t with) noexcept : number(with) {}
  numbered_item(numbered_item&& other) noexcept : number(std::exchange(other.number, 0)) {}
  numbered_item& operator=(numbered_item&& other) noexcept {
    number = std::exchange(other.number, 0);
    return *this;
  }
  std::size_t number;
};
inline std::size_t weight_of_number(std::size_t number) { return number % 4; }
struct weigh_number {
  std::size_t operator()(const numbered_item& of) const noexcept {
    return weight_of_number(of.number);
  }
};

// Only pushes or only pops are in line.
struct queue_model : primitive {
  enum kinds { push, pop };
  static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

  queue_model(primitives_world& in, const char* name, std::size_t most, std::size_t heaviest)
      : primitive(in, name), size_max(most), weight_max(heaviest) {
    remake();
  }
  void remake() {
    is_closed = false;
    items.clear();
    real.reset();
    real.emplace(size_max, weight_max);
  }

  void poke(model_worker& f) override {
    const std::size_t what = world.random.below(24);
    if (what < 3 && line.empty() && (is_closed || what == 0)) {
      ++reached.recreated;
      remake();
    } else if (what < 5) {
      if (what == 4 && !world.random.once_in(4)) return;
      world.note(f, what == 3 ? "close" : "close_now", this);
      if (what == 3) real->close();
      if (what != 3) real->close_now();
      is_closed = true;
      while (!line.empty()) serve(*line.front(), {ending::closed, 0});
      if (what != 3) items.clear();
    } else if (what < 14) {
      numbered_item item(++numbers);
      world.note(f, "try_push", this, item.number);
      const bool may = !is_closed && put(item.number);
      expect(real->try_push(std::move(item)) == may, "try_push");
      expect((item.number == 0) == may, "try_push takes its item if it returns true");
    } else {
      world.note(f, "try_pop", this);
      const auto got = real->try_pop();
      expect((got ? got->number : 0) == take(), "try_pop");
    }
  }
  task<> wait(model_worker& f) override {
    if (world.random.once_in(2)) return push_one(f);
    request r{this, "pop", 0, pop};
    r.throws_late = true;
    const auto make = [this](time_limit limit) { return real->pop(limit); };
    const auto took = [](numbered_item got) { return answer{ending::success, got.number}; };
    return world.wait(f, r, make, took);
  }
  task<> push_one(model_worker& f) {
    numbered_item item(++numbers);
    const request r{this, "push", item.number, push, true};
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
  bool try_now(request& r, answer& a) override {
    if (r.kind == push) {
      if (is_closed) a.how = ending::closed;
      return is_closed || put(r.count);
    }
    a.got = take();
    if (a.got == 0 && is_closed) a.how = ending::closed;
    return a.got != 0 || is_closed;
  }
  void left(request&) override { admit(); }
  void compare() override {
    expect_equal(real->size(), items.size(), "size");
    expect_equal(real->weight(), weight(), "weight");
    expect(real->is_closed() == is_closed, "is_closed");
    const numbered_item* const next = real->peek();
    const std::size_t first = !items.empty()                                ? items.front()
                              : !line.empty() && line.front()->kind == push ? line.front()->count
                                                                            : 0;
    expect((next != nullptr ? next->number : 0) == first, "peek");
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
  bool put(std::size_t number) {
    if (!line.empty() && line.front()->kind == pop) {
      serve(*line.front(), {ending::success, number});
      return true;
    }
    if (!line.empty() || !has_room(number)) return false;
    items.push_back(number);
    return true;
  }
  std::size_t take() {
    std::size_t got = 0;
    if (!items.empty()) {
      got = items.front();
      items.pop_front();
    } else if (!line.empty() && line.front()->kind == push) {
      got = line.front()->count;
      serve(*line.front());
    }
    admit();
    return got;
  }
  void admit() {
    while (!is_closed && !line.empty() && line.front()->kind == push &&
           has_room(line.front()->count)) {
      request& next = *line.front();
      items.push_back(next.count);
      serve(next);
    }
  }

  std::size_t size_max, weight_max;
  std::optional<queue<numbered_item, weigh_number>> real;
  std::deque<std::size_t> items;
  std::size_t numbers = 0;
  bool is_closed = false;
};

}  // namespace ringlet::test
