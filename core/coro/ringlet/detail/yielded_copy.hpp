// A co_yield of something that its coroutine keeps: what is handed out is a copy.
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
    // Only here, where the awaiter has come to its place in the frame, is the address of use.
    at.promise().yield(copy_);
    return Base::await_suspend(at);
  }

 private:
  T copy_;
};

}  // namespace ringlet::detail
