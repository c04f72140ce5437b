// The scheduler of a runtime, and its thread.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/runtime_core.hpp>
#include <ringlet/detail/runtime_member.hpp>
#include <ringlet/extend/engine.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/fiber.hpp>

#include <atomic>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace ringlet::detail {

/// Thread: its own, except where noted.
class runtime_core::member final : public runtime_member {
 public:
  member(runtime_core& core, std::size_t index);

  // The life of a scheduler, in this order.

  /// Makes the engine, the scheduler and the main task. Without them, refused() says why.
  void prepare() noexcept;
  /// Runs until all schedulers of the runtime have ended.
  void run_main();
  void tear_down() noexcept;

  // For the runtime: while no scheduler runs, or under its mutex.

  const std::string& label() const noexcept { return label_; }
  extend::engine& engine() noexcept { return *engine_; }
  extend::scheduler& scheduler() noexcept { return *scheduler_; }
  const std::shared_ptr<handle_state>& state() const noexcept { return state_; }
  const std::exception_ptr& refused() const noexcept { return refused_; }
  void refuse(std::exception_ptr why) noexcept { refused_ = std::move(why); }
  /// Asks it to end its fibers. Once.
  void post_end() noexcept { engine_->post(end_); }
  /// Makes it report a deadlock. Not before it has done so the previous time.
  void post_deadlock() noexcept { engine_->post(deadlock_); }

  bool is_idle = false;  // it has no fibers
  // Only another scheduler of the runtime can wake it. Set under the mutex.
  std::atomic<bool> is_quiet = false;
  std::thread thread;

  // When all have ended.

  const std::exception_ptr& error() const noexcept { return error_; }
  const std::string& deadlock_report() const noexcept { return deadlock_report_; }
  int code() const noexcept { return code_; }

 private:
  struct message : extend::posted_work {
    member* to;
  };

  std::size_t count() const noexcept override { return core_.count(); }
  extend::scheduler& peer(std::size_t index) noexcept override {
    return core_.members_[index]->scheduler();
  }
  const void* runtime() const noexcept override { return &core_; }
  bool continues_after(extend::fiber_base& main) noexcept override {
    return core_.continues_after(*this, main);
  }
  bool may_leave() noexcept override { return core_.may_leave(*this); }
  void stay() noexcept override { core_.stay(*this); }
  bool is_deadlocked() noexcept override { return core_.is_deadlocked(*this); }
  void on_activity() noexcept override {
    if (is_quiet.load(std::memory_order_relaxed)) core_.wake_from_quiet(*this);
  }
  std::string unfinished() override { return core_.unfinished(); }

  void make_all();

  runtime_core& core_;
  const std::string label_;
  std::unique_ptr<extend::engine> engine_;
  std::optional<extend::scheduler> scheduler_;
  std::shared_ptr<handle_state> state_;
  fiber<int> main_;
  bool has_run_ = false;
  std::exception_ptr refused_;
  std::exception_ptr error_;
  std::string deadlock_report_;
  int code_ = 0;
  message end_;
  message deadlock_;
};

}  // namespace ringlet::detail
