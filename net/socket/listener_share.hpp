// listener_share: the listener of one scheduler in a tcp_listener_group, and the choice of the
// scheduler that gets a connection.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/detail/handle_state.hpp>
#include <ringlet/tcp_listener_group.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace ringlet::detail {

class listener_shares;
class listener_state;

/// A connection counts for the scheduler that it is placed on from the moment of that choice: as
/// `placed` until it has arrived there, then as `staged` until a fiber takes it, then as one of the
/// scheduler's descriptors.
class listener_share : public std::enable_shared_from_this<listener_share> {
 public:
  listener_share(listener_shares& all, listener_state& of, std::shared_ptr<handle_state> scheduler);

  // Thread: the scheduler's.

  /// The listener has accepted a connection. True if that has gone to another scheduler; otherwise
  /// the caller keeps it and then calls settle().
  bool hand_over(int connection) noexcept;
  /// A connection that was placed here has arrived, or has been lost. `staged` is how many wait for
  /// a fiber now.
  void settle(std::size_t staged) noexcept;
  void set_staged(std::size_t staged) noexcept {
    staged_.store(static_cast<std::uint32_t>(staged), std::memory_order_relaxed);
  }
  /// The listener closes: nothing is placed here any more.
  void leave() noexcept;
  /// After leave(): hands a staged connection to another listener, or closes it if none is open.
  void pass_on(int connection) noexcept;

 private:
  friend class listener_shares;
  struct message;

  std::size_t load() const noexcept;
  bool has_room() const noexcept;
  bool send(int connection) noexcept;
  void arrive(int connection) noexcept;

  const std::shared_ptr<listener_shares> all_;
  const std::shared_ptr<handle_state> scheduler_;
  listener_state* listener_;  // null once it closes
  std::atomic<std::uint32_t> placed_ = 0;
  std::atomic<std::uint32_t> staged_ = 0;
  std::atomic<std::uint64_t> accepted_ = 0;
  std::atomic<std::uint64_t> handed_over_ = 0;
  std::atomic<std::uint64_t> taken_over_ = 0;
};

/// The open shares of a group. Thread: any.
class listener_shares : public std::enable_shared_from_this<listener_shares> {
 public:
  listener_shares(const address& where, const listen_options& options)
      : where_(where), options_(options) {
    options_.reuse_port = true;
  }

  tcp_listener listen();
  address where() const;
  std::vector<listener_share_statistics> statistics() const;

  /// The share that a connection goes to: `asking`, unless another one has less to do; null if none
  /// is open. Counts it as placed there.
  std::shared_ptr<listener_share> place(listener_share& asking) noexcept;
  void remove(const listener_share& gone) noexcept;

 private:
  mutable std::mutex mutex_;
  address where_;
  listen_options options_;
  std::vector<std::shared_ptr<listener_share>> open_;
};

}  // namespace ringlet::detail
