// Waiting for connections.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/value_or_throw.hpp>
#include <ringlet/extend/accept_wait.hpp>

#include <cerrno>

#include "listener_state.hpp"

namespace ringlet {
using namespace extend;
using namespace detail;

const wait_type accept_wait_base::type = make_type<accept_wait_base>("accept");

bool accept_wait_base::try_now() noexcept {
  if (from_->fd() < 0) {
    reason_ = cancel_reason::closed;
    answer_ = -ECANCELED;
    return true;
  }
  static_cast<void>(from_->scheduler());  // checks the thread
  made_ = from_->take_staged();
  if (made_ == nullptr && from_->has_ended()) {
    reason_ = cancel_reason::closed;
    answer_ = -ECANCELED;
    return true;
  }
  return made_ != nullptr;
}

void accept_wait_base::watch() noexcept { from_->enqueue(*this); }

void accept_wait_base::unwatch() noexcept {
  if (!linked()) return;
  unlink();
  from_->on_waiter_gone();
}

void accept_wait_base::deliver(descriptor::owner made) noexcept {
  made_ = std::move(made);
  unlink();
  conclude_external();
}

void accept_wait_base::fail(std::int32_t error) noexcept {
  answer_ = error;
  unlink();
  conclude_external();
}

void accept_wait_base::on_cancel(cancel_reason reason) noexcept {
  reason_ = reason;
  fail(-ECANCELED);
  from_->on_waiter_gone();
}

result<descriptor::owner> accept_wait_base::take_made() {
  if (const std::error_code error = cancellation_error()) return error;
  if (answer_ < 0) return system_error_code(answer_);
  return std::move(made_);
}

descriptor::owner accept_wait_base::take_made_or_throw() {
  return detail::value_or_throw(take_made(), type.name, "the socket does not listen");
}

void accept_wait_base::describe(std::string& out) const {
  out += "fd " + std::to_string(from_->fd());
}

}  // namespace ringlet
