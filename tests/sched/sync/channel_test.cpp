// channel: when it ends, whose turn it is, and what a reserved place is worth.
//
// Method: the scripted engine's clock moves only when everything sleeps.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/channel.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/semaphore.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sched/queues.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/random.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

static_assert(selectable<channel_send_wait<int>>);
static_assert(selectable<channel_receive_wait<int>>);
static_assert(selectable<channel_reserve_wait<int>>);

namespace {

task<> note_send(channel_sender<int> to, std::string& log, int item) {
  co_await to.send(int(item));
  log += "+" + std::to_string(item) + " ";
}

task<> note_receive(channel_receiver<int> from, std::string& log) {
  const std::optional<int> item = co_await from.receive();
  log += item ? "-" + std::to_string(*item) + " " : "end ";
}

task<> note_all(channel_receiver<int> from, std::string& log) {
  auto all = from.items();
  while (const auto item = co_await all.next()) log += std::to_string(*item) + " ";
  log += "end ";
}

// Each of these returns which of its two waits was first.
task<std::size_t> receive_or_acquire(channel_receiver<int> from, semaphore& permits) {
  const auto first = co_await select(from.receive(), permits.acquire(2));
  co_return first.index();
}
task<std::size_t> send_or_acquire(channel_sender<int> to, semaphore& permits) {
  int item = 2;
  const auto first = co_await select(to.send(std::move(item)), permits.acquire(1));
  co_return first.index();
}
task<std::size_t> send_or_receive(channel_sender<int> to, channel_receiver<int> from) {
  int item = 1;
  const auto first = co_await select(to.send(std::move(item)), from.receive());
  co_return first.index();
}

// Reserves a place, notes "r", and sends the item after 1 ms.
task<> reserve_and_send(channel_sender<int> to, std::string& log, int item) {
  auto place = co_await to.reserve();
  log += "r ";
  co_await sleep(1ms);
  place.send(int(item));
}

}  // namespace

TEST_SUITE_BEGIN("channel");

// Order and room

// row: QU-07
TEST_CASE("items come out of a channel in the order in which they were sent") {
  run_scripted([](scripted_engine&) -> task<> {
    auto [out, in] = channel<std::string>(3);
    CHECK(out.capacity() == 3);
    co_await out.send("a");
    const std::string b = "b";
    co_await out.send(b);
    CHECK(out.try_send("c"));
    CHECK_FALSE(out.try_send("d"));
    CHECK(in.size() == 3);
    std::string log;
    for (int i = 0; i < 2; ++i) log += *co_await in.receive();
    log += *in.try_receive();
    CHECK(log == "abc");
    CHECK_FALSE(in.try_receive());
    CHECK(in.peak() == 3);
    const result<std::optional<std::string>> late = co_await as_result(in.receive(1ms));
    CHECK(late.error() == errc::timed_out);
  });
}

// rows: QU-07 W21
TEST_CASE("with room for 0 items a send waits until its item is received") {
  run_scripted([](scripted_engine&) -> task<> {
    auto [out, in] = channel<int>(0);
    std::string log;
    CHECK_FALSE(out.try_send(9));
    const fiber<> a = spawn(note_send(out, log, 1)), b = spawn(note_send(out, log, 2));
    co_await yield();
    CHECK(log.empty());
    CHECK(out.waiting_to_send() == 2);
    CHECK(*in.try_receive() == 1);
    co_await a.join();
    CHECK(log == "+1 ");
    CHECK(*(co_await in.receive()) == 2);
    co_await b.join();
    const fiber<> c = spawn(note_receive(in, log));
    co_await yield();
    CHECK(out.try_send(3));
    co_await c.join();
    CHECK(log == "+1 +2 -3 ");
    CHECK(in.size() == 0);
    CHECK(in.peak() == 0);
  });
}

// row: QU-07
TEST_CASE("both sides of a channel are served in the order in which they came") {
  run_scripted([](scripted_engine&) -> task<> {
    auto [out, in] = channel<int>(1);
    std::string log;
    std::vector<fiber<>> all;
    for (int i = 0; i < 3; ++i) all.push_back(spawn(note_receive(in, log)));
    co_await yield();
    for (int i = 0; i < 5; ++i) all.push_back(spawn(note_send(out, log, i)));
    co_await yield();
    CHECK(log == "+0 +1 +2 +3 ");
    co_await yield();
    CHECK(log == "+0 +1 +2 +3 -0 -1 -2 ");
    CHECK(*in.try_receive() == 3);
    CHECK(*in.try_receive() == 4);
    co_await join_each(all);
  });
}

// Ends

// row: QU-07
TEST_CASE("when the last sender has gone receivers get what is left and then the end") {
  run_scripted([](scripted_engine&) -> task<> {
    auto [out, in] = channel<int>(8);
    std::string log;
    auto second = out;
    CHECK(out.try_send(1));
    out.close();
    out.close();
    CHECK_FALSE(out);
    CHECK(second.try_send(2));
    CHECK_FALSE(in.is_at_end());
    {
      const auto third = std::move(second);
      CHECK_FALSE(second);
    }
    CHECK_FALSE(in.is_at_end());
    co_await note_all(in, log);
    CHECK(log == "1 2 end ");
    CHECK(in.is_at_end());
    CHECK_FALSE(in.try_receive());
    const std::optional<int> none = co_await in.receive();
    CHECK_FALSE(none);
  });
}

// row: QU-07
TEST_CASE("when the last sender goes waiting receivers wake with the end") {
  run_scripted([](scripted_engine&) -> task<> {
    auto [out, in] = channel<int>(1);
    std::string log;
    std::vector<fiber<>> all;
    for (int i = 0; i < 3; ++i) all.push_back(spawn(note_receive(in, log)));
    co_await yield();
    CHECK(out.try_send(1));
    out.close();
    co_await join_each(all);
    CHECK(log == "-1 end end ");
  });
}

// row: QU-07
TEST_CASE("when the last receiver goes sends fail and what is left is destroyed") {
  run_scripted([](scripted_engine&) -> task<> {
    life_count lives;
    auto [out, in] = channel<counted_item>(1);
    CHECK(out.try_send(counted_item(lives, 1)));
    const fiber<std::string> waiting = spawn([](auto to, life_count& all) -> task<std::string> {
      counted_item mine(all, 2);
      const result<void> sent = co_await as_result(to.send(std::move(mine)));
      co_return std::to_string(mine.value()) + (sent.error() == errc::closed ? " closed" : "");
    }(out, lives));
    co_await yield();
    auto second = in;
    in.close();
    CHECK_FALSE(out.is_closed());
    CHECK(lives.alive() == 2);
    second.close();
    CHECK(out.is_closed());
    CHECK(lives.alive() == 1);
    const std::string words = co_await waiting.get();
    CHECK(words == "2 closed");
    CHECK(lives.alive() == 0);
    counted_item more(lives, 3);
    CHECK_FALSE(out.try_send(std::move(more)));
    CHECK(more.value() == 3);
    CHECK_FALSE(out.try_reserve());
    const auto refused = co_await as_result(out.reserve());
    CHECK(refused.error() == errc::closed);
  });
}

TEST_CASE("an item may own the last sender of the channel that it is in") {
  run_scripted([](scripted_engine&) -> task<> {
    struct letter {
      std::shared_ptr<channel_sender<letter>> answer;
    };
    auto [out, in] = channel<letter>(4);
    letter first{std::make_shared<channel_sender<letter>>(out)};
    CHECK(out.try_send(std::move(first)));
    out.close();
    in.close();  // destroys the item, which destroys the last sender
    co_return;
  });
}

// Places

// row: QU-07
TEST_CASE("a reserved place is kept for its permit, which sends without waiting") {
  run_scripted([](scripted_engine&) -> task<> {
    auto [out, in] = channel<int>(2);
    auto place = co_await out.reserve();
    CHECK(out.capacity() == 2);
    CHECK(in.size() == 0);
    CHECK_FALSE(in.try_receive());
    CHECK(out.try_send(1));
    CHECK_FALSE(out.try_send(2));
    CHECK_FALSE(out.try_reserve());
    place.send(3);
    CHECK_FALSE(place);
    CHECK(in.size() == 2);
    CHECK(*in.try_receive() == 1);
    CHECK(*in.try_receive() == 3);
    CHECK(in.peak() == 2);
    {
      const auto a = out.try_reserve(), b = out.try_reserve();
      CHECK(a);
      CHECK(b);
      CHECK_FALSE(out.try_reserve());
    }
    CHECK(out.try_send(4));
    CHECK(out.try_send(5));
    CHECK_FALSE(out.try_send(6));
  });
}

TEST_CASE("an item that is sent into a reserved place comes before those of fibers that wait") {
  run_scripted([](scripted_engine&) -> task<> {
    auto [out, in] = channel<int>(1);
    auto place = co_await out.reserve();
    std::string log;
    const fiber<> waiting = spawn(note_send(out, log, 2));
    co_await yield();
    place.send(1);
    CHECK(in.size() == 1);
    CHECK(out.waiting_to_send() == 1);
    CHECK(*in.try_receive() == 1);
    CHECK(*in.try_receive() == 2);
    co_await waiting.join();
  });
}

TEST_CASE("a permit that is assigned to gives its own place back at once") {
  auto [out, in] = channel<int>(2);
  auto one = out.try_reserve(), other = out.try_reserve();
  *one = std::move(*other);
  CHECK(*one);
  CHECK_FALSE(*other);
  CHECK(out.try_reserve());
  one->send(1);
  CHECK(*in.try_receive() == 1);
}

TEST_CASE("a permit whose item cannot be stored keeps its place") {
  if (!allocations_are_counted()) return;
  auto [out, in] = channel<int>(1);
  auto place = out.try_reserve();
  bool thrown = false;
  {
    const empty_frame_pool nothing_free(512);
    try {
      const out_of_memory now;
      place->send(1);
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
  }
  CHECK(thrown);
  CHECK(*place);
  CHECK(in.size() == 0);
  CHECK_FALSE(out.try_reserve());
  place->send(2);
  CHECK(*in.try_receive() == 2);
}

// row: QU-07
TEST_CASE("a place that is given back goes to the fiber that has waited longest") {
  run_scripted([](scripted_engine&) -> task<> {
    auto [out, in] = channel<int>(1);
    std::string log;
    std::optional place(co_await out.reserve());
    const fiber<> a = spawn(note_send(out, log, 1));
    const fiber<> b = spawn(reserve_and_send(out, log, 2));
    const fiber<> c = spawn(note_send(out, log, 3));
    const fiber<> reader = spawn(note_all(in, log));
    co_await yield();
    CHECK(log.empty());
    CHECK(out.waiting_to_send() == 3);
    CHECK(in.waiting_to_receive() == 1);
    CHECK_FALSE(out.try_send(9));
    SUBCASE("dropped") { place.reset(); }
    SUBCASE("given back") { place->give_back(); }
    SUBCASE("used") { place->send(0); }
    place.reset();
    out.close();
    co_await reader.join();
    CHECK(log.find("+1") < log.find("r"));
    CHECK(log.find("r") < log.find("+3"));
    CHECK(log.find("end") != std::string::npos);
    for (const fiber<>* each : {&a, &b, &c}) co_await each->join();
  });
}

// rows: QU-07 W22
TEST_CASE("a fiber that gives up waiting for a place lets those behind it go ahead") {
  run_scripted([](scripted_engine&) -> task<> {
    auto [out, in] = channel<int>(1);
    std::string log;
    std::optional place(co_await out.reserve());
    const fiber<> first = spawn(reserve_and_send(out, log, 1));
    const fiber<> second = spawn(note_send(out, log, 2));
    co_await yield();
    SUBCASE("killed while it waits") {
      first.request_kill();
      place.reset();
    }
    SUBCASE("killed when it has the place, before it runs") {
      place.reset();
      first.request_kill();
    }
    co_await first.join();
    co_await second.join();
    CHECK(log.find("+2") != std::string::npos);
    CHECK(*in.try_receive() == 2);
    CHECK_FALSE(in.try_receive());
    CHECK((co_await select(out.reserve(), sleep(1ms))).index() == 0);
    CHECK(out.try_send(4));
    CHECK((co_await select(out.reserve(), sleep(1ms))).index() == 1);
    CHECK(out.waiting_to_send() == 0);
  });
}

// The end of the reader's select() gives a permit to a fiber that also waits to send, which then
// leaves the line of senders.
TEST_CASE("a sender is admitted once if its item ends a select() that makes way for others") {
  run_scripted([](scripted_engine&) -> task<> {
    auto [out, in] = channel<int>(1);
    semaphore permits(1);
    std::string log;
    std::optional place(co_await out.reserve());
    const fiber<> sender = spawn(note_send(out, log, 1));
    const fiber<std::size_t> reader = spawn(receive_or_acquire(in, permits));
    const fiber<std::size_t> other = spawn(send_or_acquire(out, permits));
    co_await yield();
    CHECK(permits.waiting() == 2);
    place.reset();
    CHECK(out.waiting_to_send() == 0);
    const std::size_t read = co_await reader.get();
    const std::size_t sent = co_await other.get();
    co_await sender.join();
    CHECK(read == 0);
    CHECK(sent == 1);
    CHECK(log == "+1 ");
    CHECK(out.size() == 0);
    CHECK(out.try_send(3));
  });
}

TEST_CASE("a select() that sends and receives at one channel does not take its own item") {
  run_scripted([](scripted_engine&) -> task<> {
    auto [out, in] = channel<int>(1);
    std::string log;
    std::optional place(co_await out.reserve());
    const fiber<std::size_t> both = spawn(send_or_receive(out, in));
    co_await yield();
    SUBCASE("no other fiber receives") {
      place.reset();
      CHECK(*in.try_receive() == 1);
    }
    SUBCASE("another fiber receives") {
      const fiber<> reader = spawn(note_receive(in, log));
      co_await yield();
      place.reset();
      co_await reader.join();
      CHECK(log == "-1 ");
    }
    const std::size_t which = co_await both.get();
    CHECK(which == 0);
    CHECK(in.waiting_to_receive() == 0);
    CHECK(out.try_send(2));
  });
}

// row: QU-07
TEST_CASE("a permit keeps the channel open and is refused when the receivers have gone") {
  run_scripted([](scripted_engine&) -> task<> {
    auto [out, in] = channel<int>(1);
    std::optional place(co_await out.reserve());
    out.close();
    SUBCASE("sent") {
      CHECK_FALSE(in.is_at_end());
      place->send(7);
      CHECK(*in.try_receive() == 7);
      CHECK(in.is_at_end());
    }
    SUBCASE("dropped") {
      place.reset();
      CHECK(in.is_at_end());
    }
    SUBCASE("refused") {
      in.close();
      bool refused = false;
      try {
        place->send(7);
      } catch (const std::system_error& error) {
        refused = error.code() == errc::closed;
      }
      CHECK(refused);
      CHECK(*place);
    }
  });
}

namespace {

// Places, items and ends of a channel in any order, beside counts.
void compare_with_model(std::uint64_t seed, std::size_t capacity) {
  random_numbers random(seed);
  auto [out, in] = channel<int>(capacity);
  std::vector<channel_permit<int>> places;
  std::vector<int> model;
  int number = 0;
  bool right = true;
  const auto is_full = [&] { return model.size() + places.size() == capacity; };
  for (int step = 0; step < 4000; ++step) {
    switch (random.below(6)) {
      case 0: {
        const bool full = is_full();
        right = right && out.try_send(++number) == !full;
        if (!full) model.push_back(number);
        break;
      }
      case 1: {
        const bool full = is_full();
        auto place = out.try_reserve();
        right = right && place.has_value() == !full;
        if (place) places.push_back(std::move(*place));
        break;
      }
      case 2:
        if (places.empty()) break;
        places.back().send(++number);
        places.pop_back();
        model.push_back(number);
        break;
      case 3:
        if (places.empty()) break;
        places.pop_back();
        break;
      default: {
        const std::optional<int> item = in.try_receive();
        right = right && item.has_value() == !model.empty();
        if (!item || model.empty()) break;
        right = right && *item == model.front();
        model.erase(model.begin());
      }
    }
    right = right && in.size() == model.size() && in.capacity() == capacity;
  }
  CAPTURE(seed);
  CHECK(right);
  if (random.once_in(2)) {
    in.close();
    CHECK_FALSE(out.try_send(1));
    CHECK_FALSE(out.try_reserve());
  } else {
    out.close();
    CHECK(in.is_at_end() == (places.empty() && model.empty()));
  }
}

}  // namespace

// row: QU-07
TEST_CASE("reserving, sending, giving back and closing in any order agree with a model") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) compare_with_model(seed, 1 + seed % 5);
}

// rows: QU-07 W22
TEST_CASE("in a storm of kills and limits every item that was sent is received once") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    run_scripted([&](scripted_engine&) -> task<> {
      random_numbers random(seed);
      auto [out, in] = channel<std::unique_ptr<int>>(seed % 3);
      int sent = 0, received = 0;
      const auto send = [&](auto to, bool reserves) -> task<> {
        for (int i = 0; i < 5; ++i) {
          auto mine = std::make_unique<int>(i);
          try {
            const time_limit timeout = std::chrono::microseconds(random.below(400));
            if (reserves) {
              auto place = co_await to.reserve(timeout);
              if (random.once_in(2)) co_await sleep(std::chrono::microseconds(random.below(50)));
              if (random.once_in(4)) continue;
              place.send(std::move(mine));
            } else {
              co_await to.send(std::move(mine), timeout);
            }
          } catch (const timed_out&) {
          } catch (const cancelled&) {
          }
          sent += mine == nullptr;
        }
      };
      const auto receive = [&](auto from) -> task<> {
        for (int i = 0; i < 5; ++i) {
          try {
            const auto item = co_await from.receive(std::chrono::microseconds(random.below(400)));
            received += item.has_value();
          } catch (const timed_out&) {
          } catch (const cancelled&) {
          }
        }
      };
      std::vector<fiber<>> all;
      for (int i = 0; i < 200; ++i) {
        const bool reserves = random.once_in(3) && out.capacity() != 0;
        all.push_back(random.once_in(2) ? spawn(send(out, reserves)) : spawn(receive(in)));
        if (random.once_in(4)) co_await sleep(std::chrono::microseconds(random.below(200)));
        if (random.once_in(2)) all[random.below(all.size())].request_kill();
      }
      out.close();
      while (const auto item = co_await in.receive()) ++received;
      co_await join_each(all);
      CHECK(received == sent);
      CHECK(sent > 50);
      CHECK(in.is_at_end());
    });
  }
}

// Memory

TEST_CASE("waiting, waking, killing and ending at a channel do not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    const auto round = []() -> task<std::size_t> {
      auto [out, in] = channel<int>(1);
      channel_sender<int> other = out;
      std::string log(64, ' ');
      log.clear();
      out.try_send(1);
      const fiber<> killed = spawn(note_send(out, log, 2)), late = spawn(note_send(out, log, 3)),
                    reserver = spawn(reserve_and_send(out, log, 4));
      const std::size_t before = allocations();
      co_await yield();
      {
        const out_of_memory none;
        killed.request_kill();
        (void)in.try_receive();
        (void)in.try_receive();
        other.close();
      }
      co_await sleep(2ms);
      co_await reserver.join();
      {
        const out_of_memory none;
        in.close();  // an item is left
      }
      const std::size_t made = allocations() - before;
      CHECK(log == "+3 r ");
      co_return made;
    };
    co_await round();  // fills the pools
    const std::size_t made = co_await round();
    CHECK(made == 0);
  });
}

TEST_CASE("a send without memory throws and leaves its item, and a permit keeps its place") {
  if (!allocations_are_counted()) return;
  run_scripted([](scripted_engine&) -> task<> {
    auto [out, in] = channel<std::unique_ptr<int>>(2);
    auto mine = std::make_unique<int>(7);
    auto place = out.try_reserve();
    int thrown = 0;
    {
      const empty_frame_pool nothing_free(512);  // the size of a channel's block
      for (int i = 0; i < 3; ++i) {
        try {
          const out_of_memory now;
          if (i == 0) out.try_send(std::move(mine));
          if (i == 1) co_await out.send(std::move(mine));
          if (i == 2) place->send(std::move(mine));
        } catch (const std::bad_alloc&) {
          ++thrown;
        }
      }
    }
    CHECK(thrown == 3);
    CHECK(mine != nullptr);
    CHECK(*place);
    CHECK(in.size() == 0);
    place->send(std::move(mine));
    const auto item = in.try_receive();
    CHECK(**item == 7);
  });
}

TEST_CASE("channel() without memory throws") {
  if (!allocations_are_counted()) return;
  bool thrown = false;
  try {
    const out_of_memory now;
    (void)channel<int>(1);
  } catch (const std::bad_alloc&) {
    thrown = true;
  }
  CHECK(thrown);
}

// What others see of it

TEST_CASE("a channel that is used on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child can start no threads
  using ends = channel_ends<int>;
  using misuse = void (*)(ends&, channel_sender<int>::permit&);
  const misuse misuses[] = {
      [](ends& of, auto&) { of.sender.try_send(1); },
      [](ends& of, auto&) { (void)of.receiver.try_receive(); },
      [](ends& of, auto&) { (void)of.sender.try_reserve(); },
      [](ends& of, auto&) { const channel_sender<int> copy = of.sender; },
      [](ends& of, auto&) { of.receiver.close(); },
      [](ends&, auto& place) { place.send(1); },
      [](ends&, auto& place) { place.give_back(); },
  };
  for (const misuse& use : misuses) {
    CHECK(aborts_with("a queue was used on a thread that is not its scheduler's", [&] {
      run_scripted([&](scripted_engine&) -> task<> {
        ends of = channel<int>(2);
        auto place = of.sender.try_reserve();
        std::thread([&] { use(of, *place); }).join();
        co_return;
      });
    }));
  }
}

TEST_CASE("dump shows what a fiber does at a channel and how full that is") {
  run_scripted([](scripted_engine&) -> task<> {
    auto [out, in] = channel<int>(2);
    std::string log;
    CHECK(out.try_send(1));
    auto place = co_await out.reserve();
    const fiber<> sender = spawn(note_send(out, log, 2));
    const fiber<> reserver = spawn(reserve_and_send(out, log, 3));
    co_await yield();
    const std::string text = dump();
    CHECK(text.find("send channel 0x") != text.npos);
    CHECK(text.find("reserve channel 0x") != text.npos);
    CHECK(text.find("with 1 of 2 items (peak 1, 1 reserved, 2 waiting to push, 0 to pop)") !=
          text.npos);
    sender.request_kill();
    reserver.request_kill();
    co_await sender.join();
    co_await reserver.join();
  });
}

TEST_CASE("ends that go while a fiber waits, and places that cannot be, abort") {
  CHECK(aborts_with("the last receiver of a channel was destroyed while a fiber waited", [] {
    run_scripted([](scripted_engine&) -> task<> {
      auto [out, in] = channel<int>(1);
      const fiber<> waiter = spawn([](auto& from) -> task<> { co_await from.receive(); }(in));
      co_await yield();
      in.close();
    });
  }));
  CHECK(aborts_with("the last sender of a channel was destroyed while a fiber sent", [] {
    run_scripted([](scripted_engine&) -> task<> {
      auto [out, in] = channel<int>(0);
      const fiber<> waiter = spawn([](auto& to) -> task<> { co_await to.send(1); }(out));
      co_await yield();
      out.close();
    });
  }));
  CHECK(aborts_with("reserve() of a channel with room for 0 items", [] {
    auto [out, in] = channel<int>(0);
    (void)out.try_reserve();
  }));
  CHECK(aborts_with("an end of a channel was used that was closed", [] {
    auto [out, in] = channel<int>(0);
    out.close();
    out.try_send(1);
  }));
  CHECK(aborts_with("a permit of a channel was used twice", [] {
    auto [out, in] = channel<int>(2);
    auto place = out.try_reserve();
    place->send(1);
    place->send(2);
  }));
}

TEST_CASE("a channel that is used on another thread aborts, copying and closing its ends, too") {
  if (sanitized) return;  // under ThreadSanitizer a forked child can start no threads
  const auto misuse = [](auto what) {
    run_scripted([what](scripted_engine&) -> task<> {
      auto ends = channel<int>(2);
      auto place = ends.sender.try_reserve();
      std::thread([&] { what(ends, *place); }).join();
      co_return;
    });
  };
  const auto refuses = [&](auto what) {
    CHECK(aborts_with("was used on a thread that is not its scheduler's", [&] { misuse(what); }));
  };
  refuses([](auto& ends, auto&) { (void)ends.sender.try_send(1); });
  refuses([](auto& ends, auto&) { (void)ends.sender.try_reserve(); });
  refuses([](auto& ends, auto&) { (void)ends.receiver.try_receive(); });
  refuses([](auto& ends, auto&) { ends.sender.close(); });
  refuses([](auto& ends, auto&) { ends.receiver.close(); });
  refuses([](auto&, auto& place) { place.send(1); });
  refuses([](auto&, auto& place) { place.give_back(); });
  // The copies are never destroyed, which would abort, too.
  refuses([](auto& ends, auto&) {
    (void)std::make_unique<channel_sender<int>>(ends.sender).release();
  });
  refuses([](auto& ends, auto&) {
    (void)std::make_unique<channel_receiver<int>>(ends.receiver).release();
  });
}

TEST_SUITE_END();
