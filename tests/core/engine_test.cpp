// What all engines have in common: posted work, wake-ups, and the count of what is in flight.
//
// Method: a scripted engine where one thread is enough, the uring engine where threads meet. What
// the uring engine does with the kernel is in uring_*_test.cpp.
#include <ringlet/engine.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/aborts.hpp"
#include "support/scripted_engine.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::test;

TEST_SUITE_BEGIN("engine");

namespace {

// Appends its letter to a text when it runs.
struct letter : posted_work {
  letter(std::string& to, char which) : text(to), name(which) {
    run = [](posted_work& self) noexcept {
      auto& me = static_cast<letter&>(self);
      me.text += me.name;
    };
  }
  std::string& text;
  char name;
};

}  // namespace

TEST_CASE("posted work runs first in, first out, when the engine's thread asks for it") {
  scripted_engine engine;
  std::string text;
  letter a(text, 'a'), b(text, 'b'), c(text, 'c');
  CHECK_FALSE(engine.has_posted());
  engine.post(a);
  engine.post(b);
  engine.post(c);
  CHECK(text.empty());
  CHECK(engine.has_posted());
  CHECK(engine.run_posted() == 3);
  CHECK(text == "abc");
  CHECK_FALSE(engine.has_posted());
  CHECK(engine.run_posted() == 0);
}

TEST_CASE("work may be posted again as soon as it has run") {
  scripted_engine engine;
  std::string text;
  letter a(text, 'a');
  for (int i = 0; i < 3; ++i) {
    engine.post(a);
    CHECK(engine.run_posted() == 1);
  }
  CHECK(text == "aaa");
}

TEST_CASE("work that is posted by work runs the next time") {
  scripted_engine engine;
  struct chained : posted_work {
    ringlet::engine* home = nullptr;
    posted_work* second = nullptr;
  };
  std::string text;
  letter b(text, 'b');
  chained first;
  first.home = &engine;
  first.second = &b;
  first.run = [](posted_work& self) noexcept {
    auto& me = static_cast<chained&>(self);
    me.home->post(*me.second);
  };
  engine.post(first);
  CHECK(engine.run_posted() == 1);
  CHECK(text.empty());
  CHECK(engine.run_posted() == 1);
  CHECK(text == "b");
}

TEST_CASE("work may end its own life when it runs") {
  struct suicidal : posted_work {
    explicit suicidal(int& to) : count(to) {
      run = [](posted_work& self) noexcept {
        auto* const me = static_cast<suicidal*>(&self);
        ++me->count;
        delete me;
      };
    }
    int& count;
  };
  scripted_engine engine;
  int count = 0;
  for (int i = 0; i < 3; ++i) engine.post(*new suicidal(count));
  CHECK(engine.run_posted() == 3);
  CHECK(count == 3);
}

TEST_CASE("a sleep does not begin while there is posted work or a wake-up") {
  scripted_engine engine;
  std::string text;
  letter a(text, 'a');
  engine.post(a);
  // It would end the test otherwise: nothing else could end this sleep.
  CHECK(turn(engine, never) == 0);
  engine.run_posted();
  engine.wake();
  engine.wake();
  CHECK(turn(engine, never) == 0);
  CHECK(engine.bells() == 0);
}

TEST_CASE("the bell rings once for a sleep, however many wake or post") {
  scripted_engine engine;
  std::string text;
  letter a(text, 'a'), b(text, 'b');
  engine.on_idle = [&] {
    engine.wake();
    engine.post(a);
    engine.wake();
    engine.post(b);
    return true;
  };
  CHECK(turn(engine, never) == 0);
  CHECK(engine.bells() == 1);
  CHECK(engine.run_posted() == 2);
}

TEST_CASE("the work of each thread keeps its order, and none is lost") {
  constexpr int threads = 4;
  constexpr int each = 2000;
  struct numbered : posted_work {
    int poster = 0;
    int number = 0;
    std::vector<int>* next = nullptr;
    int* out_of_order = nullptr;
  };
  const auto engine = make_uring_engine();
  std::vector<int> next(threads);
  int out_of_order = 0;
  std::vector<std::vector<numbered>> work(threads);
  std::vector<std::thread> posters;
  for (int poster = 0; poster < threads; ++poster) {
    auto& mine = work[static_cast<std::size_t>(poster)];
    mine.resize(each);
    for (int i = 0; i < each; ++i) {
      numbered& one = mine[static_cast<std::size_t>(i)];
      one.poster = poster;
      one.number = i;
      one.next = &next;
      one.out_of_order = &out_of_order;
      one.run = [](posted_work& self) noexcept {
        auto& me = static_cast<numbered&>(self);
        int& expected = (*me.next)[static_cast<std::size_t>(me.poster)];
        if (me.number != expected++) ++*me.out_of_order;
      };
    }
    posters.emplace_back([&mine, &engine] {
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
}

// The poster used to look at the engine once more after the work could have run. The window is
// small, so many rounds.
TEST_CASE("an engine may end as soon as the posted work has run") {
  struct flagged : posted_work {
    std::atomic<bool> ran = false;
  };
  for (int round = 0; round < 100; ++round) {
    auto engine = make_uring_engine(
        {.submission_entries = 8, .completion_entries = 16, .buffer_count = 8, .buffer_size = 64});
    flagged work;
    work.run = [](posted_work& self) noexcept { static_cast<flagged&>(self).ran = true; };
    std::thread poster([&carrier = *engine, &work] { carrier.post(work); });
    while (!work.ran) {
      if (round % 2 == 0) turn(*engine, never);
      engine->run_posted();
    }
    engine.reset();
    poster.join();
  }
}

TEST_CASE("an engine that ends before it has run what was posted aborts and says so") {
  CHECK(aborts_with("an engine ended before it had run what was posted", [] {
    std::string text;
    letter a(text, 'a');
    const auto engine = make_uring_engine();
    engine->post(a);
  }));
}

TEST_CASE("it counts what is in flight until the last completion is dispatched") {
  const auto engine = make_uring_engine();
  std::array<watched, 3> ops;
  CHECK(engine->in_flight() == 0);
  for (watched& op : ops) engine->start(op);
  CHECK(engine->in_flight() == 3);
  std::array<completion, 8> out;
  REQUIRE(engine->wait(never, out) == 3);
  CHECK(engine->in_flight() == 3);
  for (std::size_t i = 0; i < 3; ++i) engine->dispatch(out[i]);
  CHECK(engine->in_flight() == 0);

  CHECK(engine->statistics().completions == 3);
}

TEST_SUITE_END();
