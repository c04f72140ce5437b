// watch_base: the part of a watch that does not depend on its value.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/affinity.hpp>
#include <ringlet/extend/assert.hpp>
#include <ringlet/extend/wait.hpp>
#include <ringlet/extend/wake_list.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace ringlet::extend {

class change_wait;

}  // namespace ringlet::extend

namespace ringlet::detail {

/// What a watch and its subscribers share; the last of them destroys it.
class watch_base {
 public:
  watch_base() noexcept = default;
  watch_base(const watch_base&) = delete;
  watch_base& operator=(const watch_base&) = delete;

  std::uint64_t version() const noexcept { return version_; }
  bool is_closed() const noexcept { return closed_; }

  /// Throws errc::closed after close().
  void check_open();
  /// The value is a new version.
  void publish() noexcept;
  void close() noexcept;
  /// For the destructor of the watch: closes.
  void end() noexcept;

 protected:
  ~watch_base();

 private:
  friend class watch_subscriber;
  friend class extend::change_wait;

  void check_thread() noexcept {
    owner_.check("a watch was used on a thread that is not its scheduler's");
  }
  void wake_all() noexcept;

  std::uint64_t version_ = 1;
  bool closed_ = false;
  detail::affinity owner_;
  extend::wait_list waiters_;
  extend::wake_list woken_;
  std::size_t waiting_ = 0;
  std::size_t waiting_peak_ = 0;
};

/// A subscriber without the type of the value.
class watch_subscriber {
 public:
  watch_subscriber(watch_subscriber&& other) noexcept
      : shared_((other.check_idle("moved"), std::move(other.shared_))), seen_(other.seen_) {}
  watch_subscriber& operator=(watch_subscriber&& other) noexcept {
    check_idle("assigned to");
    other.check_idle("moved");
    shared_ = std::move(other.shared_);
    seen_ = other.seen_;
    return *this;
  }

 protected:
  explicit watch_subscriber(std::shared_ptr<watch_base> on) noexcept : shared_(std::move(on)) {}
  ~watch_subscriber() { check_idle("destroyed"); }

  watch_base& shared() const noexcept {
    RINGLET_ASSERT(shared_ != nullptr, "a subscriber of a watch was used after it was moved from");
    return *shared_;
  }
  bool is_behind() const noexcept { return shared().version_ != seen_; }
  void mark_seen() noexcept {
    shared().check_thread();
    seen_ = shared_->version_;
  }
  std::uint64_t seen() const noexcept { return seen_; }

 private:
  friend class extend::change_wait;

  void check_idle(const char* what) const noexcept {
    if (wait_ != nullptr) [[unlikely]]
      refuse(what);
  }
  void refuse(const char* what) const noexcept;

  std::shared_ptr<watch_base> shared_;
  std::uint64_t seen_ = 0;
  extend::change_wait* wait_ = nullptr;  // of the fiber that waits, until that has its answer
};

}  // namespace ringlet::detail
