// Models of watch and broadcast, in which every fiber has a subscriber; see primitives_model.hpp.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/broadcast.hpp>
#include <ringlet/watch.hpp>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "numbered_item.hpp"
#include "primitives_model.hpp"

namespace ringlet::test {

// The values only grow.
struct watch_model : primitive {
  struct state {
    std::size_t value = 0;
    std::uint64_t version = 1;
    bool is_closed = false;
  };
  struct reader {
    std::optional<watch<std::size_t>::subscriber> real;
    std::shared_ptr<state> of;
    std::uint64_t seen = 0;
    std::size_t shown = 0;
  };

  explicit watch_model(primitives_world& in) : primitive(in, "watch"), readers(in.workers.size()) {
    remake();
  }
  void remake() {
    now = std::make_shared<state>();
    real.emplace(now->value);
  }

  void poke(model_worker& f) override {
    const std::size_t what = world.random.below(32);
    if (what < (now->is_closed ? 16 : 1)) {
      world.note(f, "destroy", this);
      ++reached.recreated;
      real.reset();
      close();
      remake();
    } else if (what == 1) {
      world.note(f, "close", this);
      real->close();
      close();
    } else if (what < 4) {
      readers[f.id].real.reset();
      of(f);
    } else if (what < 6) {
      auto moved = std::move(*of(f).real);
      readers[f.id].real = std::move(moved);
    } else if (what < 14) {
      show(of(f));
    } else if (what < 20) {
      update(f);
    } else {
      set(f);
    }
  }
  reader& of(model_worker& f) {
    reader& mine = readers[f.id];
    if (!mine.real) {
      world.note(f, "subscribe", this);
      mine.real.emplace(real->subscribe());
      mine.of = now;
      mine.seen = mine.shown = 0;
    }
    return mine;
  }
  void show(reader& by) {
    const std::size_t value = by.real->latest();
    expect(value >= by.shown, "a subscriber sees an older value after a newer one");
    expect_equal(value, by.of->value, "latest");
    by.shown = value;
    by.seen = by.of->version;
  }
  void set(model_worker& f) {
    const std::size_t value = now->value + 1;
    world.note(f, "set", this, value);
    const auto changes = [&] { real->set(value); };
    if (publishes(changes)) publish(value);
  }
  void update(model_worker& f) {
    const std::size_t value = now->value + 1;
    const std::size_t how = world.random.below(4);
    world.note(f, "update", this, value);
    const auto change = [&](std::size_t& old) {
      if (how != 0) old = value;
      if (how == 1) throw planted_error();
      return how != 0;
    };
    const auto changes = [&] { real->update(change); };
    bool is_open = true;
    try {
      is_open = publishes(changes);
    } catch (const planted_error&) {
      now->value = value;  // without a version
    }
    if (how > 1 && is_open) publish(value);
  }
  template <class Changes>
  bool publishes(const Changes& changes) {
    bool is_refused = false;
    try {
      changes();
    } catch (const std::system_error&) {
      is_refused = true;
    }
    expect(is_refused == now->is_closed, "set fails after close");
    return !is_refused;
  }
  void publish(std::size_t value) {
    now->value = value;
    ++now->version;
    while (!line.empty()) serve(*line.front());
  }
  // Those that wait have seen the last version.
  void close() {
    now->is_closed = true;
    while (!line.empty()) serve(*line.front(), {ending::closed, 0});
  }
  void drop(model_worker& f) override { readers[f.id] = {}; }

  task<> wait(model_worker& f) override {
    reader& mine = of(f);
    const request r{this, "changed"};
    const auto make = [&mine](time_limit limit) { return mine.real->changed(limit); };
    const auto took = [this, &mine](bool has_changed) {
      if (has_changed && world.random.below(4) != 0) show(mine);
      return yes_or_late(has_changed);
    };
    return world.wait(f, r, make, took);
  }
  bool try_now(request& r, answer& a) override {
    const reader& by = readers[r.who->id];
    if (by.seen != by.of->version) return true;
    if (by.of->is_closed) a.how = ending::closed;
    return by.of->is_closed;
  }
  void compare() override {
    expect_equal(real->value(), now->value, "value");
    expect_equal(real->version(), now->version, "version");
    expect(real->is_closed() == now->is_closed, "is_closed");
    std::size_t count = 0;
    for (const reader& each : readers) count += each.of == now ? 1U : 0U;
    expect_equal(real->subscribers(), count, "subscribers");
    for (std::size_t i = 0; i < std::min(readers.size(), compared_max); ++i) {
      const reader& each = readers[i];
      if (!each.real) continue;
      expect(each.real->has_changed() == (each.seen != each.of->version), "has_changed");
      expect_equal(each.real->value(), each.of->value, "value of a subscriber");
      expect_equal(each.real->seen(), each.seen, "seen");
      expect(each.real->is_closed() == each.of->is_closed, "is_closed of a subscriber");
    }
  }
  static constexpr std::size_t compared_max = 12;

  std::optional<watch<std::size_t>> real;
  std::shared_ptr<state> now;
  std::vector<reader> readers;
};

struct broadcast_model : primitive {
  enum kinds { send, receive };
  struct state {
    std::size_t room;
    lag_policy policy;
    bool is_closed = false;
    std::uint64_t sent = 0;
    std::deque<std::size_t> items = {};
    std::size_t peak = 0;

    std::uint64_t oldest() const { return sent - items.size(); }
  };
  struct reader {
    std::optional<broadcast<copied_item>::subscriber> real;
    std::shared_ptr<state> of;
    std::uint64_t next = 0, missed = 0;

    std::uint64_t overwritten() const { return std::max(of->oldest(), next) - next; }
    bool is_lagged() const { return of->policy == lag_policy::disconnect && overwritten() != 0; }
    std::size_t available() const {
      return is_lagged() ? 0 : static_cast<std::size_t>(of->sent - next - overwritten());
    }
  };

  explicit broadcast_model(primitives_world& in)
      : primitive(in, "broadcast"), readers(in.workers.size()) {
    remake();
  }
  void remake() {
    static constexpr lag_policy policies[] = {lag_policy::wait, lag_policy::wait,
                                              lag_policy::drop_oldest, lag_policy::disconnect};
    now =
        std::make_shared<state>(state{1 + world.random.below(3), policies[world.random.below(4)]});
    real.emplace(now->room, now->policy);
  }

  void poke(model_worker& f) override {
    const std::size_t what = world.random.below(32);
    if (what < (now->is_closed ? 16 : 2) && first(send) == nullptr) {
      world.note(f, "destroy", this);
      ++reached.recreated;
      real.reset();
      close();
      remake();
    } else if (what == 2) {
      world.note(f, "close", this);
      real->close();
      close();
    } else if (what < 7) {
      leave(f);
      of(f);
    } else if (what < 9) {
      auto moved = std::move(*of(f).real);
      readers[f.id].real = std::move(moved);
    } else if (what < 18) {
      receive_now(f);
    } else {
      copied_item item(++numbers);
      world.note(f, "try_send", this, item.number);
      const bool may = !now->is_closed && put(item.number);
      expect(real->try_send(std::move(item)) == may, "try_send");
      expect((item.number == 0) == may, "try_send takes its item if it returns true");
    }
  }
  reader& of(model_worker& f) {
    reader& mine = readers[f.id];
    if (!mine.real) {
      const bool oldest = world.random.once_in(2);
      world.note(f, oldest ? "subscribe from oldest" : "subscribe", this);
      mine.real.emplace(real->subscribe(oldest ? from::oldest : from::latest));
      mine.of = now;
      mine.next = oldest ? now->oldest() : now->sent;
      mine.missed = 0;
      now->peak = std::max(now->peak, backlog());
    }
    return mine;
  }
  void leave(model_worker& f) {
    if (!readers[f.id].real) return;
    world.note(f, "unsubscribe", this);
    readers[f.id].real.reset();
    readers[f.id].of.reset();
    admit();
  }
  void receive_now(model_worker& f) {
    reader& mine = of(f);
    world.note(f, "try_receive", this);
    answer got;
    try {
      const auto item = mine.real->try_receive();
      got = item ? answer{ending::success, item->number} : answer{ending::closed, 0};
    } catch (const std::system_error&) {
      got = {ending::lagged, 0};
    }
    expect(got == take(mine), "try_receive");
  }
  void drop(model_worker& f) override { leave(f); }

  task<> wait(model_worker& f) override {
    return world.random.below(5) < 2 ? send_one(f) : receive_one(f);
  }
  task<> send_one(model_worker& f) {
    copied_item item(++numbers);
    const request r{this, "send", item.number, send, true};
    const auto make = [this, &item](time_limit limit) {
      return real->send(std::move(item), limit);
    };
    bool was_sent = false;
    const auto took = [&was_sent](auto) {
      was_sent = true;
      return answer();
    };
    co_await world.wait(f, r, make, took);
    expect((item.number == 0) == was_sent, "a send takes its item if it succeeds");
  }
  task<> receive_one(model_worker& f) {
    reader& mine = of(f);
    request r{this, "receive", 0, receive, true};
    const auto receiving = [&mine](time_limit limit) { return mine.real->receive(limit); };
    const auto got = [](copied_item item) { return answer{ending::success, item.number}; };
    if (world.random.once_in(2)) return world.wait(f, r, receiving, got);
    r.verb = "next";
    const auto next = [&mine](time_limit limit) { return mine.real->next(limit); };
    const auto got_or_end = [](std::optional<copied_item> item) {
      return item ? answer{ending::success, item->number} : answer{ending::closed, 0};
    };
    return world.wait(f, r, next, got_or_end);
  }

  bool try_now(request& r, answer& a) override {
    if (r.kind == receive) {
      const reader& by = readers[r.who->id];
      return by.next != by.of->sent || by.of->is_closed;  // see resumes()
    }
    if (now->is_closed) a.how = ending::closed;
    return now->is_closed || put(r.count);
  }
  // A subscriber takes its item, or finds out that there is none, when its fiber runs.
  void resumes(request& r) override {
    if (r.kind == send) return;
    model_worker& f = *r.who;
    f.end = take(readers[f.id]);
    if (f.end.how == ending::success || f.kills == 0) return;
    f.end = {ending::killed, 0};
    --f.kills;
  }
  void compare() override {
    std::size_t count = 0;
    for (const reader& each : readers) count += each.of == now ? 1U : 0U;
    expect_equal(real->subscribers(), count, "subscribers");
    expect_equal(real->sent(), now->sent, "sent");
    expect_equal(real->size(), now->items.size(), "size");
    expect_equal(real->backlog(), backlog(), "backlog");
    expect_equal(real->backlog_peak(), now->peak, "backlog_peak");
    expect(real->is_closed() == now->is_closed, "is_closed");
    for (std::size_t i = 0; i < std::min(readers.size(), watch_model::compared_max); ++i) {
      const reader& each = readers[i];
      if (!each.real) continue;
      expect_equal(each.real->missed(), each.missed + each.overwritten(), "missed");
      expect_equal(each.real->available(), each.available(), "available");
      expect(each.real->is_lagged() == each.is_lagged(), "is_lagged");
    }
  }

  std::size_t backlog() const {
    std::uint64_t slowest = now->sent;
    if (now->policy != lag_policy::wait) return 0;
    for (const reader& each : readers) {
      if (each.of == now) slowest = std::min(slowest, each.next);
    }
    return static_cast<std::size_t>(now->sent - slowest);
  }
  bool put(std::size_t number) {
    if (backlog() >= now->room) return false;
    ++now->sent;
    now->items.push_back(number);
    if (now->items.size() > now->room) now->items.pop_front();
    now->peak = std::max(now->peak, backlog());
    serve_all(receive);
    return true;
  }
  answer take(reader& by) {
    state& on = *by.of;
    if (by.is_lagged()) return {ending::lagged, 0};
    const std::uint64_t lost = by.overwritten();
    by.missed += lost;
    by.next += lost;
    if (by.next == on.sent) return {ending::closed, 0};
    const std::size_t number = on.items[static_cast<std::size_t>(by.next - on.oldest())];
    ++by.next;
    admit();
    return {ending::success, number};
  }
  void admit() {
    for (request* next = first(send); next != nullptr && backlog() < now->room;
         next = first(send)) {
      world.end_together([this, next] {
        serve(*next);
        put(next->count);
      });
    }
  }
  void close() {
    now->is_closed = true;
    serve_all(send, {ending::closed, 0});
    serve_all(receive);
  }

  std::optional<broadcast<copied_item>> real;
  std::shared_ptr<state> now;
  std::vector<reader> readers;
  std::size_t numbers = 0;
};

}  // namespace ringlet::test
