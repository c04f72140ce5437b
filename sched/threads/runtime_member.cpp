// How the scheduler of a runtime is made, runs and ends.
// SPDX-License-Identifier: MIT
#include "runtime_member.hpp"

#include <ringlet/deadlock.hpp>
#include <ringlet/detail/run_on.hpp>
#include <ringlet/error.hpp>

#include <pthread.h>

#include <cstring>
#include <new>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace ringlet::detail {
using namespace extend;

namespace {

// A plain std::system_error would append the text of the errno to a sentence that has it already.
class start_error : public std::system_error {
 public:
  start_error(const std::error_code& code, const std::string& sentence)
      : std::system_error(code), sentence_(sentence) {}
  const char* what() const noexcept override { return sentence_.what(); }

 private:
  std::runtime_error sentence_;  // copied without throwing
};

task<int> no_main() { co_return 0; }

void pin_to(int cpu) noexcept {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(cpu), &one);
  // Fails if the CPU has been taken away since: then the thread runs on any other.
  ::pthread_setaffinity_np(::pthread_self(), sizeof one, &one);
}

}  // namespace

runtime_core::member::member(runtime_core& core, std::size_t index)
    : runtime_member(index),
      core_(core),
      label_((core.settings_.name.empty() ? "runtime" : core.settings_.name) + '/' +
             std::to_string(index)) {
  end_.to = this;
  end_.run = [](posted_work& received) noexcept {
    static_cast<message&>(received).to->scheduler_->end_with_runtime();
  };
  deadlock_.to = this;
  deadlock_.run = [](posted_work& received) noexcept {
    static_cast<message&>(received).to->scheduler_->report_deadlock();
  };
}

void runtime_core::member::prepare() noexcept {
  try {
    try {
      make_all();
    } catch (const std::system_error& error) {
      throw start_error(error.code(),
                        "scheduler \"" + label_ + "\" cannot be started: " + error.what());
    }
  } catch (...) {
    refused_ = std::current_exception();
  }
}

void runtime_core::member::make_all() {
  if (!core_.cpus_.empty()) pin_to(core_.cpus_[index() % core_.cpus_.size()]);
  options settings = core_.settings_.each;
  settings.name = label_;
  engine_ = make_engine(settings.engine, settings.sizes);
  scheduler_.emplace(*engine_, std::move(settings));
  scheduler_->join_runtime(*this);
  scheduler_->signal().share_expectation(core_.expects_shutdown_);
  state_ = scheduler_->shared_handle_state();
  task<int> main = core_.mains_ ? core_.mains_(index(), &*core_.start_line_) : no_main();
  main_ = fiber<int>(
      *new fiber_state<int>(*scheduler_, scheduler_->main_scope(), std::move(main), core_.where_));
}

void runtime_core::member::run_main() {
  has_run_ = true;
  fiber_base& main = main_.state();
  scheduler_->run(main);
  try {
    deadlock_report_ = scheduler_->deadlock_report();
  } catch (const std::bad_alloc&) {
    deadlock_report_ = "deadlock";
  }
  if (main.result() == outcome::value) {
    code_ = main_.value();
    try {
      throw_deadlock_of(*scheduler_, main);  // reports one that the main task survived
    } catch (const deadlock&) {
    }
  } else if (core_.failed_ == this && main.result() == outcome::error) {
    error_ = main.error();
  }
}

void runtime_core::member::tear_down() noexcept {
  if (main_ && !has_run_) scheduler_->reject(main_.state());
  main_ = {};  // here, because an error that was not read is reported by this scheduler
  scheduler_.reset();
  engine_.reset();
}

}  // namespace ringlet::detail
