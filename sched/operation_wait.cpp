// The start, the cancellation and the outcome of a wait for an operation.
#include <ringlet/operation_wait.hpp>

#include <cerrno>

namespace ringlet {

void operation_wait::cancel(context& who, cancel_reason reason) noexcept {
  auto& self = static_cast<operation_wait&>(*static_cast<wait_base*>(who.current_wait().object));
  self.remember(reason);
  self.carrier().cancel(self);
}

std::error_code operation_wait::failure() {
  if (answer != -ECANCELED || reason_ == cancel_reason::none) return system_error_code(answer);
  return cancellation_error();
}

void operation_wait::describe_fd(const void* object, std::string& out) {
  const auto& self = static_cast<const operation_wait&>(*static_cast<const wait_base*>(object));
  out += "fd " + std::to_string(self.fd);
}

}  // namespace ringlet
