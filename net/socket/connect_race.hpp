// connect_race: attempts to connect to the addresses of a name, staggered, until one succeeds:
// "happy eyeballs", RFC 8305.
//
// Attempts are fibers of a group. An attempt that has begun is not given up because it is slow: the
// next one only begins beside it. The first connection ends the group, which cancels the other
// attempts and closes their sockets.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/auto_reset_event.hpp>
#include <ringlet/connect_options.hpp>
#include <ringlet/task.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/tcp_stream.hpp>
#include <ringlet/time_limit.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <deque>
#include <exception>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace ringlet::detail {

class connect_race {
 public:
  /// Throws std::invalid_argument.
  connect_race(std::string host_and_service, const connect_options& options);

  /// Returns when there is a winner, or nothing is left to try.
  task<> run();

  std::optional<tcp_stream>& winner() noexcept { return winner_; }
  /// Throws why there is no winner.
  [[noreturn]] void throw_failure(bool in_time);

 private:
  using clock = std::chrono::steady_clock;
  struct failure {
    address to;
    std::error_code why;
  };

  static task<> race(task_group& group, connect_race& self);
  static task<> look_up(connect_race& self, address_family family);
  static task<> attempt(connect_race& self, address to);

  void add(const std::vector<address>& found, address_family family);
  bool is_lost() const noexcept;
  bool may_start() const noexcept;
  time_limit next_start() const noexcept;
  address take_next() noexcept;
  void on_failed(const address& to, std::error_code why);

  std::deque<address>& waiting(bool is_ipv6) noexcept { return waiting_[is_ipv6 ? 1 : 0]; }
  bool& is_last(bool is_ipv6) noexcept { return is_last_[is_ipv6 ? 1 : 0]; }
  std::size_t count() const noexcept { return waiting_[0].size() + waiting_[1].size(); }

  std::string text_;
  std::string host_;
  std::string service_;
  connect_options options_;
  std::array<std::deque<address>, 2> waiting_;  // IPv4, IPv6: not tried yet
  std::array<bool, 2> is_last_{};               // a network of that family was unreachable
  std::optional<bool> next_is_ipv6_;            // families alternate
  clock::time_point next_start_{};
  clock::time_point hold_until_{};  // for IPv6 addresses that are still looked up
  bool is_looking_up_ipv6_ = false;
  std::size_t lookups_ = 0;
  std::size_t running_ = 0;
  std::vector<failure> failed_;
  std::exception_ptr lookup_error_;
  std::optional<tcp_stream> winner_;
  auto_reset_event changed_;
};

}  // namespace ringlet::detail
