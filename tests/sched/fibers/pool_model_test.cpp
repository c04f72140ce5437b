// pool: random programs compared with a model that keeps the same slots, line and members in plain
// data structures.
//
// Method: fibers use a pool at random, are killed and have limits; each step is reported to the
// model at the same instant, and every outcome and count is compared with the model's. The scripted
// clock moves only when every fiber sleeps, so a seed reproduces its program: it is printed on
// failure, and RINGLET_TEST_SEED runs that program alone.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/frame_pool.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/pool.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "support/allocations.hpp"
#include "support/random.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// How many times the programs have reached each case that matters, so that no case is missed
// unnoticed.
struct coverage {
  std::size_t steps = 0;
  int handed_over = 0, offers = 0, offers_used = 0, offers_passed_on = 0, refused_by_offer = 0;
  int late = 0, closed_in_line = 0, killed_in_line = 0;
  int out_of_order = 0, results = 0, mapped = 0, broken_ranges = 0;
  int added = 0, chosen = 0, out_of_memory = 0, joined = 0, waited_joins = 0;
};
coverage seen;

// A fiber that uses the pool, one step after the other.
struct user {
  enum class request : std::uint8_t { none, in_line, granted, closed };
  fiber<> who;
  request state = request::none;
  steady_ns deadline = never;
  bool killed = false;
};

struct model;

// An offer ends with its turn.
struct turn_end : done_watcher {
  explicit turn_end(model& of) noexcept;
  model* told;
};

// The promises, in the simplest form.
struct model {
  model(scripted_engine& made_by, std::size_t capacity) : engine(&made_by), size(capacity) {}
  ~model() { offer_end.unlink(); }

  // Fibers whose limit has passed have left the line: no fiber has run since.
  void drop_late() {
    std::erase_if(line, [this](user* each) {
      const bool is_late = each->deadline <= engine->now();
      if (is_late) each->state = user::request::none;
      seen.late += is_late ? 1 : 0;
      return is_late;
    });
  }
  bool free_for(const user* asking) const {
    return !closed && (taken < size || (offered_to != nullptr && offered_to == asking));
  }
  void take(const user* asking) {
    if (offered_to != nullptr && offered_to == asking) {
      offered_to = nullptr;
    } else {
      withdraw_offer();
      ++taken;
    }
  }
  // A fiber that asks withdraws an offer to another fiber.
  bool try_take(const user* asking) {
    drop_late();
    if (closed) return false;
    if (offered_to != nullptr && offered_to == asking) ++seen.offers_used;
    if (offered_to != nullptr && offered_to != asking) ++seen.refused_by_offer;
    if (offered_to != asking) withdraw_offer();
    if (!free_for(asking)) return false;
    take(asking);
    return true;
  }
  void ask(user& asking, steady_ns deadline = never) {
    asking.state = user::request::none;
    if (asking.killed) return;  // it throws instead
    asking.deadline = deadline;
    if (closed) {
      asking.state = user::request::closed;
    } else if (try_take(&asking)) {
      asking.state = user::request::granted;
    } else {
      asking.state = user::request::in_line;
      line.push_back(&asking);
    }
  }
  void leave_line(user& left) {
    if (left.state != user::request::in_line) return;
    left.state = user::request::none;
    std::erase(line, &left);
  }
  void release() {
    --taken;
    hand_over();
  }
  void hand_over() {
    drop_late();
    while (taken < size && !line.empty()) {
      line.front()->state = user::request::granted;
      ++seen.handed_over;
      line.pop_front();
      ++taken;
    }
    if (taken == 0) ++times_idle;
  }
  void offer(user& to) {
    drop_late();
    withdraw_offer();
    if (line.empty()) return release();
    offered_to = &to;
    ++seen.offers;
    if (!offer_end.linked()) current_scheduler().tell_later(offer_end);
  }
  void withdraw_offer() {
    if (std::exchange(offered_to, nullptr) == nullptr) return;
    ++seen.offers_passed_on;
    release();
  }
  void close() {
    drop_late();
    closed = true;
    seen.closed_in_line += static_cast<int>(line.size());
    for (user* each : std::exchange(line, {})) each->state = user::request::closed;
    withdraw_offer();
  }

  scripted_engine* engine;
  std::size_t size;
  std::size_t taken = 0;
  std::deque<user*> line;
  const user* offered_to = nullptr;
  int times_idle = 0;
  bool closed = false;
  bool is_over = false;  // closed and joined, or gone
  turn_end offer_end{*this};
};

turn_end::turn_end(model& of) noexcept
    : done_watcher([](done_watcher& watcher) noexcept {
        static_cast<turn_end&>(watcher).told->withdraw_offer();
      }),
      told(&of) {}

// Lives in the frame of a fiber that has a slot, or will get one: destroyed when the fiber ends,
// just before the pool sees that.
struct job_token {
  struct links {
    bool has_slot = false;
    user* waits_for_one = nullptr;  // to add this fiber
  };

  explicit job_token(model& of, std::vector<int>* ends_in = nullptr, int as = 0)
      : slots(&of), ends(ends_in), name(as) {}
  job_token(job_token&& other) noexcept
      : slots(std::exchange(other.slots, nullptr)),
        ends(other.ends),
        link(std::move(other.link)),
        name(other.name) {}
  job_token& operator=(job_token&&) = delete;
  ~job_token() {
    if (slots == nullptr) return;
    if (ends != nullptr) ends->push_back(name);
    if (link->waits_for_one != nullptr) slots->leave_line(*link->waits_for_one);
    if (link->has_slot) slots->release();
  }

  model* slots;
  std::vector<int>* ends;
  std::shared_ptr<links> link = std::make_shared<links>();
  int name;
};

// One program.
class program {
 public:
  program(scripted_engine& made_by, std::uint64_t seed)
      : random_(seed), engine_(made_by), slots_(made_by, random_.below(4)) {
    if (random_.once_in(3)) slots_.size += 3;
    pool_.emplace(slots_.size);
  }

  task<> run() {
    const std::size_t steps = 20 + random_.below(60);
    for (std::size_t i = 0; i < steps; ++i) {
      co_await step();
      compare(nullptr);
    }
    co_await end();
  }

  const std::string& broken() const { return broken_; }

 private:
  // Compares, and records the first difference: a CHECK for each would take most of the time.
  void expect(bool holds, const char* rule) {
    if (!holds && broken_.empty()) broken_ = rule;
  }
  void compare(const user* by) {
    if (!pool_) return;
    const std::size_t free = slots_.size - slots_.taken +
                             (slots_.offered_to != nullptr && slots_.offered_to == by ? 1 : 0);
    expect(pool_->free() == free, "free() is not what the slots say");
    expect(pool_->is_closed() == slots_.closed, "is_closed()");
    expect(pool_->size() <= slots_.taken, "more members than slots");
  }

  std::chrono::nanoseconds some_time() { return 1us * (1 + random_.below(20)); }

  // The steps of a fiber with a slot.
  task<int> job(job_token token, std::shared_ptr<bool> may_begin) {
    expect(*may_begin, "a call begins whose spawn has failed");
    expect(!slots_.is_over, "a call begins after close() and join()");
    expect(slots_.taken <= slots_.size, "too many at once");
    ++seen.steps;
    const std::size_t kind = random_.below(5);
    if (kind == 0) co_await sleep(0ms);
    if (kind > 1) co_await sleep(some_time());
    compare(nullptr);
    if (kind == 4) throw std::runtime_error("of the job");
    co_return token.name;
  }
  // Not a coroutine: one in eight throws before there is a task.
  task<int> refusing_job(job_token token) {
    if (random_.once_in(8)) throw std::runtime_error("refused");
    return job(std::move(token), std::make_shared<bool>(true));
  }

  // For a fiber that has a slot in the model: spawns in it, or loses it.
  template <class Spawn>
  void spawn_in(Spawn spawn) {
    job_token token(slots_);
    const auto link = token.link;
    const auto may_begin = std::make_shared<bool>(true);
    task<int> call = job(std::move(token), may_begin);
    std::optional<fiber<int>> made;
    std::optional<empty_frame_pool> none_left;
    std::optional<out_of_memory> shortage;
    if (random_.once_in(100) && allocations_are_counted()) {
      none_left.emplace(detail::frame_pool::step * (1 + random_.below(16)));
      shortage.emplace();
    }
    try {
      made = spawn(std::move(call));
    } catch (const std::bad_alloc&) {
    }
    expect(made || shortage, "a spawn failed");
    shortage.reset();
    none_left.reset();
    link->has_slot = made.has_value();
    *may_begin = made.has_value();
    if (!made) ++seen.out_of_memory;
    if (!made) return slots_.release();
    jobs_.push_back(*made);
    if (random_.once_in(4)) made->on_done([this] { between_fibers(); });
  }

  // Right after a slot was passed on, before its new owner continues.
  void between_fibers() {
    ++seen.steps;
    compare(nullptr);
    if (!pool_) return;
    const std::size_t kind = random_.below(12);
    if (kind < 2) try_spawn(nullptr);
    if (kind < 5) kill_one();
    if (kind == 5 && random_.once_in(8)) close();
  }

  void try_spawn(const user* by) {
    const bool expected = slots_.try_take(by);
    if (!expected) {
      expect(!pool_->try_reserve(), "a slot was given that is another one's");
      return;
    }
    spawn_in([&](task<int> call) {
      const auto made = pool_->try_spawn(std::move(call));
      expect(made.has_value(), "a slot that is free was refused");
      return made;
    });
  }

  void close() {
    slots_.close();
    pool_->close();
  }

  void kill_one() {
    if (users_.empty()) return;
    user& one = *users_[random_.below(users_.size())];
    if (!one.who || one.who.done()) return;
    seen.killed_in_line += one.state == user::request::in_line ? 1 : 0;
    slots_.leave_line(one);
    one.killed = true;
    one.who.request_kill();
  }

  // The steps of a user

  // After the wait for a slot: the outcome must be the model's.
  void got_slot(const user& by) {
    expect(by.state == user::request::granted, "a slot was given out of turn");
  }
  // Makes a call, and checks how it ends early.
  task<> checked(user& by, task<> call) {
    bool was_interrupted = true;
    try {
      co_await call;
      was_interrupted = false;
    } catch (const timed_out&) {
      expect(by.deadline <= engine_.now(), "a limit passed too early");
    } catch (const std::system_error& error) {
      const bool was_closed = error.code() == errc::closed;
      expect(was_closed || error.code() == errc::fiber_cancelled, "an error that is not expected");
      expect(!was_closed || by.state == user::request::closed, "closed, but had been given a slot");
    } catch (const std::runtime_error&) {
    } catch (const cancelled&) {
      expect(by.killed, "cancelled without a kill");
      by.state = user::request::none;
      throw;
    }
    if (was_interrupted) slots_.leave_line(by);
    expect(by.state != user::request::in_line, "a call ended while it was in line");
    expect(by.state != user::request::granted, "a call did not take what it was given");
    by.state = user::request::none;
  }

  task<> spawn_one(user& by) {
    const time_limit timeout = limit_of(by);
    job_token token(slots_);
    const auto link = token.link;
    const auto make = [this](job_token given) { return refusing_job(std::move(given)); };
    slots_.ask(by, deadline_);
    const fiber<int> made = co_await pool_->spawn_within(timeout, make, std::move(token));
    got_slot(by);
    by.state = user::request::none;
    link->has_slot = true;
    jobs_.push_back(made);
    if (random_.once_in(4)) made.on_done([this] { between_fibers(); });
  }

  task<> hold_one(user& by) {
    const time_limit timeout = limit_of(by);
    slots_.ask(by, deadline_);
    pool::slot taken = co_await pool_->reserve(timeout);
    got_slot(by);
    by.state = user::request::none;
    struct giving_back {
      ~giving_back() {
        if (held) slots->release();
      }
      model* slots;
      bool held;
    };
    {
      giving_back held{&slots_, true};
      if (random_.once_in(2)) co_await sleep(some_time());
      if (random_.once_in(3)) {
        held.held = false;
        spawn_in([&](task<int> call) { return std::optional(taken.spawn(std::move(call))); });
      } else if (random_.once_in(3)) {
        pool::slot moved = std::move(taken);
        taken = std::move(moved);
      }
    }
    taken.release();
  }

  task<> look_for_one(user& by) {
    const time_limit timeout = limit_of(by);
    slots_.ask(by, deadline_);
    const bool told = co_await pool_->wait_available(timeout);
    if (!told) {
      expect(by.deadline <= engine_.now(), "a timeout passed too early");
      slots_.leave_line(by);
      expect(by.state == user::request::none, "false, but had been given a slot");
      co_return;
    }
    got_slot(by);
    by.state = user::request::none;
    slots_.offer(by);
    compare(&by);
    const bool is_free = slots_.free_for(&by);
    expect(is_free || slots_.closed, "told of a slot that is not there");
    if (random_.once_in(4)) co_return;
    if (random_.once_in(4)) co_await yield();
    if (pool_) try_spawn(&by);
  }

  task<> choose(user& by) {
    const auto time = some_time();
    slots_.ask(by, engine_.now() + time.count());
    auto taken = co_await select(pool_->reserve(), sleep(time));
    if (taken.index() == 1) {
      slots_.leave_line(by);
      expect(by.state == user::request::none, "a slot of a select was lost");
      co_return;
    }
    got_slot(by);
    ++seen.chosen;
    by.state = user::request::none;
    pool::slot slot = std::get<0>(std::move(taken));
    spawn_in([&](task<int> call) { return std::optional(slot.spawn(std::move(call))); });
  }

  task<> live(job_token token, std::chrono::nanoseconds time) {
    const job_token kept = std::move(token);
    co_await sleep(time);
  }
  task<> add_one(user& by) {
    job_token token(slots_);
    const auto link = token.link;
    const fiber<> living = spawn(live(std::move(token), some_time()));
    co_await yield();
    const time_limit timeout = limit_of(by);
    struct waiting {
      ~waiting() { of->waits_for_one = nullptr; }
      job_token::links* of;
    };
    const waiting until_added{link.get()};
    link->waits_for_one = &by;
    slots_.ask(by, deadline_);
    const bool added = co_await pool_->add(living, timeout);
    const bool was_granted = by.state == user::request::granted;
    slots_.leave_line(by);
    by.state = user::request::none;
    if (was_granted && !living.done()) {
      expect(pool_->contains(living), "added, but no member");
      link->has_slot = true;
      ++seen.added;
    } else if (was_granted) {
      slots_.release();
    } else {
      expect(living.done() || !added, "added without a slot");
      expect(!living.done() || added || deadline_has_passed(by), "an ended fiber needs no slot");
    }
  }
  bool deadline_has_passed(const user& by) const { return by.deadline <= engine_.now(); }

  // The items of a map: when asked whether there are more, the map waits for a slot next; it reads
  // an item when it has one.
  struct items {
    struct iterator {
      using iterator_concept = std::input_iterator_tag;
      using value_type = job_token;
      using difference_type = std::ptrdiff_t;
      job_token operator*() const {
        user& reader = *of->by;
        of->made_by->got_slot(reader);
        reader.state = user::request::none;
        if (of->at == of->breaks_at) {
          of->made_by->slots_.release();
          ++seen.broken_ranges;
          throw std::runtime_error("of the range");
        }
        job_token read(of->made_by->slots_, of->ends, of->at);
        read.link->has_slot = true;
        return read;
      }
      iterator& operator++() {
        ++of->at;
        return *this;
      }
      void operator++(int) { ++of->at; }
      bool operator==(std::default_sentinel_t) const {
        if (of->at == of->count) return true;
        of->made_by->slots_.ask(*of->by);
        return false;
      }
      items* of;
    };
    iterator begin() { return {this}; }
    std::default_sentinel_t end() const { return {}; }
    program* made_by;
    user* by;
    int count;
    int breaks_at;
    std::vector<int>* ends;
    int at = 0;
  };
  // A map of up to eight items, at one of which the range may throw. The ends of their calls
  // outlive the map.
  items some_items(user& by) {
    ends_.push_back(std::make_unique<std::vector<int>>());
    const int count = static_cast<int>(random_.below(8));
    const int breaks_at = random_.once_in(4) ? static_cast<int>(random_.below(8)) : -1;
    return {this, &by, count, breaks_at, ends_.back().get()};
  }

  auto call_of_items() {
    return [this](job_token item) { return job(std::move(item), std::make_shared<bool>(true)); };
  }

  task<> map_some(user& by) {
    const items all = some_items(by);
    const auto call = call_of_items();
    const auto values = co_await pool_->map(all, call);
    expect(values.size() == static_cast<std::size_t>(all.count), "values of a map are missing");
    ++seen.mapped;
    for (std::size_t i = 0; i < values.size(); ++i) {
      expect(values[i] == static_cast<int>(i), "the order of a map");
    }
  }

  task<> iterate(user& by) {
    const items all = some_items(by);
    const auto call = call_of_items();
    const bool in_order = random_.once_in(2);
    auto results = in_order ? pool_->imap(all, call) : pool_->imap_unordered(all, call);
    const std::size_t last = random_.once_in(2) ? 100 : random_.below(8);
    std::size_t read = 0;
    for (; read < last; ++read) {
      const auto one = co_await results.next();
      if (!one) {
        expect(read == static_cast<std::size_t>(all.count), "results of an imap are missing");
        co_return;
      }
      expect(one->done(), "an imap gave a call that has not ended");
      ++seen.results;
      seen.out_of_order += (*all.ends)[read] != static_cast<int>(read) ? 1 : 0;
      const bool has_value = one->result() == outcome::value;
      if (one->result() == outcome::error) (void)one->error();
      const int name = in_order ? static_cast<int>(read) : (*all.ends)[read];
      expect(!has_value || one->value() == name, "the order of an imap");
      if (random_.once_in(3)) co_await sleep(some_time());
    }
  }

  task<> join_all(user&) {
    const int before = slots_.times_idle;
    const bool was_idle = slots_.taken == 0;
    const bool kills = random_.once_in(3);
    const bool joined =
        kills ? co_await pool_->kill(some_time()) : co_await pool_->join(some_time());
    seen.joined += joined ? 1 : 0;
    seen.waited_joins += joined && !was_idle ? 1 : 0;
    expect(!joined || was_idle || slots_.times_idle != before, "joined while slots were taken");
    expect(joined || !was_idle, "not joined although no slot was taken");
  }

  time_limit limit_of(user&) {
    deadline_ = random_.once_in(3) ? engine_.now() + some_time().count() : never;
    return time_limit::at(deadline_);
  }

  task<> use(user& by) {
    const std::size_t things = 1 + random_.below(4);
    for (std::size_t i = 0; i < things && pool_ && !slots_.is_over; ++i) {
      ++seen.steps;
      by.deadline = never;
      switch (random_.below(10)) {
        case 0:
        case 1:
          co_await checked(by, spawn_one(by));
          break;
        case 2:
          co_await checked(by, hold_one(by));
          break;
        case 3:
        case 4:
          co_await checked(by, look_for_one(by));
          break;
        case 5:
          co_await checked(by, choose(by));
          break;
        case 6:
          co_await checked(by, add_one(by));
          break;
        case 7:
          co_await checked(by, map_some(by));
          break;
        case 8:
          co_await checked(by, iterate(by));
          break;
        default:
          co_await checked(by, join_all(by));
          break;
      }
      if (random_.once_in(4)) co_await yield();
    }
  }

  task<> step() {
    ++seen.steps;
    switch (random_.below(8)) {
      case 0:
      case 1:
      case 2: {
        users_.push_back(std::make_unique<user>());
        user& made = *users_.back();
        made.who = spawn(use(made));
        break;
      }
      case 3:
        kill_one();
        break;
      case 4:
        if (!jobs_.empty()) jobs_[random_.below(jobs_.size())].request_kill();
        break;
      case 5:
        try_spawn(nullptr);
        break;
      case 6:
        if (random_.once_in(30)) close();
        break;
      default:
        break;
    }
    const std::size_t kind = random_.below(4);
    if (kind == 0) co_await sleep(some_time());
    if (kind == 1) co_await yield();
  }

  // Fibers that wait in a pool of size 0 do so until it is closed.
  task<> end() {
    if (random_.once_in(2) && slots_.size != 0) {
      co_await sleep(50us);
      compare(nullptr);
    }
    close();
    const bool joined = co_await pool_->join();
    expect(joined && slots_.taken == 0, "joined while slots were taken");
    slots_.is_over = true;
    compare(nullptr);
    for (const auto& each : users_) co_await each->who.join();
    pool_.reset();
    co_await sleep(1ms);  // for fibers that live on, and for calls that must not begin
    for (const fiber<int>& each : jobs_) {
      expect(each.done(), "a call of the pool lives on");
      (void)each.error();
    }
    expect(slots_.line.empty() && slots_.taken == 0, "slots are left");
  }

  random_numbers random_;
  scripted_engine& engine_;
  model slots_;
  std::vector<std::unique_ptr<std::vector<int>>> ends_;  // of the calls of each map
  std::optional<pool> pool_;
  std::vector<std::unique_ptr<user>> users_;
  std::vector<fiber<int>> jobs_;
  std::string broken_;
  steady_ns deadline_ = never;
};

void run_program(std::uint64_t seed) {
  CAPTURE(seed);
  std::string broken;
  options settings;
  settings.on_unhandled_error = [](const unhandled_error&) {};
  run_scripted(
      [&](scripted_engine& engine) -> task<> {
        program all(engine, seed);
        co_await all.run();
        broken = all.broken();
      },
      settings);
  CHECK(broken == "");
}

}  // namespace

TEST_SUITE_BEGIN("pool model");

// rows: PO-01 PO-02 PO-03 PO-04
TEST_CASE("a pool behaves as the model predicts in random programs") {
  if (const char* const seed = std::getenv("RINGLET_TEST_SEED")) {
    run_program(std::strtoull(seed, nullptr, 0));
    return;
  }
  seen = {};
  for (std::uint64_t seed = 1; seen.steps < 100'000; ++seed) run_program(seed);
  CHECK(seen.handed_over > 5'000);
  CHECK(seen.offers_used > 500);
  CHECK(seen.offers_passed_on > 100);
  CHECK(seen.refused_by_offer > 50);
  CHECK(seen.late > 100);
  CHECK(seen.closed_in_line > 500);
  CHECK(seen.killed_in_line > 300);
  CHECK(seen.results > 2'000);
  CHECK(seen.out_of_order > 500);
  CHECK(seen.mapped > 500);
  CHECK(seen.broken_ranges > 100);
  CHECK(seen.added > 500);
  CHECK(seen.chosen > 500);
  CHECK(seen.joined > 1'000);
  CHECK(seen.waited_joins > 500);
  if (allocations_are_counted()) CHECK(seen.out_of_memory > 3);
}

TEST_SUITE_END();
