// Models of mutex, recursive_mutex, shared_mutex and condition; see primitives_model.hpp.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/condition.hpp>
#include <ringlet/mutex.hpp>
#include <ringlet/recursive_mutex.hpp>
#include <ringlet/shared_mutex.hpp>

#include <functional>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "primitives_model.hpp"

namespace ringlet::test {

// A fiber that holds a lock waits for another one only with a limit, so no cycle is a deadlock.
template <class Mutex>
struct mutex_model : primitive {
  static constexpr bool is_recursive = std::is_same_v<Mutex, recursive_mutex>;

  explicit mutex_model(primitives_world& in)
      : primitive(in, is_recursive ? "recursive_mutex" : "mutex"),
        real(std::in_place),
        held(in.workers.size()) {}

  void poke(model_worker& f) override {
    auto& mine = held[f.id];
    if (!mine.empty() && (!is_recursive || world.random.below(3) != 0)) {
      world.note(f, "unlock", this);
      mine.pop_back();
      released();
    } else if (holder == nullptr && !has_condition && world.random.once_in(8)) {
      ++reached.recreated;
      real.reset();
      real.emplace();
    } else if (!mine.empty() || f.locks < 2) {
      world.note(f, "try_lock", this);
      auto got = real->try_lock();
      const bool may = holder == nullptr || (is_recursive && holder == &f);
      expect(static_cast<bool>(got) == may, "try_lock");
      if (!may) return;
      take(f);
      mine.push_back(std::move(got));
    }
  }
  task<> wait(model_worker& f) override {
    request r{this, "lock"};
    r.throws_late = true;
    const auto make = [this](time_limit limit) { return real->lock(limit); };
    const auto took = [this, &f](typename Mutex::guard got) {
      expect(real->is_held(), "lock() returns without the lock");
      held[f.id].push_back(std::move(got));
      return answer();
    };
    return world.wait(f, r, make, took);
  }
  bool try_now(request& r, answer&) override {
    if (holder != nullptr && (!is_recursive || holder != r.who)) return false;
    take(*r.who);
    return true;
  }
  void drop(model_worker& f) override {
    for (; !held[f.id].empty(); released()) held[f.id].pop_back();
  }
  void compare() override {
    expect(real->is_locked() == (holder != nullptr), "is_locked");
    expect_equal(real->waiting(), line.size(), "waiting");
    if constexpr (is_recursive) expect_equal(real->depth(), depth, "depth");
  }

  void take(model_worker& f) {
    holder = &f;
    if (++depth == 1) ++f.locks;
  }
  void released() {
    if (--depth == 0) hand_over();
  }
  void hand_over() {
    --holder->locks;
    holder = nullptr;
    while (holder == nullptr && !line.empty()) {
      request& next = *line.front();
      line.pop_front();
      if (next.on != this) {
        returns(next);
      } else {
        take(*next.who);
        world.decide(next, {});
      }
    }
  }

  std::optional<Mutex> real;
  model_worker* holder = nullptr;
  std::size_t depth = 0;
  std::vector<std::vector<typename Mutex::guard>> held;
  bool has_condition = false;
  std::function<void(request&)> returns;  // a wait of the condition gets the lock back
};

template <class Mutex>
struct condition_model : primitive {
  condition_model(primitives_world& in, mutex_model<Mutex>& of)
      : primitive(in, "condition"), lock(of), real(*of.real) {
    lock.has_condition = true;
    lock.returns = [this](request& r) { give_back(r); };
  }

  void poke(model_worker& f) override {
    if (lock.holder == &f) value = world.random.below(4);
    const std::size_t count = world.random.below(4);
    world.note(f, count == 0 ? "notify_all" : "notify", this, count);
    if (count == 0) {
      real.notify_all();
      notify(line.size(), true);
    } else {
      real.notify(count);
      notify(count, false);
    }
  }
  task<> wait(model_worker& f) override {
    if (lock.holder != &f || f.locks != 1) co_return;
    request r{this, "wait", world.random.below(4)};
    const auto took = [](bool was_true) { return yes_or_late(was_true); };
    const auto is_true = [this, want = r.count] { return value >= want; };
    const auto plain = [this](time_limit limit) { return real.wait(limit); };
    const auto with = [this, &is_true](time_limit limit) { return real.wait(is_true, limit); };
    r.kind = r.count == 0 ? 0 : 1;
    if (r.kind == 0) {
      co_await world.wait_alone(f, r, plain, took);
    } else {
      co_await world.wait_alone(f, r, with, took);
    }
    expect(lock.real->is_held(), "a wait ends without the lock");
  }
  bool try_now(request& r, answer&) override { return r.kind == 1 && value >= r.count; }
  void joined(request& r) override {
    r.later.got = std::exchange(lock.depth, 0);
    lock.hand_over();
  }
  void interrupt(request& r, ending why) override {
    if (!r.is_back) {
      std::erase(line, &r);
      get_back(r, why);
    } else if (why == ending::late) {
      r.is_due = true;
    } else if (r.later.how == ending::killed || r.is_killed) {
      ++r.who->kills;
    } else {
      r.is_killed = true;
    }
  }
  void compare() override { expect_equal(real.waiting(), line.size(), "waiting"); }

  void notify(std::size_t count, bool all) {
    for (std::size_t i = std::min(count, line.size()); i != 0; --i) {
      request& next = *line.front();
      line.pop_front();
      next.by_all = all;
      get_back(next, ending::success);
    }
  }
  void get_back(request& r, ending why) {
    r.is_back = true;
    r.later.how = why;
    if (lock.holder != nullptr) return lock.line.push_back(&r);
    give_back(r);
  }
  // The lock is free, and goes to that wait, unless the wait must continue.
  void give_back(request& r) {
    const bool was_chosen = r.later.how == ending::success && !r.by_all;
    if (r.is_killed) r.later.how = ending::killed;
    if (r.kind == 1 && r.later.how != ending::killed) {
      const bool is_true = value >= r.count;
      if (!is_true && r.later.how == ending::success && !r.is_due) {
        r.is_back = false;
        return line.push_back(&r);
      }
      r.later.how = is_true ? ending::success : ending::late;
    }
    lock.take(*r.who);
    lock.depth = r.later.got;
    if (r.is_killed && was_chosen) notify(1, false);
    world.decide(r, {r.later.how, 0});
  }

  mutex_model<Mutex>& lock;
  condition real;
  std::size_t value = 0;
};

struct shared_mutex_model : primitive {
  enum kinds { alone, shared };

  explicit shared_mutex_model(primitives_world& in)
      : primitive(in, "shared_mutex"),
        real(std::in_place),
        held(in.workers.size()),
        shares(in.workers.size()) {}

  void poke(model_worker& f) override {
    if (drop_one(f)) return;
    if (writer == nullptr && readers == 0 && world.random.once_in(8)) {
      ++reached.recreated;
      real.reset();
      real.emplace();
    } else if (f.locks < 2) {
      request r{this, "try_lock", 0, world.random.once_in(2) ? alone : shared};
      r.who = &f;
      answer ignored;
      const bool may = try_now(r, ignored);
      world.note(f, r.kind == alone ? "try_lock" : "try_lock_shared", this);
      if (r.kind == alone) {
        auto got = real->try_lock();
        expect(static_cast<bool>(got) == may, "try_lock");
        if (got) held[f.id].push_back(std::move(got));
      } else {
        auto got = real->try_lock_shared();
        expect(static_cast<bool>(got) == may, "try_lock_shared");
        if (got) shares[f.id].push_back(std::move(got));
      }
    }
  }
  task<> wait(model_worker& f) override {
    const auto exclusive = [this](time_limit limit) { return real->lock(limit); };
    const auto sharing = [this](time_limit limit) { return real->lock_shared(limit); };
    const auto kept = [this, &f](shared_mutex::guard got) {
      expect(real->is_held(), "lock() returns without the lock");
      held[f.id].push_back(std::move(got));
      return answer();
    };
    const auto share_kept = [this, &f](shared_mutex::shared_guard got) {
      shares[f.id].push_back(std::move(got));
      return answer();
    };
    request r{this, "lock", 0, alone};
    r.throws_late = true;
    if (world.random.once_in(3)) return world.wait(f, r, exclusive, kept);
    r.verb = "lock_shared";
    r.kind = shared;
    return world.wait(f, r, sharing, share_kept);
  }
  bool try_now(request& r, answer&) override {
    if (writer != nullptr || !line.empty() || (r.kind == alone && readers != 0)) return false;
    take(r);
    return true;
  }
  void left(request&) override { admit(); }
  void drop(model_worker& f) override {
    while (drop_one(f)) continue;
  }
  void compare() override {
    expect(real->is_locked() == (writer != nullptr), "is_locked");
    expect_equal(real->readers(), readers, "readers");
    expect_equal(real->waiting(), line.size(), "waiting");
  }

  bool drop_one(model_worker& f) {
    if (!held[f.id].empty()) {
      world.note(f, "unlock", this);
      held[f.id].pop_back();
      writer = nullptr;
    } else if (!shares[f.id].empty()) {
      world.note(f, "unlock_shared", this);
      shares[f.id].pop_back();
      --readers;
    } else {
      return false;
    }
    --f.locks;
    admit();
    return true;
  }
  void take(request& r) {
    ++r.who->locks;
    if (r.kind == alone) {
      writer = r.who;
    } else {
      ++readers;
    }
  }
  // As in semaphore_model.
  void admit() {
    if (std::exchange(admits, true)) return;
    while (!line.empty() && writer == nullptr && (line.front()->kind == shared || readers == 0)) {
      request& next = *line.front();
      take(next);
      serve(next);
    }
    admits = false;
  }

  std::optional<shared_mutex> real;
  model_worker* writer = nullptr;
  std::size_t readers = 0;
  bool admits = false;
  std::vector<std::vector<shared_mutex::guard>> held;
  std::vector<std::vector<shared_mutex::shared_guard>> shares;
};

}  // namespace ringlet::test
