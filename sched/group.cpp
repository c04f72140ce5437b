// Members that leave when they end, and waiting until none is left.
#include <ringlet/group.hpp>

#include <fmt/format.h>

#include <iterator>
#include <utility>

namespace ringlet {

struct group::member : done_watcher, list_hook<group> {
  member(group& of, fiber_base& watched) noexcept
      : done_watcher([](done_watcher& watcher) noexcept {
          auto& self = static_cast<member&>(watcher);
          self.owner->remove(*self.who);
        }),
        owner(&of),
        who(&watched) {
    who->add_reference();
  }
  ~member() {
    done_watcher::unlink();
    list_hook<group>::unlink();
    who->drop_reference();
  }

  void kill(const std::exception_ptr& error) {
    if (!std::exchange(killed, true)) who->kill_with(error);
  }

  group* owner;
  fiber_base* who;
  bool killed = false;
};

const wait_type group::empty_wait::type{"end of a group", &list_wait::cancel,
                                        &empty_wait::describe};

group::group() = default;

group::~group() {
  RINGLET_ASSERT(waiters_.empty(), "a group was destroyed while somebody joined it");
}

void group::add(fiber_base& added) {
  if (added.done()) return;
  RINGLET_ASSERT(current_scheduler_or_null() == &added.home(),
                 "a fiber of another thread's scheduler was added to a group");
  if (contains(added)) return;
  auto made = std::make_unique<member>(*this, added);
  member& watcher = *made;
  members_.emplace(&added, std::move(made));
  in_order_.push_back(watcher);
  added.watch(watcher);
  if (killers_ != 0) watcher.kill(kill_error_);
}

bool group::remove(fiber_base& left) noexcept {
  const auto found = members_.find(&left);
  if (found == members_.end()) return false;
  const std::unique_ptr<member> last = std::move(found->second);
  members_.erase(found);
  on_left();
  if (members_.empty()) {
    while (!waiters_.empty()) waiters_.front().complete();
  }
  return true;
}

void group::on_left() noexcept {}

void group::clear() noexcept {
  while (!members_.empty()) remove(*members_.begin()->first);
}

task<bool> group::kill(until limit) { return kill(nullptr, limit); }

task<bool> group::kill(std::exception_ptr error, until limit) {
  struct killing {
    explicit killing(group& of) noexcept : killed(of) { ++killed.killers_; }
    ~killing() {
      if (--killed.killers_ == 0) killed.kill_error_ = nullptr;
    }
    group& killed;
  };
  const killing on(*this);
  kill_error_ = error;
  for (member* m = in_order_.next(nullptr); m != nullptr; m = in_order_.next(m)) m->kill(error);
  co_return co_await join(limit);
}

void group::empty_wait::describe(const void* object, std::string& out) {
  const auto& self = static_cast<const empty_wait&>(*static_cast<const wait_base*>(object));
  fmt::format_to(std::back_inserter(out), "of {} fibers", self.of_->size());
}

}  // namespace ringlet
