// admission_slices: an object admits the fibers that wait for it at most 256 at once.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/wake_lists.hpp>

#include <cstddef>

namespace ringlet::detail {

/// The base of `Object`, whose calls admit waiting fibers as far as there are permits or shares.
/// Admitting a hundred thousand of them would keep the thread for milliseconds. So a call admits a
/// slice, and each turn of the scheduler the next one; in between no call admits any. What the
/// admitted fibers do does not matter: one that has been given its share as a part of a select_set
/// need never look at it.
///
/// `bool Object::admit_first()` admits the first fiber that waits, or returns false.
template <class Object>
class admission_slices : private extend::sliced_list {
 protected:
  admission_slices() noexcept : sliced_list(&admission_slices::admit_next) {}
  ~admission_slices() { this->unlink(); }

  /// Admits those that can be, or a slice of them.
  void admit_slice() noexcept { admit_some(extend::wake_lists::at_once_max); }
  /// For the destructor: waits that end there let no others in.
  void admit_no_more() noexcept { admits_ = true; }

 private:
  std::size_t admit_some(std::size_t most) noexcept {
    if (admits_ || this->linked()) return 0;
    std::size_t count = 0;
    admits_ = true;
    while (count != most && static_cast<Object*>(this)->admit_first()) ++count;
    admits_ = false;
    if (count == most) extend::current_scheduler().wakes().add(*this);
    return count;
  }
  static std::size_t admit_next(extend::sliced_list& of, std::size_t most) noexcept {
    admission_slices& self = static_cast<admission_slices&>(of);
    self.unlink();
    return self.admit_some(most);
  }

  // Admitting may end a select(), which then lets others in where it waited, too: the call that
  // runs does that.
  bool admits_ = false;
};

}  // namespace ringlet::detail
