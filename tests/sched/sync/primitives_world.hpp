// The parts of the driver that are longer; see primitives_model.hpp.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/error.hpp>
#include <ringlet/sleep.hpp>

#include <chrono>
#include <string>
#include <system_error>
#include <utility>

#include "primitives_model.hpp"

namespace ringlet::test {

// Only a limit or a kill ends it.
struct pause_model : primitive {
  explicit pause_model(primitives_world& in) : primitive(in, "pause") {}
  void poke(model_worker&) override {}
  task<> wait(model_worker&) override { co_return; }
  bool try_now(request&, answer&) override { return false; }
  void interrupt(request& r, ending why) override {
    serve(r, {why == ending::late ? ending::success : why, 0});
  }
  void compare() override {}
};

inline const char* word(ending how) {
  static constexpr std::array words{"success", "false",  "timed_out", "cancelled",
                                    "closed",  "lagged", "broken",    "an error"};
  return words[static_cast<std::size_t>(how)];
}
inline std::string words(answer a) {
  return std::string(word(a.how)) + " " + std::to_string(a.got);
}

inline std::string primitives_world::story() const {
  std::string all;
  for (std::size_t i = 0; i < last_.size(); ++i) {
    const step& s = last_[(reached.steps + i) % last_.size()];
    if (s.who == nullptr) continue;
    all += "\n  +" + std::to_string(s.at - scripted_engine::start_time) + " fiber " +
           std::to_string(s.who->id) + ": ";
    if (s.on != nullptr) all += std::string(s.on->name()) + "#" + std::to_string(s.on->index) + " ";
    all += std::string(s.what) + " " + std::to_string(s.number);
    if (s.limit != never) {
      all += ", limit +" + std::to_string(s.limit - scripted_engine::start_time);
    }
  }
  return all;
}

// Records the first difference, and lets the model forget all waits, because their fibers end.
inline void primitives_world::fail(const std::string& sentence) {
  if (!broken.empty()) return;
  broken = sentence + " (RINGLET_TEST_SEED=" + std::to_string(seed) + ", step " +
           std::to_string(steps_) + " of this program, " + std::to_string(reached.steps) +
           " of all); the last steps:" + story();
  for (const auto& each : primitives) each->line.clear();
  for (model_worker& f : workers) f.parts.clear();
  ready_.clear();
}

inline void primitives_world::begin(model_worker& f, std::initializer_list<request*> parts) {
  f.taken = nullptr;
  f.suspends = false;
  if (!broken.empty()) return;
  ++reached.waits;
  for (request* part : parts) {
    part->who = &f;
    part->armed = ++armed_;
    note(f, part->verb, part->on, part->count, part->limit);
  }
  ++f.quick;
  if (f.kills != 0) {
    --f.kills;
    f.end = {ending::killed, 0};
    return;
  }
  for (request* part : parts) {
    f.end = {};
    f.taken = part;
    if (part->on->try_now(*part, f.end)) return;
  }
  f.quick = 0;
  f.taken = nullptr;
  f.waits = f.suspends = true;
  f.parts = parts;
  const auto join = [parts] {
    for (request* part : parts) {
      part->on->line.push_back(part);
      part->on->joined(*part);
    }
  };
  if (parts.size() == 1) return join();
  end_together(join);
}

// Called first when a wait has returned.
inline void primitives_world::resumed(model_worker& f) {
  if (!broken.empty()) return;
  if (engine_.waits() != turns_) {
    if (engine_.now() != now_ && !ready_.empty()) {
      return fail("fiber " + std::to_string(ready_.front()->id) +
                  " sleeps although the model has woken it; fiber " + std::to_string(f.id) +
                  " runs");
    }
    turns_ = engine_.waits();
    now_ = engine_.now();
    expire();
  }
  if (f.suspends) {
    if (f.waits) return fail("fiber " + std::to_string(f.id) + " wakes too early");
    // Nothing says in which order one step wakes fibers at several primitives.
    const auto on = [](const model_worker& of) {
      return of.taken != nullptr ? of.taken->on : nullptr;
    };
    const auto next = std::find_if(ready_.begin(), ready_.end(), [&](const model_worker* each) {
      return is_crowd() ? each == &f : on(*each) == on(f);
    });
    if (next == ready_.end()) return fail("fiber " + std::to_string(f.id) + " wakes twice");
    if (*next != &f) {
      return fail("fiber " + std::to_string(f.id) + " runs before fiber " +
                  std::to_string((*next)->id));
    }
    ready_.erase(next);
    f.suspends = false;
    ++reached.suspended;
  } else if (running_ != &f) {
    return fail("fiber " + std::to_string(f.id) + " was suspended in a wait that was over");
  }
  running_ = &f;
  if (f.taken != nullptr && f.end.how == ending::success) f.taken->on->resumes(*f.taken);
}

// Ends the waits whose limits have passed, in their order.
inline void primitives_world::expire() {
  for (;;) {
    request* first = nullptr;
    for (model_worker& f : workers) {
      if (!f.waits) continue;
      for (request* part : f.parts) {
        if (part->limit > now_) continue;
        if (first == nullptr || part->limit < first->limit ||
            (part->limit == first->limit && part->armed < first->armed)) {
          first = part;
        }
      }
    }
    if (first == nullptr) return;
    first->limit = never;
    first->on->interrupt(*first, ending::late);
  }
}

// Compares how a wait has ended. `part` is the one that won a select().
inline void primitives_world::finish(model_worker& f, request* part, answer got) {
  if (!broken.empty()) return;
  const bool part_differs = part != nullptr && f.end.how != ending::killed && f.taken != part;
  if (part_differs || !(got == f.end)) {
    return fail("fiber " + std::to_string(f.id) + ": " + words(got) +
                (part_differs ? " from the wrong part" : "") + "; the model says " + words(f.end));
  }
  if (got.how == ending::killed) ++reached.killed;
  if (got.how != ending::killed && f.kills != 0) ++reached.outlived_kill;
  if (got.how == ending::late || got.how == ending::timed_out) ++reached.late;
  if (got.how == ending::closed) ++reached.closed;
  if (got.how == ending::lagged) ++reached.lagged;
  if (got.how == ending::broken) ++reached.broken;
  note(f, word(got.how), f.taken != nullptr ? f.taken->on : nullptr, got.got);
  f.taken = nullptr;  // in a frame that the fiber will leave
  f.parts.clear();
  compare();
}

// In a handler.
inline answer primitives_world::thrown() const {
  try {
    throw;
  } catch (const cancelled&) {
    return {ending::killed, 0};
  } catch (const timed_out&) {
    return {ending::timed_out, 0};
  } catch (const std::system_error& error) {
    if (error.code() == errc::closed) return {ending::closed, 0};
    if (error.code() == errc::lagged) return {ending::lagged, 0};
    if (error.code() == errc::broken_barrier) return {ending::broken, 0};
    return {ending::failed, error.code() == errc::broken_promise ? 1U : 2U};
  } catch (const planted_error&) {
    return {ending::failed, 0};
  }
}

inline void primitives_world::kill(model_worker& f) {
  if (!f.alive) return;
  if (!f.begun) {
    f.alive = false;
    std::erase(ready_, &f);
  } else if (f.yields && f.end.how != ending::killed) {
    f.end = {ending::killed, 0};
  } else if (f.waits) {
    f.parts[0]->on->interrupt(*f.parts[0], ending::killed);
  } else if (f.suspends && f.taken != nullptr && f.taken->on->prefers_kill(f.end.how)) {
    f.end = {ending::killed, 0};
  } else {
    ++f.kills;
  }
  note(f, "is killed");
  f.handle.request_kill();
}

inline task<> primitives_world::idle(model_worker& f, std::chrono::nanoseconds time) {
  request r;
  r.on = primitives.back().get();
  r.verb = "sleep";
  r.limit = now_ + time.count();
  const std::chrono::steady_clock::time_point until{std::chrono::nanoseconds(r.limit)};
  begin(f, {&r});
  answer got;
  try {
    co_await sleep_until(until);
    resumed(f);
  } catch (...) {
    resumed(f);
    got = thrown();
  }
  finish(f, nullptr, got);
}

inline task<> primitives_world::pause(model_worker& f) {
  if (random.once_in(2)) {
    co_return co_await idle(f, std::chrono::microseconds(1 + random.below(8)));
  }
  note(f, "yields");
  begin(f, {});
  if (f.suspends) {
    f.waits = false;
    f.yields = true;
    f.end = {};
    ready_.push_back(&f);
  }
  answer got;
  try {
    co_await yield();
    resumed(f);
  } catch (...) {
    resumed(f);
    got = thrown();
  }
  f.yields = false;
  finish(f, nullptr, got);
}

inline void primitives_world::start(model_worker& f) {
  f.alive = true;
  f.begun = false;
  f.kills = 0;
  f.waits = f.yields = false;
  ready_.push_back(&f);
  f.handle = spawn(work(f));
}

inline task<> primitives_world::work(model_worker& f) {
  f.begun = f.suspends = true;
  f.quick = 0;
  resumed(f);
  while (!is_over()) {
    f.end = {};
    // Every third wait is beside one of the first two anyway.
    std::size_t chosen =
        random.once_in(6) ? random.below(2) : 2 + random.below(primitives.size() - 3);
    std::size_t what = random.below(16);
    if (is_crowd()) {
      chosen = random.once_in(8) ? chosen : 0;
      what = random.once_in(64) ? 8 : 15;
    }
    if (chosen == 1 && is_crowd()) chosen = 0;  // the model of permits knows no slices
    if (what < 2 || f.quick > 40) {
      co_await pause(f);
    } else if (what == 2) {
      kill(workers[1 + random.below(workers.size() - 1)]);
    } else if (what < 9) {
      primitives[chosen]->poke(f);
      compare();
    } else {
      co_await primitives[chosen]->wait(f);
    }
    if (f.end.how == ending::killed && random.once_in(3)) break;
  }
  if (broken.empty()) drop(f);
  f.alive = false;
}

inline task<> primitives_world::main(std::size_t steps) {
  model_worker& self = workers[0];
  self.alive = self.begun = true;
  running_ = &self;
  while (steps_ < steps && broken.empty()) {
    for (model_worker& f : workers) {
      if (!f.alive && random.once_in(2)) start(f);
    }
    for (std::size_t i = random.below(is_crowd() ? 2 : 4); i != 0; --i) {
      primitives[random.below(primitives.size() - 1)]->poke(self);
      compare();
    }
    if (random.once_in(3)) kill(workers[1 + random.below(workers.size() - 1)]);
    co_await idle(self, std::chrono::microseconds(1 + random.below(8)));
  }
  stopping_ = true;
  if (broken.empty()) drop(self);
  bool is_alive = true;
  for (int i = 0; is_alive && i < 100 && broken.empty(); ++i) {
    is_alive = false;
    for (std::size_t each = 1; each < workers.size(); ++each) {
      is_alive = is_alive || workers[each].alive;
      kill(workers[each]);
    }
    co_await idle(self, std::chrono::microseconds(1));
  }
  if (is_alive) fail("a fiber does not end");
  if (!broken.empty()) co_return;  // which cancels the rest
  for (model_worker& f : workers) drop(f);
  compare();
  while (!primitives.empty()) primitives.pop_back();  // conditions before their mutexes
}

}  // namespace ringlet::test
