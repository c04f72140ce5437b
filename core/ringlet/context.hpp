// The context: what a chain of coroutine calls is to the code that runs it. The base of a fiber.
//
// It answers three questions. What is being waited for: the wait, one at a time. Must the next wait
// end at once: the interruptions, which are kills (delivered once each) and cancelled scopes (again
// at every wait inside). And where does it go when it can continue: its ready queue.
#pragma once

#include <ringlet/assert.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

namespace ringlet {

class context;
class ready_queue;

namespace detail {

/// The stack address below which chains of this thread are cut. Not in the ready queue, because
/// every call and return of a task looks at it: initial-exec makes that one instruction.
extern thread_local constinit std::uintptr_t stack_floor __attribute__((tls_model("initial-exec")));

}  // namespace detail

/// What every coroutine of a chain records, so that a suspended chain can be resumed and printed.
/// Its promise begins with it, and asks for an alignment of 16 bytes at most.
struct frame_record {
  /// The chain that the coroutine runs in; null until it is started.
  context* chain = nullptr;
  /// The coroutine that awaits this one; null for the root of a chain.
  frame_record* parent = nullptr;
  /// Where this coroutine awaits, or awaited last.
  std::source_location site;

  /// Resumes this coroutine. Computed: up to that alignment every promise lies as far behind the
  /// begin of its coroutine's frame as this one would.
  std::coroutine_handle<> self() noexcept {
    return std::coroutine_handle<frame_record>::from_promise(*this);
  }
};

namespace detail {

/// For the constructor of a promise.
template <class Promise>
constexpr void check_promise() noexcept {
  static_assert(std::is_base_of_v<frame_record, Promise> && alignof(Promise) <= 16,
                "the handle of a coroutine could not be computed from its frame_record");
}

/// The awaits that the newest exception of this thread has left, innermost first: what a report of
/// the failure can still name when the frames are gone.
struct failure_trail {
  static constexpr std::size_t sites_max = 8;
  const context* chain = nullptr;
  const frame_record* next = nullptr;  // the coroutine that it has reached; null behind the root
  std::source_location site_of_next;
  std::size_t count = 0;
  std::source_location sites[sites_max];
  std::uint64_t owner = 0;  // for the runner of the chain: whose failure it has become
};
failure_trail& last_failure() noexcept;
/// For promises: an exception is about to leave that coroutine.
[[gnu::cold]] void note_failure(const frame_record& left) noexcept;

}  // namespace detail

/// Why a wait is asked to end early.
enum class cancel_reason : std::uint8_t {
  none,
  /// The fiber was killed or a scope around it gave up.
  interrupted,
  /// The wait's own limit passed.
  timed_out,
  /// What it waits on was closed.
  closed,
};

/// What all waits of one kind have in common.
struct wait_type {
  /// The word that dump() prints, such as "receive".
  const char* name;
  /// Asks the current wait of the context to end early. The wait ends through context::wake(), now
  /// or, when the kernel has a say, later. Null for a wait that is over as soon as its turn comes.
  void (*cancel)(context&, cancel_reason) noexcept;
  /// Appends what exactly is waited for, such as "fd 7"; may be null.
  void (*describe)(const void* object, std::string& out);
};

/// One suspension of a context.
struct wait_record {
  /// Null while the context runs.
  const wait_type* type = nullptr;
  /// The awaiter or other object that the type's functions know how to read.
  void* object = nullptr;
  /// The innermost coroutine of the chain: the one to resume. While the context runs: the innermost
  /// one that was suspended and has not returned.
  frame_record* at = nullptr;
  /// The steady time, in nanoseconds, of the turn in which the wait began.
  std::int64_t since = 0;
};

/// Thrown at a wait of a fiber that was killed, or inside a scope that gave up.
///
/// Not a std::exception, so that handlers of errors let it pass. Catch it (or `...`) only to clean
/// up, and rethrow: the code above relies on seeing it.
class cancelled {
 public:
  /// `source` is the scope that gave up, or null for a kill.
  explicit cancelled(const void* source = nullptr) noexcept : source_(source) {}
  /// Whether that scope is the reason.
  bool from(const void* source) const noexcept { return source != nullptr && source_ == source; }

 private:
  const void* source_;
};

/// A region of one fiber's calls that can be cancelled as a whole. Scopes nest; once a scope is
/// cancelled every wait inside throws `cancelled`, however often. Thread: its context's.
class scope {
 public:
  explicit scope(context& owner) noexcept;
  /// A scope around several contexts, which are made inside it and name it; inside `outer`.
  explicit scope(scope& outer) noexcept : outer_(&outer) {}
  /// The outermost scope of a ready queue: around all of its contexts.
  scope() noexcept = default;
  scope(const scope&) = delete;
  scope& operator=(const scope&) = delete;
  ~scope();

  bool is_cancelled() const noexcept { return cancelled_; }
  /// Ends the current wait of the owner, and every later one inside. Idempotent. For a scope around
  /// several contexts, their holder interrupts them.
  void cancel() noexcept;

  /// For fibers that unwind: marks the scopes around this one as those that stay, or takes that
  /// back.
  void mark_outer(bool stays) noexcept {
    for (scope* s = outer_; s != nullptr; s = s->outer_) s->stays_ = stays;
  }
  bool stays() const noexcept { return stays_; }
  /// The one around it; null for that of a ready queue.
  const scope* outer() const noexcept { return outer_; }
  bool holds_back() const noexcept { return holds_back_; }
  /// Whether that scope is this one, or inside it.
  bool encloses(const scope& inner) const noexcept {
    const scope* s = &inner;
    while (s != nullptr && s != this) s = s->outer_;
    return s == this;
  }

  /// Moves the scopes from this one outwards, up to but without `old_base`, onto `base`.
  void move_onto(const scope& old_base, scope& base) noexcept;

 protected:
  /// Whether it holds back what comes from outside: kills of the owner, and cancelled scopes around
  /// it, these also from other contexts inside. They stay pending. For a scope that has an owner.
  void hold_back(bool on) noexcept;

 private:
  friend class context;

  /// Whether waits inside are to end at once: this scope is cancelled, or one around it from which
  /// nothing is held back.
  bool ends_waits() const noexcept {
    if (outer_ == nullptr) return cancelled_;  // most fibers are spawned there
    for (const scope* s = this; s != nullptr && !s->holds_back_; s = s->outer_) {
      if (s->cancelled_) return true;
    }
    return false;
  }

  context* owner_ = nullptr;
  scope* outer_ = nullptr;
  bool cancelled_ = false;
  bool holds_back_ = false;
  bool stays_ = false;
};

/// The base of a fiber; see the head of this file. Thread: that of its ready queue.
class context {
 public:
  /// `around` is the root scope of `home`, or a scope inside it.
  context(ready_queue& home, scope& around) noexcept : context(home, around, around.ends_waits()) {}
  context(const context&) = delete;
  context& operator=(const context&) = delete;

  ready_queue& home() const noexcept { return *home_; }
  const wait_record& current_wait() const noexcept { return wait_; }

  /// Makes `root` the coroutine that the first resumption starts. Until then it waits for its turn,
  /// to which the queue's push() brings it.
  inline void set_root(frame_record& root) noexcept;

  /// What a wait does first, before it takes anything: true when an interruption must be delivered
  /// (by throw_interruption()) instead of waiting.
  bool interrupted() const noexcept { return interrupted_; }
  /// Throws the oldest kill, else `cancelled` from the outermost scope that gave up.
  [[noreturn, gnu::cold]] void throw_interruption();

  /// Whether a wait that need not suspend may return at once. After 128 of those in one resumption
  /// it must queue up instead (wake()), so that a loop over ready things cannot starve other
  /// fibers.
  bool may_continue() noexcept { return --budget_ != 0; }
  /// Makes the next may_continue() false, so that the rare things which come first are looked at
  /// off the common path; restore_budget() takes it back, and is false when there is nothing to
  /// restore.
  void set_budget_aside() noexcept {
    if (spare_budget_ == 0) spare_budget_ = std::exchange(budget_, std::uint8_t{1});
  }
  bool restore_budget() noexcept {
    if (spare_budget_ == 0) return false;
    budget_ = std::exchange(spare_budget_, std::uint8_t{0});
    return true;
  }

  /// Records that the coroutine `at` suspends; the code that ends the wait calls wake() once.
  void begin_wait(const wait_type& type, void* object, frame_record& at) noexcept;
  /// Ends the current wait: queues the context to be resumed.
  void wake() noexcept;
  /// Asks the current wait to end early; does nothing when there is none, or it has ended.
  void cancel_wait(cancel_reason reason) noexcept {
    if (wait_.type != nullptr && wait_.type->cancel != nullptr) wait_.type->cancel(*this, reason);
  }

  /// Delivers a kill: `cancelled` is thrown at the current wait or else at the next one.
  void kill() noexcept;
  /// Delivers that exception in the same way.
  void interrupt_with(std::exception_ptr error);
  /// Looks again whether something must be delivered, and if so ends the current wait. Called by
  /// the code that changed a reason.
  void interrupt() noexcept;
  /// Has all scopes that hold something back hold it back no longer.
  void stop_holding_back() noexcept;

  bool has_started() const noexcept { return started_; }

  /// A coroutine returns to that caller, which may destroy it: current_wait().at must not be it.
  void return_to(frame_record& caller) noexcept { wait_.at = &caller; }

  /// The innermost scope around what the context runs; at least that of its ready queue. Fibers
  /// that are a part of its call are made inside it.
  scope* innermost_scope() const noexcept { return innermost_; }
  /// Goes on inside of other scopes: for calls that are switched by hand, each line of which has
  /// scopes of its own. `top` is the innermost of them.
  void enter_scopes(scope& top) noexcept;

 protected:
  ~context() {
    if (errors_ != nullptr) [[unlikely]]
      drop_errors();
  }

  /// The exception that throw_interruption() would throw next, if it was given; else null.
  std::exception_ptr first_given_error() const noexcept;

  /// Called when an interruption is pending, after the current wait was asked to end because of it;
  /// `was_waiting` tells whether there was a wait to be asked.
  virtual void on_interrupted(bool was_waiting) noexcept { static_cast<void>(was_waiting); }
  /// The outermost scope that the pending interruption will leave; null when it leaves all of them.
  scope* last_to_unwind() const noexcept;
  /// Changes what a suspended context is shown to wait for.
  void show_wait(const wait_type& type, void* object) noexcept {
    wait_.type = &type;
    wait_.object = object;
  }

  /// Called when the root coroutine has returned or thrown, inside its final suspension. The
  /// coroutine may be destroyed only after the resumption that led here has returned.
  virtual void on_root_done() noexcept = 0;

 private:
  friend class scope;
  friend class ready_queue;
  template <class T>
  friend class task;
  friend struct final_awaiter;

  struct pending_error;

  context(ready_queue& home, scope& around, bool interrupted) noexcept
      : home_(&home), interrupted_(interrupted), innermost_(&around) {}
  void drop_errors() noexcept;
  void update_interrupted() noexcept;
  void add_interruption() noexcept;
  void end_interrupted_wait() noexcept;
  const scope* holder() const noexcept;
  scope* outermost_cancelled(const scope* end) const noexcept;
  bool holds_back_kills(const scope* holder) const noexcept;

  context* next_ready_ = nullptr;
  ready_queue* home_;
  wait_record wait_;
  // Up to here and these three: what every resumption touches, in one cache line.
  std::uint8_t budget_ = 0;
  std::uint8_t spare_budget_ = 0;
  bool interrupted_ = false;
  bool started_ = false;
  std::uint32_t kills_ = 0;  // plain kills to be thrown after the given exceptions
  scope* innermost_;
  pending_error* errors_ = nullptr;  // given exceptions, oldest first
};

/// First in, first out: the contexts that can continue. The base of a scheduler.
class ready_queue {
 public:
  /// How far the stack may grow below the frame that resumes contexts before a chain of transfers
  /// is cut and continued from that frame.
  static constexpr std::size_t stack_growth_max = 64 * 1024;
  /// Waits that need not suspend, per resumption.
  static constexpr std::uint8_t budget = 128;

  ready_queue() noexcept = default;
  ready_queue(const ready_queue&) = delete;
  ready_queue& operator=(const ready_queue&) = delete;

  bool empty() const noexcept { return head_ == nullptr; }

  void push(context& ready) noexcept {
    ready.next_ready_ = nullptr;
    *tail_ = &ready;
    tail_ = &ready.next_ready_;
  }

  /// Continues `next` from the bottom of the stack, in the same resumption: with what is left of
  /// the context's budget, and before anything else runs.
  void bounce(frame_record& next) noexcept { bounced_ = next.self(); }

  /// Resumes that context. Precondition: it is the first in the queue.
  void resume(context& first) noexcept {
    head_ = first.next_ready_;
    if (head_ == nullptr) tail_ = &head_;
    first.wait_.type = nullptr;
    first.budget_ = budget;
    first.started_ = true;
    first.wait_.at->self().resume();
    while (bounced_) std::exchange(bounced_, nullptr).resume();
  }

  /// Takes the first context out without resuming it. Precondition: not empty.
  context& pop_first() noexcept {
    context& first = *head_;
    head_ = first.next_ready_;
    if (head_ == nullptr) tail_ = &head_;
    return first;
  }
  context& first() noexcept { return *head_; }
  /// Has the context behind the first one fetched: with thousands of them they are not in the
  /// cache.
  static void prefetch_second(const context& first) noexcept {
    __builtin_prefetch(first.next_ready_, 1);
  }

  /// Says from which stack address on chains of this thread are cut; called by the function that
  /// resumes.
  static void set_stack_base(const void* frame) noexcept {
    detail::stack_floor = reinterpret_cast<std::uintptr_t>(frame) - stack_growth_max;
  }

  /// The scope around all contexts of this queue.
  scope& root_scope() noexcept { return root_; }

  /// The steady time of this turn in nanoseconds: what waits record as their beginning.
  std::int64_t turn_time() const noexcept { return turn_time_; }
  void set_turn_time(std::int64_t now) noexcept { turn_time_ = now; }

 private:
  context* head_ = nullptr;
  context** tail_ = &head_;
  std::coroutine_handle<> bounced_;
  std::int64_t turn_time_ = 0;
  scope root_;
};

inline void context::begin_wait(const wait_type& type, void* object, frame_record& at) noexcept {
  wait_.type = &type;
  wait_.object = object;
  wait_.at = &at;
  wait_.since = home_->turn_time();
}

/// The type of the wait of a context that is queued to run.
extern const wait_type ready_wait;

inline void context::set_root(frame_record& root) noexcept {
  root.chain = this;
  wait_.type = &ready_wait;
  wait_.at = &root;
}

inline void context::wake() noexcept {
  wait_.type = &ready_wait;
  // It will be resumed soon, through the beginning of its innermost frame.
  __builtin_prefetch(wait_.at->self().address(), 1);
  home_->push(*this);
}

/// Passes control to `next`, a coroutine of the same chain: every call and return of a task ends
/// here. g++ makes no tail call of it without optimisation or under sanitizers, so past the floor
/// the rest is handed to the frame that resumes, in every build alike: headers are compiled with
/// the user's flags, and one body must be right under all of them.
inline std::coroutine_handle<> transfer(frame_record& next) noexcept {
  if (reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) < detail::stack_floor)
      [[unlikely]] {
    next.chain->home().bounce(next);
    return std::noop_coroutine();
  }
  return next.self();
}

}  // namespace ringlet
