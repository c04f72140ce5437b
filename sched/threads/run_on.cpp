// The waits for calls on other schedulers.
// SPDX-License-Identifier: MIT
#include <ringlet/run_on.hpp>

#include <fmt/format.h>

#include <iterator>

namespace ringlet {
using namespace extend;
using namespace detail;

namespace {

[[noreturn]] void throw_refused() {
  throw_error(errc::closed, "run_on: one of the two schedulers is ending");
}

}  // namespace

std::size_t scheduler_count() noexcept {
  runtime_member* const member = current_scheduler().membership();
  return member == nullptr ? 1 : member->count();
}

std::size_t scheduler_index() noexcept {
  runtime_member* const member = current_scheduler().membership();
  return member == nullptr ? 0 : member->index();
}

namespace extend {

const wait_type run_on_base::type = make_type<run_on_base>("run_on");
const wait_type run_on_all_base::type = make_type<run_on_all_base>("run_on_all");

bool run_on_base::begin(frame_record& at) noexcept {
  if (!enter(at)) return continue_or_yield(at);
  was_sent_ = send(to_, *fiber_, where_);
  if (!was_sent_) return continue_or_yield(at);
  // A call within a runtime can only be answered by its schedulers. The runtime finds a deadlock.
  if (to_.near != nullptr) {
    suspend(type, at);
  } else {
    suspend_external(type, at);
  }
  return true;
}

void run_on_base::on_over() noexcept {
  if (to_.near != nullptr) return wake();
  wake_external();
}

void run_on_base::on_cancel(cancel_reason reason) noexcept {
  remember(reason);
  send_kill();
}

void run_on_base::check_end() {
  switch (how()) {
    case end::value:
      return;
    case end::error:
      std::rethrow_exception(error());
    case end::refused:
      if (was_sent_) rethrow_interruption();
      throw_refused();
    case end::pending:
    case end::killed:
      rethrow_interruption();
  }
  throw_error(errc::fiber_cancelled, "run_on: the callee was killed");
}

void run_on_base::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "scheduler {}", to_.name());
}

/// The call on one scheduler.
class run_on_all_base::one_call final : public remote_call {
 public:
  using remote_call::end;
  using remote_call::error;
  using remote_call::how;
  using remote_call::send_kill;

  /// False if it was refused.
  bool begin(run_on_all_base& all, std::size_t index) noexcept {
    all_ = &all;
    index_ = index;
    to_ = call_target::at(index);
    is_running_ = send(to_, *all.fiber_, all.where_);
    return is_running_;
  }
  bool is_running() const noexcept { return is_running_; }
  const call_target& target() const noexcept { return to_; }

 private:
  void on_over() noexcept override {
    is_running_ = false;
    all_->on_one_over();
  }
  fiber_base* start(scheduler& here, scope& around, const std::source_location& site) override {
    return all_->start(index_, here, around, site);
  }
  void collect(fiber_base&) override {}

  run_on_all_base* all_ = nullptr;
  std::size_t index_ = 0;
  call_target to_;
  bool is_running_ = false;
};

run_on_all_base::run_on_all_base(const std::source_location& where)
    : wait_base(forever), where_(where) {}
run_on_all_base::~run_on_all_base() = default;

bool run_on_all_base::begin(frame_record& at) {
  if (!enter(at)) return continue_or_yield(at);
  count_ = scheduler_count();
  calls_ = std::make_unique<one_call[]>(count_);
  for (std::size_t i = 0; i < count_; ++i) {
    if (calls_[i].begin(*this, i)) ++left_;
  }
  if (left_ == 0) return continue_or_yield(at);
  suspend(type, at);
  return true;
}

void run_on_all_base::on_one_over() noexcept {
  if (--left_ == 0) wake();
}

void run_on_all_base::on_cancel(cancel_reason reason) noexcept {
  remember(reason);
  for (std::size_t i = 0; i < count_; ++i) {
    if (calls_[i].is_running()) calls_[i].send_kill();
  }
}

// The first error is thrown; further ones are reported.
void run_on_all_base::check_end() {
  using end = one_call::end;
  std::exception_ptr first;
  bool all_returned = calls_ != nullptr;
  bool any_refused = false;
  for (std::size_t i = 0; i < count_; ++i) {
    const one_call& one = calls_[i];
    all_returned = all_returned && one.how() == end::value;
    any_refused = any_refused || one.how() == end::refused;
    if (one.how() != end::error) continue;
    if (first == nullptr) {
      first = one.error();
    } else {
      report_failure_of(*fiber_, one.error(), "on scheduler " + one.target().name());
    }
  }
  if (first != nullptr) std::rethrow_exception(first);
  if (all_returned) return;
  rethrow_interruption();
  if (any_refused) throw_refused();
  throw_error(errc::fiber_cancelled, "run_on_all: a callee was killed");
}

void run_on_all_base::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "{} of {} schedulers", left_, count_);
}

}  // namespace extend

}  // namespace ringlet
