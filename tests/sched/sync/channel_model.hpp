// Model of channel, its ends and its permits; see primitives_model.hpp.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/channel.hpp>

#include <algorithm>
#include <deque>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "numbered_item.hpp"
#include "primitives_model.hpp"

namespace ringlet::test {

// The ends belong to no fiber. The last one of a side stays while a fiber is in a call through it.
struct channel_model : primitive {
  enum kinds { send, reserve, receive };
  using permit = channel_sender<numbered_item>::permit;

  explicit channel_model(primitives_world& in) : primitive(in, "channel"), held(in.workers.size()) {
    remake();
  }
  void remake() {
    room = world.random.below(4);
    auto [to, from] = channel<numbered_item>(room);
    senders.push_back(std::move(to));
    receivers.push_back(std::move(from));
    items.clear();
    reserved = peak = 0;
    is_closed = false;
  }

  void poke(model_worker& f) override {
    const std::size_t what = world.random.below(40);
    if (what < (is_closed ? 16 : 3)) {
      drop_end(f);
    } else if (what < 5) {
      if (!senders.empty() && senders.size() < 3) senders.push_back(senders.front());
      if (!receivers.empty() && receivers.size() < 3) receivers.push_back(receivers.front());
    } else if (what < 15) {
      send_now(f);
    } else if (what < 20) {
      reserve_now(f);
    } else if (what < 30 && !held[f.id].empty()) {
      use(f, held[f.id].back());
    } else if (!receivers.empty()) {
      world.note(f, "try_receive", this);
      const auto got = receivers.back().try_receive();
      expect((got ? got->number : 0) == take(), "try_receive");
    }
  }
  void drop_end(model_worker& f) {
    const bool is_sender = world.random.once_in(2);
    if (senders.empty() && receivers.empty() && permits + sending + receiving == 0) {
      ++reached.recreated;
      remake();
    } else if (is_sender && senders.size() > (sending != 0 ? 1 : 0)) {
      world.note(f, "drops a sender", this);
      senders.pop_back();
      sender_gone();
    } else if (!is_sender && receivers.size() > (receiving != 0 ? 1 : 0)) {
      world.note(f, "drops a receiver", this);
      receivers.pop_back();
      if (!receivers.empty()) return;
      close();
      items.clear();
    }
  }
  void send_now(model_worker& f) {
    if (senders.empty()) return;
    numbered_item item(++numbers);
    world.note(f, "try_send", this, item.number);
    const bool may = !is_closed && put(item.number);
    expect(senders.back().try_send(std::move(item)) == may, "try_send");
    expect((item.number == 0) == may, "try_send takes its item if it returns true");
  }
  void reserve_now(model_worker& f) {
    if (senders.empty() || room == 0) return;
    world.note(f, "try_reserve", this);
    auto got = senders.back().try_reserve();
    const bool may = !is_closed && take_place();
    expect(got.has_value() == may, "try_reserve");
    if (!got || !may) return;
    ++permits;
    held[f.id].push_back(*std::move(got));
  }
  void use(model_worker& f, permit& mine) {
    if (world.random.once_in(3)) {
      world.note(f, "permit::give_back", this);
      mine.give_back();
      place_is_free();
    } else {
      numbered_item item(++numbers);
      world.note(f, "permit::send", this, item.number);
      bool is_refused = false;
      try {
        mine.send(std::move(item));
      } catch (const std::system_error&) {
        is_refused = true;
      }
      expect(is_refused == is_closed, "permit::send fails if the receivers have gone");
      expect(static_cast<bool>(mine) == is_closed, "permit::send uses the place up");
      expect((item.number == 0) != is_closed, "permit::send takes its item if it succeeds");
      if (is_closed) return;
      give(numbers);
      place_is_free();
    }
    held[f.id].pop_back();
    --permits;
    sender_gone();
  }
  void drop(model_worker& f) override {
    while (!held[f.id].empty()) {
      held[f.id].pop_back();
      place_is_free();
      --permits;
      sender_gone();
    }
  }

  task<> wait(model_worker& f) override {
    const std::size_t what = world.random.below(8);
    if (what < 3 && !senders.empty()) return send_one(f);
    if (what < 5 && !senders.empty() && room != 0) return reserve_one(f);
    if (!receivers.empty()) return receive_one(f);
    return nothing();
  }
  static task<> nothing() { co_return; }
  task<> send_one(model_worker& f) {
    numbered_item item(++numbers);
    const request r{this, "send", item.number, send, true};
    const auto make = [this, &item](time_limit limit) {
      return senders.back().send(std::move(item), limit);
    };
    bool was_sent = false;
    const auto took = [&was_sent](auto) {
      was_sent = true;
      return answer();
    };
    ++sending;
    co_await world.wait(f, r, make, took);
    --sending;
    expect((item.number == 0) == was_sent, "a send takes its item if it succeeds");
  }
  task<> reserve_one(model_worker& f) {
    const request r{this, "reserve", 0, reserve, true};
    const auto make = [this](time_limit limit) { return senders.back().reserve(limit); };
    const auto took = [this, &f](permit got) {
      ++permits;
      held[f.id].push_back(std::move(got));
      return answer();
    };
    ++sending;
    co_await world.wait(f, r, make, took);
    --sending;
  }
  task<> receive_one(model_worker& f) {
    const request r{this, "receive", 0, receive, true};
    const auto make = [this](time_limit limit) { return receivers.back().receive(limit); };
    const auto took = [](std::optional<numbered_item> got) {
      return got ? answer{ending::success, got->number} : answer{ending::closed, 0};
    };
    ++receiving;
    co_await world.wait(f, r, make, took);
    --receiving;
  }

  bool try_now(request& r, answer& a) override {
    if (r.kind == receive) {
      a.got = take();
      if (a.got == 0 && is_closed) a.how = ending::closed;
      return a.got != 0 || is_closed;
    }
    if (is_closed) a.how = ending::closed;
    if (is_closed) return true;
    return r.kind == send ? put(r.count) : take_place();
  }
  void left(request& r) override {
    if (r.kind != receive) admit();
  }
  void compare() override {
    for (const auto& each : senders) compare(each);
    for (const auto& each : receivers) compare(each);
    if (!senders.empty()) expect(senders[0].is_closed() == is_closed, "is_closed");
    if (receivers.empty()) return;
    expect(receivers[0].is_at_end() == (is_closed && items.empty()), "is_at_end");
  }
  template <class End>
  void compare(const End& end) {
    expect_equal(end.size(), items.size(), "size");
    expect_equal(end.capacity(), room, "capacity");
    expect_equal(end.peak(), peak, "peak");
    expect_equal(end.waiting_to_send(), waiting(send) + waiting(reserve), "waiting_to_send");
    expect_equal(end.waiting_to_receive(), waiting(receive), "waiting_to_receive");
  }

  // Those that send and those that reserve stand in one line.
  request* first_to_send() const {
    for (request* each : line) {
      if (each->kind != receive) return each;
    }
    return nullptr;
  }
  bool has_place() const { return items.size() + reserved < room; }
  // An item that has a place, or that a fiber waits for.
  void give(std::size_t number) {
    if (request* const next = first(receive)) return serve(*next, {ending::success, number});
    items.push_back(number);
    peak = std::max(peak, items.size());
  }
  bool put(std::size_t number) {
    const bool may = room == 0 ? first(receive) != nullptr : !first_to_send() && has_place();
    if (may) give(number);
    return may;
  }
  bool take_place() {
    const bool may = !first_to_send() && has_place();
    if (may) ++reserved;
    return may;
  }
  void place_is_free() {
    --reserved;
    admit();
  }
  std::size_t take() {
    std::size_t got = 0;
    request* const next = first_to_send();
    if (!items.empty()) {
      got = items.front();
      items.pop_front();
      admit();
    } else if (room == 0 && next != nullptr) {
      got = next->count;
      serve(*next);
    }
    return got;
  }
  void admit() {
    for (request* next = first_to_send(); !is_closed && next != nullptr && has_place();
         next = first_to_send()) {
      if (next->kind == reserve) {
        ++reserved;
        serve(*next);
      } else {
        world.end_together([this, next] {
          give(next->count);
          serve(*next);
        });
      }
    }
  }
  void sender_gone() {
    if (senders.size() + permits == 0) close();
  }
  void close() {
    is_closed = true;
    while (request* const next = first_to_send()) serve(*next, {ending::closed, 0});
    serve_all(receive, {ending::closed, 0});
  }

  std::vector<channel_sender<numbered_item>> senders;
  std::vector<channel_receiver<numbered_item>> receivers;
  std::vector<std::vector<permit>> held;
  std::deque<std::size_t> items;
  std::size_t room = 0, reserved = 0, peak = 0, numbers = 0;
  std::size_t permits = 0;                 // they count as senders
  std::size_t sending = 0, receiving = 0;  // calls of fibers
  bool is_closed = false;
};

}  // namespace ringlet::test
