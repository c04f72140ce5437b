// select: pushes that lose let other pushes in, but no other push of the same select().
//
// Method: a queue with a weight limit, in which a heavy item waits before a light one: when the
// heavy one leaves, the light one has room.
// SPDX-License-Identifier: MIT
#include <ringlet/event.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/run.hpp>
#include <ringlet/select.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "sched/queues.hpp"
#include "support/random.hpp"

using namespace ringlet;
using namespace ringlet::detail;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

using weighed = queue<int, itself>;

// 5 of 10, so that 9 has to wait, and 1 waits only behind it.
struct half_full : weighed {
  half_full() : weighed(unlimited, 10) { try_push(5); }
  ~half_full() { close_now(); }
};

}  // namespace

TEST_SUITE_BEGIN("select of pushes");

// row: JN-04
TEST_CASE("a heavy push that loses lets in the pushes behind it") {
  run_scripted([](scripted_engine&) -> task<> {
    half_full items;
    event door;
    std::string log;
    const fiber<> chooser = spawn([&]() -> task<> {
      co_await select(items.push(9), door.wait());
      log += "set ";
    });
    const fiber<> light = spawn(note_push(items, log, 1));
    co_await yield();
    SUBCASE("to something else") {
      door.set();
      co_await light.join();
      CHECK(log == "set +1 ");
    }
    SUBCASE("by a kill") {
      chooser.request_kill();
      co_await light.join();
      CHECK(log == "+1 ");
    }
    CHECK(items.weight() == 6);
    co_await chooser.join();
  });
}

// rows: W22 JN-04
TEST_CASE("a heavy push that loses does not let in a light one of the same select") {
  run_scripted([](scripted_engine&) -> task<> {
    half_full items;
    event door;
    std::string log;
    const fiber<> first = spawn(note_push(items, log, 6));
    const fiber<> chooser = spawn([&]() -> task<> {
      const auto taken = co_await select(items.push(9), items.push(1), door.wait());
      log += "took " + std::to_string(taken.index()) + " ";
      co_await sleep(1h);  // a second wake-up would end this
      log += "not here ";
    });
    co_await yield();
    CHECK(*items.try_pop() == 5);
    co_await first.join();
    CHECK(items.weight() == 6);  // now only the 9 keeps the 1 out
    SUBCASE("to something else") {
      door.set();
      co_await sleep(1ms);
      CHECK(log == "+6 took 2 ");
    }
    SUBCASE("by a kill") {
      chooser.request_kill();
      co_await sleep(1ms);
      CHECK(log == "+6 ");
    }
    CHECK(items.weight() == 6);
    co_await chooser.kill();
    CHECK(chooser.result() == outcome::cancelled);
  });
}

// rows: W22 JN-04
TEST_CASE("a select() that another one lets in lets in the next") {
  run_scripted([](scripted_engine&) -> task<> {
    half_full left, right;
    event door;
    std::string log;
    const fiber<> first = spawn([&]() -> task<> {
      co_await select(left.push(9), right.push(9), door.wait());
      log += "set ";
    });
    const fiber<> second = spawn([&]() -> task<> {
      const auto taken = co_await select(right.push(8), left.push(1), right.push(2));
      log += "second" + std::to_string(taken.index()) + " ";
      co_await sleep(1h);
      log += "not here ";
    });
    const fiber<> third = spawn(note_push(right, log, 3));
    co_await yield();
    CHECK(log.empty());
    door.set();
    co_await sleep(1ms);
    CHECK(log == "set second1 +3 ");
    CHECK(left.weight() == 6);
    CHECK(right.weight() == 8);
    co_await second.kill();
  });
}

// row: JN-04
TEST_CASE("selects that let each other in, in a long chain, need no deep stack") {
  run_scripted([](scripted_engine&) -> task<> {
    constexpr std::size_t length = 100'000;
    std::deque<half_full> queues(length);
    event door;
    std::size_t taken = 0;
    const auto link = [&](std::size_t at) -> task<> {
      if (at == 0) {
        co_await select(door.wait(), queues[0].push(9));
      } else {
        co_await select(queues[at - 1].push(1), queues[at].push(9));
      }
      ++taken;
    };
    for (std::size_t at = 0; at < length; ++at) spawn(link, at);
    co_await yield();
    CHECK(taken == 0);
    door.set();
    while (taken < length) co_await yield();
    CHECK(queues.front().weight() == 6);
    CHECK(queues.back().weight() == 5);
  });
}

// rows: QU-03 JN-04
TEST_CASE("closing a queue ends the pushes of a select() and lets in none behind them") {
  run_scripted([](scripted_engine&) -> task<> {
    half_full items;
    const auto choose = [&]() -> task<> { co_await select(items.push(9), items.push(8)); };
    const fiber<std::string> chooser = spawn(outcome_of(choose()));
    const fiber<std::string> light = spawn(outcome_of(push_one(items, 1)));
    co_await yield();
    items.close();
    std::string words = co_await chooser.get();
    CHECK(words == "closed");
    words = co_await light.get();
    CHECK(words == "closed");
    CHECK(items.size() == 1);
  });
}

// rows: W22 JN-04
TEST_CASE("every item is in exactly one place in a storm of selects") {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    run_scripted([seed](scripted_engine&) -> task<> {
      random_numbers random(seed);
      const std::size_t size = seed % 3 == 0 ? 0 : queue_base::unlimited;
      weighed a(size, 10), b(size, 10);
      std::vector<int> pushed(7), popped(7);  // how many, by their weight
      const auto limit = [&] {
        return random.once_in(3) ? time_limit(std::chrono::microseconds(random.below(400)))
                                 : forever;
      };
      const auto some = [&]() -> task<> {
        for (int i = 0; i < 4; ++i) {
          const auto light = static_cast<int>(random.below(3)),
                     heavy = static_cast<int>(3 + random.below(4));
          try {
            if (random.once_in(3)) {
              const auto taken = co_await select(a.pop(), b.pop(), sleep_wait(limit()));
              if (taken.index() == 0) ++popped[static_cast<std::size_t>(std::get<0>(taken))];
              if (taken.index() == 1) ++popped[static_cast<std::size_t>(std::get<1>(taken))];
            } else if (random.once_in(2)) {
              const auto taken =
                  co_await select(a.push(heavy), b.push(light), a.push(light), sleep_wait(limit()));
              if (taken.index() < 3)
                ++pushed[static_cast<std::size_t>(taken.index() ? light : heavy)];
            } else {
              const auto taken =
                  co_await select(b.pop(), a.push(light), b.push(heavy), sleep_wait(limit()));
              if (taken.index() == 0) ++popped[static_cast<std::size_t>(std::get<0>(taken))];
              if (taken.index() == 1) ++pushed[static_cast<std::size_t>(light)];
              if (taken.index() == 2) ++pushed[static_cast<std::size_t>(heavy)];
            }
          } catch (const cancelled&) {
          }
        }
      };
      std::vector<fiber<>> all;
      for (int i = 0; i < 200; ++i) {
        all.push_back(spawn(some));
        if (random.once_in(4)) co_await sleep(std::chrono::microseconds(random.below(300)));
        if (random.once_in(2)) all[random.below(all.size())].request_kill();
      }
      co_await sleep(1s);
      for (const fiber<>& each : all) each.request_kill();
      for (int i = 0; i < 4; ++i) {
        for (const fiber<>& each : all) each.request_kill();
        co_await sleep(1ms);
      }
      co_await join_each(all);
      for (weighed* each : {&a, &b}) {
        while (const auto left = each->try_pop()) ++popped[static_cast<std::size_t>(*left)];
        CHECK(each->weight() == 0);
      }
      CHECK(popped == pushed);
    });
  }
}

TEST_SUITE_END();
