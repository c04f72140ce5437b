// broadcast: who receives which items, what slow subscribers do to senders, and how it ends.
//
// Method: the scripted engine's clock moves only when everything sleeps, or when a test moves it.
// In fibers that are killed no co_await stands inside of a CHECK.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/broadcast.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/event.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/semaphore.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "support/aborts.hpp"
#include "support/allocations.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

using numbers = broadcast<int>;

// All that can be received without waiting.
std::string rest_of(numbers::subscriber& by) {
  std::string all;
  while (const std::optional<int> item = by.try_receive()) all += std::to_string(*item) + " ";
  return all;
}

// Notes each item, and how its loop ended.
task<> follow(numbers::subscriber items, std::string& log) {
  while (const std::optional<int> item = co_await items.next()) log += std::to_string(*item) + " ";
  log += "end ";
}

task<int> receive_one(numbers::subscriber& by, time_limit timeout = forever) {
  co_return co_await by.receive(timeout);
}

task<> send_one(numbers& to, int item, time_limit timeout = forever) {
  co_await to.send(std::move(item), timeout);
}

// Each of these returns which of its two waits was first.
task<std::size_t> receive_or_acquire(numbers::subscriber& by, semaphore& permits) {
  const auto first = co_await select(by.receive(), permits.acquire(2));
  co_return first.index();
}
task<std::size_t> send_or_acquire(numbers& to, semaphore& permits) {
  int item = 2;
  const auto first = co_await select(to.send(std::move(item)), permits.acquire(1));
  co_return first.index();
}
task<std::size_t> send_or_receive(numbers& to, numbers::subscriber& by) {
  int item = 2;
  const auto first = co_await select(to.send(std::move(item)), by.receive());
  co_return first.index();
}

// Notes "+7 " when the 7 was sent; then waits again, where a pending kill is thrown.
task<> note_send(numbers& to, std::string& log, int item, time_limit timeout = forever) {
  int moved = item;
  co_await to.send(std::move(moved), timeout);
  log += "+" + std::to_string(item) + " ";
  co_await yield();
}

// Notes "-7 " when it has received the 7; then waits again.
task<> note_receive(numbers::subscriber& by, std::string& log, time_limit timeout = forever) {
  const int item = co_await by.receive(timeout);
  log += "-" + std::to_string(item) + " ";
  co_await yield();
  log += "on ";
}

void send_all(numbers& to, int first, int last) {
  for (int item = first; item <= last; ++item) CHECK(to.try_send(item));
}

}  // namespace

TEST_SUITE_BEGIN("broadcast");

TEST_CASE("each subscriber receives each item, in order, and then the end") {
  run_scripted([](scripted_engine&) -> task<> {
    for (const lag_policy policy :
         {lag_policy::drop_oldest, lag_policy::wait, lag_policy::disconnect}) {
      numbers items(2, policy);
      std::string a, b;
      const fiber<> one = spawn(follow(items.subscribe(), a));
      const fiber<> two = spawn(follow(items.subscribe(), b));
      co_await yield();
      CHECK(items.subscribers() == 2);
      for (int item = 1; item <= 5; ++item) {
        co_await items.send(item);
        co_await yield();
      }
      items.close();
      co_await one.join();
      co_await two.join();
      CHECK(a == "1 2 3 4 5 end ");
      CHECK(b == a);
      CHECK(items.sent() == 5);
      CHECK(items.subscribers() == 0);
    }
  });
}

TEST_CASE("a subscriber begins with the next item, or with the oldest that is retained") {
  for (const std::size_t capacity : {1u, 3u, 5u, 7u, 100u}) {  // exact, also if no power of two
    CAPTURE(capacity);
    numbers items(capacity, lag_policy::drop_oldest);
    numbers::subscriber from_nothing = items.subscribe(from::oldest);
    CHECK(rest_of(from_nothing).empty());
    send_all(items, 1, 9);
    numbers::subscriber late = items.subscribe(), all = items.subscribe(from::oldest);
    const std::size_t retained = std::min<std::size_t>(9, capacity);
    CHECK(items.capacity() == capacity);
    CHECK(items.size() == retained);
    CHECK(all.available() == retained);
    CHECK(from_nothing.available() == retained);
    CHECK(late.available() == 0);
    std::string expected;
    for (std::size_t item = 10 - retained; item <= 9; ++item)
      expected += std::to_string(item) + " ";
    CHECK(rest_of(all) == expected);
    CHECK(rest_of(from_nothing) == expected);
    CHECK(rest_of(late).empty());
    CHECK(all.missed() == 0);
    CHECK(from_nothing.missed() == 9 - retained);
    send_all(items, 10, 10);
    CHECK(rest_of(all) == "10 ");
    CHECK(rest_of(late) == "10 ");
  }
}

TEST_CASE("the capacity and the items are what the types and the constructor say") {
  CHECK_THROWS_WITH_AS(numbers(0, lag_policy::wait),
                       "the capacity of a broadcast is 0, and must be at least 1: the number of "
                       "items that it retains",
                       std::invalid_argument);
  const numbers items(3, lag_policy::disconnect);
  CHECK(items.policy() == lag_policy::disconnect);
  CHECK(items.size() == 0);
}

// Policies

// claim: 11
TEST_CASE("drop_oldest: no sender waits, and a subscriber counts exactly what it missed") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(5, lag_policy::drop_oldest);
    numbers::subscriber slow = items.subscribe();
    for (int item = 1; item <= 5; ++item) co_await items.send(item, 0s);
    CHECK(slow.missed() == 0);
    CHECK(slow.available() == 5);
    for (int item = 6; item <= 12; ++item) co_await items.send(item, 0s);
    CHECK(slow.missed() == 7);
    CHECK(slow.available() == 5);
    CHECK(co_await slow.receive() == 8);
    CHECK(slow.missed() == 7);
    send_all(items, 13, 13);
    CHECK(slow.missed() == 7);  // the 8 was overwritten after it was received
    send_all(items, 14, 14);
    CHECK(slow.missed() == 8);
    CHECK(rest_of(slow) == "10 11 12 13 14 ");
    CHECK(slow.missed() == 8);
    CHECK_FALSE(slow.is_lagged());
    CHECK(items.backlog() == 0);
  });
}

// claim: 11
TEST_CASE("drop_oldest: what is overwritten between waking and resuming is counted, too") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(2, lag_policy::drop_oldest);
    numbers::subscriber slow = items.subscribe();
    const fiber<int> receiver = spawn(receive_one(slow));
    co_await yield();
    send_all(items, 1, 5);
    CHECK(co_await receiver.get() == 4);
    CHECK(slow.missed() == 3);
  });
}

// claim: 11
TEST_CASE("wait: a sender waits until the slowest subscriber has received the oldest item") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(3, lag_policy::wait);
    numbers::subscriber slow = items.subscribe(), fast = items.subscribe();
    std::string log;
    send_all(items, 1, 3);
    CHECK(items.backlog() == 3);
    CHECK_FALSE(items.try_send(4));
    const fiber<> a = spawn(note_send(items, log, 4)), b = spawn(note_send(items, log, 5));
    co_await yield();
    CHECK(rest_of(fast) == "1 2 3 ");
    co_await yield();
    CHECK(log.empty());
    CHECK(co_await slow.receive() == 1);
    co_await yield();
    CHECK(log == "+4 ");
    CHECK(co_await slow.receive() == 2);
    co_await b.join();
    CHECK(log == "+4 +5 ");
    CHECK(rest_of(slow) == "3 4 5 ");
    CHECK(rest_of(fast) == "4 5 ");
    CHECK(slow.missed() == 0);
    CHECK(items.backlog() == 0);
    CHECK(items.backlog_peak() == 3);
    co_await a.join();
  });
}

TEST_CASE("wait: without subscribers no sender waits, and the items sent last are retained") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(3, lag_policy::wait);
    for (int item = 1; item <= 5; ++item) co_await items.send(item, 0s);
    numbers::subscriber late = items.subscribe(from::oldest);
    CHECK_FALSE(items.try_send(6));  // it would overwrite the 3
    CHECK(rest_of(late) == "3 4 5 ");
    CHECK(items.try_send(6));
  });
}

TEST_CASE("wait: a subscriber that begins behind counts in the peak of the backlog") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(3, lag_policy::wait);
    send_all(items, 1, 5);
    CHECK(items.backlog_peak() == 0);
    const numbers::subscriber late = items.subscribe(from::oldest);
    CHECK(items.backlog() == 3);
    CHECK(items.backlog_peak() == 3);
    co_return;
  });
}

TEST_CASE("wait: a subscriber that goes lets the senders continue that it held back") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(2, lag_policy::wait);
    std::optional<numbers::subscriber> first(items.subscribe()), second(items.subscribe());
    send_all(items, 1, 2);
    std::string log;
    std::vector<fiber<>> all;
    for (const int item : {3, 4, 5}) all.push_back(spawn(note_send(items, log, item)));
    co_await yield();
    CHECK(co_await second->receive() == 1);
    first.reset();
    co_await yield();
    CHECK(log == "+3 ");
    SUBCASE("destroyed") { second.reset(); }
    SUBCASE("assigned to") { *second = items.subscribe(); }
    SUBCASE("its fiber is killed") {
      const fiber<> reader = spawn(
          [](numbers::subscriber mine) -> task<> {
            const auto kept = std::move(mine);
            co_await sleep(1h);
          },
          std::move(*second));
      co_await yield();
      CHECK(log == "+3 ");
      co_await reader.kill();
    }
    for (std::size_t i = 0; i < all.size(); ++i) co_await all[i].join();
    CHECK(log == "+3 +4 +5 ");
  });
}

// claim: 11
TEST_CASE("disconnect: a slow subscriber receives errc::lagged from then on, and no sender waits") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(2, lag_policy::disconnect);
    numbers::subscriber slow = items.subscribe(), fast = items.subscribe();
    for (const int item : {1, 2}) co_await items.send(item, 0s);
    CHECK_FALSE(slow.is_lagged());
    CHECK(rest_of(fast) == "1 2 ");
    co_await items.send(3, 0s);
    CHECK(slow.is_lagged());
    CHECK(slow.missed() == 1);
    CHECK(slow.available() == 0);
    CHECK((co_await as_result(slow.receive())).error() == errc::lagged);
    CHECK((co_await as_result(slow.next())).error() == errc::lagged);
    CHECK_THROWS_AS(slow.try_receive(), std::system_error);
    items.close();
    CHECK((co_await as_result(slow.receive())).error() == errc::lagged);
    CHECK(rest_of(fast) == "3 ");
    CHECK_FALSE(fast.is_lagged());
  });
}

TEST_CASE("disconnect: a subscriber that is overtaken between waking and resuming lags") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(2, lag_policy::disconnect);
    numbers::subscriber slow = items.subscribe();
    const fiber<int> receiver = spawn(receive_one(slow));
    co_await yield();
    send_all(items, 1, 3);
    SUBCASE("") {
      const result<int> end = co_await as_result(receiver.get());
      CHECK(end.error() == errc::lagged);
    }
    SUBCASE("a kill takes precedence") {
      receiver.request_kill();
      co_await receiver.join();
      CHECK(receiver.result() == outcome::cancelled);
    }
  });
}

// Limits, kills, selects

// row: W10
TEST_CASE("limits of send() and receive() throw timed_out, and lose nothing") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const steady_ns begin = engine.now();
    broadcast<std::shared_ptr<int>> items(1, lag_policy::wait);
    auto slow = items.subscribe();
    CHECK((co_await as_result(slow.receive(0s))).error() == errc::timed_out);
    CHECK((co_await as_result(slow.next(2ms))).error() == errc::timed_out);
    CHECK(engine.now() == begin + 2'000'000);
    auto mine = std::make_shared<int>(1);
    co_await items.send(std::move(mine), 0s);
    CHECK(mine == nullptr);
    mine = std::make_shared<int>(2);
    CHECK((co_await as_result(items.send(std::move(mine), 1ms))).error() == errc::timed_out);
    CHECK(mine != nullptr);
    const auto first = co_await slow.receive(0s);
    CHECK(*first == 1);
  });
}

TEST_CASE("of a kill and an item in the same tick the first one counts") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(2, lag_policy::wait);
    numbers::subscriber reader = items.subscribe();
    std::string log;
    const fiber<> waiter = spawn(note_receive(reader, log));
    co_await yield();
    SUBCASE("sent, then killed: the item is received, and the kill comes with the next wait") {
      send_all(items, 1, 1);
      waiter.request_kill();
      co_await waiter.join();
      CHECK(log == "-1 ");
      CHECK(rest_of(reader).empty());
    }
    SUBCASE("killed, then sent: the item stays for the next call") {
      waiter.request_kill();
      send_all(items, 1, 1);
      co_await waiter.join();
      CHECK(log.empty());
      CHECK(rest_of(reader) == "1 ");
    }
    SUBCASE("closed, then killed: the kill is thrown") {
      items.close();
      waiter.request_kill();
      co_await waiter.join();
      CHECK(log.empty());
    }
    CHECK(waiter.result() == outcome::cancelled);
  });
}

TEST_CASE("of a limit and an item in the same tick the first one counts") {
  run_scripted([](scripted_engine& engine) -> task<> {
    numbers items(2, lag_policy::drop_oldest);
    numbers::subscriber reader = items.subscribe();
    std::string log;
    const fiber<std::string> waiter = spawn(outcome_of(note_receive(reader, log, 5ms)));
    co_await yield();
    SUBCASE("sent in the turn in which the limit is due") {
      engine.advance(5'000'000);
      send_all(items, 1, 1);
      CHECK(co_await waiter.get() == "done");
      CHECK(log == "-1 on ");
    }
    SUBCASE("sent later") {
      co_await sleep(5ms);
      send_all(items, 1, 1);
      CHECK(co_await waiter.get() == "timed out");
      CHECK(rest_of(reader) == "1 ");
    }
  });
}

TEST_CASE("a sender that is killed keeps its item, and those behind it keep their order") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(1, lag_policy::wait);
    numbers::subscriber reader = items.subscribe();
    send_all(items, 1, 1);
    std::string log;
    std::vector<fiber<>> all;
    for (const int item : {2, 3, 4, 5}) {
      all.push_back(spawn(note_send(items, log, item)));
    }
    co_await yield();
    SUBCASE("before there is room") {
      all[0].request_kill();
      all[2].request_kill();
      std::string got;
      for (int i = 0; i < 3; ++i) got += std::to_string(co_await reader.receive()) + " ";
      CHECK(got == "1 3 5 ");
      co_await all[3].join();
      CHECK(log == "+3 +5 ");
      CHECK(items.sent() == 3);
    }
    SUBCASE("when its item was sent: success wins, and the kill comes with the next wait") {
      const int first = co_await reader.receive();
      CHECK(first == 1);
      all[0].request_kill();
      std::string got;
      for (int i = 0; i < 4; ++i) got += std::to_string(co_await reader.receive()) + " ";
      CHECK(got == "2 3 4 5 ");
      co_await all[3].join();
      CHECK(log == "+2 +3 +4 +5 ");
    }
    CHECK(all[0].result() == outcome::cancelled);
    for (std::size_t i = 0; i < all.size(); ++i) co_await all[i].join();
  });
}

TEST_CASE("a pending kill is thrown before anything is sent or received") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(2, lag_policy::wait);
    numbers::subscriber reader = items.subscribe();
    send_all(items, 1, 1);
    const auto killed_in = [&](bool sends) -> task<std::string> {
      current().kill();
      if (sends) co_return co_await outcome_of(send_one(items, 2));
      co_return co_await outcome_of(receive_one(reader));
    };
    for (const bool sends : {true, false}) {
      const fiber<std::string> doomed = spawn(killed_in, sends);
      const std::string words = co_await doomed.get();
      CHECK(words == "cancelled");
    }
    CHECK(items.sent() == 1);
    CHECK(rest_of(reader) == "1 ");
  });
}

// The end of the reader's select() would give a permit to the fiber whose item it receives.
TEST_CASE("a select() that sends ends once if its item ends a select() that makes way for it") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(1, lag_policy::wait);
    semaphore permits(1);
    auto slow = items.subscribe();
    auto quick = items.subscribe();
    co_await items.send(1);
    CHECK(*quick.try_receive() == 1);
    const fiber<std::size_t> reader = spawn(receive_or_acquire(quick, permits));
    const fiber<std::size_t> sender = spawn(send_or_acquire(items, permits));
    co_await yield();
    CHECK(permits.waiting() == 2);
    CHECK(*slow.try_receive() == 1);
    const std::size_t read = co_await reader.get();
    const std::size_t sent = co_await sender.get();
    CHECK(read == 0);
    CHECK(sent == 0);
    CHECK(permits.available() == 1);
    CHECK(*slow.try_receive() == 2);
  });
}

TEST_CASE("a select() that sends and receives at one broadcast ends by what it sends") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(1, lag_policy::wait);
    auto slow = items.subscribe();
    auto quick = items.subscribe();
    co_await items.send(1);
    CHECK(*quick.try_receive() == 1);
    const fiber<std::size_t> both = spawn(send_or_receive(items, quick));
    co_await yield();
    CHECK(*slow.try_receive() == 1);
    const std::size_t which = co_await both.get();
    CHECK(which == 0);
    CHECK(*slow.try_receive() == 2);
    CHECK(*quick.try_receive() == 2);
  });
}

TEST_CASE(
    "send(), receive() and next() can be parts of a select(), and take nothing if they lose") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(1, lag_policy::wait);
    numbers::subscriber reader = items.subscribe();
    int item = 1;
    CHECK((co_await select(items.send(std::move(item)), sleep(1ms))).index() == 0);
    item = 2;
    CHECK((co_await select(items.send(std::move(item)), sleep(1ms))).index() == 1);
    CHECK(items.sent() == 1);
    const auto got = co_await select(sleep(1ms), reader.receive());
    CHECK(std::get<1>(got) == 1);
    CHECK((co_await select(reader.receive(), sleep(1ms))).index() == 1);

    // The item and the event come in the same tick: one wins, and the item is not lost.
    event stop;
    const fiber<> both = spawn([&]() -> task<> {
      stop.set();
      CHECK(items.try_send(3));
      co_return;
    });
    CHECK((co_await select(reader.receive(), stop.wait())).index() == 1);
    const auto next = co_await select(reader.next(), sleep(1ms));
    CHECK(std::get<0>(next) == 3);

    // A select() that gives up leaves the line of senders.
    CHECK(items.try_send(4));
    const fiber<> chooser = spawn([&]() -> task<> {
      int mine = 5;
      co_await select(items.send(std::move(mine)), sleep(1ms));
    });
    std::string log;
    const fiber<> behind = spawn(note_send(items, log, 6));
    co_await chooser.join();
    CHECK(co_await reader.receive() == 4);
    CHECK(co_await reader.receive() == 6);
    co_await behind.join();
    items.close();
    const auto end = co_await select(reader.next(), sleep(1ms));
    CHECK_FALSE(std::get<0>(end).has_value());
    const auto closed = co_await as_result(select(reader.receive(), sleep(1ms)));
    CHECK(closed.error() == errc::closed);
  });
}

// The end

TEST_CASE("close() ends senders at once, and subscribers when they have received everything") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(2, lag_policy::wait);
    numbers::subscriber slow = items.subscribe(), idle = items.subscribe();
    std::string log;
    const fiber<std::string> receiver = spawn(outcome_of(note_receive(idle, log)));
    co_await yield();
    send_all(items, 1, 2);
    CHECK(co_await receiver.get() == "done");
    CHECK(rest_of(idle) == "2 ");
    std::vector<fiber<std::string>> senders;
    for (const int item : {3, 4}) senders.push_back(spawn(outcome_of(send_one(items, item))));
    const fiber<std::string> waits = spawn(outcome_of(note_receive(idle, log)));
    co_await yield();
    items.close();
    items.close();
    CHECK(items.is_closed());
    CHECK(co_await senders[0].get() == "closed");
    CHECK(co_await senders[1].get() == "closed");
    CHECK(co_await waits.get() == "closed");
    CHECK_FALSE(items.try_send(5));
    CHECK(co_await outcome_of(send_one(items, 5, 0s)) == "closed");
    CHECK(co_await slow.receive() == 1);
    CHECK(co_await slow.next() == 2);
    CHECK(co_await slow.next() == std::nullopt);
    CHECK(slow.try_receive() == std::nullopt);
    CHECK((co_await as_result(slow.receive())).error() == errc::closed);
    numbers::subscriber after = items.subscribe(from::oldest);
    CHECK(rest_of(after) == "1 2 ");
    CHECK(co_await after.next() == std::nullopt);
  });
}

TEST_CASE("subscribers outlive a broadcast that is destroyed, and receive what it retained") {
  run_scripted([](scripted_engine&) -> task<> {
    std::optional<numbers> items(std::in_place, 3u, lag_policy::wait);
    numbers::subscriber slow = items->subscribe();
    std::string log;
    const fiber<> waiting = spawn(follow(items->subscribe(), log));
    co_await yield();
    send_all(*items, 1, 2);
    items.reset();
    co_await waiting.join();
    CHECK(log == "1 2 end ");
    CHECK(rest_of(slow) == "1 2 ");
    CHECK(co_await slow.next() == std::nullopt);
  });
}

TEST_CASE("a subscriber can be moved, with its place and its count") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(2, lag_policy::drop_oldest);
    numbers::subscriber first = items.subscribe();
    send_all(items, 1, 3);
    CHECK(first.try_receive() == 2);
    numbers::subscriber second = std::move(first);
    CHECK(second.missed() == 1);
    CHECK(items.subscribers() == 1);
    first = std::move(second);
    CHECK(co_await first.receive() == 3);
    CHECK(items.subscribers() == 1);
  });
}

TEST_CASE("an item whose copying fails is received by the next call") {
  struct fails_once {
    fails_once(int n, bool& is_broken) : number(n), broken(&is_broken) {}
    fails_once(const fails_once& other) : number(other.number), broken(other.broken) {
      if (std::exchange(*broken, false)) throw std::bad_alloc();
    }
    fails_once(fails_once&&) noexcept = default;
    int number;
    bool* broken;
  };
  run_scripted([](scripted_engine&) -> task<> {
    bool broken = false;
    broadcast<fails_once> items(2, lag_policy::wait);
    auto reader = items.subscribe();
    CHECK(items.try_send(fails_once(1, broken)));
    broken = true;
    bool has_failed = false;
    try {
      (void)co_await reader.receive();
    } catch (const std::bad_alloc&) {
      has_failed = true;
    }
    CHECK(has_failed);
    CHECK(items.backlog() == 1);
    const fails_once got = co_await reader.receive();
    CHECK(got.number == 1);
    CHECK(items.backlog() == 0);
  });
}

TEST_CASE("items are destroyed when they are overwritten, or with the last subscriber") {
  auto first = std::make_shared<int>(1), second = std::make_shared<int>(2);
  {
    std::optional<broadcast<std::shared_ptr<int>>> items(std::in_place, 1u, lag_policy::wait);
    auto reader = items->subscribe();
    CHECK(items->try_send(first));
    CHECK(first.use_count() == 2);
    CHECK(reader.try_receive() == first);
    CHECK(first.use_count() == 2);  // retained
    CHECK(items->try_send(second));
    CHECK(first.use_count() == 1);
    items.reset();
    CHECK(second.use_count() == 2);
  }
  CHECK(second.use_count() == 1);
}

// Many

// claims: 5 6
TEST_CASE("an item wakes the subscribers that waited in slices, and none that waits later") {
  run_scripted([](scripted_engine&) -> task<> {
    constexpr std::size_t count = 100'000;
    numbers items(4, lag_policy::wait);
    std::vector<numbers::subscriber> readers;
    readers.reserve(count);
    std::size_t woken = 0, right = 0;
    const auto receive = [&](std::size_t i) -> task<> {
      const int item = co_await readers[i].receive();
      ++woken;
      // Waits again before all are woken.
      const result<int> later = co_await as_result(readers[i].receive(1s));
      if (item == 1 && !later && later.error() == errc::timed_out) ++right;
    };
    std::vector<fiber<>> all;
    all.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      readers.push_back(items.subscribe());
      all.push_back(spawn(receive, i));
    }
    co_await sleep(1ms);
    co_await items.send(1);
    std::size_t most = 0;
    while (woken != count) {
      const std::size_t before = woken;
      co_await yield();
      most = std::max(most, woken - before);
    }
    CHECK(most <= 2 * wake_lists::at_once_max);
    for (std::size_t i = 0; i < count; ++i) co_await all[i].join();
    CHECK(right == count);
    CHECK(items.backlog() == 0);
  });
}

TEST_CASE("close() ends any number of senders, also if the broadcast goes before they are woken") {
  run_scripted([](scripted_engine&) -> task<> {
    std::optional<numbers> items(std::in_place, 1u, lag_policy::wait);
    std::optional<numbers::subscriber> reader(items->subscribe());
    send_all(*items, 0, 0);
    std::vector<fiber<std::string>> senders;
    for (int item = 1; item <= 1000; ++item) {
      senders.push_back(spawn(outcome_of(send_one(*items, item))));
    }
    co_await yield();
    items->close();
    CHECK(rest_of(*reader) == "0 ");  // nothing more is sent
    reader.reset();
    items.reset();
    std::size_t closed = 0;
    for (std::size_t i = 0; i < senders.size(); ++i) {
      const std::string end = co_await senders[i].get();
      if (end == "closed") ++closed;
    }
    CHECK(closed == senders.size());
  });
}

// What others see of it

// claim: 15
TEST_CASE("dump() shows how full a broadcast is, who waits, and the peaks") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(2, lag_policy::wait), dropping(3, lag_policy::drop_oldest);
    numbers::subscriber slow = items.subscribe(), idle = dropping.subscribe();
    send_all(items, 1, 2);
    send_all(dropping, 1, 2);
    CHECK(rest_of(idle) == "1 2 ");
    std::string log;
    const fiber<> a = spawn(note_send(items, log, 3)), b = spawn(note_send(items, log, 4));
    const fiber<> c = spawn(note_receive(idle, log));
    co_await yield();
    co_await b.kill();
    const std::string words = dump();
    CAPTURE(words);
    CHECK(words.find("send broadcast 0x") != std::string::npos);
    CHECK(words.find("with 2 of 2 items not received by all (at most 2), 1 subscribers, 1 waiting "
                     "to send (at most 2), 0 to receive (at most 0)") != std::string::npos);
    CHECK(words.find("receive broadcast 0x") != std::string::npos);
    CHECK(words.find("with 2 of 3 items, 1 subscribers, 0 waiting to send (at most 0), 1 to "
                     "receive (at most 1)") != std::string::npos);
    items.close();
    dropping.close();
    co_await a.join();
    co_await c.join();
  });
}

TEST_CASE("senders and subscribers that wait for each other are a deadlock") {
  const std::string words = deadlock_of([](scripted_engine&) -> task<> {
    numbers items(1, lag_policy::wait);
    const numbers::subscriber forgotten = items.subscribe();
    for (int item = 0;; ++item) co_await items.send(std::as_const(item));
  });
  CHECK(words.find("send broadcast 0x") != std::string::npos);
}

// claim: 13
TEST_CASE("sending, receiving, waiting, giving up and closing do not allocate") {
  run_scripted([](scripted_engine&) -> task<> {
    for (const lag_policy policy :
         {lag_policy::drop_oldest, lag_policy::wait, lag_policy::disconnect}) {
      const auto round = [policy]() -> task<std::size_t> {
        std::string log(200, ' ');
        log.clear();
        // With 2, the rest would be disconnected, and making that error allocates.
        numbers items(policy == lag_policy::wait ? 2 : 4, policy);
        numbers::subscriber one = items.subscribe(), two = items.subscribe();
        const fiber<> a = spawn(note_receive(one, log)), b = spawn(note_receive(two, log));
        const fiber<> c = spawn(note_send(items, log, 1)), d = spawn(note_send(items, log, 2));
        const fiber<> e = spawn(note_send(items, log, 3)), f = spawn(note_send(items, log, 4));
        const std::size_t before = allocations();
        co_await yield();
        b.request_kill();
        f.request_kill();
        co_await sleep(1ms);
        {
          const numbers::subscriber late = items.subscribe(from::oldest);
          CHECK(late.available() == items.size());
        }
        items.close();
        for (const auto* each : {&a, &b, &c, &d, &e, &f}) co_await each->join();
        co_return allocations() - before;
      };
      co_await round();  // fills the pools
      const std::size_t made = co_await round();
      CHECK(made == 0);
    }
  });
}

TEST_CASE("without memory a broadcast sends, receives and closes") {
  if (!allocations_are_counted()) return;
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(1, lag_policy::wait);
    numbers::subscriber reader = items.subscribe();
    std::string log(64, ' ');
    log.clear();
    const fiber<> a = spawn(note_send(items, log, 1)), b = spawn(note_send(items, log, 2));
    co_await yield();
    {
      const out_of_memory now;
      CHECK(reader.try_receive() == 1);
      items.close();
      CHECK(reader.try_receive() == 2);
    }
    co_await a.join();
    co_await b.join();
    CHECK(log == "+1 +2 ");
  });
}

// Broken rules

TEST_CASE("a broadcast that is destroyed while a fiber waits to send aborts") {
  CHECK(aborts_with("a broadcast was destroyed while a fiber waited to send", [] {
    run_scripted([](scripted_engine&) -> task<> {
      std::optional<numbers> items(std::in_place, 1u, lag_policy::wait);
      const numbers::subscriber reader = items->subscribe();
      send_all(*items, 1, 1);
      const fiber<> sender = spawn(send_one(*items, 2));
      co_await yield();
      items.reset();
    });
  }));
}

TEST_CASE("a broadcast that an exception destroys ends its senders, and the rule is reported") {
  std::vector<std::string> reports;
  std::string end;
  const auto main = [&](scripted_engine&) -> task<> {
    fiber<std::string> sender;
    std::optional<numbers::subscriber> reader;
    try {
      numbers items(1, lag_policy::wait);
      reader = items.subscribe();
      send_all(items, 1, 1);
      sender = spawn(outcome_of(send_one(items, 2)));
      co_await yield();
      throw std::runtime_error("over");
    } catch (const std::runtime_error&) {
    }
    end = co_await sender.get();
  };
  run_scripted(main, collecting(reports));
  CHECK(end == "closed");
  REQUIRE(reports.size() == 1);
  CHECK(reports[0].find("a broadcast was destroyed while a fiber waited to send") == 0);
}

TEST_CASE("a second fiber that uses a subscriber of a broadcast aborts") {
  const auto misuse = [](bool waits) {
    run_scripted([waits](scripted_engine&) -> task<> {
      numbers items(1, lag_policy::wait);
      numbers::subscriber reader = items.subscribe();
      const fiber<int> a = spawn(receive_one(reader));
      co_await yield();
      if (waits) co_await reader.receive();
      (void)reader.try_receive();
    });
  };
  CHECK(aborts_with("a second fiber used a subscriber of a broadcast", [&] { misuse(true); }));
  CHECK(aborts_with("a second fiber used a subscriber of a broadcast", [&] { misuse(false); }));
}

TEST_CASE("a subscriber of a broadcast that is destroyed or moved while a fiber waits aborts") {
  const auto misuse = [](bool moves) {
    run_scripted([moves](scripted_engine&) -> task<> {
      numbers items(1, lag_policy::wait);
      std::optional<numbers::subscriber> reader(items.subscribe());
      const fiber<int> a = spawn(receive_one(*reader));
      co_await yield();
      if (moves) numbers::subscriber(std::move(*reader));
      reader.reset();
    });
  };
  CHECK(aborts_with("a subscriber of a broadcast was destroyed while a fiber waited for it",
                    [&] { misuse(false); }));
  CHECK(aborts_with("a subscriber of a broadcast was moved while a fiber waited for it",
                    [&] { misuse(true); }));
}

TEST_CASE("dump counts the fibers that wait at a broadcast now, and the most that ever did") {
  run_scripted([](scripted_engine&) -> task<> {
    numbers items(1, lag_policy::wait);
    numbers::subscriber slow = items.subscribe(), one = items.subscribe(), two = items.subscribe();
    const auto receive = [](numbers::subscriber& from) -> task<> { co_await from.receive(); };
    const auto send = [&](int item) -> task<> { co_await items.send(item); };
    const auto shows = [](const std::string& counts) {
      const bool shown = dump().find(counts) != std::string::npos;
      if (!shown) MESSAGE(dump());
      return shown;
    };
    // Two wait to receive; one gives up, an item ends the other wait.
    const fiber<> first = spawn(receive, std::ref(one)), second = spawn(receive, std::ref(two));
    co_await yield();
    CHECK(shows("0 waiting to send (at most 0), 2 to receive (at most 2)"));
    first.request_kill();
    co_await first.join();
    CHECK(shows("0 waiting to send (at most 0), 1 to receive (at most 2)"));
    items.try_send(1);
    co_await second.join();
    CHECK(items.backlog_peak() == 1);
    // Two wait to send: `slow` and `one` have not received.
    const fiber<> third = spawn(send, 2), fourth = spawn(send, 3);
    co_await yield();
    CHECK(shows("2 waiting to send (at most 2), 0 to receive (at most 2)"));
    third.request_kill();
    co_await third.join();
    CHECK(shows("1 waiting to send (at most 2), 0 to receive (at most 2)"));
    CHECK(*slow.try_receive() == 1);
    CHECK(*one.try_receive() == 1);
    co_await fourth.join();
    CHECK(*slow.try_receive() == 3);
    CHECK(*one.try_receive() == 3);
    CHECK(*two.try_receive() == 3);
    CHECK(items.backlog() == 0);
    CHECK(items.backlog_peak() == 1);
    // A wait that is the only one shows that the counts are back at 0, and the peaks stay.
    const fiber<> last = spawn(receive, std::ref(slow));
    co_await yield();
    CHECK(shows("0 waiting to send (at most 2), 1 to receive (at most 2)"));
    items.close();
    co_await last.join();
    CHECK(last.error() != nullptr);
  });
}

TEST_CASE("a broadcast that is used on another thread aborts") {
  if (sanitized) return;  // under ThreadSanitizer a forked child can start no threads
  const auto misuse = [](auto what) {
    run_scripted([what](scripted_engine&) -> task<> {
      numbers items(2, lag_policy::wait);
      numbers::subscriber reader = items.subscribe();
      std::thread([&] { what(items, reader); }).join();
      co_return;
    });
  };
  const std::string_view rule = "a broadcast was used on a thread that is not its scheduler's";
  CHECK(aborts_with(rule, [&] { misuse([](auto& items, auto&) { (void)items.try_send(1); }); }));
  CHECK(aborts_with(rule, [&] { misuse([](auto& items, auto&) { (void)items.subscribe(); }); }));
  CHECK(aborts_with(rule, [&] { misuse([](auto& items, auto&) { items.close(); }); }));
  CHECK(
      aborts_with(rule, [&] { misuse([](auto&, auto& reader) { (void)reader.try_receive(); }); }));
}

namespace {

// When it is destroyed, sends another item, once; also if it was moved from.
struct echoing {
  int number;
  std::optional<std::function<void()>>* act = nullptr;
  echoing(int n, std::optional<std::function<void()>>* a) : number(n), act(a) {}
  echoing(const echoing&) = default;
  echoing(echoing&& other) noexcept = default;  // which keeps its act
  ~echoing() {
    if (act == nullptr || !*act) return;
    const std::function<void()> once = *std::exchange(*act, std::nullopt);
    once();
  }
};

}  // namespace

TEST_CASE("an item whose destructor sends loses no item, and overtakes none that is retained") {
  run_scripted([](scripted_engine&) -> task<> {
    for (const lag_policy policy : {lag_policy::drop_oldest, lag_policy::wait}) {
      CAPTURE(static_cast<int>(policy));
      broadcast<echoing> items(2, policy);
      std::optional<std::function<void()>> act;
      CHECK(items.try_send(echoing(1, &act)));
      CHECK(items.try_send(echoing(2, nullptr)));
      auto all = items.subscribe();
      act = [&] { CHECK(items.try_send(echoing(3, nullptr))); };
      CHECK(items.try_send(echoing(4, nullptr)));
      CHECK(items.sent() == 4);
      std::string log;
      while (const auto next = all.try_receive()) log += std::to_string(next->number);
      CHECK(log.size() == 2);
      CHECK(log.find('3') != std::string::npos);
      CHECK(log.find('4') != std::string::npos);
    }
    co_return;
  });
}

TEST_CASE("wait: a destructor that takes the last room makes the sender wait") {
  run_scripted([](scripted_engine&) -> task<> {
    broadcast<echoing> items(1, lag_policy::wait);
    std::optional<std::function<void()>> act;
    CHECK(items.try_send(echoing(1, &act)));
    auto all = items.subscribe();
    act = [&] { CHECK(items.try_send(echoing(2, nullptr))); };
    CHECK_FALSE(items.try_send(echoing(3, nullptr)));
    CHECK((co_await all.receive()).number == 2);
    CHECK(items.try_send(echoing(3, nullptr)));
    CHECK((co_await all.receive()).number == 3);
    CHECK(items.sent() == 3);
  });
}

TEST_SUITE_END();
