// The driver of the model test of the locks, counters, flags, futures, queues, channels, watches
// and broadcasts: random fibers, and the part of the model that all primitives share.
//
// Method: every fiber chooses its next step at random. A step is done to the primitive and to its
// model in the same instant. The model decides at once which waits a step ends, how, and in which
// order, so when a fiber is resumed the model must have decided its wait, and it must be the first
// of those that the model made ready. Limits pass between two turns;
// the clock moves only when no fiber is ready.
//
// A new primitive is a struct that derives from `primitive`, and a line in fill() of the test.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/fiber.hpp>
#include <ringlet/run.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/random.hpp"
#include "support/scripted_engine.hpp"

namespace ringlet::test {
using namespace extend;

struct model_worker;
class primitive;
class primitives_world;

// How a wait ends, and what it returns.
enum class ending : std::uint8_t {
  success,
  late,
  timed_out,
  killed,
  closed,
  lagged,
  broken,
  failed
};
struct answer {
  ending how = ending::success;
  std::size_t got = 0;
  friend bool operator==(const answer&, const answer&) = default;
};
inline answer yes_or_late(bool value) { return {value ? ending::success : ending::late, 0}; }

struct planted_error {};  // given to promises, and thrown by the action of a barrier

// A wait of a fiber, or one part of its select().
struct request {
  primitive* on = nullptr;
  const char* verb = "";
  std::size_t count = 0;     // how many it asks for, or which item it pushes
  int kind = 0;              // which of the primitive's waits
  bool throws_late = false;  // timed_out instead of false
  steady_ns limit = never;
  model_worker* who = nullptr;
  std::uint64_t armed = 0;  // waits with the same limit end in this order
  answer later = {};        // of a wait whose fiber first has to get something back
  bool is_back = false;     // it waits for that
  bool is_due = false;      // its limit passed while it waited
  bool is_killed = false;
  bool by_all = false;  // all waits of its line were ended
  bool is_bad = false;  // it pushes an item that cannot be compared
};

struct model_worker {
  std::size_t id = 0;
  fiber<> handle;
  bool alive = false, begun = false;
  bool waits = false;  // and the model has not decided how that ends
  bool yields = false;
  bool suspends = false;  // in the current wait
  std::vector<request*> parts;
  request* taken = nullptr;
  answer end;
  int kills = 0;  // that were not thrown
  int locks = 0;  // that it holds: then it waits for others only with a limit
  int quick = 0;  // waits since it was last suspended
};

// A primitive and its model.
class primitive {
 public:
  primitive(primitives_world& in, const char* name) : world(in), name_(name) {}
  primitive(const primitive&) = delete;
  virtual ~primitive() = default;
  const char* name() const { return name_; }

  // Does something that does not wait; also called by the main fiber.
  virtual void poke(model_worker& f) = 0;
  // Waits for something.
  virtual task<> wait(model_worker& f) = 0;
  // The model: takes what is asked for if that needs no waiting.
  virtual bool try_now(request& r, answer& a) = 0;
  // The model: a wait has joined the line.
  virtual void joined(request&) {}
  // The model: a wait has left the line; those behind it may be served.
  virtual void left(request&) {}
  // The model: ends a wait that is in line. Its limit has passed, or its fiber was killed.
  virtual void interrupt(request& r, ending why);
  // Whether a kill that comes before its fiber runs is thrown instead of that ending: success wins,
  // but failure does not.
  virtual bool prefers_kill(ending how) const {
    return how == ending::timed_out || how == ending::closed || how == ending::broken;
  }
  // The model: the fiber of a wait that ended with success runs. For waits that take something only
  // now; how they end may change.
  virtual void resumes(request&) {}
  // The fiber gives back what it holds.
  virtual void drop(model_worker&) {}
  // Compares what can be seen without waiting.
  virtual void compare() = 0;

  std::deque<request*> line;  // in the order of arrival
  std::size_t index = 0;

 protected:
  // The first in line that asks for this; null if there is none.
  request* first(int kind) const {
    for (request* each : line) {
      if (each->kind == kind) return each;
    }
    return nullptr;
  }
  std::size_t waiting(int kind) const {
    std::size_t count = 0;
    for (const request* each : line) count += each->kind == kind ? 1U : 0U;
    return count;
  }
  void serve_all(int kind, answer a = {}) {
    while (request* next = first(kind)) serve(*next, a);
  }
  void serve(request& r, answer a = {});
  void expect(bool holds, const char* rule);
  void expect_equal(std::size_t is, std::size_t should_be, const char* what) {
    if (is == should_be) return;
    expect(false, (std::string(what) + " is " + std::to_string(is) + ", and should be " +
                   std::to_string(should_be))
                      .c_str());
  }
  primitives_world& world;

 private:
  const char* name_;
};

// How often the cases that matter were reached.
struct primitives_coverage {
  std::size_t steps = 0, waits = 0, suspended = 0, late = 0, killed = 0, outlived_kill = 0;
  std::size_t selects = 0, closed = 0, lagged = 0, broken = 0, recreated = 0;
};
inline primitives_coverage reached;

class primitives_world {
 public:
  primitives_world(std::uint64_t with_seed, scripted_engine& engine, std::size_t fibers)
      : random(with_seed), seed(with_seed), workers(fibers + 1), engine_(engine) {
    for (std::size_t i = 0; i < workers.size(); ++i) workers[i].id = i;
    now_ = engine.now();
    engine.on_idle = [this] {
      if (random.once_in(4)) engine_.advance(static_cast<steady_ns>(random.below(6'000)));
      return false;
    };
  }

  // The main task.
  task<> main(std::size_t steps);

  // A wait for `r`, alone or as a part of a select(). `make` makes it from its limit, and `took`
  // makes an answer from what it returns. They must not be lambdas in the expression that awaits.
  template <class Make, class Took>
  task<> wait(model_worker& f, request r, Make make, Took took);
  // The same for a wait that cannot be a part of a select().
  template <class Make, class Took>
  task<> wait_alone(model_worker& f, request r, Make make, Took took);

  // The model ends a wait. The parts of a select() leave their lines, all of them before any line
  // moves up, that of the first part first. Another select() that this serves leaves its lines
  // then. `loses`: this wait has got nothing.
  void decide(request& r, answer a, bool loses = false) {
    model_worker& f = *r.who;
    f.end = a;
    f.taken = &r;
    f.waits = false;
    ready_.push_back(&f);
    const bool is_select = f.parts.size() > 1;
    for (request* part : std::exchange(f.parts, {})) {
      std::erase(part->on->line, part);
      if (is_select) left_.push_back(part);
    }
    if (!is_select && loses) r.on->left(r);
    if (is_select) end_together([] {});
  }
  // No line moves up before all waits that `end_all()` ends have left theirs.
  template <class F>
  void end_together(F end_all) {
    if (moves_up_) return end_all();
    moves_up_ = true;
    end_all();
    for (; !left_.empty(); left_.pop_front()) left_.front()->on->left(*left_.front());
    moves_up_ = false;
  }
  void note(const model_worker& f, const char* what, const primitive* on = nullptr,
            std::size_t number = 0, steady_ns limit = never) {
    last_[reached.steps++ % last_.size()] = {&f, what, on, number, limit, engine_.now()};
    ++steps_;
  }
  void kill(model_worker& f);
  void fail(const std::string& sentence);
  bool is_over() const { return stopping_ || !broken.empty(); }
  std::string story() const;
  bool is_crowd() const { return workers.size() > 64; }

  random_numbers random;
  const std::uint64_t seed;
  std::vector<model_worker> workers;  // the first is the main fiber
  std::vector<std::unique_ptr<primitive>> primitives;
  std::string broken;

 private:
  struct step {
    const model_worker* who = nullptr;
    const char* what = "";
    const primitive* on = nullptr;
    std::size_t number = 0;
    steady_ns limit = never, at = 0;
  };
  task<> work(model_worker& f);
  task<> pause(model_worker& f);
  task<> idle(model_worker& f, std::chrono::nanoseconds time);
  steady_ns some_limit(const model_worker& f) {
    if (f.locks == 0 && random.once_in(2)) return never;
    if (random.once_in(8)) return now_;
    return now_ + 1'000 * static_cast<steady_ns>(1 + random.below(12));
  }
  void begin(model_worker& f, std::initializer_list<request*> parts);
  void resumed(model_worker& f);
  void finish(model_worker& f, request* part, answer got);
  answer thrown() const;
  void expire();
  void start(model_worker& f);
  void drop(model_worker& f) {
    for (const auto& each : primitives) each->drop(f);
  }
  void compare() {
    for (const auto& each : primitives) each->compare();
  }

  scripted_engine& engine_;
  std::deque<model_worker*> ready_;
  std::deque<request*> left_;  // lines that will move up
  bool moves_up_ = false;
  model_worker* running_ = nullptr;
  steady_ns now_ = 0;
  std::size_t turns_ = 0;
  std::uint64_t armed_ = 0;
  std::size_t steps_ = 0;
  bool stopping_ = false;
  std::array<step, 30> last_{};
};

inline void primitive::interrupt(request& r, ending why) {
  if (why == ending::late && r.throws_late) why = ending::timed_out;
  world.decide(r, {why, 0}, true);
}
inline void primitive::serve(request& r, answer a) {
  std::erase(line, &r);
  world.decide(r, a);
}
inline void primitive::expect(bool holds, const char* rule) {
  if (!holds) world.fail(std::string(name_) + "#" + std::to_string(index) + ": " + rule);
}

}  // namespace ringlet::test
