// Models of semaphore, bounded_semaphore, barrier and latch; see primitives_model.hpp.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/barrier.hpp>
#include <ringlet/bounded_semaphore.hpp>
#include <ringlet/latch.hpp>
#include <ringlet/semaphore.hpp>

#include <algorithm>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "primitives_model.hpp"

namespace ringlet::test {

template <class Semaphore>
struct semaphore_model : primitive {
  static constexpr bool is_bounded = std::is_same_v<Semaphore, bounded_semaphore>;

  explicit semaphore_model(primitives_world& in)
      : primitive(in, is_bounded ? "bounded_semaphore" : "semaphore"), held(in.workers.size()) {
    remake();
  }
  void remake() {
    free = bound = (is_bounded ? 1 : 0) + world.random.below(5);
    real.reset();
    real.emplace(bound);
  }

  void poke(model_worker& f) override {
    auto& mine = held[f.id];
    const std::size_t what = world.random.below(8);
    const std::size_t count = 1 + world.random.below(3);
    if (what == 0 && taken == 0 && line.empty()) {
      ++reached.recreated;
      remake();
    } else if (what < 3) {
      if (free + taken + count > (is_bounded ? bound : 8)) return;
      world.note(f, "release", this, count);
      free += count;
      real->release(count);
      admit();
    } else if (what == 3) {
      const std::size_t few = is_bounded ? std::min(count, bound) : count;
      world.note(f, "try_acquire", this, few);
      auto got = real->try_acquire(few);
      const bool may = line.empty() && few <= free;
      expect(got.count() == (may ? few : 0), "try_acquire");
      if (!may) return;
      take(few);
      mine.push_back(std::move(got));
    } else if (!mine.empty()) {
      use(f, mine, what);
    }
  }
  void use(model_worker& f, std::vector<semaphore::permit>& mine, std::size_t what) {
    semaphore::permit& one = mine.back();
    const std::size_t all = one.count();
    if (what == 4) {
      const std::size_t some = world.random.below(all + 1);
      world.note(f, "permit::release", this, some);
      one.release(some);
      give_back(some);
      if (some == all) mine.pop_back();
    } else if (what == 5 && world.random.once_in(3)) {
      world.note(f, "consume", this, all);
      taken -= all;
      one.consume();
      mine.pop_back();
    } else if (what == 6) {
      auto& to = held[world.random.below(held.size())];
      to.push_back(one.split(world.random.below(all + 1)));
      if (!to.back()) to.pop_back();
    } else {
      world.note(f, "~permit", this, all);
      mine.pop_back();
      give_back(all);
    }
    std::erase_if(mine, [](const semaphore::permit& each) { return each.count() == 0; });
  }
  void fill(request& r) {
    r.on = this;
    r.verb = "acquire";
    r.count = std::min(world.random.below(5), is_bounded ? bound : 4);
    r.throws_late = true;
  }
  answer keep(model_worker& f, semaphore::permit got) {
    const std::size_t count = got.count();
    if (count != 0) held[f.id].push_back(std::move(got));
    return {ending::success, count};
  }
  task<> wait(model_worker& f) override {
    request r;
    fill(r);
    const auto make = [this, count = r.count](time_limit limit) {
      return real->acquire(count, limit);
    };
    const auto took = [this, &f](semaphore::permit got) { return keep(f, std::move(got)); };
    return world.wait(f, r, make, took);
  }
  bool try_now(request& r, answer& a) override {
    if (!line.empty() || r.count > free) return false;
    take(r.count);
    a.got = r.count;
    return true;
  }
  void left(request&) override { admit(); }
  void drop(model_worker& f) override {
    while (!held[f.id].empty()) {
      const std::size_t count = held[f.id].back().count();
      held[f.id].pop_back();
      give_back(count);
    }
  }
  void compare() override {
    expect_equal(real->available(), free, "available");
    expect_equal(real->waiting(), line.size(), "waiting");
  }

  void take(std::size_t count) {
    free -= count;
    taken += count;
  }
  void give_back(std::size_t count) {
    taken -= count;
    free += count;
    admit();
  }
  // A select() that this ends leaves the line, too. Those behind it are served by the call that
  // runs, so another part of theirs may win before.
  void admit() {
    if (std::exchange(admits, true)) return;
    while (!line.empty() && line.front()->count <= free) {
      request& next = *line.front();
      take(next.count);
      serve(next, {ending::success, next.count});
    }
    admits = false;
  }

  std::optional<Semaphore> real;
  std::size_t free = 0, taken = 0, bound = 0;
  bool admits = false;
  std::vector<std::vector<semaphore::permit>> held;
};

struct barrier_model : primitive {
  explicit barrier_model(primitives_world& in) : primitive(in, "barrier") { remake(); }
  void remake() {
    is_broken = false;
    parties = 1 + world.random.below(4);
    real.reset();
    real.emplace(parties, [this] {
      ++actions;
      if (throws) throw planted_error();
    });
  }

  void poke(model_worker& f) override {
    const std::size_t what = world.random.below(12);
    if (what == 0) {
      world.note(f, "abort", this);
      real->abort();
      break_it();
    } else if (what == 1 || (is_broken && what < 6)) {
      world.note(f, "reset", this);
      real->reset();
      break_it();
      is_broken = false;
    } else if (what < 4 && line.empty()) {
      ++reached.recreated;
      remake();
    } else {
      throws = world.random.once_in(8);
    }
  }
  task<> wait(model_worker& f) override {
    request r{this, "arrive_and_wait"};
    r.throws_late = true;
    const auto make = [this](time_limit limit) { return real->arrive_and_wait(limit); };
    const auto took = [](std::size_t place) { return answer{ending::success, place}; };
    return world.wait_alone(f, r, make, took);
  }
  bool try_now(request&, answer& a) override {
    if (is_broken) {
      a.how = ending::broken;
    } else if (line.size() + 1 != parties) {
      return false;
    } else if (++expected; throws) {
      a.how = ending::failed;
      break_it();
    } else {
      a.got = line.size();
      for (std::size_t i = 0; !line.empty(); ++i) serve(*line.front(), {ending::success, i});
    }
    return true;
  }
  void left(request&) override { break_it(); }
  void break_it() {
    is_broken = true;
    while (!line.empty()) serve(*line.front(), {ending::broken, 0});
  }
  void compare() override {
    expect(real->is_broken() == is_broken, "is_broken");
    expect_equal(real->arrived(), line.size(), "arrived");
    expect(actions == expected, "the action is called once in each round");
  }

  std::optional<barrier> real;
  std::size_t parties = 0, actions = 0, expected = 0;
  bool is_broken = false, throws = false;
};

struct latch_model : primitive {
  explicit latch_model(primitives_world& in) : primitive(in, "latch") { remake(); }
  void remake() {
    left_over = world.random.below(4);
    real.reset();
    real.emplace(left_over);
  }

  void poke(model_worker& f) override {
    if (left_over == 0 || (line.empty() && world.random.once_in(8))) {
      ++reached.recreated;
      return remake();
    }
    const std::size_t count = 1 + world.random.below(left_over);
    world.note(f, "count_down", this, count);
    real->count_down(count);
    count_down(count);
  }
  task<> wait(model_worker& f) override {
    request r{this, "wait"};
    const auto waiting = [this](time_limit limit) { return real->wait(limit); };
    const auto took = [](bool was_zero) { return yes_or_late(was_zero); };
    if (left_over == 0 || world.random.once_in(2)) return world.wait(f, r, waiting, took);
    r.verb = "arrive_and_wait";
    const auto arriving = [this](time_limit limit) { return real->arrive_and_wait(limit); };
    count_down(1);
    return world.wait(f, r, arriving, took);
  }
  bool try_now(request&, answer&) override { return left_over == 0; }
  void count_down(std::size_t count) {
    left_over -= count;
    while (left_over == 0 && !line.empty()) serve(*line.front());
  }
  void compare() override {
    expect_equal(real->left(), left_over, "left");
    expect_equal(real->waiting(), line.size(), "waiting");
  }

  std::optional<latch> real;
  std::size_t left_over = 0;
};

}  // namespace ringlet::test
