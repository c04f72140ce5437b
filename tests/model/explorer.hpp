// explorer: runs a few small threads in every order, on a memory that is as weak as C++ allows.
//
// A program to explore is a class with threads and checks; its threads use the atomics, variables
// and mutexes of memory.hpp instead of the real ones. explore() constructs it once per execution
// and makes every decision once: which thread runs next, which value a load returns, where a store
// goes. It is a depth-first search by replay, as in CHESS (Musuvathi et al., OSDI 2008), with a
// bound on preemptions and on stale choices; the memory keeps a view per thread, as in "A promising
// semantics for relaxed-memory concurrency" (Kang et al., POPL 2017), without promises.
//
//     struct program {
//       atomic<int> ready = 0;
//       variable<int> data = 0;
//       static constexpr int threads = 2;
//       void run(int thread) {
//         if (thread == 0) {
//           data = 7;
//           ready.store(1, std::memory_order_release);
//         } else if (ready.load(std::memory_order_acquire) == 1) {
//           expect(data == 7, "the reader sees what was written before");
//         }
//       }
//       void finish() {}  // checks, when all threads have ended
//     };
//     const verdict found = explore<program>();
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <source_location>
#include <string>
#include <vector>

namespace ringlet::model {

inline constexpr std::size_t threads_max = 4;
inline constexpr std::size_t locations_max = 24;

struct bounds {
  /// How often a thread that could continue is stopped for another one.
  int preemptions = 2;
  /// How many loads return an old value, and stores go before a newer one, that another thread made
  /// but the thread need not have seen.
  int stale = 2;
  /// A search that is longer is given up, and is then not complete.
  std::size_t executions_max = 200'000'000;
};

struct verdict {
  /// What went wrong; empty if nothing did.
  std::string failure;
  /// The steps that led there.
  std::string trace;
  std::size_t executions = 0;
  bool is_complete = false;
};

/// How an operation is called in one place of the program.
struct site {
  std::string place;  // the name of the file, its line and column
  enum class kind : std::uint8_t { load, store, exchange } what;
  std::memory_order order;
  friend auto operator<=>(const site&, const site&) = default;
};

/// A program with an error put into it: the operation at one place is weaker.
struct mutation {
  std::string place;
  site::kind what = site::kind::load;
  /// Instead of the order that the program asks for.
  std::memory_order order = std::memory_order_relaxed;
  /// Whether it is made a load and a later store.
  bool splits = false;
  std::string text() const;
};

/// All sites that the last explorations of this process have met; cleared by the caller.
std::map<std::string, site>& known_sites();
/// The smallest changes that make the operation weaker.
std::vector<mutation> weakenings_of(const site& weakened);

namespace detail {

class location;

/// What a thread has seen: the newest message of each location, and the time of each thread.
struct view {
  std::array<std::uint16_t, locations_max> messages{};
  std::array<std::uint32_t, threads_max> times{};
};

/// One exploration; there is one at a time.
class explorer {
 public:
  explorer(const bounds& limits, const mutation* changed);
  explorer(const explorer&) = delete;
  explorer& operator=(const explorer&) = delete;
  ~explorer();

  static explorer& here();

  verdict search(const std::function<void()>& make, const std::function<void(int)>& run,
                 const std::function<void()>& finish, int threads);

  // For memory.hpp; on a thread of the program, or while it is constructed or checked.

  int thread() const noexcept { return current_; }
  bool is_running() const noexcept { return current_ >= 0; }
  view& seen() noexcept { return is_running() ? seen_[static_cast<std::size_t>(current_)] : root_; }
  /// A step begins: another thread may run first.
  void step();
  /// The same for an operation with that order. Within a mutex a relaxed one is no step: what other
  /// threads could see of it, a stale load sees later.
  void step_with(std::memory_order order);
  void count_lock(int more) { locks_[static_cast<std::size_t>(current_)] += more; }
  /// The same, and this thread runs only when `ready` returns true.
  void block(const std::function<bool()>& ready, const char* why);
  /// The same, and another thread runs first if any can.
  void yield();
  /// Chooses one of `count`; those after the first use up the bound on stale choices.
  std::size_t choose_stale(std::size_t count);
  /// Ends the execution, and the search.
  [[noreturn]] void fail(const std::string& why);
  void note(const std::string& what);
  bool is_tracing() const noexcept { return tracing_; }
  std::memory_order order_at(const std::string& place, site::kind what, std::memory_order order);
  bool is_split(const std::string& place) const;
  std::size_t add_location(location& added);
  void remove_location(std::size_t index, const location& removed) noexcept {
    if (locations_[index] == &removed) locations_[index] = nullptr;
  }
  /// Objects whose later use fails the execution.
  void note_made(const void* object) { gone_.erase(object); }
  void note_gone(const void* object) { gone_.insert(object); }
  void check_exists(const void* object) {
    if (gone_.contains(object)) fail("an object is used that has been destroyed");
  }
  /// `into` has then seen what `from` had.
  void join(view& into, const view& from) const;

 private:
  struct choice {
    std::uint32_t taken;
    std::uint32_t count;
  };
  struct fiber;
  enum class state : std::uint8_t { ready, blocked, yielded, ended };

  std::size_t choose(std::size_t count);
  bool next_execution();
  void execute(const std::function<void()>& make, const std::function<void(int)>& run,
               const std::function<void()>& finish);
  void run_threads();
  void report_stuck();
  bool can_run(std::size_t thread) const;
  int pick();
  void leave();
  static void enter(unsigned high, unsigned low);

  bounds limits_;
  const mutation* changed_;
  std::vector<choice> choices_;
  std::size_t position_ = 0;
  int preemptions_ = 0;
  int stale_ = 0;
  std::size_t steps_ = 0;
  int threads_ = 0;
  int current_ = -1;
  int last_ = -1;
  int next_ = -1;
  std::size_t locations_count_ = 0;
  std::array<location*, locations_max> locations_{};
  std::array<view, threads_max> seen_;
  view root_;
  std::array<state, threads_max> states_{};
  std::array<int, threads_max> locks_{};  // mutexes that it holds
  std::array<std::function<bool()>, threads_max> ready_;
  std::array<const char*, threads_max> why_{};
  std::array<std::unique_ptr<fiber>, threads_max> fibers_;
  const std::function<void(int)>* run_ = nullptr;
  std::set<const void*> gone_;
  std::string failure_;
  std::string trace_;
  bool tracing_ = false;
};

}  // namespace detail

/// Ends the search with that failure unless `holds`.
inline void expect(bool holds, const char* rule) {
  if (!holds) detail::explorer::here().fail(rule);
}

/// Explores the program `World`, with an error put into it if `changed` is given. A failed
/// execution is abandoned: its threads are not unwound and the program is not destroyed, so what
/// they own leaks.
template <class World>
verdict explore(const bounds& limits = {}, const mutation* changed = nullptr) {
  detail::explorer search(limits, changed);
  std::unique_ptr<World> world;
  const auto abandon = [&] { static_cast<void>(world.release()); };
  const verdict found = search.search(
      [&] {
        abandon();
        world = std::make_unique<World>();
      },
      [&](int thread) { world->run(thread); },
      [&] {
        world->finish();
        world.reset();
      },
      World::threads);
  abandon();
  return found;
}

}  // namespace ringlet::model
