// greenlet_base: a chain of calls inside a fiber, and how control passes between such chains.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/frame_pool.hpp>
#include <ringlet/extend/context.hpp>
#include <ringlet/value_or_unit.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <utility>

namespace ringlet {

/// See greenlet_handle<T>::state().
enum class greenlet_state : std::uint8_t {
  /// No switch to it has been made.
  created,
  /// It runs, or its fiber waits inside it.
  running,
  /// It has switched to another greenlet.
  suspended,
  /// Its body has returned or thrown, or it was ended before it began.
  finished,
};

struct switch_event;
/// See set_switch_hook().
using switch_hook = void (*)(const switch_event&) noexcept;

}  // namespace ringlet

namespace ringlet::detail {

struct greenlet_tree;

/// The hook of this thread; null for none. Initial-exec, because every switch reads it.
extern thread_local constinit switch_hook switch_hook_here
    __attribute__((tls_model("initial-exec")));

/// An address for each type that greenlets send.
template <class T>
inline constexpr char type_tag = 0;

/// The kinds of delivery to a greenlet.
enum class arrival : std::uint8_t {
  /// A value, to be moved out of the sender's expression.
  value,
  /// A value, to be taken from the promise of the task that returned it.
  returned,
  /// An exception, to be thrown.
  thrown,
  /// Nothing: a greenlet ended by greenlet_exit.
  ended,
};

struct delivery {
  arrival kind = arrival::value;
  void* value = nullptr;       // T*, or task_promise<T>* if it was returned
  const void* type = nullptr;  // the tag of T
  std::exception_ptr error = {};
};

/// A greenlet without its type. As a frame_record, it stands for the calls of a suspended greenlet:
/// `parent` is the innermost call.
///
/// Lives as long as handles, or greenlets whose parent it is, refer to it.
struct greenlet_base : extend::frame_record {
  enum class phase : std::uint8_t { created, alive, finished };

  /// Makes a greenlet of the running fiber. Its parent is the running greenlet, and `type` is the
  /// tag of the value that it begins with.
  explicit greenlet_base(const void* type);
  greenlet_base(const greenlet_base&) = delete;
  greenlet_base& operator=(const greenlet_base&) = delete;

  static void* operator new(std::size_t size) { return frames.allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    frames.deallocate(memory, size);
  }

  /// Sets the coroutine that will run the body.
  void set_driver(extend::frame_record& record) noexcept;

  /// Switches from the coroutine `at` of the running greenlet to this greenlet, or to an ancestor
  /// if this one has finished. Sets `here` to the running greenlet, which receives what is sent to
  /// `at`.
  std::coroutine_handle<> switch_to(extend::frame_record& at, const void* type, void* value,
                                    greenlet_base*& here) noexcept;
  std::coroutine_handle<> switch_slowly(extend::frame_record& at, const void* type, void* value,
                                        greenlet_base*& here) noexcept;
  /// The same for any delivery.
  std::coroutine_handle<> send(extend::frame_record& at, const void* type, delivery&& sent,
                               greenlet_base*& here) noexcept;
  /// Ends this greenlet, which is running, and delivers `left` to its parent.
  std::coroutine_handle<> finish(delivery&& left) noexcept;

  /// Returns the value that has arrived, or throws the exception.
  template <class T>
  value_or_unit<T> receive() {
    if (received == nullptr) [[unlikely]]
      return receive_end<T>();
    return std::move(*static_cast<value_or_unit<T>*>(received));
  }
  template <class T>
  [[gnu::noinline]] value_or_unit<T> receive_end();
  /// For deliveries other than arrival::value. Throws the error; for a returned value, returns its
  /// task_promise.
  void* receive_slowly();

  /// Finishes the greenlet, and destroys its remaining calls, innermost first.
  void abandon() noexcept;

  greenlet_state state() const noexcept;
  void set_parent(greenlet_base& to);

  void add_reference() noexcept { ++references; }
  void drop_reference() noexcept;

  // A switch touches these first four and the frame_record: one or two cache lines.
  greenlet_tree* tree;
  // The type of value that the fast path may send; null if only the slow path may.
  const void* expects = nullptr;
  // The value that was sent: the sender's T. Null for any other delivery, which is then in
  // `arrived`.
  void* received = nullptr;
  greenlet_base* up = nullptr;  // the parent; null for the main greenlet of a fiber
  const void* awaits;           // the type that it waits for, if `expects` is null
  // The innermost scope around the suspended switch, if the greenlet entered it itself.
  extend::scope* scopes = nullptr;
  extend::scope* scopes_base = nullptr;  // the scope around the outermost of its own
  std::coroutine_handle<> driver;
  extend::frame_record* bottom = nullptr;  // of the driver
  delivery arrived;
  std::uint64_t id = 0;
  std::uint32_t references = 1;
  phase life = phase::created;

 protected:
  explicit greenlet_base(greenlet_tree* own) noexcept;
  ~greenlet_base() = default;

 private:
  friend struct greenlet_tree;
  void check_use(const extend::frame_record& at) const noexcept;
  void check_thread() const noexcept;
  void suspend(extend::frame_record& at, const void* type) noexcept;
  void destroy_calls() noexcept;
};

/// The main greenlet of a fiber, which stands for the fiber's own calls, and what all greenlets of
/// the fiber share. Made with the first greenlet. `chain` is the fiber; null after the fiber has
/// ended.
struct greenlet_tree : greenlet_base {
  explicit greenlet_tree(extend::context& fiber) noexcept;

  /// The tree of the running fiber, made on first use.
  static greenlet_tree& here();
  /// Called when the fiber has ended.
  void leave() noexcept;

  std::coroutine_handle<> deliver(greenlet_base& target, delivery&& sent,
                                  const extend::frame_record* at) noexcept;
  /// Frees the calls of the last greenlet that has finished.
  void free_finished() noexcept;
  /// Makes the scopes of `to` current, on top of the scopes of the fiber's own calls.
  void enter_scopes(greenlet_base& to) noexcept;

  greenlet_base* current = this;
  extend::scope* base;  // the innermost scope of the fiber's own calls
  greenlet_base* dead = nullptr;
  std::uint64_t ids = 0;
};

inline std::coroutine_handle<> greenlet_base::switch_to(extend::frame_record& at, const void* type,
                                                        void* value,
                                                        greenlet_base*& here) noexcept {
  greenlet_tree& all = *tree;
  if (all.chain != at.chain || expects != type || all.base != at.chain->innermost_scope() ||
      switch_hook_here != nullptr) [[unlikely]] {
    return switch_slowly(at, type, value, here);
  }
  greenlet_base& from = *all.current;
  from.parent = &at;
  from.expects = type;
  here = &from;
  expects = nullptr;
  received = value;
  all.current = this;
  return extend::transfer(*parent);
}

}  // namespace ringlet::detail
