// broadcast beside a sequential model, under each policy: random sends, receives, subscriptions,
// kills, limits and the end.
//
// Method: one fiber takes random steps, of which several fall into one tick. Each call that may
// wait has a fiber of its own, which does the same in the model just before and just after it, so
// that both see everything in the same order. How a call ends must be what the model says. The
// scripted clock moves only in rest_until_limits_pass().
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/broadcast.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "support/random.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// A call that waits, or how it ended: "sent", the item, "closed", "lagged", "timed out" or
// "cancelled".
struct call {
  std::string end;
  bool is_limited = false;
  bool is_killed = false;
};

// Items are told apart by their values; positions count what was sent.
class model {
 public:
  struct subscriber {
    std::size_t next = 0;
    std::size_t missed = 0;
    call* waiting = nullptr;  // until an item, the end or something else ends the call
  };

  model(std::size_t capacity, lag_policy policy) : capacity_(capacity), policy_(policy) {}

  std::size_t oldest() const { return sent_.size() > capacity_ ? sent_.size() - capacity_ : 0; }
  std::size_t sent() const { return sent_.size(); }
  std::size_t backlog() const {
    std::size_t most = 0;
    if (policy_ != lag_policy::wait) return most;
    for (const subscriber* s : subscribers_) most = std::max(most, sent_.size() - s->next);
    return most;
  }
  std::size_t missed(const subscriber& s) const {
    return s.missed + (s.next < oldest() ? oldest() - s.next : 0);
  }

  void subscribe(subscriber& made, bool from_oldest) {
    made.next = from_oldest ? oldest() : sent_.size();
    subscribers_.push_back(&made);
  }
  void unsubscribe(subscriber& gone) {
    std::erase(subscribers_, &gone);
    admit();
  }

  bool try_send(int item) {
    if (closed_ || !has_room()) return false;
    store(item);
    return true;
  }
  void begin_send(call& made, int item) {
    if (closed_) {
      made.end = "closed";
    } else if (has_room()) {
      made.end = "sent";
      store(item);
    } else {
      senders_.push_back({&made, item});
    }
  }
  void begin_receive(call& made, subscriber& by) {
    if (by.next == sent_.size() && !closed_) by.waiting = &made;
  }
  // When its fiber resumes: what it has received.
  void end_receive(call& ended, subscriber& by) {
    if (ended.end.empty()) ended.end = try_receive(by);
    if (ended.end == "nothing") ended.end = "closed";
    prefer_kill(ended);
  }
  std::string try_receive(subscriber& by) {
    if (by.next < oldest()) {
      if (policy_ == lag_policy::disconnect) return "lagged";
      by.missed = missed(by);
      by.next = oldest();
    }
    if (by.next == sent_.size()) return "nothing";
    const int item = sent_[by.next++];
    admit();
    return std::to_string(item);
  }
  // An interruption takes precedence over an error.
  static void prefer_kill(call& ended) {
    if (ended.is_killed && (ended.end == "closed" || ended.end == "lagged")) {
      ended.end = "cancelled";
    }
  }

  // Ends the call, unless something else has.
  void give_up(call& over, const char* how) {
    const auto is_it = [&](const sender& one) { return one.made == &over; };
    if (std::erase_if(senders_, is_it) != 0) over.end = how;
    for (subscriber* s : subscribers_) {
      if (s->waiting != &over) continue;
      s->waiting = nullptr;
      over.end = how;
    }
  }
  void pass_limits() {
    const std::deque<sender> sending = senders_;
    for (const sender& one : sending) {
      if (one.made->is_limited) give_up(*one.made, "timed out");
    }
    for (subscriber* s : subscribers_) {
      if (s->waiting != nullptr && s->waiting->is_limited) give_up(*s->waiting, "timed out");
    }
  }
  void close() {
    closed_ = true;
    for (const sender& one : senders_) one.made->end = "closed";
    senders_.clear();
    wake();
  }

 private:
  struct sender {
    call* made;
    int item;
  };

  bool has_room() const { return backlog() < capacity_; }
  void store(int item) {
    sent_.push_back(item);
    wake();
  }
  void wake() {
    for (subscriber* s : subscribers_) s->waiting = nullptr;
  }
  void admit() {
    while (!senders_.empty() && has_room()) {
      const sender first = senders_.front();
      senders_.pop_front();
      first.made->end = "sent";
      store(first.item);
    }
  }

  std::size_t capacity_;
  lag_policy policy_;
  bool closed_ = false;
  std::vector<int> sent_;
  std::deque<sender> senders_;
  std::vector<subscriber*> subscribers_;
};

class comparison {
 public:
  comparison(std::uint64_t seed, std::size_t capacity, lag_policy policy)
      : random_(seed),
        real_(std::in_place, capacity, policy),
        model_(capacity, policy),
        sends_are_rare_(random_.once_in(2)) {}

  task<> run(int ticks) {
    for (int i = 0; i < ticks; ++i) {
      for (std::size_t left = random_.below(6); left != 0; --left) take_step();
      co_await rest();
      if (random_.once_in(10)) co_await rest_until_limits_pass();
      compare();
    }
    const bool is_closed = random_.once_in(2);
    if (is_closed) close();
    co_await rest();
    for (const auto& one : calls_) kill(*one);
    for (std::size_t i = 0; i < calls_.size(); ++i) co_await calls_[i]->runs.join();
    compare();
    readers_.clear();
    CHECK(real_->subscribers() == 0);
  }
  std::size_t ended(const std::string& how) const {
    return static_cast<std::size_t>(std::count(ends_.begin(), ends_.end(), how));
  }

 private:
  using item = std::shared_ptr<const int>;

  struct reader {
    broadcast<item>::subscriber real;
    model::subscriber modelled{};
    bool is_busy = false;
  };
  struct running {
    call modelled{};
    reader* by = nullptr;  // null if it sends
    bool has_begun = false, has_ended = false;
    fiber<> runs{};
  };

  task<> rest() {
    for (int i = 0; i < 6; ++i) co_await yield();
  }
  task<> rest_until_limits_pass() {
    model_.pass_limits();
    co_await sleep(2ms);
    co_await rest();
  }

  static std::string word_of(const std::error_code& error) {
    return error == errc::closed ? "closed" : error == errc::lagged ? "lagged" : "timed out";
  }

  task<> send(running& self, bool selects) {
    const int number = ++numbers_;
    item mine = std::make_shared<const int>(number);
    const time_limit timeout = self.modelled.is_limited ? time_limit(1ms) : forever;
    std::string end;
    self.has_begun = true;
    model_.begin_send(self.modelled, number);
    try {
      std::error_code error;
      if (selects) {
        const auto first =
            co_await as_result(select(real_->send(std::move(mine), timeout), sleep(1h)));
        if (!first) error = first.error();
      } else {
        const result<void> sent = co_await as_result(real_->send(std::move(mine), timeout));
        if (!sent) error = sent.error();
      }
      end = error ? word_of(error) : "sent";
    } catch (const cancelled&) {
      end = "cancelled";
    }
    model::prefer_kill(self.modelled);
    CHECK((mine == nullptr) == (end == "sent"));
    note_end(self, end);
  }

  task<> receive(running& self, bool selects) {
    reader& by = *self.by;
    const time_limit timeout = self.modelled.is_limited ? time_limit(1ms) : forever;
    std::string end;
    self.has_begun = true;
    model_.begin_receive(self.modelled, by.modelled);
    try {
      std::error_code error;
      item got;
      if (selects) {
        auto first = co_await as_result(select(by.real.receive(timeout), sleep(1h)));
        if (first) {
          got = std::get<0>(*std::move(first));
        } else {
          error = first.error();
        }
      } else {
        result<item> first = co_await as_result(by.real.receive(timeout));
        if (first) {
          got = *std::move(first);
        } else {
          error = first.error();
        }
      }
      end = error ? word_of(error) : std::to_string(*got);
    } catch (const cancelled&) {
      end = "cancelled";
    }
    model_.end_receive(self.modelled, by.modelled);
    by.is_busy = false;
    note_end(self, end);
  }

  void note_end(running& self, const std::string& end) {
    CHECK(end == self.modelled.end);
    self.has_ended = true;
    ends_.push_back(end);
  }

  void kill(running& one) {
    if (one.has_ended) return;
    one.runs.request_kill();
    one.modelled.is_killed = true;
    if (!one.has_begun) {  // and never will
      one.has_ended = true;
      if (one.by != nullptr) one.by->is_busy = false;
    }
    model_.give_up(one.modelled, "cancelled");
  }
  void close() {
    real_->close();
    model_.close();
  }

  // Null if the one that was chosen is in a call.
  reader* idle_reader() {
    if (readers_.empty()) return nullptr;
    reader& chosen = *readers_[random_.below(readers_.size())];
    return chosen.is_busy ? nullptr : &chosen;
  }

  void subscribe() {
    const bool from_oldest = random_.once_in(2);
    auto made = std::make_unique<reader>(
        reader{real_->subscribe(from_oldest ? from::oldest : from::latest)});
    model_.subscribe(made->modelled, from_oldest);
    readers_.push_back(std::move(made));
  }
  void unsubscribe(reader& gone) {
    model_.unsubscribe(gone.modelled);
    std::erase_if(readers_, [&](const auto& one) { return one.get() == &gone; });
  }
  void try_send() {
    const int number = ++numbers_;
    const bool is_sent = real_->try_send(std::make_shared<const int>(number));
    CHECK(is_sent == model_.try_send(number));
  }
  void try_receive(reader& by) {
    std::string end;
    try {
      const std::optional<item> got = by.real.try_receive();
      end = got ? std::to_string(**got) : "nothing";
    } catch (const std::system_error& error) {
      end = word_of(error.code());
    }
    CHECK(end == model_.try_receive(by.modelled));
  }
  void begin_call(reader* by) {
    calls_.push_back(std::make_unique<running>());
    running& made = *calls_.back();
    made.by = by;
    made.modelled.is_limited = random_.once_in(3);
    const bool selects = random_.once_in(3);
    if (by == nullptr) {
      made.runs = spawn(send(made, selects));
    } else {
      by->is_busy = true;
      made.runs = spawn(receive(made, selects));
    }
  }

  void take_step() {
    reader* const idle = idle_reader();
    switch (random_.below(11)) {
      case 0:
        if (readers_.size() < 6) subscribe();
        return;
      case 1:
        if (idle != nullptr && random_.once_in(3)) unsubscribe(*idle);
        return;
      case 2:
        if (!sends_are_rare_ || random_.once_in(8)) try_send();
        return;
      case 3:
        if (idle != nullptr) try_receive(*idle);
        return;
      case 4:
        // One of the newest: most of the rest have ended.
        if (!calls_.empty()) {
          kill(*calls_[calls_.size() - 1 - random_.below(std::min<std::size_t>(8, calls_.size()))]);
        }
        return;
      case 5:
        if (random_.once_in(200)) close();
        return;
      case 6:
      case 7:
        if (!sends_are_rare_ || random_.once_in(8)) begin_call(nullptr);
        return;
      default:
        if (idle != nullptr) begin_call(idle);
    }
  }

  void compare() {
    CHECK(real_->sent() == model_.sent());
    CHECK(real_->size() == model_.sent() - model_.oldest());
    CHECK(real_->backlog() == model_.backlog());
    CHECK(real_->subscribers() == readers_.size());
    for (const auto& one : readers_) CHECK(one->real.missed() == model_.missed(one->modelled));
  }

  random_numbers random_;
  std::optional<broadcast<item>> real_;
  model model_;
  bool sends_are_rare_;
  std::vector<std::unique_ptr<reader>> readers_;
  std::vector<std::unique_ptr<running>> calls_;
  std::vector<std::string> ends_;
  int numbers_ = 0;
};

void compare_under(lag_policy policy) {
  std::size_t cancelled_ones = 0, timed_out_ones = 0, closed_ones = 0, lagged_ones = 0;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    for (const std::size_t capacity : {1u, 2u, 3u, 7u}) {
      CAPTURE(seed);
      CAPTURE(capacity);
      run_scripted([&](scripted_engine&) -> task<> {
        comparison both(seed, capacity, policy);
        co_await both.run(120);
        cancelled_ones += both.ended("cancelled");
        timed_out_ones += both.ended("timed out");
        closed_ones += both.ended("closed");
        lagged_ones += both.ended("lagged");
      });
    }
  }
  CHECK(cancelled_ones > 50);
  CHECK(timed_out_ones > 50);
  CHECK(closed_ones > 50);
  CHECK((lagged_ones > 50) == (policy == lag_policy::disconnect));
}

}  // namespace

TEST_SUITE_BEGIN("broadcast model");

// claims: 1 2 7 8 11
TEST_CASE("a broadcast that drops the oldest item does what its model does") {
  compare_under(lag_policy::drop_oldest);
}

TEST_CASE("a broadcast whose senders wait does what its model does") {
  compare_under(lag_policy::wait);
}

TEST_CASE("a broadcast that disconnects slow subscribers does what its model does") {
  compare_under(lag_policy::disconnect);
}

TEST_SUITE_END();
