// The cancellation and the outcome of a wait for an operation.
#include <ringlet/operation_wait.hpp>

#include <cerrno>

namespace ringlet {

template <class Base>
void basic_operation_wait<Base>::cancel(context& who, cancel_reason reason) noexcept {
  auto& self = wait_base::of<basic_operation_wait>(who);
  self.remember(reason);
  self.carrier().cancel(self);
}

template <class Base>
std::error_code basic_operation_wait<Base>::failure() {
  // What failed has taken nothing. A fiber that was cancelled together with its peer, whose end may
  // come first or second, is told of its cancellation.
  const bool is_interrupted = this->reason_ == cancel_reason::interrupted;
  if (is_interrupted || (answer == -ECANCELED && this->reason_ != cancel_reason::none)) {
    return this->cancellation_error();
  }
  return system_error_code(answer);
}

template <class Base>
void basic_operation_wait<Base>::describe_fd(const void* object, std::string& out) {
  const auto& self = wait_base::of<basic_operation_wait>(object);
  out += "fd " + std::to_string(self.fd);
}

template class basic_operation_wait<wait_base>;
template class basic_operation_wait<two_phase_wait>;

}  // namespace ringlet
