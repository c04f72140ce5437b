// connection_watch: closes a stream whose peer sends nothing, or takes nothing, for too long.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/scheduler.hpp>
#include <ringlet/extend/timer.hpp>
#include <ringlet/extend/traffic_watch.hpp>

#include <cstdint>

namespace ringlet::detail {

/// The timeouts of server_limits in nanoseconds; extend::never for none.
struct watch_limits {
  extend::steady_ns first_byte;
  extend::steady_ns idle;
  extend::steady_ns write_stall;
};

/// Why a stream was closed.
enum class watch_verdict : std::uint8_t { none, first_byte, idle, write_stall };

/// Watches one stream, from outside of the calls that use it. A call only notes the time of the
/// turn. The timer is set for the earliest moment at which a limit could pass; when it is due, it
/// computes that moment anew.
class connection_watch final : private extend::traffic_watch, private extend::timer_entry {
 public:
  /// Sets `verdict` when it closes the stream. Throws std::bad_alloc.
  connection_watch(extend::descriptor& watched, const watch_limits& limits, watch_verdict& verdict);
  connection_watch(const connection_watch&) = delete;
  connection_watch& operator=(const connection_watch&) = delete;
  ~connection_watch();

 private:
  /// One direction of the stream.
  struct lane {
    bool is_waiting = false;
    bool is_late = false;          // the limit has passed once
    extend::steady_ns since = 0;   // while it waits: when that began, less what it waited before
    extend::steady_ns waited = 0;  // before, since the last byte
    std::uint64_t bytes = 0;       // when a call last ended
  };

  void on_begin(extend::direction which) noexcept override;
  void on_progress(extend::direction which) noexcept override;
  void on_end(extend::direction which, std::uint64_t bytes) noexcept override;
  void on_gone() noexcept override;
  static void on_due(extend::timer_entry& due) noexcept;

  extend::steady_ns now() const noexcept { return scheduler_.turn_time(); }
  lane& at(extend::direction which) noexcept { return lanes_[static_cast<std::size_t>(which)]; }
  extend::steady_ns limit(extend::direction which) const noexcept;
  extend::steady_ns check_at(extend::direction which) noexcept;
  extend::steady_ns examine(extend::direction which) noexcept;
  void restart(lane& moved) const noexcept;
  void arm_for(extend::steady_ns deadline) noexcept;
  void note_acknowledged() noexcept;
  void expire(extend::direction which) noexcept;

  extend::scheduler& scheduler_;
  extend::descriptor* watched_;
  const watch_limits& limits_;
  watch_verdict& verdict_;
  lane lanes_[2];
  std::uint64_t acknowledged_ = 0;  // bytes, when the write was last examined
  bool has_read_ = false;
};

}  // namespace ringlet::detail
