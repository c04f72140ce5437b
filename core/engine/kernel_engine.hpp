// What the engines on a real kernel share: the clock, random numbers, calls that are answered
// immediately, the workers, and the eventfd with which other threads end a sleep.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/sanitizers.hpp>
#include <ringlet/extend/engine.hpp>
#include <ringlet/unique_fd.hpp>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <system_error>

#include "opcode_table.hpp"

namespace ringlet::extend {

inline constexpr steady_ns nanoseconds_per_second = 1'000'000'000;
/// The longest sleep: a year. Kernels refuse times that overflow their clocks.
inline constexpr steady_ns sleep_max = 365LL * 24 * 3600 * nanoseconds_per_second;

/// what() returns only the sentence; a plain std::system_error would append the errno's text to the
/// advice.
class engine_refused : public std::system_error {
 public:
  engine_refused(int error, const std::string& sentence)
      : std::system_error(error, std::system_category()), sentence_(sentence) {}
  const char* what() const noexcept override { return sentence_.what(); }

 private:
  std::runtime_error sentence_;  // copied without throwing
};

/// Checks the options before the kernel is asked, by the same rules for every engine. Throws
/// std::invalid_argument that names the option, its value and its range.
void check_options(const engine_options& options);

/// For an errno that reports a shortage: what ran out, and how to get more.
std::string explain_shortage(int error);

class kernel_engine : public engine {
 public:
  std::int32_t call(operation& op) noexcept override;
  void submit(blocking_job& job) override;
  bool withdraw(blocking_job& job) noexcept override;
  steady_ns now() noexcept override;
  std::uint64_t random() noexcept override;

 protected:
  /// Throws std::system_error if there is no descriptor for wake-ups.
  kernel_engine();

  /// An eventfd(2) that is written to and never read: every write is a new edge.
  int wakeup_fd() const noexcept { return wakeup_fd_.get(); }
  void notify() noexcept override;

  /// From the start of an operation until it is done, only the kernel may touch the memory that it
  /// fills. AddressSanitizer then reports any other access.
  static void poison_target(const operation& op) noexcept {
    if (fills_memory(op)) detail::poison(op.data, op.length);
  }
  static void unpoison_target(const operation& op) noexcept {
    if (fills_memory(op)) detail::unpoison(op.data, op.length);
  }

 private:
  static bool fills_memory(const operation& op) noexcept {
    return detail::row_of(op.code).memory == detail::operation_memory::filled;
  }

  unique_fd wakeup_fd_;
  std::uint64_t random_state_ = 0;  // 0 until the first number is drawn
};

}  // namespace ringlet::extend
