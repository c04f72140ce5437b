// A starter that an interruption is about to unwind waits for the fibers that it started.
//
// Those fibers use its locals. So when a kill, a limit, a cancelled group or a signal reaches the
// starter, its open groups are cancelled immediately, out to the cancelled scope, and it resumes
// when their fibers have ended. Its wait also ends immediately, so events in between change
// nothing: a wait that had succeeded still delivers its result, and the next wait throws.
//
// Every resumption and every wait checks for a pending interruption anyway; the code in this file
// runs only if there is one.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/open_group.hpp>
#include <ringlet/extend/fiber_base.hpp>

#include <fmt/format.h>

#include <iterator>

namespace ringlet {
using namespace extend;

namespace {

void describe_hold(const void* object, std::string& out) {
  const std::size_t count = static_cast<const fiber_base*>(object)->blockers();
  fmt::format_to(std::back_inserter(out), "until {} {} ended", count,
                 count == 1 ? "fiber has" : "fibers have");
}

constexpr wait_type hold_type{"held", nullptr, &describe_hold};

}  // namespace

void fiber_base::add_group(detail::open_group& opened) noexcept {
  opened.older_ = groups_;
  if (groups_ != nullptr) groups_->newer_ = &opened;
  groups_ = &opened;
}

void fiber_base::remove_group(detail::open_group& closed) noexcept {
  if (closed.older_ != nullptr) closed.older_->newer_ = closed.newer_;
  (closed.newer_ != nullptr ? closed.newer_->older_ : groups_) = closed.older_;
}

bool fiber_base::is_blocked() const noexcept {
  for (const detail::open_group* g = groups_; g != nullptr; g = g->older_) {
    if (is_held_for(*g)) return true;
  }
  return scheduler().holds_starters() && scheduler().others_hold(*this);
}

// Groups in suspended greenlets still hold the starter when the time for holding is over: when it
// unwinds, it destroys the greenlets without a wait in which their fibers could end.
bool fiber_base::is_held_for(const detail::open_group& open) const noexcept {
  if (!open.unwound_ || open.alive_ == 0) return false;
  return scheduler().holds_starters() || !open.is_open_around(*innermost_scope());
}

std::size_t fiber_base::blockers() const noexcept {
  if (scheduler().others_hold(*this)) return scheduler().others();
  std::size_t count = 0;
  for (const detail::open_group* g = groups_; g != nullptr; g = g->older_) {
    if (g->unwound_) count += g->alive_;
  }
  return count;
}

bool fiber_base::is_shielded() const noexcept {
  const scope* s = innermost_scope();
  while (s != nullptr && !s->holds_back()) s = detail::open_group::outer_of(*s);
  return s != nullptr;
}

void fiber_base::on_interrupted(bool was_waiting) noexcept {
  cancel_unwound_groups();
  // Even if nothing blocks it yet: an interruption that reaches further out may arrive before it
  // runs.
  const bool may_be_held = groups_ != nullptr || scheduler().is_main(*this);
  if (was_waiting && hold_ == hold::none && may_be_held) hold_ = hold::when_woken;
}

bool fiber_base::prepare_to_unwind() noexcept {
  cancel_unwound_groups();
  return is_blocked();
}

// Groups in suspended greenlets count as unwound, because the calls that own the greenlets are
// unwound.
void fiber_base::cancel_unwound_groups() noexcept {
  const bool is_main = scheduler().is_main(*this);
  if (groups_ == nullptr && !is_main) return;
  scope* const last = last_to_unwind();
  if (last != nullptr) last->mark_outer(true);
  for (detail::open_group* g = groups_; g != nullptr; g = g->older_) {
    if (!g->is_outside_unwinding()) g->unwind();
  }
  if (last != nullptr) {
    last->mark_outer(false);
  } else if (is_main) {
    scheduler().cancel_all_but_main();
  }
}

void fiber_base::hold_until_unblocked() noexcept {
  hold_ = hold::held;
  show_wait(hold_type, this);
  choose_blocker(groups_);
}

void fiber_base::hold_at(frame_record& at) noexcept {
  begin_wait(hold_type, this, at);
  hold_until_unblocked();
}

// One group at a time reports when it is empty, so that ending a thousand nested groups does not
// scan all of them a thousand times.
bool fiber_base::choose_blocker(detail::open_group* first) noexcept {
  for (detail::open_group* g = first; g != nullptr; g = g->older_) {
    if (!is_held_for(*g)) continue;
    g->tells_starter_ = true;
    return true;
  }
  return false;
}

void fiber_base::on_group_emptied(const detail::open_group& emptied) noexcept {
  if (hold_ != hold::held || choose_blocker(emptied.older_) || choose_blocker(groups_)) return;
  if (!is_blocked()) release_hold();
}

void fiber_base::release_overdue_hold() noexcept {
  if (!is_blocked()) return release_hold();
  if (hold_ == hold::held) choose_blocker(groups_);
}

void fiber_base::release_hold() noexcept {
  if (hold_ != hold::held) {
    hold_ = hold::none;
    return;
  }
  hold_ = hold::when_woken;  // an interruption that reaches further out may arrive before it runs
  wake();
}

}  // namespace ringlet
