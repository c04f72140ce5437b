// What greenlets of all types share: one line of calls inside a fiber, and how control passes
// between those lines.
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
  /// Nobody has switched to it.
  created,
  /// It is where its fiber is: it runs, or its fiber waits inside of it.
  running,
  /// It has switched to another one.
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

/// The hook of this thread; null for none. Initial-exec, because every switch looks at it.
extern thread_local constinit switch_hook switch_hook_here
    __attribute__((tls_model("initial-exec")));

/// An address for each type that greenlets send.
template <class T>
inline constexpr char type_tag = 0;

/// What is on its way to a greenlet, unless it is a value that the sender still holds.
enum class arrival : std::uint8_t {
  /// A value, to be moved from where the sender has it.
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

/// A greenlet without its type. A frame_record that stands for the calls of a suspended greenlet:
/// `parent` is the innermost of them.
///
/// Memory lives as long as somebody refers to it: handles, and greenlets whose parent it is.
struct greenlet_base : extend::frame_record {
  enum class phase : std::uint8_t { created, alive, finished };

  /// A greenlet of the running fiber, below the running greenlet, that begins with that type.
  explicit greenlet_base(const void* type);
  greenlet_base(const greenlet_base&) = delete;
  greenlet_base& operator=(const greenlet_base&) = delete;

  static void* operator new(std::size_t size) { return frames.allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    frames.deallocate(memory, size);
  }

  /// Gives it the coroutine that will run its body.
  void set_driver(extend::frame_record& record) noexcept;

  /// Switches from the coroutine `at` of the running greenlet to this one, or where that leads.
  /// `here` is set to the running greenlet: the one that receives what is sent to `at`.
  std::coroutine_handle<> switch_to(extend::frame_record& at, const void* type, void* value,
                                    greenlet_base*& here) noexcept;
  std::coroutine_handle<> switch_slowly(extend::frame_record& at, const void* type, void* value,
                                        greenlet_base*& here) noexcept;
  /// The same with something else than a value.
  std::coroutine_handle<> send(extend::frame_record& at, const void* type, delivery&& sent,
                               greenlet_base*& here) noexcept;
  /// The end of the running greenlet, this one: what it leaves goes to its parent.
  std::coroutine_handle<> finish(delivery&& left) noexcept;

  /// Yields what has arrived, or throws it.
  template <class T>
  value_or_unit<T> receive() {
    if (received == nullptr) [[unlikely]]
      return receive_end<T>();
    return std::move(*static_cast<value_or_unit<T>*>(received));
  }
  template <class T>
  [[gnu::noinline]] value_or_unit<T> receive_end();
  /// What arrived if it is not a value that the sender holds: throws it; if it was returned, yields
  /// where it is.
  void* receive_slowly();

  /// What the end of its handle does: destroys what is left of its calls, innermost first.
  void abandon() noexcept;

  greenlet_state state() const noexcept;
  void set_parent(greenlet_base& to);

  void add_reference() noexcept { ++references; }
  void drop_reference() noexcept;

  // A switch touches these first four and the frame_record: one or two cache lines.
  greenlet_tree* tree;
  // The type of what can be sent to it without looking closer; null if one must.
  const void* expects = nullptr;
  // What has been sent: the sender's T. Null for everything else: then look at `arrived`.
  void* received = nullptr;
  greenlet_base* up = nullptr;  // the parent; null for the main greenlet of a fiber
  const void* awaits;           // the type for which it waits, if `expects` does not tell
  extend::scope* scopes =
      nullptr;  // the innermost scope that it was suspended in, if that is its own
  extend::scope* scopes_base = nullptr;  // what was around the outermost of those
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

/// The main greenlet of a fiber, which is the fiber's own calls, and what all greenlets of that
/// fiber share. Made with the first of them; `chain` is the fiber until that has ended.
struct greenlet_tree : greenlet_base {
  explicit greenlet_tree(extend::context& fiber) noexcept;

  /// That of the running fiber.
  static greenlet_tree& here();
  /// The fiber has ended.
  void leave() noexcept;

  std::coroutine_handle<> deliver(greenlet_base& target, delivery&& sent,
                                  const extend::frame_record* at) noexcept;
  /// Frees the calls of the greenlet that has ended last.
  void free_finished() noexcept;
  /// Makes the scopes of that greenlet, on top of those of the fiber's own calls, the current ones.
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
