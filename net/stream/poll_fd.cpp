// A poll takes nothing, so cancelling it loses nothing, and any number of waits may poll the same
// descriptor.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/throw_invalid.hpp>
#include <ringlet/poll_fd.hpp>

#include <cerrno>
#include <string>
#include <system_error>

namespace ringlet::extend {

const wait_type poll_fd_wait::type = make_type<poll_fd_wait>("poll_fd");

poll_fd_wait::poll_fd_wait(int polled, short events, const time_limit& timeout) noexcept
    : basic_operation_wait(opcode::poll, &poll_fd_wait::on_completion, timeout) {
  fd = polled;
  poll.events = events;
}

void poll_fd_wait::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<poll_fd_wait&>(op);
  if (self.retries_.wants(done.result)) {
    if (self.restart()) return;
    self.answer = -ECANCELED;
  }
  self.finish();
}

bool poll_fd_wait::try_now() noexcept {
  operation now(opcode::poll, nullptr);
  now.fd = fd;
  now.poll.events = poll.events;
  answer = engine().call(now);
  return answer != -EAGAIN;
}

short poll_fd_wait::take_or_throw() {
  const auto taken = take();
  if (taken) return *taken;
  if (taken.error() != std::errc::invalid_argument) throw_error(taken.error(), type.name);
  const std::string call =
      "poll_fd of fd " + std::to_string(fd) + " for events " + std::to_string(poll.events);
  detail::throw_error(taken.error(), call, "this descriptor never reports these events");
}

}  // namespace ringlet::extend
