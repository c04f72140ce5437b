// remote_start: a fiber of another scheduler that was started from this one.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/intrusive_list.hpp>

#include <cstddef>
#include <string>

namespace ringlet::detail {

/// Thread: that of the scheduler that started the fiber.
class remote_start : public extend::list_hook<remote_start> {
 public:
  /// Asks the fiber to end.
  virtual void cancel() noexcept = 0;
  /// The name of its scheduler, for messages.
  virtual const std::string& home_name() const noexcept = 0;

 protected:
  ~remote_start() = default;
};

/// The fibers of other schedulers that were started from this one and have not ended. The main task
/// is their starter, too; and while there are any, the scheduler does not end.
class remote_starts {
 public:
  bool any() const noexcept { return count_ != 0; }
  std::size_t count() const noexcept { return count_; }

  void add(remote_start& started) noexcept {
    started_.push_back(started);
    ++count_;
  }
  void remove(remote_start& ended) noexcept {
    ended.extend::list_hook<remote_start>::unlink();
    --count_;
  }
  void cancel_all() noexcept {
    for (remote_start* s = started_.next(nullptr); s != nullptr; s = started_.next(s)) s->cancel();
  }
  /// How many there are on which schedulers.
  std::string text();

 private:
  extend::intrusive_list<remote_start, remote_start> started_;
  std::size_t count_ = 0;
};

}  // namespace ringlet::detail
