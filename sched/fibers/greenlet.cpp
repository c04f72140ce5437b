// Where a switch leads, and what a greenlet leaves when it ends.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/fiber_extras.hpp>
#include <ringlet/detail/thrown.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/greenlet.hpp>

#include <type_traits>

namespace ringlet {
using namespace extend;
using namespace detail;

thread_local constinit switch_hook detail::switch_hook_here = nullptr;

parent_cycle::parent_cycle()
    : std::logic_error("set_parent: a greenlet cannot be a parent of itself or of its parents") {}

switch_hook set_switch_hook(switch_hook hook) noexcept {
  return std::exchange(detail::switch_hook_here, hook);
}

namespace detail {
namespace {

bool is_exit(const std::exception_ptr& error) noexcept {
  static_assert(std::is_final_v<greenlet_exit>);
  return thrown_exactly<greenlet_exit>(error) != nullptr;
}

// A parent does not receive greenlet_exit as an exception: its switch fails with an error code.
void pass_on(delivery& left) noexcept {
  if (left.kind == arrival::thrown && is_exit(left.error)) {
    left = {arrival::ended, nullptr, nullptr, {}};
  }
}

}  // namespace

greenlet_base::greenlet_base(const void* type)
    : tree(&greenlet_tree::here()), up(tree->current), awaits(type), id(++tree->ids) {
  up->add_reference();
}

greenlet_base::greenlet_base(greenlet_tree* own) noexcept
    : tree(own), awaits(nullptr), life(phase::alive) {}

void greenlet_base::set_driver(frame_record& record) noexcept {
  driver = record.self();
  bottom = &record;
  record.chain = tree->chain;
  record.parent = tree;  // for dump(): the fiber's calls are below the greenlet's
  parent = bottom;
}

void greenlet_base::drop_reference() noexcept {
  for (greenlet_base* unused = this; unused != nullptr && --unused->references == 0;) {
    greenlet_base* next = unused->up;
    if (unused == unused->tree) {
      delete unused->tree;
    } else {
      delete unused;
    }
    unused = next;
  }
}

greenlet_state greenlet_base::state() const noexcept {
  switch (life) {
    case phase::created:
      return greenlet_state::created;
    case phase::finished:
      return greenlet_state::finished;
    case phase::alive:
      break;
  }
  return tree->current == this ? greenlet_state::running : greenlet_state::suspended;
}

void greenlet_base::set_parent(greenlet_base& to) {
  check_thread();
  RINGLET_ASSERT(to.tree == tree, "a greenlet and its parent must be of one fiber");
  RINGLET_ASSERT(this != tree, "the main greenlet of a fiber cannot have a parent");
  for (const greenlet_base* above = &to; above != nullptr; above = above->up) {
    if (above == this) throw parent_cycle();
  }
  to.add_reference();
  std::exchange(up, &to)->drop_reference();
}

void greenlet_base::check_thread() const noexcept {
  if (tree->chain == nullptr) return;
  const auto& scheduler = static_cast<const extend::scheduler&>(tree->chain->queue());
  scheduler.check_thread("a greenlet was used on a thread that is not its fiber's");
}

void greenlet_base::check_use(const frame_record& at) const noexcept {
  const context* mine = tree->chain;
  if (mine == at.chain) return;
  RINGLET_ASSERT(mine != nullptr, "a greenlet was switched to after its fiber had ended");
  RINGLET_ASSERT(&mine->queue() == &at.chain->queue(),
                 "a greenlet was switched to on a thread that is not its fiber's");
  RINGLET_ASSERT(tree->current != this,
                 "a greenlet was switched to by another fiber while its own is blocked inside it");
  RINGLET_ASSERT(mine == at.chain,
                 "a greenlet was switched to by another fiber than the one that made it");
}

void greenlet_base::suspend(frame_record& at, const void* type) noexcept {
  parent = &at;
  awaits = type;
  scope* innermost = at.chain->innermost_scope();
  if (this == tree) tree->base = innermost;
  const bool has_own = innermost != tree->base;
  scopes = has_own ? innermost : nullptr;
  scopes_base = tree->base;
  expects = has_own ? nullptr : type;  // a switch that enters scopes takes the slow path
}

std::coroutine_handle<> greenlet_base::switch_slowly(frame_record& at, const void* type,
                                                     void* value, greenlet_base*& here) noexcept {
  return send(at, type, {arrival::value, value, type}, here);
}

std::coroutine_handle<> greenlet_base::send(frame_record& at, const void* type, delivery&& sent,
                                            greenlet_base*& here) noexcept {
  check_use(at);
  here = tree->current;
  here->suspend(at, type);
  return tree->deliver(*this, std::move(sent), &at);
}

std::coroutine_handle<> greenlet_base::finish(delivery&& left) noexcept {
  life = phase::finished;
  add_reference();  // the tree's, until free_finished()
  tree->dead = this;
  pass_on(left);
  return tree->deliver(*up, std::move(left), nullptr);
}

void* greenlet_base::receive_slowly() {
  if (arrived.kind == arrival::returned) return arrived.value;
  tree->free_finished();
  if (arrived.kind == arrival::ended) throw_error(errc::fiber_cancelled, "switch_to");
  std::rethrow_exception(std::exchange(arrived.error, {}));
}

void greenlet_base::destroy_calls() noexcept {
  // Only tasks that have not begun may be destroyed in the middle of a call, so mark them as not
  // begun.
  for (frame_record* frame = parent; frame != tree; frame = frame->parent) frame->chain = nullptr;
  std::exchange(driver, nullptr).destroy();
}

void greenlet_base::abandon() noexcept {
  if (life == phase::finished) return;
  const context* const owner = tree->chain;
  if (owner != nullptr && static_cast<const extend::scheduler&>(owner->queue()).is_left_behind())
    return;
  check_thread();
  RINGLET_ASSERT(tree->current != this,
                 "a greenlet was destroyed while it runs or its fiber is blocked inside it");
  life = phase::finished;
  expects = nullptr;
  if (driver == nullptr) return;  // its construction failed
  if (scopes == nullptr) return destroy_calls();
  context* fiber = tree->chain;
  RINGLET_ASSERT(fiber != nullptr,
                 "a greenlet that was suspended inside a scope, such as "
                 "with_timeout(), was destroyed after its fiber had ended");
  scope* before = fiber->innermost_scope();
  scopes->move_onto(*scopes_base, *before);
  scopes->abandon(*before);
  fiber->enter_scopes(*scopes);
  destroy_calls();
  fiber->enter_scopes(*before);
}

greenlet_tree::greenlet_tree(context& fiber) noexcept
    : greenlet_base(this), base(fiber.innermost_scope()) {
  chain = &fiber;
}

greenlet_tree& greenlet_tree::here() {
  fiber_base& fiber = ringlet::extend::current();
  greenlets_owner& tree = fiber.extras().greenlets;
  if (tree == nullptr) {
    tree = {new greenlet_tree(fiber), [](greenlet_tree* left) noexcept { left->leave(); }};
  }
  return *tree;
}

void greenlet_tree::leave() noexcept {
  chain = nullptr;
  life = phase::finished;
  drop_reference();
}

void greenlet_tree::free_finished() noexcept {
  greenlet_base* gone = std::exchange(dead, nullptr);
  if (gone == nullptr) return;
  std::exchange(gone->driver, nullptr).destroy();
  gone->drop_reference();
}

void greenlet_tree::enter_scopes(greenlet_base& to) noexcept {
  scope* top = base;
  if (to.scopes != nullptr) {
    to.scopes->move_onto(*to.scopes_base, *base);
    top = std::exchange(to.scopes, nullptr);
  }
  if (chain->innermost_scope() != top) chain->enter_scopes(*top);
}

std::coroutine_handle<> greenlet_tree::deliver(greenlet_base& target, delivery&& sent,
                                               const frame_record* at) noexcept {
  greenlet_base& from = *current;
  greenlet_base* to = &target;
  to->add_reference();  // destructors that run here may drop the other references
  while (to->life != phase::alive) {
    if (to->life == phase::created) {
      if (sent.kind == arrival::value || sent.kind == arrival::returned) break;
      to->abandon();
    }
    pass_on(sent);
    greenlet_base* next = to->up;
    next->add_reference();
    to->drop_reference();
    to = next;
  }
  const void* const awaited = to->expects != nullptr ? to->expects : to->awaits;
  RINGLET_ASSERT(sent.type == nullptr || sent.type == awaited,
                 "a greenlet was sent a value of another type than the one that it waits for");
  to->life = phase::alive;
  to->expects = nullptr;
  to->received = sent.kind == arrival::value ? sent.value : nullptr;
  to->arrived = std::move(sent);
  enter_scopes(*to);
  current = to;
  if (switch_hook_here != nullptr && to != &from) {
    switch_hook_here(
        {to->arrived.kind == arrival::thrown ? switch_kind::thrown : switch_kind::switched,
         static_cast<fiber_base*>(chain)->id(), from.id, to->id,
         at == nullptr ? std::source_location() : at->site});
  }
  to->drop_reference();
  return transfer(*to->parent);
}

}  // namespace detail
}  // namespace ringlet
