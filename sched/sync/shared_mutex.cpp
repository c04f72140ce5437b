// Letting writers and readers in, and refusing wrong unlocks.
// SPDX-License-Identifier: MIT
#include <ringlet/shared_mutex.hpp>

#include <fmt/format.h>

#include <iterator>

namespace ringlet {
using namespace extend;
using namespace detail;

const wait_type shared_mutex::exclusive_wait::type = make_type<exclusive_wait>("lock");
const wait_type shared_mutex::shared_wait::type = make_type<shared_wait>("lock_shared");

shared_mutex::~shared_mutex() {
  if (readers_ == 0 || owner_.is_left_behind()) return;
  broken_rule(fmt::format("a shared_mutex was destroyed while it was shared by {}: it must outlive "
                          "the fibers that use it, so declare it outside of the group that they "
                          "are in",
                          readers_)
                  .c_str(),
              __FILE__, __LINE__);
}

bool shared_mutex::admit_first() noexcept {
  if (holder_ != nullptr || waiters_.empty()) return false;
  locking_wait& first = static_cast<locking_wait&>(waiters_.front());
  if (!first.is_reader_ && readers_ != 0) return false;
  remove(first);
  if (first.is_reader_) {
    ++readers_;
  } else {
    give_to(*first.fiber_);
  }
  first.complete();
  return true;
}

void shared_mutex::admit() noexcept { admit_slice(); }

void shared_mutex::refuse() const noexcept {
  if (readers_ == 0) refuse_unlock();
  broken_rule(fmt::format("a shared_mutex was unlocked by a fiber that does not hold it alone: it "
                          "is shared by {}, and a share is given back by unlock_shared()",
                          readers_)
                  .c_str(),
              __FILE__, __LINE__);
}

void shared_mutex::refuse_shared() const noexcept {
  broken_rule("unlock_shared() was called of a shared_mutex that no fiber shares", __FILE__,
              __LINE__);
}

void shared_mutex::locking_wait::describe(std::string& out) const {
  const auto to = std::back_inserter(out);
  fmt::format_to(to, "shared_mutex {}", static_cast<const void*>(&on()));
  if (on().readers_ != 0) fmt::format_to(to, " shared by {}", on().readers_);
  fmt::format_to(to, " with {} waiting (at most {})", on().waiting_, on().waiting_peak_);
}

}  // namespace ringlet
