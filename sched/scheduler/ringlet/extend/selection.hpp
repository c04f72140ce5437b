// selection: the part of a select() that does not depend on the types of its waits.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/wait.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

namespace ringlet::extend {

/// The base of select_wait.
class selection : public wait_base {
 public:
  /// The operations that a select() needs from a wait.
  struct hooks {
    const wait_type* type;
    bool is_external;
    bool (*try_now)(two_phase_wait&);
    void (*watch)(two_phase_wait&) noexcept;
    void (*unwatch)(two_phase_wait&) noexcept;
    bool (*lingers)(const two_phase_wait&) noexcept;  // null if it never does
    void (*pass_on)(two_phase_wait&) noexcept;
  };
  template <class Wait>
  static constexpr auto lingers_of() noexcept -> bool (*)(const two_phase_wait&) noexcept {
    if constexpr (std::is_same_v<decltype(&Wait::lingers), decltype(&two_phase_wait::lingers)>) {
      return nullptr;
    } else {
      return [](const two_phase_wait& one) noexcept {
        return static_cast<const Wait&>(one).lingers();
      };
    }
  }
  template <class Wait>
  static constexpr hooks hooks_of = {
      &Wait::type,
      Wait::is_external,
      [](two_phase_wait& one) { return static_cast<Wait&>(one).try_now(); },
      [](two_phase_wait& one) noexcept { static_cast<Wait&>(one).watch(); },
      [](two_phase_wait& one) noexcept { static_cast<Wait&>(one).unwatch(); },
      selection::lingers_of<Wait>(),
      [](two_phase_wait& one) noexcept { static_cast<Wait&>(one).pass_on(); }};

  /// One of its waits.
  struct candidate {
    two_phase_wait* wait;
    const hooks* how;
  };

  void on_cancel(cancel_reason reason) noexcept;
  void describe(std::string& out) const;

 protected:
  explicit selection(time_limit timeout = forever) noexcept : wait_base(timeout) {}
  /// A limit of the whole selection, if it passes first, ends it without a winner.
  bool begin(std::span<const candidate> all, frame_record& at);
  static constexpr std::size_t none = ~std::size_t{0};
  /// The position of the wait that was taken; none if the selection was interrupted, or its own
  /// limit passed.
  std::size_t winner() const noexcept { return winner_; }

 private:
  friend class two_phase_wait;
  /// How many parts describe() names.
  static constexpr std::size_t described_max = 8;

  /// The wait at that place has ended.
  void on_concluded(std::size_t place) noexcept;
  void arm_nearest_limit() noexcept;
  void end(std::size_t winner) noexcept;
  void finish() noexcept;
  void pass_on() noexcept;
  friend class admission_hold;
  static void pass_on_all() noexcept;
  static const wait_type type;

  std::span<const candidate> all_;
  selection* next_ = nullptr;  // the next select() for which pass_on() admits waits
  std::size_t winner_ = none;
  std::size_t first_due_ = none;  // the wait whose limit passes first
  std::uint32_t lingering_ = 0;   // the select() has ended, but this many are still in flight
  bool is_external_ = false;
};

/// While one exists on a thread, a select() that ends there lets no other waits go ahead; they go
/// ahead when it is destroyed. For a call that ends two waits in one step, such as that of a sender
/// and that of the receiver of its item. Without it, the end of the first could lead to another end
/// of the second: in a select(), by what the first has made way for.
class admission_hold {
 public:
  admission_hold() noexcept;
  admission_hold(const admission_hold&) = delete;
  admission_hold& operator=(const admission_hold&) = delete;
  ~admission_hold();

 private:
  bool is_first_;
};

}  // namespace ringlet::extend
