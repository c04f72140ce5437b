// Serving the fibers that wait for permits, and refusing what a semaphore cannot do.
// SPDX-License-Identifier: MIT
#include <ringlet/semaphore.hpp>

#include <fmt/format.h>

#include <iterator>
#include <stdexcept>
#include <string>

namespace ringlet {
using namespace extend;
using namespace detail;

const wait_type semaphore::acquire_wait::type = make_type<acquire_wait>("acquire");

semaphore::semaphore(const char* name, std::size_t count, std::size_t count_max)
    : name_(name), available_(count), count_max_(count_max) {
  if (count <= unlimited && count_max <= unlimited) return;
  throw std::invalid_argument(
      fmt::format("the permits of a {} are {}, but must be 0 to {}", name, count, unlimited));
}

semaphore::~semaphore() {
  drop_waits_left_behind(waiters_);
  admit_no_more();
  if (held_ != 0 && !owner_.is_left_behind()) {
    broken_rule(
        fmt::format("a {} was destroyed while {} of its permits were held: it must outlive the "
                    "fibers that use it, so declare it outside of the group that they are in",
                    name_, held_)
            .c_str(),
        __FILE__, __LINE__);
  }
  list_wait::end_orphans(waiters_,
                         "a semaphore was destroyed while a fiber waited for it: it must outlive "
                         "the fibers that use it, so declare it outside of the group that they are "
                         "in, or pass it to with_group() as an argument");
}

void semaphore::add(acquire_wait& last) noexcept {
  waiters_.push_back(last);
  if (++waiting_ > waiting_peak_) waiting_peak_ = waiting_;
}

void semaphore::remove(acquire_wait& gone) noexcept {
  waiters_.remove(gone);
  --waiting_;
}

bool semaphore::admit_first() noexcept {
  if (waiters_.empty()) return false;
  acquire_wait& first = static_cast<acquire_wait&>(waiters_.front());
  if (first.count_ > available_) return false;
  remove(first);
  available_ -= first.count_;
  held_ += first.count_;
  first.complete();
  return true;
}

void semaphore::admit() noexcept { admit_slice(); }

void semaphore::acquire_wait::on_cancel(cancel_reason reason) noexcept {
  reason_ = reason;
  unwatch();
  complete();
  pass_on();
}

void semaphore::acquire_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "{} of {} {} with {}", count_, from_->name_,
                 static_cast<const void*>(from_), from_->available_);
  if (from_->count_max_ != unlimited) {
    fmt::format_to(std::back_inserter(out), " of {}", from_->count_max_);
  }
  fmt::format_to(std::back_inserter(out), " free and {} waiting (at most {})", from_->waiting_,
                 from_->waiting_peak_);
}

void semaphore::refuse_request(std::size_t count) const {
  throw std::invalid_argument(
      fmt::format("{} permits were asked for, but a {} of {} gives 0 to {} at once", count, name_,
                  count_max_, count_max_));
}

void semaphore::refuse_release(std::size_t count) const noexcept {
  broken_rule(
      fmt::format("release() of {} would give a {} of at most {} permits more than that: {} are "
                  "free and {} are held, and those come back by themselves",
                  count, name_, count_max_, available_, held_)
          .c_str(),
      __FILE__, __LINE__);
}

}  // namespace ringlet
