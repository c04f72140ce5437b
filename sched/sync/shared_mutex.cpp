// Letting writers and readers in, and refusing wrong unlocks.
#include <ringlet/extend/wake_lists.hpp>
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

// Letting a hundred thousand readers in at once would keep the thread for milliseconds. So a call
// lets a slice in, and the last reader of that lets the next slice in when it runs, which is about
// a turn later; until then it counts as a reader, so no writer is let in. complete() may call this
// again: the select() that it ends lets others in where it waited, too.
void shared_mutex::admit() noexcept {
  if (holder_ != nullptr) return;
  for (std::size_t count = 1; !admits_in_slices_ && !waiters_.empty(); ++count) {
    locking_wait& first = static_cast<locking_wait&>(waiters_.front());
    if (!first.is_reader_) {
      if (readers_ != 0) return;
      remove(first);
      give_to(*first.fiber_);
      return first.complete();
    }
    remove(first);
    ++readers_;
    if (count == wake_lists::at_once_max) admits_in_slices_ = first.ends_slice_ = true;
    first.complete();
  }
}

void shared_mutex::admit_next_slice() noexcept {
  admits_in_slices_ = false;
  admit();
}

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
