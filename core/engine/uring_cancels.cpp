// Finds the operation that an answer is about; see the header.
// SPDX-License-Identifier: MIT
#include "uring_cancels.hpp"

#include <algorithm>

namespace ringlet::extend {

// Compares addresses: `target` may be gone.
operation* uring_cancels::find(const operation* target) noexcept {
  list& sent = list_of(target);
  operation* op = sent.next(nullptr);
  while (op != nullptr && op != target) op = sent.next(op);
  return op;
}

void uring_cancels::missed(const operation* target) noexcept {
  operation* const op = find(target);
  if (op == nullptr) return;
  op->unlink();
  missed_.push_back(*op);
}

void uring_cancels::told_to_stop(const operation* target, steady_ns now) noexcept {
  operation* const op = find(target);
  if (op == nullptr) return;
  op->unlink();
  stopping_.push_back(*op);
  due_ = std::min(due_, now + pause_);
}

void uring_cancels::ask_again(steady_ns now) noexcept {
  if (stopping_.empty()) {
    pause_ = pause_min;
  } else if (now < due_) {
    return;
  } else {
    waiting_.splice_back(stopping_);
    pause_ = std::min(2 * pause_, pause_max);
  }
  due_ = never;
}

}  // namespace ringlet::extend
