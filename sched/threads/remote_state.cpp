// The errors of a remote_promise.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/remote_state.hpp>
#include <ringlet/detail/thrown.hpp>
#include <ringlet/error.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/options.hpp>

#include <fmt/format.h>

#include <system_error>

namespace ringlet::detail {

std::string remote_state_base::place() const {
  return fmt::format("{}:{}", place_.file_name(), place_.line());
}

std::exception_ptr remote_state_base::error() {
  if (!is_ready() || has_value()) return nullptr;
  is_handled_.store(true, std::memory_order_relaxed);
  if (error_ != nullptr) return error_;
  return std::make_exception_ptr(
      std::system_error(errc::broken_promise, "remote_promise of " + place()));
}

void remote_state_base::throw_error() { std::rethrow_exception(error()); }

void remote_state_base::set_error(std::exception_ptr error) noexcept {
  RINGLET_ASSERT(error != nullptr, "a remote_promise was given a null pointer for its error");
  if (is_kill(error)) {
    is_broken_ = true;
  } else {
    error_ = std::move(error);
  }
  settle();
}

void remote_state_base::break_promise() noexcept {
  if (was_set_) return;
  is_broken_ = true;
  settle();
}

void remote_state_base::release() noexcept {
  if (error_ != nullptr && !is_handled_.load(std::memory_order_relaxed)) {
    report_unhandled({0, "remote_promise", error_, place_});
  }
  delete this;
}

}  // namespace ringlet::detail
