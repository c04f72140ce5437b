// What all engines have in common: posted work, wake-ups, and the count of operations in flight.
//
// Method: a scripted engine, because one thread is enough. conformance_*_test.cpp tests several
// threads, and what engines do with the kernel.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>

#include <string>

#include "support/aborts.hpp"
#include "support/scripted_engine.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::extend;
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

TEST_CASE("posted work runs first in, first out, when the engine's thread calls run_posted") {
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

TEST_CASE("posted work may be posted again as soon as it has run") {
  scripted_engine engine;
  std::string text;
  letter a(text, 'a');
  for (int i = 0; i < 3; ++i) {
    engine.post(a);
    CHECK(engine.run_posted() == 1);
  }
  CHECK(text == "aaa");
}

TEST_CASE("work posted by posted work runs at the next call of run_posted") {
  scripted_engine engine;
  struct chained : posted_work {
    ringlet::extend::engine* owner = nullptr;
    posted_work* second = nullptr;
  };
  std::string text;
  letter b(text, 'b');
  chained first;
  first.owner = &engine;
  first.second = &b;
  first.run = [](posted_work& self) noexcept {
    auto& me = static_cast<chained&>(self);
    me.owner->post(*me.second);
  };
  engine.post(first);
  CHECK(engine.run_posted() == 1);
  CHECK(text.empty());
  CHECK(engine.run_posted() == 1);
  CHECK(text == "b");
}

TEST_CASE("run_posted runs no more than requested, and the rest before anything posted later") {
  scripted_engine engine;
  std::string text;
  letter a(text, 'a'), b(text, 'b'), c(text, 'c'), d(text, 'd');
  engine.post(a);
  engine.post(b);
  engine.post(c);
  CHECK(engine.run_posted(2) == 2);
  CHECK(text == "ab");
  CHECK(engine.has_posted());
  engine.post(d);
  CHECK(engine.run_posted(2) == 1);
  CHECK(engine.run_posted(2) == 1);
  CHECK(text == "abcd");
  CHECK_FALSE(engine.has_posted());
}

TEST_CASE("a sleep does not begin while posted work has not run") {
  scripted_engine engine;
  std::string text;
  letter a(text, 'a'), b(text, 'b');
  engine.post(a);
  engine.post(b);
  CHECK(engine.run_posted(1) == 1);
  // Otherwise the test would end here: nothing else could end this sleep.
  CHECK(turn(engine, never) == 0);
  CHECK(engine.run_posted() == 1);
}

TEST_CASE("posted work may destroy itself when it runs") {
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

TEST_CASE("a sleep does not begin while posted work or a wake-up is pending") {
  scripted_engine engine;
  std::string text;
  letter a(text, 'a');
  engine.post(a);
  // Otherwise the test would end here: nothing else could end this sleep.
  CHECK(turn(engine, never) == 0);
  engine.run_posted();
  engine.wake();
  engine.wake();
  CHECK(turn(engine, never) == 0);
  CHECK(engine.notifications() == 0);
}

TEST_CASE("a sleep is woken by one signal, for any number of wakes and posts") {
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
  CHECK(engine.notifications() == 1);
  CHECK(engine.run_posted() == 2);
}

TEST_CASE("an engine destroyed before it has run posted work aborts and says so") {
  CHECK(aborts_with("an engine ended before it had run what was posted", [] {
    std::string text;
    letter a(text, 'a');
    scripted_engine engine;
    engine.post(a);
  }));
}

TEST_SUITE_END();
