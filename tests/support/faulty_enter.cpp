// The io_uring_enter2() of the test programs.
// SPDX-License-Identifier: MIT
#include "support/faulty_enter.hpp"

#include <liburing.h>

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace ringlet::test {
namespace {

// Of this thread only: other threads are not under test.
thread_local faulty_enter* active = nullptr;

}  // namespace

faulty_enter::faulty_enter(std::function<int(const enter_call&)> fault, std::function<void()> after)
    : fault_(std::move(fault)), after_(std::move(after)) {
  active = this;
}
faulty_enter::~faulty_enter() { active = nullptr; }

int enter_or_fail(unsigned fd, const enter_call& call, void* argument, std::size_t size) {
  if (active != nullptr) {
    ++active->calls_;
    if (const int fault = active->fault_(call)) return fault;
  }
  const long result = ::syscall(SYS_io_uring_enter, fd, call.to_submit, call.min_complete,
                                call.flags, argument, size);
  const int answer = result < 0 ? -errno : static_cast<int>(result);
  if (active != nullptr && active->after_) active->after_();
  return answer;
}

}  // namespace ringlet::test

extern "C" int io_uring_enter2(unsigned fd, unsigned to_submit, unsigned min_complete,
                               unsigned flags, sigset_t* argument, size_t size) {
  return ringlet::test::enter_or_fail(fd, {to_submit, min_complete, flags}, argument, size);
}
