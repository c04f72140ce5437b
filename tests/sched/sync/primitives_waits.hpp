// How the fibers of the model test wait, alone or in a select(); see primitives_model.hpp.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/select.hpp>
#include <ringlet/semaphore.hpp>
#include <ringlet/time_limit.hpp>

#include <concepts>
#include <utility>
#include <variant>

#include "count_models.hpp"
#include "primitives_model.hpp"
#include "signal_models.hpp"

namespace ringlet::test {

template <class Wait>
concept returns_nothing = requires(Wait wait) {
  { wait.await_resume() } -> std::same_as<void>;
};

template <class Make, class Took>
task<> primitives_world::wait_alone(model_worker& f, request r, Make make, Took took) {
  if (r.limit == never) r.limit = some_limit(f);
  const time_limit limit = time_limit::at(r.limit);
  begin(f, {&r});
  answer got;
  try {
    if constexpr (returns_nothing<decltype(make(limit))>) {
      co_await make(limit);
      resumed(f);
      got = took(std::monostate());
    } else {
      auto value = co_await make(limit);
      resumed(f);
      got = took(std::move(value));
    }
  } catch (...) {
    resumed(f);
    got = thrown();
  }
  finish(f, nullptr, got);
}

template <class Make, class Took>
task<> primitives_world::wait(model_worker& f, request r, Make make, Took took) {
  if (is_crowd() || !random.once_in(3)) co_return co_await wait_alone(f, r, make, took);
  ++reached.selects;
  r.limit = some_limit(f);
  request other;
  other.limit = some_limit(f);
  const time_limit limit = time_limit::at(r.limit);
  const time_limit other_limit = time_limit::at(other.limit);
  answer got;
  request* part = nullptr;
  if (random.once_in(2)) {  // behind a flag
    auto& flag = static_cast<event_model&>(*primitives[0]);
    flag.fill(other);
    begin(f, {&other, &r});
    try {
      auto value = co_await select(flag.real->wait(other_limit), make(limit));
      resumed(f);
      if (value.index() == 0) {
        part = &other;
        got = yes_or_late(std::get<0>(value));
      } else {
        part = &r;
        got = took(std::get<1>(std::move(value)));
      }
    } catch (...) {
      resumed(f);
      got = thrown();
    }
  } else {  // before permits
    auto& permits = static_cast<semaphore_model<semaphore>&>(*primitives[1]);
    permits.fill(other);
    begin(f, {&r, &other});
    try {
      auto value = co_await select(make(limit), permits.real->acquire(other.count, other_limit));
      resumed(f);
      if (value.index() == 0) {
        part = &r;
        got = took(std::get<0>(std::move(value)));
      } else {
        part = &other;
        got = permits.keep(f, std::get<1>(std::move(value)));
      }
    } catch (...) {
      resumed(f);
      got = thrown();
    }
  }
  finish(f, part, got);
}

}  // namespace ringlet::test
