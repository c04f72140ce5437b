// How the uring engine sleeps, what ends its sleep, and what it asks the kernel for: nothing, when
// there is nothing to do.
//
// Method: no case waits for time to pass, but for the two that test a deadline of a millisecond.
// Where threads meet, every order of their steps must end the same way.
#include <ringlet/engine.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <csignal>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "support/faulty_enter.hpp"
#include "support/sanitized.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::test;

TEST_SUITE_BEGIN("uring: sleep");

namespace {

constexpr steady_ns millisecond = 1'000'000;

std::uint64_t calls(const engine& carrier) { return carrier.statistics().system_calls; }

engine* signalled = nullptr;
void wake_signalled(int) {
  if (signalled != nullptr) signalled->wake();
}

// Handles SIGUSR1 while it lives; sleeping system calls are not restarted.
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

}  // namespace

TEST_CASE("a limit that has passed does not sleep") {
  const auto engine = make_uring_engine();
  CHECK(turn(*engine, 0) == 0);
  CHECK(turn(*engine, 1) == 0);
  CHECK(turn(*engine, engine->now()) == 0);
}

TEST_CASE("without completions it sleeps until the limit, and not less") {
  const auto engine = make_uring_engine();
  const steady_ns limit = engine->now() + millisecond;
  CHECK(turn(*engine, limit) == 0);
  CHECK(engine->now() >= limit);
}

TEST_CASE("a completion ends the sleep, however far away the limit") {
  const auto engine = make_uring_engine();
  for (const steady_ns limit : {never, never - 1, never / 2, engine->now() + 1000 * millisecond}) {
    watched op;
    engine->start(op);
    CHECK(turn(*engine, limit) == 1);
  }
}

TEST_CASE("a wake before the sleep is not lost, and wakes once") {
  const auto engine = make_uring_engine();
  engine->wake();
  CHECK(turn(*engine, never) == 0);
  const steady_ns limit = engine->now() + millisecond;
  CHECK(turn(*engine, limit) == 0);
  CHECK(engine->now() >= limit);
}

TEST_CASE("a wake of an engine that does not sleep costs no system call") {
  const auto engine = make_uring_engine();
  const std::uint64_t before = calls(*engine);
  for (int i = 0; i < 1000; ++i) engine->wake();
  CHECK(calls(*engine) == before);
  CHECK(turn(*engine, never) == 0);
  CHECK(engine->statistics().wakes == 0);
}

TEST_CASE("a wake from another thread ends the sleep") {
  const auto engine = make_uring_engine();
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
}

TEST_CASE("a signal handler may wake") {
  const auto engine = make_uring_engine();
  signalled = engine.get();
  {
    const signal_handler handler(wake_signalled);
    std::raise(SIGUSR1);
    CHECK(turn(*engine, never) == 0);
  }
  signalled = nullptr;
}

TEST_CASE("a signal ends the sleep early") {
  const signal_handler handler([](int) {});
  const auto engine = make_uring_engine();
  std::atomic<bool> returned = false;
  const pthread_t sleeper = ::pthread_self();
  // Again and again: a signal that comes before the sleep does not end it.
  std::thread other([&] {
    while (!returned) {
      ::pthread_kill(sleeper, SIGUSR1);
      std::this_thread::yield();
    }
  });
  CHECK(turn(*engine, never) == 0);
  returned = true;
  other.join();
}

TEST_CASE("posted work ends the sleep, before it or in it") {
  struct work : posted_work {
    std::atomic<bool> ran = false;
  };
  const auto engine = make_uring_engine();
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
}

namespace {

// Two threads, each with an engine, that wake each other in turn: a wake that is lost is a hang.
struct player {
  std::unique_ptr<engine> carrier;
  std::atomic<engine*> published = nullptr;
  std::atomic<int> received = 0;

  void play(player& other, int rounds, bool first) {
    carrier = make_uring_engine(
        {.submission_entries = 8, .completion_entries = 16, .buffer_count = 8, .buffer_size = 64});
    published = carrier.get();
    while (other.published == nullptr) std::this_thread::yield();
    for (int round = 1; round <= rounds; ++round) {
      if (first) serve(other);
      while (received < round) turn(*carrier, never);
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

// One second or two: what is tested is a window of a few instructions.
TEST_CASE("a hundred thousand wakes between two threads, none of them lost") {
  const int rounds = sanitized ? 20'000 : 100'000;
  player one, two;
  std::thread other([&] { two.play(one, rounds, false); });
  one.play(two, rounds, true);
  other.join();
  CHECK(one.received == rounds);
  CHECK(two.received == rounds);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("uring: system calls");

TEST_CASE("with nothing to submit and nothing to reap there is no system call") {
  const auto engine = make_uring_engine();
  const fd_pair pair = socket_pair();
  std::array<std::byte, 1> memory{};
  watched op(opcode::recv, pair.near.get(), std::span<std::byte>(memory));
  engine->start(op);
  turn(*engine);
  const std::uint64_t before = calls(*engine);
  {
    const faulty_enter counter([](const enter_call&) { return 0; });
    for (int i = 0; i < 1000; ++i) CHECK(turn(*engine) == 0);
    CHECK(counter.calls() == 0);
  }
  CHECK(calls(*engine) == before);
  put(pair.far, "x");
  finish(*engine, op);
}

TEST_CASE("one turn submits and reaps with one system call, and counts it") {
  const auto engine = make_uring_engine();
  std::array<watched, 5> ops;
  const std::uint64_t before = calls(*engine);
  const faulty_enter counter([](const enter_call&) { return 0; });
  for (watched& op : ops) engine->start(op);
  CHECK(calls(*engine) == before);
  CHECK(turn(*engine) == ops.size());
  CHECK(calls(*engine) == before + 1);
  CHECK(counter.calls() == 1);
  for (watched& op : ops) CHECK(op.done());
}

TEST_CASE("the batch limits what a wait takes out; the rest costs no further system call") {
  const auto engine = make_uring_engine();
  std::array<watched, 5> ops;
  for (watched& op : ops) engine->start(op);
  CHECK(turn(*engine, 0, 2) == 2);
  const std::uint64_t before = calls(*engine);
  CHECK(turn(*engine, never, 2) == 2);
  CHECK(turn(*engine, never, 2) == 1);
  CHECK(calls(*engine) == before);
}

TEST_CASE("an engine and its ring leave no descriptor behind, and pass none on to programs") {
  const std::size_t before = count_open_descriptors();
  for (int i = 0; i < 3; ++i) {
    const auto engine = make_uring_engine();
    CHECK(count_open_descriptors() > before);
    watched op;
    engine->start(op);
    finish(*engine, op);
  }
  CHECK(count_open_descriptors() == before);
}

TEST_CASE("the clock is steady, and chance is not the same twice") {
  const auto engine = make_uring_engine();
  const steady_ns first = engine->now();
  CHECK(engine->now() >= first);
  std::set<std::uint64_t> numbers;
  for (int i = 0; i < 1000; ++i) numbers.insert(engine->random());
  CHECK(numbers.size() == 1000);
  const auto other = make_uring_engine();
  CHECK(numbers.count(other->random()) == 0);
}

TEST_CASE("its name says what it got") {
  const auto engine = make_uring_engine(
      {.submission_entries = 8, .completion_entries = 16, .buffer_count = 4, .buffer_size = 64});
  const std::string name = engine->name();
  CHECK(name.rfind("uring (8 submissions, 16 completions, 4 buffers", 0) == 0);
}

TEST_SUITE_END();
