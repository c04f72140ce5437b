// runtime_core: starts the schedulers of a runtime together, and ends them together.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/concurrent_event.hpp>
#include <ringlet/detail/handle_state.hpp>
#include <ringlet/extend/engine.hpp>
#include <ringlet/runtime_options.hpp>
#include <ringlet/task.hpp>

#include <atomic>
#include <concepts>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace ringlet::extend {

class fiber_base;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// The line at which the schedulers of a runtime wait for each other before their main tasks begin.
class start_line {
 public:
  explicit start_line(std::size_t schedulers) noexcept : missing_(schedulers) {}
  /// Called once on each; passes when all have called it. What each did before is seen by all
  /// afterwards: the counts form a release sequence, which the last one passes on.
  concurrent_event::waiting arrive() noexcept {
    if (missing_.fetch_sub(1, std::memory_order_acq_rel) == 1) complete_.set();
    return complete_.wait();
  }

 private:
  std::atomic<std::size_t> missing_;
  concurrent_event complete_;
};

/// Makes the main task of the scheduler with that number, on its thread.
using main_function = std::function<task<int>(std::size_t, start_line*)>;

/// The schedulers end when all mains have returned, one main has failed, or stop() was called. All
/// of them live until none has a fiber.
class runtime_core {
 public:
  class member;

  /// Without mains it runs until stop(). Throws std::invalid_argument.
  runtime_core(runtime_options settings, main_function mains, const std::source_location& where);
  ~runtime_core();
  runtime_core(const runtime_core&) = delete;
  runtime_core& operator=(const runtime_core&) = delete;

  std::size_t count() const noexcept { return members_.size(); }
  const std::shared_ptr<handle_state>& state(std::size_t index) const;

  /// Starts all schedulers, each on a new thread. If one cannot be started, none is, and the error
  /// that names it is thrown.
  void start();
  /// Whether this process is a child of fork(), and the runtime is the parent's.
  bool is_left_behind() const noexcept;
  /// Ends all fibers of all schedulers. Any thread.
  void stop() noexcept;
  /// Blocks until all schedulers have ended. Throws the failure of a main.
  void join();
  /// Like start() and join() of such a core, but the first scheduler runs on this thread, and
  /// signals end the runtime. Prints what fails. Returns the exit code.
  static int run_as_main(runtime_options settings, main_function mains,
                         const std::source_location& where) noexcept;

 private:
  enum class stage : std::uint8_t { starting, refused, running, leaving };

  int run_as_main();
  void start_threads(std::size_t first);
  /// Called by the thread of a scheduler when that has been made, or refused. Returns when all may
  /// run; false if none may.
  bool arrive();
  void enter(stage next);
  /// Waits for them. False if one was refused.
  bool all_arrived();
  void throw_refusal() const;
  void await_leave();
  void join_threads() noexcept;

  // See runtime_member.
  bool continues_after(member& ended, const extend::fiber_base& main) noexcept;
  bool may_leave(member& asking) noexcept;
  void stay(member& staying) noexcept;
  bool is_deadlocked(member& asking) noexcept;
  void wake_from_quiet(member& woken) noexcept;
  std::string unfinished();
  void end_all() noexcept;
  std::exception_ptr failure() const;
  int exit_code() const;

  const runtime_options settings_;
  const main_function mains_;
  const std::source_location where_;
  const bool is_open_;  // it has no mains, and continues until stop()
  bool handles_signals_ = false;
  std::vector<int> cpus_;  // to pin to; empty unless wanted
  std::vector<std::unique_ptr<member>> members_;
  std::optional<start_line> start_line_;
  std::atomic<bool> expects_shutdown_ = false;  // see shutdown_requested()

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  stage stage_ = stage::starting;
  std::size_t arrived_ = 0;
  std::size_t mains_left_ = 0;
  std::size_t idle_ = 0;
  bool was_joined_ = false;
  bool ending_ = false;
  bool finished_ = false;     // no scheduler has a fiber
  member* failed_ = nullptr;  // the first whose main threw
  member* killed_ = nullptr;  // the first whose main was killed, but not by the runtime
};

/// f(k) or f().
template <class F>
auto make_main(const F& f, std::size_t k) {
  if constexpr (std::invocable<const F&, std::size_t>) {
    return f(k);
  } else {
    return f();
  }
}

/// Calls f(k) or f(), and awaits its task, which may have no value. With a `line`, the task begins
/// when `f` has been called on all schedulers.
template <class F>
task<int> call_main(const F& f, std::size_t k, start_line* line) {
  auto main = make_main(f, k);
  if (line != nullptr) co_await line->arrive();
  if constexpr (std::is_same_v<decltype(main), task<int>>) {
    co_return co_await std::move(main);
  } else {
    co_await std::move(main);
    co_return 0;
  }
}

template <class F, class... Args>
concept makes_main = std::is_same_v<std::invoke_result_t<const F&, Args...>, task<>> ||
    std::is_same_v<std::invoke_result_t<const F&, Args...>, task<int>>;

/// Whether `f(k)` or `f()` is the main task of a scheduler.
template <class F>
concept main_maker = (std::invocable<const F&, std::size_t> && makes_main<F, std::size_t>) ||
                     (std::invocable<const F&> && makes_main<F>);

}  // namespace ringlet::detail
