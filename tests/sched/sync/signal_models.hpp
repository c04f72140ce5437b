// Models of event, auto_reset_event, promise and future; see primitives_model.hpp.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/auto_reset_event.hpp>
#include <ringlet/error.hpp>
#include <ringlet/event.hpp>
#include <ringlet/future.hpp>
#include <ringlet/promise.hpp>

#include <exception>
#include <optional>
#include <utility>

#include "primitives_model.hpp"

namespace ringlet::test {

struct event_model : primitive {
  explicit event_model(primitives_world& in) : primitive(in, "event"), real(std::in_place) {}

  void poke(model_worker& f) override {
    const std::size_t what = world.random.below(8);
    if (what == 0 && line.empty()) {
      ++reached.recreated;
      is_set = false;
      real.reset();
      real.emplace();
    } else if (what < 4) {
      world.note(f, "set", this);
      real->set();
      is_set = true;
      while (!line.empty()) serve(*line.front());
      if (world.random.once_in(2)) reset(f);
    } else {
      reset(f);
    }
  }
  void reset(model_worker& f) {
    world.note(f, "reset", this);
    is_set = false;
    real->reset();
  }
  void fill(request& r) {
    r.on = this;
    r.verb = "wait";
  }
  task<> wait(model_worker& f) override {
    request r;
    fill(r);
    const auto make = [this](time_limit limit) { return real->wait(limit); };
    const auto took = [](bool was_set) { return yes_or_late(was_set); };
    return world.wait(f, r, make, took);
  }
  bool try_now(request&, answer&) override { return is_set; }
  void compare() override { expect(real->is_set() == is_set, "is_set"); }

  std::optional<event> real;
  bool is_set = false;
};

struct auto_reset_event_model : primitive {
  explicit auto_reset_event_model(primitives_world& in)
      : primitive(in, "auto_reset_event"), real(std::in_place) {}

  void poke(model_worker& f) override {
    const std::size_t what = world.random.below(8);
    if (what == 0 && line.empty()) {
      ++reached.recreated;
      is_set = false;
      real.reset();
      real.emplace();
    } else if (what == 1) {
      world.note(f, "reset", this);
      real->reset();
      is_set = false;
    } else if (what == 2) {
      world.note(f, "try_wait", this);
      expect(real->try_wait() == std::exchange(is_set, false), "try_wait");
    } else {
      world.note(f, "set", this);
      real->set();
      is_set = line.empty();
      if (!line.empty()) serve(*line.front());
    }
  }
  task<> wait(model_worker& f) override {
    const request r{this, "wait"};
    const auto make = [this](time_limit limit) { return real->wait(limit); };
    const auto took = [](bool was_set) { return yes_or_late(was_set); };
    return world.wait(f, r, make, took);
  }
  bool try_now(request&, answer&) override { return std::exchange(is_set, false); }
  void compare() override {
    expect(real->is_set() == is_set, "is_set");
    expect_equal(real->waiting(), line.size(), "waiting");
  }

  std::optional<auto_reset_event> real;
  bool is_set = false;
};

struct promise_model : primitive {
  enum kinds { only_wait, get };

  explicit promise_model(primitives_world& in) : primitive(in, "promise") { remake(); }
  void remake() {
    real.emplace();
    later = real->get_future();
    state.reset();
  }

  void poke(model_worker& f) override {
    const std::size_t what = world.random.below(8);
    const std::size_t value = world.random.below(100);
    if (what < 3) {  // waits keep the future
      world.note(f, "destroy", this);
      ++reached.recreated;
      real.reset();
      if (!state) become({ending::failed, 1});
      remake();
    } else if (what == 3) {
      world.note(f, "try_set_error", this);
      const bool may = !state;
      expect(real->try_set_error(std::make_exception_ptr(planted_error())) == may, "try_set_error");
      if (may) become({ending::failed, 0});
    } else {
      world.note(f, "try_set_value", this, value);
      const bool may = !state;
      expect(real->try_set_value(value) == may, "try_set_value");
      if (may) become({ending::success, value});
    }
  }
  task<> wait(model_worker& f) override {
    request r{this, "wait", 0, only_wait};
    const auto waiting = [this](time_limit limit) { return later.wait(limit); };
    const auto ready = [](bool is_ready) { return yes_or_late(is_ready); };
    if (world.random.once_in(2)) return world.wait(f, r, waiting, ready);
    r.verb = "get";
    r.kind = get;
    r.throws_late = true;
    const auto getting = [this](time_limit limit) { return later.get(limit); };
    const auto got = [](std::size_t value) { return answer{ending::success, value}; };
    return world.wait(f, r, getting, got);
  }
  bool try_now(request& r, answer& a) override {
    if (state && r.kind == get) a = *state;
    return state.has_value();
  }
  void interrupt(request& r, ending why) override {
    r.is_due = why == ending::late;
    primitive::interrupt(r, why);
  }
  void become(answer now) {
    state = now;
    // A wait that is late has the value if that comes before its fiber runs.
    for (model_worker& f : world.workers) {
      if (!f.suspends || f.waits || f.taken == nullptr || f.taken->on != this) continue;
      if (!std::exchange(f.taken->is_due, false)) continue;
      if (f.end.how == ending::killed) ++f.kills;  // after its limit
      f.end = f.taken->kind == get ? now : answer();
    }
    while (!line.empty()) {
      request& next = *line.front();
      serve(next, next.kind == get ? now : answer());
    }
  }
  void compare() override {
    expect(later.is_ready() == state.has_value(), "is_ready");
    expect(later.has_value() == (state && state->how == ending::success), "has_value");
  }

  std::optional<promise<std::size_t>> real;
  future<std::size_t> later;
  std::optional<answer> state;
};

}  // namespace ringlet::test
