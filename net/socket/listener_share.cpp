// Placing connections on the schedulers of a tcp_listener_group.
// SPDX-License-Identifier: MIT
#include "listener_share.hpp"

#include <ringlet/extend/engine.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/unique_fd.hpp>

#include <algorithm>
#include <new>
#include <utility>

#include "listener_state.hpp"

namespace ringlet::detail {

/// A connection on its way to another scheduler. A mailbox that is full does not refuse it, and a
/// scheduler that ends still runs it.
struct listener_share::message : extend::posted_work {
  message(std::shared_ptr<listener_share> receiver, int made) noexcept
      : extend::posted_work{nullptr, &deliver}, to(std::move(receiver)), connection(made) {}

  static void deliver(extend::posted_work& self) noexcept {
    const std::unique_ptr<message> owner(static_cast<message*>(&self));
    owner->to->arrive(owner->connection);
  }

  std::shared_ptr<listener_share> to;
  int connection;
};

listener_share::listener_share(listener_shares& all, listener_state& of,
                               std::shared_ptr<handle_state> scheduler)
    : all_(all.shared_from_this()), scheduler_(std::move(scheduler)), listener_(&of) {}

std::size_t listener_share::load() const noexcept {
  return std::size_t{scheduler_->descriptors.load(std::memory_order_relaxed)} +
         placed_.load(std::memory_order_relaxed) + staged_.load(std::memory_order_relaxed);
}

bool listener_share::has_room() const noexcept {
  return placed_.load(std::memory_order_relaxed) + staged_.load(std::memory_order_relaxed) <
         listener_state::staged_max;
}

bool listener_share::hand_over(int connection) noexcept {
  accepted_.fetch_add(1, std::memory_order_relaxed);
  const std::shared_ptr<listener_share> to = all_->place(*this);
  if (to.get() == this) return false;
  if (to != nullptr && to->send(connection)) {
    handed_over_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  placed_.fetch_add(1, std::memory_order_relaxed);
  return false;
}

void listener_share::settle(std::size_t staged) noexcept {
  set_staged(staged);
  placed_.fetch_sub(1, std::memory_order_relaxed);
}

void listener_share::leave() noexcept {
  all_->remove(*this);
  listener_ = nullptr;
}

void listener_share::pass_on(int connection) noexcept {
  const std::shared_ptr<listener_share> to = all_->place(*this);
  if (to == nullptr || !to->send(connection)) {
    unique_fd(connection).reset();
  } else {
    handed_over_.fetch_add(1, std::memory_order_relaxed);
  }
}

// False if it cannot be sent: then it is not placed here any more.
bool listener_share::send(int connection) noexcept {
  std::unique_ptr<message> made(new (std::nothrow) message(shared_from_this(), connection));
  if (made != nullptr && scheduler_->post(*made)) {
    [[maybe_unused]] const message* const sent = made.release();
    return true;
  }
  placed_.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

void listener_share::arrive(int connection) noexcept {
  taken_over_.fetch_add(1, std::memory_order_relaxed);
  if (listener_ == nullptr) {
    placed_.fetch_sub(1, std::memory_order_relaxed);
    pass_on(connection);
  } else {
    listener_->take_over(connection);
  }
}

std::shared_ptr<listener_share> listener_shares::place(listener_share& asking) noexcept {
  const std::lock_guard lock(mutex_);
  const std::shared_ptr<listener_share>* best = nullptr;
  std::size_t least = 0;
  for (const auto& share : open_) {
    const bool is_asking = share.get() == &asking;
    if (!is_asking && !share->has_room()) continue;
    const std::size_t load = share->load();
    if (best == nullptr || load < least || (load == least && is_asking)) {
      best = &share;
      least = load;
    }
  }
  if (best == nullptr) return nullptr;
  (*best)->placed_.fetch_add(1, std::memory_order_relaxed);
  return *best;
}

void listener_shares::remove(const listener_share& gone) noexcept {
  const std::lock_guard lock(mutex_);
  std::erase_if(open_, [&](const auto& share) { return share.get() == &gone; });
}

address listener_shares::where() const {
  const std::lock_guard lock(mutex_);
  return where_;
}

std::vector<listener_share_statistics> listener_shares::statistics() const {
  const std::lock_guard lock(mutex_);
  std::vector<listener_share_statistics> all;
  for (const auto& share : open_) {
    all.push_back({.scheduler = share->scheduler_->name,
                   .load = share->load(),
                   .accepted = share->accepted_.load(std::memory_order_relaxed),
                   .handed_over = share->handed_over_.load(std::memory_order_relaxed),
                   .taken_over = share->taken_over_.load(std::memory_order_relaxed)});
  }
  return all;
}

}  // namespace ringlet::detail
