// The cancellation and the outcome of a wait for an operation.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/operation_wait.hpp>

#include <cerrno>

namespace ringlet::extend {

template <class Base>
void basic_operation_wait<Base>::on_cancel(cancel_reason reason) noexcept {
  this->remember(reason);
  engine().cancel(*this);
}

template <class Base>
std::error_code basic_operation_wait<Base>::failure() {
  // A failed operation has taken nothing. So a fiber that is cancelled together with its peer
  // reports the cancellation, whichever comes first.
  const bool is_interrupted = this->reason_ == cancel_reason::interrupted;
  if (is_interrupted || (answer == -ECANCELED && this->reason_ != cancel_reason::none)) {
    return this->cancellation_error();
  }
  return system_error_code(answer);
}

template <class Base>
void basic_operation_wait<Base>::describe(std::string& out) const {
  out += "fd " + std::to_string(fd);
}

template class basic_operation_wait<wait_base>;
template class basic_operation_wait<two_phase_wait>;

}  // namespace ringlet::extend
