// How engines sleep, and what ends their sleep: completions, deadlines, signals, wake-ups and
// posted work.
//
// Method: no case waits for time to pass, except the two that test a deadline of a millisecond.
// Where threads race, every order of their steps must end the same way.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <csignal>
#include <deque>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "support/engines.hpp"
#include "support/sanitized.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("conformance: sleep");

namespace {

constexpr steady_ns millisecond = 1'000'000;

std::uint64_t calls(const extend::engine& engine) { return engine.statistics().system_calls; }

engine* signalled = nullptr;
void wake_signalled(int) {
  if (signalled != nullptr) signalled->wake();
}

// Handles SIGUSR1 during its lifetime; sleeping system calls are not restarted.
class signal_handler {
 public:
  explicit signal_handler(void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    ::sigaction(SIGUSR1, &action, &before_);
  }
  ~signal_handler() { ::sigaction(SIGUSR1, &before_, nullptr); }

 private:
  struct sigaction before_ {};
};

// Sleeps until the limit. A sleep may end early, because the kernel also interrupts threads, such
// as those that have just closed a ring; it may not do so repeatedly.
void sleep_until(extend::engine& engine, steady_ns limit) {
  constexpr int turns_max = 10;
  int turns = 0;
  do {
    CHECK(turn(engine, limit) == 0);
  } while (engine.now() < limit && ++turns < turns_max);
  CHECK(engine.now() >= limit);
}

}  // namespace

TEST_CASE("an engine does not sleep when the limit has passed") {
  for_each_engine([](const engine_maker& make) {
    const auto engine = make();
    CHECK(turn(*engine, 0) == 0);
    CHECK(turn(*engine, 1) == 0);
    CHECK(turn(*engine, engine->now()) == 0);
  });
}

TEST_CASE("an engine without completions sleeps until the limit, and not less") {
  for_each_engine([](const engine_maker& make) {
    const auto engine = make();
    sleep_until(*engine, engine->now() + millisecond);
  });
}

TEST_CASE("an engine with operations in flight sleeps until the limit") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const fd_pair unix = socket_pair(), tcp = tcp_pair(), pipe = pipe_pair();
    std::array<std::byte, 3 * 8> memory{};
    std::deque<watched> ops;
    for (const fd_pair* pair : {&unix, &tcp, &pipe}) {
      if (pair == &tcp) engine->register_fd(pair->near.get());
      const opcode kind = pair == &pipe ? opcode::read : opcode::recv;
      const auto own = std::span<std::byte>(memory).subspan(8 * ops.size(), 8);
      engine->start(ops.emplace_back(kind, pair->near.get(), own));
    }
    for (int i = 0; i < 3; ++i) sleep_until(*engine, engine->now() + millisecond);
    for (watched& op : ops) engine->cancel(op);
    finish_all(*engine);
    engine->unregister_fd(tcp.near.get());
  });
}

TEST_CASE("a limit a year away is accepted, and a wake ends the sleep") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    constexpr steady_ns year = 365LL * 24 * 3600 * 1000 * millisecond;
    for (const steady_ns limit : {engine->now() + year, 200 * year, never - 1, never}) {
      std::atomic<bool> woken = false;
      std::thread other([&] {
        woken = true;
        engine->wake();
      });
      do {
        turn(*engine, limit);
      } while (!woken);
      other.join();
      turn(*engine, engine->now());  // the wake may have come after the last turn
    }
  });
}

TEST_CASE("a completion ends the sleep, however distant the limit") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    for (const steady_ns limit :
         {never, never - 1, never / 2, engine->now() + 1000 * millisecond}) {
      watched op;
      engine->start(op);
      CHECK(turn(*engine, limit) == 1);
    }
  });
}

TEST_CASE("a wake before the sleep is not lost, and ends one sleep") {
  for_each_engine([](const engine_maker& make) {
    const auto engine = make();
    engine->wake();
    CHECK(turn(*engine, never) == 0);
    sleep_until(*engine, engine->now() + millisecond);
  });
}

TEST_CASE("waking an engine that does not sleep costs no system call") {
  for_each_engine([](const engine_maker& make) {
    const auto engine = make();
    const std::uint64_t before = calls(*engine);
    for (int i = 0; i < 1000; ++i) engine->wake();
    CHECK(calls(*engine) == before);
    CHECK(turn(*engine, never) == 0);
    CHECK(engine->statistics().wakes == 0);
    // A wake after a sleep costs none, either.
    sleep_until(*engine, engine->now() + millisecond);
    engine->wake();
    CHECK(turn(*engine, never) == 0);
    turn(*engine, engine->now());
    CHECK(engine->statistics().wakes == 0);
  });
}

TEST_CASE("a wake from another thread ends the sleep") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    for (int i = 0; i < 100; ++i) {
      std::atomic<bool> woken = false;
      std::thread other([&] {
        woken = true;
        engine->wake();
      });
      while (!woken) turn(*engine, never);
      other.join();
      turn(*engine, engine->now());  // the wake may have come after the last turn
    }
  });
}

TEST_CASE("a signal handler may wake an engine") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    signalled = engine.get();
    {
      const signal_handler handler(wake_signalled);
      std::raise(SIGUSR1);
      CHECK(turn(*engine, never) == 0);
    }
    signalled = nullptr;
  });
}

TEST_CASE("a signal ends a sleep early") {
  for_each_kernel_engine([](const engine_maker& make) {
    const signal_handler handler([](int) {});
    const auto engine = make();
    std::atomic<bool> returned = false;
    const pthread_t sleeper = ::pthread_self();
    // Repeatedly, because a signal that arrives before the sleep does not end it.
    std::thread other([&] {
      while (!returned) {
        ::pthread_kill(sleeper, SIGUSR1);
        std::this_thread::yield();
      }
    });
    CHECK(turn(*engine, never) == 0);
    returned = true;
    other.join();
  });
}

TEST_CASE("posted work ends a sleep, whether posted before or during it") {
  for_each_kernel_engine([](const engine_maker& make) {
    struct work : posted_work {
      std::atomic<bool> ran = false;
    };
    const auto engine = make();
    for (int i = 0; i < 100; ++i) {
      work posted;
      posted.run = [](posted_work& self) noexcept { static_cast<work&>(self).ran = true; };
      std::thread other([&] { engine->post(posted); });
      while (!posted.ran) {
        turn(*engine, never);
        engine->run_posted();
      }
      other.join();
    }
  });
}

namespace {

// Two threads, each with an engine, that wake each other in turn: a lost wake is a hang.
struct player {
  std::unique_ptr<extend::engine> engine;
  std::atomic<extend::engine*> published = nullptr;
  std::atomic<int> received = 0;

  void play(const engine_maker& make, player& other, int rounds, bool first) {
    engine = make(
        {.submission_entries = 8, .completion_entries = 16, .buffer_count = 8, .buffer_size = 64});
    published = engine.get();
    while (other.published == nullptr) std::this_thread::yield();
    for (int round = 1; round <= rounds; ++round) {
      if (first) serve(other);
      while (received < round) turn(*engine, never);
      if (!first) serve(other);
    }
    published = nullptr;
    while (other.published != nullptr) std::this_thread::yield();
  }
  static void serve(player& other) {
    ++other.received;
    other.published.load()->wake();
  }
};

}  // namespace

// Two seconds per engine, because the window is a few instructions wide. The fallback levels of
// uring do not differ here.
TEST_CASE("a hundred thousand wakes between two threads are not lost") {
  for_each_kernel_engine([](const engine_maker& make) {
    const int rounds = make.is_rung() ? 1000 : sanitized ? 10'000 : 100'000;
    player one, two;
    std::thread other([&] { two.play(make, one, rounds, false); });
    one.play(make, two, rounds, true);
    other.join();
    CHECK(one.received == rounds);
    CHECK(two.received == rounds);
  });
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("conformance: posted work");

namespace {

// Counts, for each posting thread, whether its work runs in the order of its posts.
struct numbered : posted_work {
  int number = 0;
  int* expected = nullptr;
  int* out_of_order = nullptr;

  static void check(posted_work& self) noexcept {
    auto& me = static_cast<numbered&>(self);
    if (me.number != (*me.expected)++) ++*me.out_of_order;
  }
};

}  // namespace

TEST_CASE("a hundred thousand posts from four threads all run, each thread's in order") {
  constexpr std::size_t threads = 4;
  for_each_kernel_engine([](const engine_maker& make) {
    const std::size_t each = sanitized ? 2500 : 25'000;
    const auto engine = make();
    std::array<int, threads> expected{};
    int out_of_order = 0;
    std::vector<std::vector<numbered>> work(threads);
    std::vector<std::thread> posters;
    for (std::size_t poster = 0; poster < threads; ++poster) {
      work[poster].resize(each);
      for (int number = 0; numbered & one : work[poster]) {
        one.number = number++;
        one.expected = &expected[poster];
        one.out_of_order = &out_of_order;
        one.run = &numbered::check;
      }
      posters.emplace_back([&mine = work[poster], &engine] {
        for (numbered& one : mine) engine->post(one);
      });
    }
    std::size_t ran = engine->run_posted();
    while (ran < threads * each) {
      turn(*engine, never);
      ran += engine->run_posted();
    }
    for (std::thread& poster : posters) poster.join();
    CHECK(ran == threads * each);
    CHECK(out_of_order == 0);
  });
}

// The poster used to access the engine once more after the work could have run. The window is
// small, hence the many rounds.
TEST_CASE("an engine may be destroyed as soon as the posted work has run") {
  struct flagged : posted_work {
    std::atomic<bool> ran = false;
  };
  for_each_kernel_engine([](const engine_maker& make) {
    const int rounds = make.is_rung() ? 10 : 100;
    for (int round = 0; round < rounds; ++round) {
      auto engine = make({.submission_entries = 8,
                          .completion_entries = 16,
                          .buffer_count = 8,
                          .buffer_size = 64});
      flagged work;
      work.run = [](posted_work& self) noexcept { static_cast<flagged&>(self).ran = true; };
      std::thread poster([&engine = *engine, &work] { engine.post(work); });
      while (!work.ran) {
        if (round % 2 == 0) turn(*engine, never);
        engine->run_posted();
      }
      engine.reset();
      poster.join();
    }
  });
}

TEST_CASE("completions and posted work do not delay each other") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const fd_pair pair = socket_pair();
    std::array<std::byte, 1> memory{};
    watched op(opcode::recv, pair.near.get(), std::span<std::byte>(memory));
    std::atomic<int> ran = 0;
    struct counted : posted_work {
      std::atomic<int>* count = nullptr;
    };
    constexpr int rounds = 1000;
    std::vector<counted> work(rounds);
    std::thread other([&] {
      for (counted& one : work) {
        one.count = &ran;
        one.run = [](posted_work& self) noexcept { ++*static_cast<counted&>(self).count; };
        put(pair.far, "x");
        engine->post(one);
      }
    });
    std::size_t received = 0;
    while (received < rounds || ran < rounds) {
      if (!op.in_flight() && received < rounds) engine->start(op);
      turn(*engine, never);
      engine->run_posted();
      received += op.seen.size();
      op.seen.clear();
    }
    other.join();
    CHECK(engine->in_flight() == 0);
  });
}

TEST_SUITE_END();
