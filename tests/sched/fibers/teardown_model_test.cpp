// The end of fibers: random programs compared with a model that knows which calls may be
// interrupted, by what, and what must have ended before.
//
// Method: a program is a tree of fibers with groups, limits, shields and greenlets, in which kills,
// cancellations, failures and a signal happen at random. Each is reported to the model at the same
// instant, and each end of a wait, a group and a fiber is compared with the model's. A seed
// reproduces its program: it is printed on failure, and RINGLET_TEST_SEED runs that program alone.
// RINGLET_TEST_SCALE makes the normal run that many times longer.
// SPDX-License-Identifier: MIT
#include "teardown_model.hpp"

#include <ringlet/event.hpp>
#include <ringlet/greenlet.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/shutdown.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/when_all.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "support/engines.hpp"
#include "support/random.hpp"
#include "support/sanitized.hpp"
#include "support/scale.hpp"
#include "support/scripted_engine.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

std::atomic<int> pending_signal = 0;

class program : public teardown_model {
 public:
  program(std::uint64_t seed, scripted_engine* scripted) : teardown_model(scripted), random_(seed) {
    grace_ = random_.once_in(4) ? std::chrono::nanoseconds(200us) : 1s;
    if (!exact_) grace_ = 10s;
    signal_at_ = exact_ && random_.once_in(3) ? 1 + random_.below(40) : 0;
    latches_ = random_.once_in(2);
    fibers_left_ = 4 + random_.below(40);
  }

  options settings() {
    options made;
    made.shutdown_timeout = grace_;
    made.on_unhandled_error = [this](const unhandled_error& report) {
      std::vector<std::size_t> ids;
      append_ids(report.error, ids);
      expect(!ids.empty() || released(), "a report of what is no fault");
      seen.hidden_errors += static_cast<int>(ids.size());
      for (const std::size_t id : ids) ++counts_[id];
    };
    return made;
  }

  task<int> main() {
    fiber_model& self = make_fiber(nullptr);
    main_ = &self;
    everything_.starter = &self;
    everything_.reports = true;
    self.base = &current();
    self.end = fiber_model::ending::alive;
    self.stack.push_back(&everything_);
    const live here;
    try {
      if (latches_ && random_.once_in(2)) request_shutdown();
      const std::size_t rounds = 1 + random_.below(4);
      for (std::size_t i = 0; i < rounds; ++i) co_await sequence(self, 4);
      self.end = fiber_model::ending::returned;
    } catch (const cancelled&) {
      self.end = fiber_model::ending::cut;
    } catch (...) {
      self.end = fiber_model::ending::failed;
      main_faults_ = caught_ids();
    }
    end_of_main_ = now();
    seen.drained += latched_ && signalled_ != never ? 1 : 0;
    everything_.may_cancel = everything_.must_cancel = true;
    self.stack.clear();
    self.base = nullptr;
    if (self.end == fiber_model::ending::cut) throw cancelled();
    if (self.end == fiber_model::ending::failed) throw fault(main_rethrown_ = new_fault());
    co_return 1;
  }

 private:
  std::chrono::nanoseconds some_time() {
    return std::chrono::microseconds(exact_ ? 1 + random_.below(20) : 0);
  }

  // Every wait goes through here. `make` creates the wait.
  template <class Make>
  task<> wait(fiber_model& f, Make make) {
    f.left_shield = false;
    settle(f);
    const bool must = must_throw(f);
    bool closed = false;
    try {
      co_await make();
    } catch (const cancelled&) {
      on_cancelled(f);
      throw;
    } catch (const fault& given) {
      on_given(f, given.id);
      throw;
    } catch (const std::system_error& error) {
      closed = error.code() == errc::closed;
      expect(error.code() == errc::timed_out || (closed && released()), "an error of a wait");
    }
    expect(!must, "a wait came through although its end was due");
    check_alive(f);
  }
  task<> pause(fiber_model& f) {
    const auto time = some_time();
    const bool yields = random_.once_in(3);
    if (yields) return wait(f, [] { return yield(); });
    return wait(f, [time] { return sleep(time); });
  }

  // Fibers

  task<int> root(token its, std::size_t depth) {
    fiber_model& f = *its.fiber;
    group_model& g = *f.member_of;
    f.base = &current();
    f.end = fiber_model::ending::alive;
    settle(f);
    expect(!g.must_cancel, "a fiber began in a group that is cancelled");
    expect(f.pending.empty(), "a fiber began after it was killed");
    check_alive(f);
    try {
      co_await sequence(f, depth);
      f.end = fiber_model::ending::returned;
    } catch (const cancelled&) {
      f.end = fiber_model::ending::cut;
      check_alive(f);
      throw;
    } catch (...) {
      f.end = fiber_model::ending::failed;
      check_alive(f);
      fail_member(g, caught_ids());
      throw;
    }
    check_alive(f);
    co_return static_cast<int>(f.id);
  }
  bool may_spawn() {
    if (fibers_left_ == 0) return false;
    --fibers_left_;
    return true;
  }
  void spawn_in(group_model& g, std::size_t depth) {
    if (!may_spawn()) return;
    settle(*g.starter);
    const bool must = g.must_cancel;
    fiber_model& f = make_fiber(&g);
    const bool was_cancelled = g.real != nullptr && g.real->is_cancelled();
    const std::size_t before = g.real != nullptr ? g.real->size() : 0;
    expect(!was_cancelled || g.may_cancel, "a group is cancelled without a reason");
    expect(g.real == nullptr || was_cancelled || !must, "spawn: a group was not cancelled at once");
    task<int> call = root(token(*this, f), depth);
    const fiber<int> made =
        g.real != nullptr ? g.real->spawn(std::move(call)) : spawn(std::move(call));
    if (made.done()) {
      ++seen.refused;
      expect(g.may_cancel, "a fiber was refused without a reason");
      expect(made.result() == outcome::cancelled, "how a refused fiber ended");
      expect(g.real == nullptr || g.real->size() == before, "a refused fiber counts");
      return;
    }
    expect(!was_cancelled, "a fiber was spawned in a group that is cancelled");
    f.handle = made;
    made.on_done([this, &f](const fiber<int>& ended) { on_end(f, ended); });
  }
  fiber_model* some_fiber() {
    for (int i = 0; i < 4; ++i) {
      fiber_model& f = *fibers_[random_.below(fibers_.size())];
      if (f.handle && !f.handle.done()) return &f;
      if (f.base != nullptr) return &f;
    }
    return nullptr;
  }

  // The steps of fibers

  void kill_one(fiber_model& by) {
    fiber_model* target = some_fiber();
    if (by.member_of != nullptr && by.member_of->starter != nullptr && random_.once_in(4)) {
      target = by.member_of->starter;
      if (target->base == nullptr) return;
      ++seen.starters_killed;
    }
    if (target == nullptr || (target == main_ && !random_.once_in(4))) return;
    // Once starters are no longer held, when_all() may have been interrupted earlier, which shows
    // when it returns.
    if (target->in_families != 0 && released()) return;
    if (target->end != fiber_model::ending::alive &&
        target->end != fiber_model::ending::not_begun) {
      return;
    }
    if (random_.once_in(4)) {
      const std::size_t id = new_fault();
      given_[id] = true;
      note_kill(*target, id);
      const auto error = std::make_exception_ptr(fault(id));
      target->handle ? target->handle.request_kill(error) : target->base->kill_with(error);
    } else {
      note_kill(*target, fiber_model::plain_kill);
      target->handle ? target->handle.request_kill() : target->base->kill();
    }
    check_cancelled(*target);
  }
  void cancel_one(fiber_model& by) {
    group_model* target = by.member_of;
    for (region* r : by.stack) {
      if (r->what == region::kind::body && random_.once_in(2))
        target = static_cast<group_model*>(r);
    }
    if (target == nullptr || target->real == nullptr) return;
    target->may_end = target->must_end = target->may_cancel = target->must_cancel = true;
    target->real->cancel();
    settle(*target->starter);
    check_cancelled(*target->starter);
  }

  task<> sequence(fiber_model& f, std::size_t depth) {
    const live here;
    const std::size_t count = 1 + random_.below(10);
    for (std::size_t i = 0; i < count; ++i) {
      ++seen.steps;
      check_alive(f);
      if (signal_at_ != 0 && --signal_at_ == 0) raise();
      co_await act(f, depth);
    }
  }
  // Rarely while the main task is in a shield, because the library prints a line then.
  void raise() {
    if (is_shielded(*main_, 0) && !random_.once_in(64)) {
      signal_at_ = 1 + random_.below(20);
      return;
    }
    ++seen.signals;
    signalled_ = now();
    waits_at_signal_ = engine_->waits();
    pending_signal = 2;
  }

  task<> act(fiber_model& f, std::size_t depth) {
    const std::size_t kind = random_.below(depth > 0 ? 32 : 20);
    switch (kind) {
      case 0:
        return kill_and_pause(f);
      case 1:
        cancel_one(f);
        return pause(f);
      case 2:
        if (random_.once_in(2)) return fail();
        return pause(f);
      case 3:
      case 4:
        return use_door(f);
      case 5:
      case 6:
        return use_items(f);
      case 7:
        return join_one(f);
      case 8:
        if (&f == main_ && latches_ && random_.once_in(3)) request_shutdown();
        spawn_in(everything_, depth > 0 ? depth - 1 : 0);
        return pause(f);
      case 9:
        if (f.member_of != nullptr && f.member_of->real != nullptr) {
          spawn_in(*f.member_of, depth > 0 ? depth - 1 : 0);
        }
        return pause(f);
      case 20:
      case 21:
        return limited(f, depth - 1);
      case 22:
        return shielded(f, depth - 1);
      case 23:
        return catching(f, depth - 1);
      case 24:
        return all_of(f, depth - 1);
      case 25:
        return any_of_them(f, depth - 1);
      case 26:
        return in_greenlet(f, depth - 1);
      case 27:
      case 28:
      case 29:
      case 30:
      case 31:
        return in_group(f, depth - 1);
      default:
        return pause(f);
    }
  }

  task<> kill_and_pause(fiber_model& f) {
    kill_one(f);
    co_await pause(f);
  }
  task<> fail() {
    throw fault(new_fault());
    co_return;
  }
  task<> use_door(fiber_model& f) {
    group_model* const g = f.member_of;
    if (g == nullptr || g->shared == nullptr) co_return co_await pause(f);
    const auto time = some_time();
    if (random_.once_in(3)) {
      g->shared->door.set();
    } else {
      if (random_.once_in(2)) g->shared->door.reset();
      co_await wait(f, [g, time] { return g->shared->door.wait(time); });
    }
  }
  task<> use_items(fiber_model& f) {
    group_model* const g = f.member_of;
    if (g == nullptr || g->shared == nullptr) co_return co_await pause(f);
    const auto time = some_time();
    if (random_.once_in(2)) {
      int item = 1;  // which push() borrows
      co_await wait(f, [&] { return g->shared->items.push(std::move(item), time); });
    } else {
      co_await wait(f, [g, time] { return g->shared->items.pop(time); });
    }
  }
  task<> join_one(fiber_model& f) {
    fiber_model* const target = some_fiber();
    if (target == nullptr || target == &f || !target->handle) co_return co_await pause(f);
    const fiber<int> joined = target->handle;
    const auto time = some_time();
    co_await wait(f, [&] { return joined.join(time); });
  }

  task<> limited(fiber_model& f, std::size_t depth) {
    region limit;
    limit.what = region::kind::limit;
    const auto time = some_time() * 3;
    bool cut = false, timed = false;
    std::size_t at = 0;
    {
      limit.deadline = now() + time.count();
      const auto call = [&]() -> task<> {
        const entered inside(*this, f, limit);
        at = f.stack.size();
        try {
          co_await sequence(f, depth);
        } catch (const cancelled&) {
          cut = true;
          throw;
        }
      };
      try {
        co_await with_timeout(time, call());
      } catch (const timed_out&) {
        timed = true;
      }
    }
    if (timed) {
      ++seen.timed_out;
      expect(cut, "timed out, but nothing was cut short");
      expect(limit.deadline <= now(), "timed out before the limit");
      expect(f.cut_at >= at, "a limit swallowed what was to end an outer call");
    } else {
      expect(!cut, "a limit swallowed what ended its call");
    }
  }

  task<> shielded(fiber_model& f, std::size_t depth) {
    region held;
    held.what = region::kind::shield;
    const auto time = exact_ ? some_time() * 8 : std::chrono::nanoseconds(1h);
    held.deadline = now() + time.count();
    const auto call = [&]() -> task<> {
      const entered inside(*this, f, held);
      co_await sequence(f, depth);
    };
    co_await shield(time, call());
  }

  // Continues after what it catches.
  task<> catching(fiber_model& f, std::size_t depth) {
    const bool all = random_.once_in(3);
    try {
      co_await sequence(f, depth);
    } catch (const cancelled&) {
      // A main task that ends later than its shutdown timeout allows ends the program.
      if (!all || (&f == main_ && signalled_ != never && grace_ < 1s)) throw;
    } catch (...) {
      swallow(f);
    }
  }

  // The call with the single body.
  task<> body(group_model& g, fiber_model& f, std::size_t depth, bool patient) {
    const entered inside(*this, f, g);
    std::optional<lent> own;
    if (patient) own.emplace();
    const locals mine(*this, g, patient ? &*own : nullptr);
    const std::size_t members = random_.below(4);
    try {
      for (std::size_t i = 0; i < members; ++i) spawn_in(g, depth);
      try {
        co_await sequence(f, depth);
      } catch (const cancelled&) {
        throw;
      } catch (...) {
        if (!patient) throw;
        swallow(f);
      }
      while (patient && g.alive != 0) co_await pause(f);
    } catch (const cancelled&) {
      throw;
    } catch (...) {
      g.ends_itself = !f.unwinds_given;
      fail_member(g, caught_ids());
      g.may_cancel = true;
      throw;
    }
    g.ends_itself = true;
  }

  task<> in_group(fiber_model& f, std::size_t depth) {
    group_model& g = *groups_.emplace_back(std::make_unique<group_model>());
    g.starter = &f;
    g.reports = random_.once_in(5);
    const bool patient = random_.once_in(2);
    lent around;
    if (!patient) g.shared = &around;
    const live here;
    const std::size_t at = f.stack.size();
    bool body_cut = false;
    // The group is still around its fibers when its body has ended.
    region_of_end ends(*this, f, g);
    const auto call = [&](task_group& real) -> task<> {
      g.real = &real;
      try {
        co_await body(g, f, depth, patient);
      } catch (const cancelled&) {
        body_cut = true;
        ends.begin();
        throw;
      } catch (...) {
        ends.begin();
        throw;
      }
      ends.begin();
    };
    const group_options how{g.reports ? group_failure::report : group_failure::cancel_all};
    try {
      co_await with_group(how, call);
    } catch (const cancelled&) {
      after_group(g);
      if (!body_cut || f.cut_at == at + 1) {
        on_cancelled(f);
      }
      ends.end();
      throw;
    } catch (...) {
      after_group(g);
      ends.end();
      auto ids = caught_ids();
      if (!f.pending.empty() && std::find(ids.begin(), ids.end(), f.pending.front()) != ids.end() &&
          std::find(g.faults.begin(), g.faults.end(), f.pending.front()) == g.faults.end()) {
        on_given(f, f.pending.front());
        throw;
      }
      ++seen.group_errors;
      std::sort(g.faults.begin(), g.faults.end());
      if (!g.reports) expect(ids == g.faults, "a group throws other errors than there were");
      throw;
    }
    after_group(g);
    ends.end();
    expect(g.faults.empty(), "a group hides a failure");
    expect(!body_cut || (g.may_end && (f.cut_at > at || f.cut_at == unknown_cut)),
           "a group swallowed what was to end an outer call");
  }
  // when_all() and when_any()
  struct family {
    family(program& all, fiber_model& f)
        : group(*all.groups_.emplace_back(std::make_unique<group_model>())) {
      group.starter = &f;
      ++f.in_families;
    }
    family(const family&) = delete;
    ~family() { --group.starter->in_families; }
    group_model& group;
  };
  task<int> child(group_model& g, std::size_t depth) {
    return root(token(*this, make_fiber(&g)), depth);
  }
  task<> all_of(fiber_model& f, std::size_t depth) {
    family calls(*this, f);
    group_model& g = calls.group;
    lent around;
    g.shared = &around;
    {
      const entered inside(*this, f, g);
      const locals mine(*this, g, nullptr);
      task<int> one = child(g, depth);
      task<int> two = child(g, depth);
      try {
        auto both = co_await when_all(std::move(one), std::move(two));
        static_cast<void>(both);
        expect(g.faults.empty(), "when_all hides a failure");
      } catch (const cancelled&) {
        after_group(g);
        g.may_end = g.must_end = false;  // its own fibers end it by an error, never by this
        on_cancelled(f);
        throw;
      } catch (const std::system_error& error) {
        expect(error.code() == errc::fiber_cancelled, "when_all: an error");
      } catch (...) {
        after_group(g);
        const auto ids = caught_ids();
        const bool is_given =
            !f.pending.empty() && !ids.empty() && ids.front() == f.pending.front();
        if (is_given) {
          on_given(f, ids.front());
        } else {
          expect(!g.faults.empty(), "when_all throws what no call threw");
        }
        throw;
      }
      after_group(g);
    }
  }
  task<> any_of_them(fiber_model& f, std::size_t depth) {
    family calls(*this, f);
    group_model& g = calls.group;
    g.reports = true;  // failures are outcomes
    lent around;
    g.shared = &around;
    const entered inside(*this, f, g);
    const locals mine(*this, g, nullptr);
    task<int> one = child(g, depth);
    task<int> two = child(g, depth);
    g.may_cancel = true;  // when one has ended, which only when_any sees
    try {
      auto [first, all] = co_await when_any(std::move(one), std::move(two));
      expect(first < 2, "when_any: which");
      take_outcome(std::get<0>(all));
      take_outcome(std::get<1>(all));
    } catch (const cancelled&) {
      after_group(g);
      on_cancelled(f);
      throw;
    } catch (...) {
      after_group(g);
      const auto ids = caught_ids();
      expect(!ids.empty() && !f.pending.empty() && ids.front() == f.pending.front(),
             "when_any throws what it was not killed with");
      if (!ids.empty()) on_given(f, ids.front());
      throw;
    }
    after_group(g);
  }
  void take_outcome(const fiber<int>& ended) {
    expect(ended.done(), "when_any returns while a call runs");
    if (ended.result() != outcome::error) return;
    std::vector<std::size_t> ids;
    append_ids(ended.error(), ids);
    for (const std::size_t id : ids) ++counts_[id];
  }

  // A group in a greenlet that is suspended while its fiber waits elsewhere.
  task<> in_greenlet(fiber_model& f, std::size_t depth) {
    ++seen.greenlets;
    if (std::exchange(f.in_greenlet, true)) co_return co_await pause(f);
    group_model& g = *groups_.emplace_back(std::make_unique<group_model>());
    g.starter = &f;
    g.reports = true;
    const live here;
    g.parked_at = f.stack.size() + 1;
    const auto call = [&](task_group& real) -> task<> {
      g.real = &real;
      const entered inside(*this, f, g);
      const locals mine(*this, g, nullptr);
      for (int i = 0; i < 2; ++i) spawn_in(g, depth);
      std::erase(f.stack, &g);
      f.parked.push_back(&g);
      co_await greenlet<>::current().parent().switch_to();
      g.ends_itself = true;
    };
    const auto line = [&]() -> task<> {
      co_await with_group(group_options{group_failure::report}, call);
    };
    struct leaving {
      ~leaving() { of.in_greenlet = false; }
      fiber_model& of;
    };
    const leaving mark{f};
    greenlet<> inner(line);
    co_await inner.switch_to();
    // Its own errors would leave the greenlet with fibers alive.
    co_await pause(f);
    co_await pause(f);
    g.real->cancel();
    g.may_cancel = g.must_cancel = true;
    while (g.alive != 0) co_await pause(f);
    settle(f);
    co_await back_in(f, inner);
    expect(g.alive == 0, "a group of a greenlet ends while a fiber is alive");
  }
  task<> back_in(fiber_model& f, greenlet<>& inner) {
    try {
      co_await inner.switch_to();
    } catch (const cancelled&) {
      on_cancelled(f);
      throw;
    } catch (const fault& given) {
      on_given(f, given.id);
      throw;
    }
  }

  random_numbers random_;
  std::size_t signal_at_ = 0;
  std::size_t fibers_left_ = 0;
  bool latches_ = false;
};

// doctest does not print the seed when an assertion of the library ends the program.
class seed_printed_on_abort {
 public:
  explicit seed_printed_on_abort(std::uint64_t seed)
      : before_(std::signal(SIGABRT, &seed_printed_on_abort::print)) {
    running_ = seed;
  }
  seed_printed_on_abort(const seed_printed_on_abort&) = delete;
  ~seed_printed_on_abort() { std::signal(SIGABRT, before_); }

 private:
  static void print(int number) {
    std::fprintf(stderr, "teardown model: aborted with RINGLET_TEST_SEED=%llu\n", running_);
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
  static inline unsigned long long running_ = 0;
  void (*before_)(int);
};

void run_program(std::uint64_t seed, extend::engine& engine, scripted_engine* scripted) {
  CAPTURE(seed);
  const seed_printed_on_abort mark(seed);
  pending_signal = 0;
  live_objects = 0;
  program all(seed, scripted);
  int code = 0;
  std::size_t thrown = 0;
  try {
    detail::run_on(engine, all.main(), all.settings(), std::source_location::current(),
                   [](extend::scheduler& scheduler) { scheduler.signal().watch(pending_signal); });
  } catch (const fault& error) {
    code = 1;
    thrown = error.id;
  } catch (const std::system_error& error) {
    code = error.code() == errc::fiber_cancelled ? 128 : 2;
  }
  all.check_end(code, thrown);
  CHECK(all.broken() == "");
}

}  // namespace

TEST_SUITE_BEGIN("teardown model");

TEST_CASE("fibers end as the model predicts in random programs") {
  if (const std::uint64_t seed = test_seed()) {
    scripted_engine engine;
    run_program(seed, engine, &engine);
    return;
  }
  seen = {};
  const int tenths = sanitized ? 1 : 10;
  const std::size_t steps = 100'000 * static_cast<std::size_t>(tenths);
  for (std::uint64_t seed = 1; seen.steps < steps * test_scale(); ++seed) {
    scripted_engine engine;
    run_program(seed, engine, &engine);
  }
  CHECK(seen.kills_thrown > 800 * tenths);
  CHECK(seen.given_thrown > 250 * tenths);
  CHECK(seen.scopes_thrown > 8'000 * tenths);
  CHECK(seen.cut_with_members > 2'500 * tenths);
  CHECK(seen.refused > 150 * tenths);
  CHECK(seen.timed_out > 700 * tenths);
  CHECK(seen.group_errors > 600 * tenths);
  CHECK(seen.hidden_errors > 400 * tenths);
  CHECK(seen.kept_in_shield > 50 * tenths);
  CHECK(seen.greenlets > 900 * tenths);
  CHECK(seen.signals > 150 * tenths);
  CHECK(seen.drained > 40 * tenths);
  CHECK(seen.released > 20 * tenths);
  CHECK(seen.killed_twice > 20 * tenths);
  CHECK(seen.starters_killed > 400 * tenths);
}

TEST_CASE("fibers end as the model predicts on real engines") {
  if (test_seed() != 0) return;
  for_each_kernel_engine([](const engine_maker& make) {
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
      const auto engine = make();
      run_program(seed, *engine, nullptr);
    }
  });
}

TEST_SUITE_END();
