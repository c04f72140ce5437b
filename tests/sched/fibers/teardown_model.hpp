// The model with which the teardown test compares its programs: fibers, groups, limits and shields
// in plain data structures, and the reasons to end each call.
//
// Each reason is recorded when it arises. `may` says that a call may be interrupted, `must` that
// the next wait has to be. On the scripted clock the two differ only between the failure of a fiber
// and its end, and for when_any(), because only when_any() sees its first end; on a real clock they
// also differ at limits.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/event.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/shutdown.hpp>
#include <ringlet/task_group.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "support/scripted_engine.hpp"

namespace ringlet::test {
using namespace extend;

// How many times the programs have reached each case that matters, so that no case is missed
// unnoticed.
struct coverage {
  std::size_t steps = 0, fibers = 0;
  int kills_thrown = 0, given_thrown = 0, scopes_thrown = 0, cut_with_members = 0, refused = 0;
  int timed_out = 0, group_errors = 0, hidden_errors = 0, kept_in_shield = 0, greenlets = 0;
  int signals = 0, drained = 0, released = 0, killed_twice = 0, starters_killed = 0;
};
inline coverage seen;
inline int live_objects = 0;

// A failure with its own number.
struct fault : std::exception {
  explicit fault(std::size_t number) : id(number) {}
  const char* what() const noexcept override { return "fault"; }
  std::size_t id;
};

inline void append_ids(const std::exception_ptr& error, std::vector<std::size_t>& to) {
  try {
    std::rethrow_exception(error);
  } catch (const fault& one) {
    to.push_back(one.id);
  } catch (const group_error& all) {
    for (const std::exception_ptr& each : all.errors()) append_ids(each, to);
  } catch (...) {
  }
}

// In a handler: the numbers of the caught failures.
inline std::vector<std::size_t> caught_ids() {
  std::vector<std::size_t> ids;
  append_ids(std::current_exception(), ids);
  std::sort(ids.begin(), ids.end());
  return ids;
}

struct fiber_model;

// A part of a fiber's calls: a limit, a shield, or the body of a group.
struct region {
  enum class kind : std::uint8_t { limit, shield, body };
  kind what = kind::body;
  steady_ns deadline = never;
  bool may_end = false;   // sticky
  bool must_end = false;  // sticky
};

// Objects that are lent to the fibers of a group.
struct lent {
  event door;
  queue<int> items{2};
};

// A group, or the equivalent in when_all() and similar calls. As a region it is the body.
struct group_model : region {
  fiber_model* starter = nullptr;
  task_group* real = nullptr;
  lent* shared = nullptr;
  std::vector<std::size_t> faults;
  int alive = 0;
  bool may_cancel = false;   // its fibers; sticky
  bool must_cancel = false;  // sticky
  bool has_locals = false;
  bool lost_locals = false;
  bool ends_itself = false;  // the body has returned, or thrown by itself
  bool reports = false;      // group_failure::report, and the fibers that main is the starter of
  std::size_t parked_at = 0;
};

struct fiber_model {
  enum class ending : std::uint8_t { not_begun, alive, returned, cut, failed };
  static constexpr std::size_t plain_kill = 0;  // faults count from 1

  std::size_t id = 0;
  group_model* member_of = nullptr;
  fiber<int> handle;
  fiber_base* base = nullptr;
  std::vector<region*> stack;        // outermost first
  std::vector<group_model*> parked;  // in greenlets that are suspended
  std::deque<std::size_t> pending;   // kills that were not thrown
  ending end = ending::not_begun;
  bool unwinds_given = false;
  bool left_shield = false;  // what the shield held back is thrown at the next wait
  bool was_killed = false;
  bool in_greenlet = false;
  int in_families = 0;     // calls of when_all() and when_any()
  std::size_t cut_at = 0;  // how many regions `cancelled` leaves unchanged
};

class teardown_model {
 public:
  /// The clock is exact on a scripted engine, which is null on a real one.
  explicit teardown_model(scripted_engine* scripted)
      : engine_(scripted), exact_(scripted != nullptr) {}

  // After the run: how it ended, and whether everything is accounted for.
  void check_end(int code, std::size_t thrown) {
    expect(main_ != nullptr, "the main task did not run");
    if (main_ != nullptr) {
      using ending = fiber_model::ending;
      expect((code == 0) == (main_->end == ending::returned),
             "a main task that returned: its code");
      expect((code == 128) == (main_->end == ending::cut), "a main task that was cut: its code");
      expect((code == 1) == (main_->end == ending::failed), "a main task that failed: its code");
      expect(code != 1 || thrown == main_rethrown_, "the error of the main task");
      if (code == 1) ++counts_[main_rethrown_];
      for (const std::size_t id : main_faults_) ++counts_[id];
    }
    const steady_ns longest = grace_.count() * (latched_ ? 3 : 2);
    if (signalled_ != never) expect(now() <= signalled_ + longest, "the end took too long");
    for (const auto& each : fibers_) each->handle = {};
    for (std::size_t id = 1; id < counts_.size(); ++id) {
      const bool may_be_lost = given_[id] && !delivered_[id];
      if (counts_[id] == 0) expect(may_be_lost, "an error was lost");
      expect(counts_[id] <= 1, "an error came out twice");
    }
    expect(everything_.alive == 0, "a fiber outlives the run");
    for (const auto& each : fibers_) {
      expect(each->stack.empty() || each.get() == main_, "regions are left");
    }
    expect(live_objects == 0, "objects outlive the run");
    live_objects = 0;
  }

  /// The first rule that was broken; empty when none was.
  const std::string& broken() const { return broken_; }

 protected:
  struct live {
    live() { ++live_objects; }
    live(const live&) { ++live_objects; }
    ~live() { --live_objects; }
  };

  // Lives in the frame of a fiber's root: destroyed when the fiber ends, begun or not.
  struct token {
    token(teardown_model& made_by, fiber_model& its) : all(&made_by), fiber(&its) {
      ++its.member_of->alive;
      ++live_objects;
    }
    token(token&& other) noexcept : all(other.all), fiber(std::exchange(other.fiber, nullptr)) {}
    token& operator=(token&&) = delete;
    ~token() {
      if (fiber == nullptr) return;
      --live_objects;
      --fiber->member_of->alive;
      fiber->base = nullptr;
    }
    teardown_model* all;
    fiber_model* fiber;
  };

  struct entered {
    entered(teardown_model& made_by, fiber_model& f, region& r) : all(made_by), fiber(f), here(r) {
      all.settle(fiber);
      fiber.stack.push_back(&here);
    }
    entered(const entered&) = delete;
    ~entered() {
      all.settle(fiber);
      std::erase(fiber.stack, &here);
      std::erase(fiber.parked, &here);
      if (here.what != region::kind::shield) return;
      fiber.left_shield = true;
      all.settle(fiber);
    }
    teardown_model& all;
    fiber_model& fiber;
    region& here;
  };

  // The locals of a body that fibers of its group share.
  struct locals {
    locals(teardown_model& made_by, group_model& its, lent* shared) : all(made_by), group(its) {
      group.has_locals = true;
      if (shared != nullptr) group.shared = shared;
      is_shared = shared != nullptr;
    }
    locals(const locals&) = delete;
    ~locals() {
      if (!group.ends_itself) {
        all.expect(group.alive == 0 || all.released(),
                   "locals die before the fibers that use them");
      }
      group.lost_locals = true;
      if (is_shared) group.shared = nullptr;
    }
    teardown_model& all;
    group_model& group;
    bool is_shared;
  };

  // Compares, and records the first difference: a CHECK for each would take most of the time.
  void expect(bool holds, const char* rule) {
    if (!holds && broken_.empty()) broken_ = rule;
  }

  steady_ns now() const {
    if (engine_ != nullptr) return engine_->now();
    return std::chrono::steady_clock::now().time_since_epoch().count();
  }
  // The end of the run

  // Whether the signal has killed the main task. The signal is checked once in each turn, before
  // the engine waits, and the clock moves only there.
  bool signal_acts() const {
    if (signalled_ == never || engine_->waits() == waits_at_signal_) return false;
    return !latched_ || now() >= signalled_ + grace_.count();
  }
  void note_signal() {
    if (main_ == nullptr || signal_noted_ || !signal_acts()) return;
    signal_noted_ = true;
    main_->pending.push_back(fiber_model::plain_kill);
  }
  // Whether starters are no longer held.
  bool released() const {
    steady_ns since = std::min(end_of_main_, main_killed_);
    if (signalled_ != never) since = std::min(since, signalled_ + (latched_ ? grace_.count() : 0));
    return since != never && now() >= since + grace_.count() / 2;
  }
  // Whether shields no longer hold. A kill of the main task by the program does not end them.
  bool shields_end() const {
    steady_ns since = end_of_main_;
    if (signalled_ != never) since = std::min(since, signalled_ + (latched_ ? grace_.count() : 0));
    return since != never && now() >= since + grace_.count();
  }
  void request_shutdown() {
    if (signalled_ != never) return;
    latched_ = true;
    static_cast<void>(shutdown_requested());
  }

  // Reasons

  // Whether a shield stands between the region at `from` and the innermost call.
  bool is_shielded(const fiber_model& f, std::size_t from) const {
    for (std::size_t i = from; i < f.stack.size(); ++i) {
      const region& r = *f.stack[i];
      if (r.what != region::kind::shield) continue;
      if (r.deadline > now() && !shields_end()) return true;
    }
    return false;
  }
  // Records which regions and groups may and must be ended by now.
  void settle(fiber_model& f) {
    if (&f == main_) note_signal();
    const group_model* const around = f.member_of;
    if (around != nullptr && around->starter != nullptr && around->starter != &f) {
      settle(*around->starter);
    }
    const auto cancel_from = [&](std::size_t from, bool may, bool must) {
      may = may && !is_shielded(f, from);
      must = must && may && !f.left_shield;
      if (!may && !must) return;
      for (std::size_t i = from; i < f.stack.size(); ++i) {
        if (f.stack[i]->what == region::kind::body) {
          auto& g = static_cast<group_model&>(*f.stack[i]);
          g.may_cancel |= may;
          g.must_cancel |= must;
        }
      }
      for (group_model* g : f.parked) {
        g->may_cancel |= may;
        g->must_cancel |= must && g->parked_at > from;
      }
    };
    const bool killed = !f.pending.empty();
    const bool may_by_group = around != nullptr && around->may_cancel;
    const bool must_by_group = around != nullptr && around->must_cancel;
    cancel_from(0, killed || may_by_group, killed || must_by_group);
    for (std::size_t i = 0; i < f.stack.size(); ++i) {
      region& r = *f.stack[i];
      if (r.what == region::kind::limit && r.deadline <= now()) {
        r.may_end = true;
        if (exact_) r.must_end = true;
      }
      if (r.may_end || r.must_end) cancel_from(i + 1, r.may_end, r.must_end);
    }
  }
  // Whether the next wait has to throw.
  bool must_throw(const fiber_model& f) const {
    if (is_shielded(f, 0)) {
      for (std::size_t i = 0; i < f.stack.size(); ++i) {
        if (f.stack[i]->must_end && !is_shielded(f, i + 1)) return true;
      }
      return false;
    }
    if (!f.pending.empty() || (f.member_of != nullptr && f.member_of->must_cancel)) return true;
    return std::any_of(f.stack.begin(), f.stack.end(), [](region* r) { return r->must_end; });
  }
  void expect_ended(const fiber_model& f, std::size_t from) {
    if (released()) {
      ++seen.released;
      return;
    }
    for (std::size_t i = from; i < f.stack.size(); ++i) {
      if (f.stack[i]->what != region::kind::body) continue;
      const auto& g = static_cast<const group_model&>(*f.stack[i]);
      expect(g.alive == 0, "a starter was resumed before its fibers had ended");
      seen.cut_with_members += g.must_cancel ? 1 : 0;
    }
    for (const group_model* g : f.parked) {
      if (g->parked_at > from) expect(g->alive == 0, "a group of a greenlet was not ended first");
    }
  }

  // The exception of f's wait

  void on_cancelled(fiber_model& f) {
    settle(f);
    if (!is_shielded(f, 0)) {
      if (!f.pending.empty() && f.pending.front() == fiber_model::plain_kill) {
        f.pending.pop_front();
        ++seen.kills_thrown;
        expect_ended(f, 0);
        return note_cut(f, 0);
      }
      expect(f.pending.empty(), "cancelled, but killed with an error");
    }
    // The outermost cancelled scope is thrown.
    std::vector<std::size_t> candidates;
    bool certain = false;
    if (f.member_of != nullptr && f.member_of->may_cancel && !is_shielded(f, 0)) {
      candidates.push_back(0);
      certain = f.member_of->must_cancel;
    }
    for (std::size_t i = 0; i < f.stack.size() && !certain; ++i) {
      const region& r = *f.stack[i];
      if (r.may_end && !is_shielded(f, i + 1)) {
        candidates.push_back(i + 1);
        certain = r.must_end;
      }
    }
    expect(!candidates.empty(), "cancelled without a reason");
    if (candidates.empty()) return note_cut(f, unknown_cut);
    ++seen.scopes_thrown;
    expect_ended(f, candidates.back());
    note_cut(f, candidates.size() == 1 ? candidates.front() : std::size_t{unknown_cut});
  }
  static constexpr std::size_t unknown_cut = static_cast<std::size_t>(-1);
  // The region up to which `cancelled` will unwind f.
  void note_cut(fiber_model& f, std::size_t base) { f.cut_at = base; }

  void on_given(fiber_model& f, std::size_t id) {
    settle(f);
    expect(!f.pending.empty() && f.pending.front() == id,
           "an error of a kill out of turn, or twice");
    if (!f.pending.empty()) f.pending.pop_front();
    ++seen.given_thrown;
    delivered_[id] = true;
    f.unwinds_given = true;
    expect_ended(f, 0);
  }
  // In a handler that does not rethrow.
  void swallow(fiber_model& f) {
    for (const std::size_t id : caught_ids()) ++counts_[id];
    f.unwinds_given = false;
  }

  // Between any two steps of a fiber.
  void check_alive(fiber_model& f) {
    const group_model* const g = f.member_of;
    if (g == nullptr || !g->has_locals || released()) return;
    expect(!g->lost_locals || g->ends_itself, "a fiber runs after the locals of its starter");
  }

  // Fibers and groups

  std::size_t new_fault() {
    counts_.push_back(0);
    given_.push_back(false);
    delivered_.push_back(false);
    return counts_.size() - 1;
  }
  fiber_model& make_fiber(group_model* of) {
    fibers_.push_back(std::make_unique<fiber_model>());
    fiber_model& made = *fibers_.back();
    made.id = fibers_.size() - 1;
    made.member_of = of;
    ++seen.fibers;
    return made;
  }

  void fail_member(group_model& g, const std::vector<std::size_t>& ids) {
    if (g.reports) return;
    g.faults.insert(g.faults.end(), ids.begin(), ids.end());
    g.may_end = g.may_cancel = true;
  }

  void on_end(fiber_model& f, const fiber<int>& ended) {
    using ending = fiber_model::ending;
    const outcome how = ended.result();
    switch (f.end) {
      case ending::returned:
        expect(how == outcome::value && ended.value() == static_cast<int>(f.id),
               "a value was lost");
        break;
      case ending::cut:
        expect(how == outcome::cancelled, "a fiber that was interrupted is not cancelled");
        break;
      case ending::failed:
        expect(how == outcome::error, "the failure of a fiber is not its outcome");
        if (!f.member_of->reports) f.member_of->must_end = f.member_of->must_cancel = true;
        break;
      case ending::not_begun: {
        const bool given = !f.pending.empty() && f.pending.front() != fiber_model::plain_kill;
        settle(f);
        expect(f.was_killed || f.member_of->may_cancel, "a fiber never began, without a reason");
        if (how == outcome::error) {
          expect(given, "a fiber that never began failed");
          if (given) {
            delivered_[f.pending.front()] = true;
            fail_member(*f.member_of, {f.pending.front()});
          }
        }
        break;
      }
      case ending::alive:
        expect(false, "a fiber has ended without its root's end");
    }
    f.handle = {};
  }

  void note_kill(fiber_model& target, std::size_t what) {
    if (&target == main_) note_signal();
    target.pending.push_back(what);
    if (target.was_killed) ++seen.killed_twice;
    target.was_killed = true;
    if (&target == main_) main_killed_ = std::min(main_killed_, now());
    settle(target);
  }
  // Groups that a kill or a cancel() has to end are cancelled when it returns.
  void check_cancelled(fiber_model& of) {
    for (const region* r : of.stack) {
      if (r->what != region::kind::body) continue;
      const auto& g = static_cast<const group_model&>(*r);
      if (g.real == nullptr) continue;
      expect(!g.must_cancel || g.real->is_cancelled(), "a group was not cancelled at once");
      expect(g.may_cancel || !g.real->is_cancelled(), "a group was cancelled without a reason");
      if (!g.may_cancel && !of.pending.empty()) ++seen.kept_in_shield;
    }
  }
  void after_group(group_model& g) {
    expect(g.alive == 0, "with_group returns while a fiber is alive");
    g.real = nullptr;
  }
  // From the end of a body until the end of its group.
  struct region_of_end {
    region_of_end(teardown_model& made_by, fiber_model& f, group_model& g)
        : all(made_by), fiber(f), group(g) {}
    region_of_end(const region_of_end&) = delete;
    ~region_of_end() { end(); }
    void begin() {
      all.settle(fiber);
      fiber.stack.push_back(&group);
      is_in = true;
    }
    void end() {
      if (!std::exchange(is_in, false)) return;
      std::erase(fiber.stack, &group);
      std::erase(fiber.parked, &group);
    }
    teardown_model& all;
    fiber_model& fiber;
    group_model& group;
    bool is_in = false;
  };

  scripted_engine* engine_;
  bool exact_;
  std::chrono::nanoseconds grace_{};
  bool latched_ = false;
  bool signal_noted_ = false;
  std::size_t waits_at_signal_ = 0;
  steady_ns signalled_ = never;
  steady_ns end_of_main_ = never;
  steady_ns main_killed_ = never;
  group_model everything_;  // the fibers that main is the starter of
  fiber_model* main_ = nullptr;
  std::vector<std::size_t> main_faults_;
  std::size_t main_rethrown_ = 0;
  std::vector<std::unique_ptr<fiber_model>> fibers_;
  std::vector<std::unique_ptr<group_model>> groups_;
  std::vector<int> counts_ = {0};  // for each fault: how many times it was thrown
  std::vector<bool> given_ = {false};
  std::vector<bool> delivered_ = {false};
  std::string broken_;
};

}  // namespace ringlet::test
