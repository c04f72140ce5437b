// select: waits for several calls at once and takes exactly one of them.
#pragma once

#include <ringlet/fiber.hpp>
#include <ringlet/result.hpp>
#include <ringlet/wait.hpp>

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace ringlet {

/// A wait that can be part of a select(): it takes nothing before it is over. These are
/// event::wait(), push() and pop() of queues, join() and get() of fibers, join() of groups,
/// reserve() and wait_available() of pools, sleep(), accept(), readable() of streams and poll_fd().
/// Calls that fill the caller's memory do not qualify: when abandoned, they might already have
/// filled it.
template <class Wait>
concept selectable = std::derived_from<Wait, two_phase_wait> && detail::two_phase_hooks<Wait>;

/// The part of a select() that does not depend on the types of its waits.
class selection : public wait_base {
 public:
  void on_cancel(cancel_reason reason) noexcept;
  void describe(std::string& out) const;

 protected:
  /// The operations that a select() needs from a wait.
  struct hooks {
    const wait_type* type;
    bool has_hope;
    bool (*try_now)(two_phase_wait&);
    void (*watch)(two_phase_wait&) noexcept;
    void (*unwatch)(two_phase_wait&) noexcept;
    bool (*lingers)(const two_phase_wait&) noexcept;
    void (*pass_on)(two_phase_wait&) noexcept;
  };
  template <selectable Wait>
  static constexpr hooks hooks_of = {
      &Wait::type,
      Wait::has_hope,
      [](two_phase_wait& one) { return static_cast<Wait&>(one).try_now(); },
      [](two_phase_wait& one) noexcept { static_cast<Wait&>(one).watch(); },
      [](two_phase_wait& one) noexcept { static_cast<Wait&>(one).unwatch(); },
      [](const two_phase_wait& one) noexcept { return static_cast<const Wait&>(one).lingers(); },
      [](two_phase_wait& one) noexcept { static_cast<Wait&>(one).pass_on(); }};

  struct candidate {
    two_phase_wait* wait;
    const hooks* how;
  };

  selection() noexcept : wait_base(forever) {}
  bool begin(std::span<const candidate> all, frame_record& at);
  /// The position of the wait that was taken.
  std::size_t winner() const noexcept { return winner_; }

 private:
  friend class two_phase_wait;
  static constexpr std::size_t none = ~std::size_t{0};

  /// One of the waits has ended.
  void on_concluded(const two_phase_wait& part) noexcept;
  void arm_nearest_limit() noexcept;
  void end(std::size_t winner) noexcept;
  void finish() noexcept;
  void pass_on() noexcept;
  static const wait_type type;

  std::span<const candidate> all_;
  selection* next_ = nullptr;  // of those that are passing on at this moment
  std::size_t winner_ = none;
  std::size_t first_due_ = none;  // whose limit passes first
  std::uint32_t lingering_ = 0;   // the select() has ended, but this many are still in flight
  bool has_hope_ = false;
};

/// See select().
template <selectable... Waits>
class [[nodiscard]] select_wait : public selection {
  static constexpr std::size_t count = sizeof...(Waits);
  template <class Wait>
  using value_of =
      detail::value_or_unit<std::remove_cvref_t<decltype(std::declval<Wait&>().await_resume())>>;

 public:
  using value_type = std::variant<value_of<Waits>...>;

  explicit select_wait(Waits&... waits) noexcept
      : waits_(waits...), candidates_{candidate{&waits, &hooks_of<Waits>}...} {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) {
    return begin(candidates_, caller.promise());
  }
  /// The value of the wait that was taken, or its error.
  result<value_type> take() {
    rethrow_interruption();
    return visit_winner([](auto place, auto& wait) -> result<value_type> {
      auto taken = wait.take();
      if (!taken) return taken.error();
      if constexpr (std::is_void_v<typename decltype(taken)::value_type>) {
        return value_type(place);
      } else {
        return value_type(place, *std::move(taken));
      }
    });
  }
  value_type await_resume() {
    rethrow_interruption();
    return visit_winner([](auto place, auto& wait) -> value_type {
      if constexpr (std::is_void_v<decltype(wait.await_resume())>) {
        wait.await_resume();
        return value_type(place);
      } else {
        return value_type(place, wait.await_resume());
      }
    });
  }

 private:
  template <std::size_t I = 0, class F>
  auto visit_winner(F visit) {
    if constexpr (I + 1 < count) {
      if (winner() != I) return visit_winner<I + 1>(visit);
    }
    return visit(std::in_place_index<I>, std::get<I>(waits_));
  }

  std::tuple<Waits&...> waits_;
  std::array<candidate, count> candidates_;
};

/// Waits for the first of several calls, takes it and abandons the other calls, which lose nothing.
/// Returns a variant: index() says which call was taken, and the alternative holds its value,
/// std::monostate for void.
///
///   auto next = co_await select(inbox.pop(), stop.wait(), sleep(30s));
///   if (next.index() == 0) handle(std::get<0>(std::move(next)));
///
/// If several calls are ready immediately, select() takes the first in argument order: put what
/// must not starve first. Otherwise it takes the call that becomes ready first, and it stands in
/// the same line as fibers that wait without a select(). A call that ends with an error (a closed
/// queue, a limit that passed) counts as taken, and its error is thrown; as_result() returns it.
///
/// Limits        Each call may have its own. The one that passes first ends the select() the way it
///               ends that call: sleep() and join() with a value, pop() with timed_out.
/// Cancellation  Nothing is taken; success wins.
/// Lifetime      Borrows the calls: await it in the expression that makes it and them.
template <selectable... Waits>
requires(sizeof...(Waits) > 0)
    [[nodiscard]] select_wait<Waits...> select(Waits&&... waits) noexcept {
  return select_wait<Waits...>(waits...);
}

// For all other arguments: says what to write instead.
template <class... Waits>
requires(sizeof...(Waits) > 0 && !(selectable<Waits> && ...)) auto select(Waits&&...) {
  static_assert(!(std::is_lvalue_reference_v<Waits> || ...),
                "select() takes waits in the expression that makes them: write std::move(wait) for "
                "one that is kept on purpose");
  static_assert((std::is_lvalue_reference_v<Waits> || ...),
                "select() takes only waits that take nothing before they are over: for a stream, "
                "select readable() and call receive() afterwards; for a task, spawn it and select "
                "join() or get() of the fiber");
}

}  // namespace ringlet
