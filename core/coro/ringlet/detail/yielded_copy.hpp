// yielded_copy: co_yield of an lvalue, which the body keeps; the consumer gets a copy.
// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <utility>

namespace ringlet::detail {

/// The awaiter `Base` of a co_yield, with a copy that lives until the co_yield returns.
template <class T, class Base>
class yielded_copy : public Base {
 public:
  yielded_copy(const T& value, Base base) : Base(std::move(base)), copy_(value) {}

  template <class Promise>
  decltype(auto) await_suspend(std::coroutine_handle<Promise> at) noexcept {
    // Only now is the awaiter at its final place in the frame, so that the address of the copy is
    // stable.
    at.promise().yield(copy_);
    return Base::await_suspend(at);
  }

 private:
  T copy_;
};

}  // namespace ringlet::detail
