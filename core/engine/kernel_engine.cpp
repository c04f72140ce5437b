// The clock, random numbers, wake-ups, and the workers; checks options and explains shortages.
// SPDX-License-Identifier: MIT
#include "kernel_engine.hpp"

#include <ringlet/detail/blocking_pool.hpp>
#include <ringlet/standard_descriptors.hpp>

#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

#include "opcode_table.hpp"

namespace ringlet::extend {
using namespace detail;
namespace {

constexpr std::uint32_t submissions_max = 32'768;  // the kernel's limit
constexpr std::uint32_t completions_max = 65'536;  // the kernel's limit
constexpr std::uint32_t buffers_max = 32'768;      // a buffer_queue numbers them with 16 bits
constexpr std::uint32_t buffer_size_max = 1U << 30;

[[noreturn]] void refuse_option(const char* name, std::uint32_t value, const std::string& range) {
  throw std::invalid_argument("the engine option " + std::string(name) + " is " +
                              std::to_string(value) + "; it must be " + range);
}

void check_power(const char* name, std::uint32_t value, std::uint32_t least, std::uint32_t most,
                 const char* why_least = "") {
  if (std::has_single_bit(value) && value >= least && value <= most) return;
  refuse_option(
      name, value,
      "a power of two from " + std::to_string(least) + why_least + " to " + std::to_string(most));
}

// The engine's first descriptor. If standard input, output or error is closed, no descriptor of the
// engine may take its number.
int make_wakeup_fd() noexcept {
  reserve_standard_descriptors();
  return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

}  // namespace

void check_options(const engine_options& options) {
  check_power("submission_entries", options.submission_entries, 1, submissions_max);
  check_power("completion_entries", options.completion_entries, options.submission_entries,
              completions_max, " (submission_entries)");
  check_power("buffer_count", options.buffer_count, 1, buffers_max);
  if (options.buffer_size == 0 || options.buffer_size > buffer_size_max) {
    refuse_option("buffer_size", options.buffer_size,
                  "from 1 to " + std::to_string(buffer_size_max));
  }
}

std::string explain_shortage(int error) {
  switch (error) {
    case EMFILE:
      return "no file descriptor is left in this process; raise the limit with `ulimit -n`";
    case ENFILE:
      return "no file descriptor is left in the whole system; raise the sysctl fs.file-max";
    case ENOSPC:
      return "no epoll watch is left for this user; raise the sysctl fs.epoll.max_user_watches";
    case ENOMEM:
    case ENOBUFS:
      return "the system has no memory left for it";
    default:
      return "this errno is not expected here";
  }
}

kernel_engine::kernel_engine() : wakeup_fd_(make_wakeup_fd()) {
  if (wakeup_fd_) return;
  const int error = errno;
  throw engine_refused(error, std::string("an engine needs a file descriptor for its wake-ups: ") +
                                  std::strerror(error) + ": " + explain_shortage(error));
}

std::int32_t kernel_engine::call(operation& op) noexcept {
  ++statistics_.system_calls;
  return op.answer = detail::make_call(op);
}

void kernel_engine::submit(blocking_job& job) {
  job.owner = this;
  blocking_pool::instance().submit(job);
}

bool kernel_engine::withdraw(blocking_job& job) noexcept {
  return blocking_pool::instance().withdraw(job);
}

void kernel_engine::notify() noexcept {
  const std::uint64_t one = 1;
  // Fails only if the counter is full, and then the engine is awake.
  [[maybe_unused]] const ssize_t written = ::write(wakeup_fd_.get(), &one, sizeof one);
}

steady_ns kernel_engine::now() noexcept {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return steady_ns{time.tv_sec} * nanoseconds_per_second + time.tv_nsec;
}

std::uint64_t kernel_engine::random() noexcept {
  if (random_state_ == 0 &&
      ::getrandom(&random_state_, sizeof random_state_, GRND_NONBLOCK) != sizeof random_state_) {
    random_state_ = static_cast<std::uint64_t>(now());  // early in the boot of the machine
  }
  // SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
  std::uint64_t mixed = (random_state_ += 0x9e3779b97f4a7c15);
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

}  // namespace ringlet::extend
