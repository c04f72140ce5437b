// What the schedulers of a runtime agree on: when they begin, when they end, and whether they are
// all stuck.
// SPDX-License-Identifier: MIT
#include <ringlet/deadlock.hpp>
#include <ringlet/detail/report.hpp>
#include <ringlet/detail/runtime_core.hpp>
#include <ringlet/detail/signal_watch.hpp>
#include <ringlet/detail/signals_blocked.hpp>
#include <ringlet/error.hpp>
#include <ringlet/standard_descriptors.hpp>

#include <pthread.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "cpu_limit.hpp"
#include "runtime_member.hpp"

namespace ringlet::detail {
using namespace extend;

namespace {

constexpr std::size_t threads_max = 1024;

// Restores what run_main_on_all() changes of the calling thread.
class kept_affinity {
 public:
  kept_affinity() noexcept
      : is_known_(::pthread_getaffinity_np(::pthread_self(), sizeof before_, &before_) == 0) {}
  ~kept_affinity() {
    if (is_known_) ::pthread_setaffinity_np(::pthread_self(), sizeof before_, &before_);
  }
  kept_affinity(const kept_affinity&) = delete;
  kept_affinity& operator=(const kept_affinity&) = delete;

 private:
  cpu_set_t before_;
  bool is_known_;
};

// Called in the handler of what std::thread has thrown.
std::exception_ptr why_no_thread(const std::string& scheduler) noexcept {
  try {
    try {
      throw;
    } catch (const std::system_error& error) {
      throw std::system_error(error.code(),
                              "the thread of scheduler \"" + scheduler + "\" cannot be started");
    }
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace

runtime_core::runtime_core(runtime_options settings, main_function mains,
                           const std::source_location& where)
    : settings_(std::move(settings)),
      mains_(std::move(mains)),
      where_(where),
      is_open_(mains_ == nullptr) {
  if (settings_.threads > threads_max) {
    throw std::invalid_argument("runtime_options::threads is " + std::to_string(settings_.threads) +
                                "; it must be from 0 to " + std::to_string(threads_max));
  }
  if (settings_.pin) cpus_ = cpus_of_affinity();
  const std::size_t count = settings_.threads != 0 ? settings_.threads : cpus_to_use();
  for (std::size_t i = 0; i < count; ++i) members_.push_back(std::make_unique<member>(*this, i));
  start_line_.emplace(count);
  mains_left_ = count;
}

runtime_core::~runtime_core() {
  stop();
  join_threads();
}

const std::shared_ptr<handle_state>& runtime_core::state(std::size_t index) const {
  RINGLET_ASSERT(index < members_.size(),
                 "a runtime has no scheduler with this number: numbers go from 0 to size() - 1");
  return members_[index]->state();
}

// How they begin.

void runtime_core::start_threads(std::size_t first) {
  const signals_blocked blocked;
  for (std::size_t i = first; i < members_.size(); ++i) {
    member& made = *members_[i];
    try {
      made.thread = std::thread([this, &made] {
        const std::string name = made.label().substr(0, 15);  // the kernel's limit
        ::pthread_setname_np(::pthread_self(), name.c_str());
        made.prepare();
        if (arrive()) {
          made.run_main();
          await_leave();
        }
        made.tear_down();
      });
    } catch (...) {
      made.refuse(why_no_thread(made.label()));
      const std::lock_guard lock(mutex_);
      arrived_ += members_.size() - i;
      return;
    }
  }
}

bool runtime_core::arrive() {
  std::unique_lock lock(mutex_);
  ++arrived_;
  changed_.notify_all();
  changed_.wait(lock, [this] { return stage_ != stage::starting; });
  return stage_ != stage::refused;
}

bool runtime_core::all_arrived() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return arrived_ == members_.size(); });
  const auto is_refused = [](const auto& one) { return one->refused() != nullptr; };
  return std::ranges::none_of(members_, is_refused);
}

void runtime_core::enter(stage next) {
  const std::lock_guard lock(mutex_);
  stage_ = next;
  changed_.notify_all();
}

void runtime_core::throw_refusal() const {
  for (const auto& one : members_) {
    if (one->refused() != nullptr) std::rethrow_exception(one->refused());
  }
}

void runtime_core::start() {
  start_threads(0);
  if (all_arrived()) return enter(stage::running);
  enter(stage::refused);
  join_threads();
  throw_refusal();
}

// How they end.

void runtime_core::await_leave() {
  if (!handles_signals_) return;
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stage_ == stage::leaving; });
}

void runtime_core::join_threads() noexcept {
  for (const auto& one : members_) {
    if (one->thread.joinable()) one->thread.join();
  }
}

bool runtime_core::is_left_behind() const noexcept {
  const std::shared_ptr<handle_state>& first = members_.front()->state();
  return first != nullptr && first->left_behind;
}

void runtime_core::stop() noexcept {
  if (is_left_behind()) abort_after_fork();  // the parent's mutex may be locked
  const std::lock_guard lock(mutex_);
  if (stage_ == stage::running) end_all();
}

void runtime_core::end_all() noexcept {
  if (std::exchange(ending_, true)) return;
  for (const auto& one : members_) one->post_end();
}

bool runtime_core::continues_after(member& ended, const fiber_base& main) noexcept {
  const std::lock_guard lock(mutex_);
  --mains_left_;
  if (main.result() == outcome::value) {
    if (mains_left_ == 0 && !is_open_) end_all();
    return !ending_;
  }
  if (main.result() == outcome::error || !ended.scheduler().deadlock_report().empty()) {
    if (failed_ == nullptr) failed_ = &ended;
  } else if (!ending_ && killed_ == nullptr) {
    killed_ = &ended;
  }
  end_all();
  return false;
}

// A member that is idle can get a new fiber only from one that is not, or before the runtime ends.
bool runtime_core::may_leave(member& asking) noexcept {
  const std::lock_guard lock(mutex_);
  if (!std::exchange(asking.is_idle, true)) ++idle_;
  if (ending_ && idle_ == members_.size() && !std::exchange(finished_, true)) {
    for (const auto& one : members_) {
      if (one.get() != &asking) one->engine().wake();
    }
  }
  return finished_;
}

void runtime_core::stay(member& staying) noexcept {
  const std::lock_guard lock(mutex_);
  if (std::exchange(staying.is_idle, false)) --idle_;
}

std::string runtime_core::unfinished() {
  const std::lock_guard lock(mutex_);
  std::string names;
  for (const auto& one : members_) {
    if (!one->is_idle) names += (names.empty() ? "scheduler \"" : ", \"") + one->label() + '"';
  }
  return names;
}

// A member that sends a message is not quiet; one that receives it stops being quiet before it
// takes the message. Both changes take the mutex. So if all members are quiet and no mailbox has a
// message, none is on its way.
bool runtime_core::is_deadlocked(member& asking) noexcept {
  if (!handles_signals_) return false;  // the owner of the runtime may post
  const std::lock_guard lock(mutex_);
  asking.is_quiet.store(true, std::memory_order_relaxed);
  const auto is_stuck = [](const auto& one) {
    return one->is_quiet.load(std::memory_order_relaxed) && !one->engine().has_arrivals();
  };
  if (!std::ranges::all_of(members_, is_stuck)) return false;
  for (const auto& one : members_) {
    one->is_quiet.store(false, std::memory_order_relaxed);
    if (one.get() != &asking) one->post_deadlock();
  }
  return true;
}

void runtime_core::wake_from_quiet(member& woken) noexcept {
  const std::lock_guard lock(mutex_);
  woken.is_quiet.store(false, std::memory_order_relaxed);
}

// What they leave behind.

std::exception_ptr runtime_core::failure() const {
  if (failed_ == nullptr) {
    if (killed_ == nullptr) return nullptr;
    return std::make_exception_ptr(
        std::system_error(make_error_code(errc::fiber_cancelled),
                          "the main task of scheduler \"" + killed_->label() + "\" was killed"));
  }
  if (failed_->error() != nullptr) return failed_->error();
  std::string all;
  for (const auto& one : members_) all += one->deadlock_report();
  return std::make_exception_ptr(deadlock(all));
}

void runtime_core::join() {
  join_threads();
  if (std::exchange(was_joined_, true)) return;
  if (const std::exception_ptr error = failure()) std::rethrow_exception(error);
}

int runtime_core::run_as_main(runtime_options settings, main_function mains,
                              const std::source_location& where) noexcept {
  try {
    return runtime_core(std::move(settings), std::move(mains), where).run_as_main();
  } catch (...) {
    return exit_code_after(std::current_exception(), "");
  }
}

int runtime_core::run_as_main() {
  reserve_standard_descriptors();
  const kept_affinity affinity;
  handles_signals_ = true;
  start_threads(1);
  member& first = *members_.front();
  first.prepare();
  {
    const std::lock_guard lock(mutex_);
    ++arrived_;
  }
  std::vector<engine*> engines;
  std::optional<signal_watch> watch;
  try {
    if (!all_arrived()) throw_refusal();
    for (const auto& one : members_) engines.push_back(&one->engine());
    watch.emplace(engines);
  } catch (...) {
    enter(stage::refused);
    join_threads();
    first.tear_down();
    return exit_code_after(std::current_exception(), "");
  }
  for (const auto& one : members_) signal_watch::attach(one->scheduler());
  enter(stage::running);
  first.run_main();
  watch.reset();
  enter(stage::leaving);
  first.tear_down();
  join_threads();
  return exit_code();
}

int runtime_core::exit_code() const {
  if (const std::exception_ptr error = failure()) {
    const std::string& name = (failed_ != nullptr ? failed_ : killed_)->label();
    return exit_code_after(error, ("scheduler \"" + name + "\": ").c_str());
  }
  for (const auto& one : members_) {
    if (one->code() != 0) return one->code();
  }
  return 0;
}

}  // namespace ringlet::detail
