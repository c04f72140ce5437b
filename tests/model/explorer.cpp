// The search: which thread runs next, and which of its choices has not been made yet.
// SPDX-License-Identifier: MIT
#include "model/explorer.hpp"

#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>

#include "model/memory.hpp"

namespace ringlet::model {

namespace {

constexpr std::size_t stack_size = 128 * 1024;
// An execution that takes more steps than this goes round in circles.
constexpr std::size_t steps_max = 2000;

detail::explorer* current_explorer = nullptr;

// Thrown when a check fails that no thread makes.
struct failed_check {};

const char* name_of(std::memory_order order) {
  switch (order) {
    case std::memory_order_relaxed:
      return "relaxed";
    case std::memory_order_acquire:
      return "acquire";
    case std::memory_order_release:
      return "release";
    case std::memory_order_acq_rel:
      return "acq_rel";
    default:
      return "seq_cst";
  }
}

}  // namespace

std::string mutation::text() const {
  if (splits) return place + " split into a load and a store";
  return place + " with " + name_of(order);
}

std::map<std::string, site>& known_sites() {
  static std::map<std::string, site> sites;
  return sites;
}

std::vector<mutation> weakenings_of(const site& weakened) {
  using order = std::memory_order;
  std::vector<mutation> all;
  const auto add = [&](order weaker) { all.push_back({weakened.place, weakened.what, weaker}); };
  const bool loads = weakened.what == site::kind::load;
  const bool stores = weakened.what == site::kind::store;
  if (weakened.order == order::seq_cst) {
    add(loads ? order::acquire : stores ? order::release : order::acq_rel);
  } else if (weakened.order == order::acq_rel) {
    add(order::acquire);
    add(order::release);
  } else if (weakened.order != order::relaxed) {
    add(order::relaxed);
  }
  if (!loads && !stores) all.push_back({weakened.place, weakened.what, weakened.order, true});
  return all;
}

namespace detail {

struct explorer::fiber {
  ucontext_t own;
  ucontext_t scheduler;
  std::unique_ptr<char[]> stack = std::make_unique<char[]>(stack_size);
};

explorer::explorer(const bounds& limits, const mutation* changed)
    : limits_(limits), changed_(changed) {}

explorer::~explorer() { current_explorer = nullptr; }

explorer& explorer::here() { return *current_explorer; }

std::size_t explorer::choose(std::size_t count) {
  if (count == 1) return 0;
  if (position_ == choices_.size()) choices_.push_back({0, static_cast<std::uint32_t>(count)});
  return choices_[position_++].taken;
}

std::size_t explorer::choose_stale(std::size_t count) {
  if (stale_ == limits_.stale) return 0;
  const std::size_t taken = choose(count);
  if (taken != 0) ++stale_;
  return taken;
}

bool explorer::next_execution() {
  while (!choices_.empty() && choices_.back().taken + 1 == choices_.back().count) {
    choices_.pop_back();
  }
  if (choices_.empty()) return false;
  ++choices_.back().taken;
  return true;
}

verdict explorer::search(const std::function<void()>& make, const std::function<void(int)>& run,
                         const std::function<void()>& finish, int threads) {
  current_explorer = this;
  threads_ = threads;
  verdict found;
  do {
    execute(make, run, finish);
    ++found.executions;
    if (!failure_.empty()) {
      found.failure = failure_;
      tracing_ = true;
      execute(make, run, finish);
      found.trace = trace_;
      return found;
    }
    if (found.executions == limits_.executions_max) return found;
  } while (next_execution());
  found.is_complete = true;
  return found;
}

void explorer::execute(const std::function<void()>& make, const std::function<void(int)>& run,
                       const std::function<void()>& finish) {
  position_ = 0;
  preemptions_ = 0;
  stale_ = 0;
  steps_ = 0;
  locations_count_ = 0;
  locations_ = {};
  gone_.clear();
  locks_ = {};
  current_ = last_ = next_ = -1;
  root_ = view{};
  failure_.clear();
  make();
  for (std::size_t i = 0; i < static_cast<std::size_t>(threads_); ++i) {
    seen_[i] = root_;
    seen_[i].times[i] = 1;  // 0 is before all threads
    states_[i] = state::ready;
    if (fibers_[i] == nullptr) fibers_[i] = std::make_unique<fiber>();
    ::getcontext(&fibers_[i]->own);
    fibers_[i]->own.uc_stack.ss_sp = fibers_[i]->stack.get();
    fibers_[i]->own.uc_stack.ss_size = stack_size;
    fibers_[i]->own.uc_link = nullptr;
    const auto self = reinterpret_cast<std::uintptr_t>(this);
    ::makecontext(&fibers_[i]->own, reinterpret_cast<void (*)()>(&explorer::enter), 2,
                  static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
  }
  run_ = &run;
  run_threads();
  if (!failure_.empty()) return;
  try {
    finish();
  } catch (const failed_check&) {
  }
}

void explorer::enter(unsigned high, unsigned low) {
  auto& self = *reinterpret_cast<explorer*>((std::uintptr_t{high} << 32) | low);
  const auto mine = static_cast<std::size_t>(self.current_);
  try {
    (*self.run_)(self.current_);
  } catch (...) {
    self.failure_ = "an exception left a thread";
  }
  self.states_[mine] = state::ended;
  self.leave();
}

// Returns when this thread is picked again.
void explorer::leave() {
  fiber& mine = *fibers_[static_cast<std::size_t>(current_)];
  ::swapcontext(&mine.own, &mine.scheduler);
}

bool explorer::can_run(std::size_t thread) const {
  if (states_[thread] == state::ended) return false;
  return states_[thread] != state::blocked || ready_[thread]();
}

// The next thread: the last one first, and then any other if the bound allows it. -1 if none can
// run.
int explorer::pick() {
  std::array<int, threads_max> able;
  std::size_t count = 0;
  const auto last = static_cast<std::size_t>(last_);
  const bool continues = last_ >= 0 && can_run(last) && states_[last] != state::yielded;
  if (continues) able[count++] = last_;
  if (!continues || preemptions_ < limits_.preemptions) {
    for (int i = 0; i < threads_; ++i) {
      if (i != last_ && can_run(static_cast<std::size_t>(i))) able[count++] = i;
    }
  }
  // A thread that yields continues when no other can.
  if (count == 0 && last_ >= 0 && can_run(last)) able[count++] = last_;
  if (count == 0) return -1;
  const int next = able[choose(count)];
  if (continues && next != last_) ++preemptions_;
  return next;
}

void explorer::run_threads() {
  for (next_ = pick(); next_ >= 0;) {
    const auto index = static_cast<std::size_t>(next_);
    states_[index] = state::ready;
    current_ = last_ = next_;
    ::swapcontext(&fibers_[index]->scheduler, &fibers_[index]->own);
    current_ = -1;
    if (!failure_.empty()) return;
    if (states_[index] == state::ended) next_ = pick();
  }
  report_stuck();
}

void explorer::report_stuck() {
  for (std::size_t i = 0; i < static_cast<std::size_t>(threads_); ++i) {
    if (states_[i] == state::ended) continue;
    if (failure_.empty()) failure_ = "no thread can run";
    failure_ += ", thread " + std::to_string(i) + " waits for " + why_[i];
  }
}

void explorer::step() {
  if (!is_running()) return;
  if (++steps_ > steps_max) fail("the threads go round in circles");
  next_ = pick();
  if (next_ == current_) {
    states_[static_cast<std::size_t>(current_)] = state::ready;
  } else {
    leave();
  }
  ++seen().times[static_cast<std::size_t>(current_)];
}

void explorer::step_with(std::memory_order order) {
  if (is_running() && order == std::memory_order_relaxed &&
      locks_[static_cast<std::size_t>(current_)] != 0) {
    ++seen().times[static_cast<std::size_t>(current_)];
    return;
  }
  step();
}

void explorer::block(const std::function<bool()>& ready, const char* why) {
  const auto mine = static_cast<std::size_t>(current_);
  states_[mine] = state::blocked;
  ready_[mine] = ready;
  why_[mine] = why;
  step();
}

void explorer::yield() {
  states_[static_cast<std::size_t>(current_)] = state::yielded;
  step();
}

void explorer::fail(const std::string& why) {
  failure_ = why;
  if (!is_running()) throw failed_check();
  leave();  // and is not resumed
  std::abort();
}

std::size_t explorer::add_location(location& added) {
  if (locations_count_ == locations_max) std::abort();
  locations_[locations_count_] = &added;
  return locations_count_++;
}

void explorer::join(view& into, const view& from) const {
  for (std::size_t i = 0; i < locations_count_; ++i) {
    const location* const each = locations_[i];
    if (each != nullptr && each->is_newer(from.messages[i], into.messages[i])) {
      into.messages[i] = from.messages[i];
    }
  }
  for (std::size_t i = 0; i < threads_max; ++i) {
    into.times[i] = std::max(into.times[i], from.times[i]);
  }
}

void explorer::note(const std::string& what) {
  if (!tracing_) return;
  trace_ += "  thread " + std::to_string(current_) + ": " + what + '\n';
}

std::memory_order explorer::order_at(const std::string& place, site::kind what,
                                     std::memory_order order) {
  if (changed_ == nullptr) {
    known_sites().try_emplace(place, site{place, what, order});
  } else if (changed_->place == place && !changed_->splits) {
    return changed_->order;
  }
  return order;
}

bool explorer::is_split(const std::string& place) const {
  return changed_ != nullptr && changed_->splits && changed_->place == place;
}

}  // namespace detail
}  // namespace ringlet::model
