// The clock, chance and the bell, by plain system calls.
#include "kernel_engine.hpp"

#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "direct_call.hpp"

namespace ringlet {

kernel_engine::kernel_engine() : bell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (bell_) return;
  const int error = errno;
  const bool out_of_descriptors = error == EMFILE || error == ENFILE;
  throw std::system_error(error, std::system_category(),
                          out_of_descriptors ? "an engine needs a file descriptor for its bell, "
                                               "and none is left; raise the limit with `ulimit -n`"
                                             : "eventfd");
}

std::int32_t kernel_engine::call(operation& op) noexcept {
  ++statistics_.system_calls;
  return op.answer = direct_call(op);
}

void kernel_engine::ring_bell() noexcept {
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then the bell has rung.
  [[maybe_unused]] const ssize_t written = ::write(bell_.get(), &one, sizeof one);
}

steady_ns kernel_engine::now() noexcept {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return steady_ns{time.tv_sec} * nanoseconds_per_second + time.tv_nsec;
}

std::uint64_t kernel_engine::random() noexcept {
  if (random_state_ == 0 &&
      ::getrandom(&random_state_, sizeof random_state_, GRND_NONBLOCK) != sizeof random_state_) {
    random_state_ = static_cast<std::uint64_t>(now());
  }
  // SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
  std::uint64_t mixed = (random_state_ += 0x9e3779b97f4a7c15);
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

}  // namespace ringlet
