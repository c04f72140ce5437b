// dump: the text that answers "what is each fiber waiting for?".
//
// Method: fibers are brought into a state, and the lines about them are compared as a whole, except
// for the names of files and functions, which compilers print differently. The scripted engine's
// clock makes times exact.
// SPDX-License-Identifier: MIT
#include <ringlet/dump.hpp>
#include <ringlet/greenlet.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/run.hpp>
#include <ringlet/scheduler_handle.hpp>
#include <ringlet/shield.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task_group.hpp>
#include <ringlet/with_timeout.hpp>

#include <doctest/doctest.h>

#include <csignal>
#include <source_location>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "sched/scripted_run.hpp"
#include "support/aborts.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

std::uint32_t line(std::source_location where = std::source_location::current()) {
  return where.line();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string next; std::getline(in, next);) lines.push_back(next);
  return lines;
}

// The lines about the fiber with that identity, the first of which begins with "fiber ID".
std::vector<std::string> about(std::uint64_t id, const std::string& text) {
  std::vector<std::string> found;
  const std::string heading = "fiber " + std::to_string(id);
  for (const std::string& each : lines_of(text)) {
    const bool is_heading = each.starts_with("fiber ");
    if (is_heading && !found.empty()) break;
    if (!found.empty() || each.starts_with(heading + ":") || each.starts_with(heading + " ")) {
      found.push_back(each);
    }
  }
  return found;
}

std::string heading_of(std::uint64_t id, const std::string& text) {
  const auto found = about(id, text);
  return found.empty() ? "not listed" : found.front();
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

std::uint32_t inner_line = 0;
std::uint32_t middle_line = 0;
std::uint32_t outer_line = 0;

task<> innermost_call() {
  inner_line = line() + 1;
  co_await sleep(1h);
}

task<int> middle_call() {
  middle_line = line() + 1;
  co_await innermost_call();
  co_return 1;
}

task<> outermost_call() {
  outer_line = line() + 1;
  co_await middle_call();
}

task<> innermost_yield() { co_await yield(); }

task<> go_deep(int depth) {
  if (depth == 0) co_await sleep(1h);
  if (depth > 0) co_await go_deep(depth - 1);
}

}  // namespace

TEST_SUITE_BEGIN("dump");

TEST_CASE(
    "the first line of a dump has the scheduler's name, its engine and the number of fibers") {
  const auto first_line = [](options settings) {
    std::string text;
    const auto main = [&]() -> task<> {
      const auto other = spawn([]() -> task<> { co_return; });
      text = dump();
      co_return;
    };
    scripted_engine engine;
    run_on(engine, main(), std::move(settings));
    return lines_of(text).front();
  };
  CHECK(first_line({}) == "scheduler: scripted, 2 fibers");
  CHECK(first_line({.name = "front"}) == "scheduler front: scripted, 2 fibers");
}

TEST_CASE("the time of a wait counts from the start of its turn, and is never below zero") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto sleeper = spawn([]() -> task<> { co_await sleep(1h); });
    engine.advance(600'000);  // this fiber computes before the wait begins, and after it
    co_await yield();
    CHECK(heading_of(sleeper.id(), dump()) == "fiber 2: sleep, for 0.001 s, 3600.000 s left");
    CHECK_FALSE(contains(dump(), "for -"));
    engine.advance(5'000'000);
    CHECK(heading_of(sleeper.id(), dump()) == "fiber 2: sleep, for 0.006 s, 3599.995 s left");
    co_await sleep(0s);  // the next turn
    const auto late = spawn([]() -> task<> { co_await sleep(1h); });
    co_await yield();
    CHECK(heading_of(late.id(), dump()) == "fiber 3: sleep, for 0.000 s, 3600.000 s left");
    CHECK_FALSE(contains(dump(), "for -"));
  };
  run_on(engine, main());
}

TEST_CASE("each kind of wait shows what it waits for and since when") {
  scripted_engine engine;
  const auto main = [&]() -> task<> {
    const auto sleeper = spawn([]() -> task<> { co_await sleep(1h); });
    sleeper.set_name("dreamer");
    const auto joiner = spawn([=]() -> task<> { co_await sleeper.join(); });
    const auto getter = spawn([=]() -> task<> { co_await joiner.get(1h); });
    const auto reader = spawn([]() -> task<> { co_await probe(9); });
    co_await sleep(500ms);
    const auto late = spawn([]() -> task<> { co_await sleep_until({}); });
    const std::string before = dump();
    co_await sleep(1250ms);
    const std::string text = dump();
    CHECK(heading_of(1, text) == "fiber 1: running");
    CHECK(heading_of(2, text) == "fiber 2 \"dreamer\": sleep, for 1.750 s, 3598.250 s left");
    CHECK(heading_of(3, text) == "fiber 3: join fiber 2 \"dreamer\", for 1.750 s");
    CHECK(heading_of(4, text) == "fiber 4: join fiber 3, for 1.750 s, 3598.250 s left");
    CHECK(heading_of(5, text) == "fiber 5: probe fd 9, for 1.750 s");
    CHECK(heading_of(6, text) == "not listed");  // it has ended
    CHECK(heading_of(2, before) == "fiber 2 \"dreamer\": sleep, for 0.500 s, 3599.500 s left");
    CHECK(heading_of(6, before) == "fiber 6: ready to run");  // it has not begun
    co_return;
  };
  run_on(engine, main());
}

TEST_CASE("limits around a fiber's calls are shown with the time left") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto sleeps = []() -> task<> { co_await sleep(1h); };
    const auto naps = []() -> task<> { co_await sleep(4s); };
    spawn([=]() -> task<> { co_await with_timeout(10s, sleeps()); });
    spawn([=]() -> task<> { co_await timeout_or(11s, middle_call(), 0); });
    spawn([=]() -> task<> { co_await move_on_after(12s, with_timeout(20s, sleeps())); });
    spawn([=]() -> task<> { co_await with_timeout(20s, with_timeout(13s, sleeps())); });
    spawn([=]() -> task<> { co_await with_timeout(forever, sleeps()); });
    spawn([=]() -> task<> { co_await shield(14s, naps()); });
    // A limit outside a shield is held back.
    spawn([=]() -> task<> { co_await with_timeout(3s, shield(15s, naps())); });
    spawn([=]() -> task<> { co_await shield(20s, with_timeout(16s, naps())); });
    co_await sleep(1s);
    const std::string text = dump();
    const std::string asleep = "sleep, for 1.000 s, 3599.000 s left";
    const std::string napping = "sleep, for 1.000 s, 3.000 s left";
    const auto expect = [&](int id, const std::string& what) {
      CHECK(heading_of(static_cast<std::uint64_t>(id), text) ==
            "fiber " + std::to_string(id) + ": " + what);
    };
    expect(2, asleep + ", within a limit with 9.000 s left");
    expect(3, asleep + ", within a limit with 10.000 s left");
    expect(4, asleep + ", within a limit with 11.000 s left");
    expect(5, asleep + ", within a limit with 12.000 s left");
    expect(6, asleep);
    expect(7, napping + ", in a shield with 13.000 s left");
    expect(8, napping + ", in a shield with 14.000 s left");
    expect(9, napping + ", within a limit with 15.000 s left, in a shield with 19.000 s left");
  };
  run_on(engine, main());
}

TEST_CASE("a limit around a group is shown for its fibers, and for those of inner groups") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto sleeps = []() -> task<> { co_await sleep(1h); };
    const auto inner = [&](task_group& group) -> task<> {
      group.spawn(sleeps);
      co_return;
    };
    const auto body = [&](task_group& group) -> task<> {
      group.spawn(sleeps);
      group.spawn([&]() -> task<> { co_await with_group(inner); });
      group.spawn([&]() -> task<> { co_await with_timeout(6s, sleeps()); });
      group.spawn([&]() -> task<> { co_await shield(5s, sleeps()); });
      co_await with_timeout(3s, sleeps());  // a limit inside the group
    };
    spawn([&]() -> task<> { co_await with_timeout(10s, with_group(body)); });
    spawn([&]() -> task<> { co_await with_group(inner); });
    co_await sleep(1s);
    const std::string text = dump();
    const auto limit_of = [&](std::uint64_t id) {
      const std::string heading = heading_of(id, text);
      const std::size_t found = heading.find("left, ");
      return found != heading.npos ? heading.substr(found + 6) : "none";
    };
    CHECK(limit_of(2) == "within a limit with 2.000 s left");
    CHECK(limit_of(4) == "within a limit with 9.000 s left");
    CHECK(contains(heading_of(5, text), "for 1.000 s, within a limit with 9.000 s left"));
    CHECK(limit_of(6) == "within a limit with 5.000 s left");
    CHECK(limit_of(7) == "in a shield with 4.000 s left");
    CHECK(limit_of(9) == "within a limit with 9.000 s left");
    CHECK(limit_of(8) == "none");
  };
  run_on(engine, main());
}

TEST_CASE("a fiber of a group in a suspended greenlet shows the limits that its starter has now") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto starter = []() -> task<> {
      const auto sleeps = []() -> task<> { co_await sleep(1h); };
      const auto body = [&](task_group& group) -> task<> {
        group.spawn(sleeps);
        co_await greenlet<>::current().parent().switch_to();
      };
      const greenlet<> inner([&]() -> task<> { co_await with_group(body); });
      const auto enter = [&]() -> task<> { co_await inner.switch_to(); };
      co_await with_timeout(5s, enter());  // encloses the greenlet's scopes, and ends before them
      co_await with_timeout(10s, sleeps());
    };
    spawn(starter);
    co_await sleep(1s);
    CHECK(contains(heading_of(3, dump()), "within a limit with 9.000 s left"));
  };
  run_on(engine, main());
}

TEST_CASE("a running fiber shows its limit, and fibers with and without a limit are two entries") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto shows = []() -> task<std::string> { co_return dump(); };
    CHECK(heading_of(1, co_await with_timeout(2s, shows())) ==
          "fiber 1: running, within a limit with 2.000 s left");
    const auto in_time = [](time_limit timeout) -> task<> {
      co_await with_timeout(timeout, go_deep(0));
    };
    for (int i = 0; i < 8; ++i)
      spawn(in_time, i < 4 ? time_limit(forever) : time_limit(1s * (i + 1)));
    co_await yield();
    const std::string text = dump();
    CHECK(contains(text, "4 fibers (2, 3, 4, 5): sleep, for 0.000 s, 3600.000 s left\n"));
    CHECK(contains(text,
                   "4 fibers (6, 7, 8, 9): sleep, for 0.000 s, 3600.000 s left, "
                   "within a limit with 5.000 to 8.000 s left\n"));
  };
  run_on(engine, main());
}

TEST_CASE("a woken fiber is shown as ready, and a yielding fiber as yielding") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto woken = spawn([]() -> task<> {
      try {
        co_await sleep(1h);
      } catch (const cancelled&) {
      }
    });
    const auto yielding = spawn([]() -> task<> { co_await yield(); });
    co_await yield();
    woken.request_kill();
    const std::string text = dump();
    CHECK(contains(heading_of(2, text), "fiber 2: ready to run"));
    CHECK(contains(heading_of(3, text), "fiber 3: yield"));
  };
  run_on(engine, main());
}

TEST_CASE("dump says where a fiber was spawned, and by which fiber") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    std::uint32_t grandchild_line = 0;
    const std::uint32_t child_line = line() + 1;
    const auto child = spawn([&]() -> task<> {
      grandchild_line = line() + 1;
      spawn([]() -> task<> { co_await sleep(1h); });
      co_await sleep(1h);
    });
    co_await yield();
    const std::string text = dump();
    const std::string of_child = about(2, text).at(1);
    CHECK(of_child.starts_with("    spawned at "));
    CHECK(of_child.ends_with("dump_test.cpp:" + std::to_string(child_line) + " by fiber 1"));
    const std::string of_grandchild = about(3, text).at(1);
    CHECK(of_grandchild.ends_with("dump_test.cpp:" + std::to_string(grandchild_line) +
                                  " by fiber 2"));
    const std::string of_main = about(1, text).at(1);
    CHECK(of_main.starts_with("    spawned at "));
    CHECK_FALSE(contains(of_main, " by fiber"));
  };
  run_on(engine, main());
}

TEST_CASE("the main fiber's spawn site is the call of run") {
  std::string text;
  const auto main = [&]() -> task<> {
    text = dump();
    co_return;
  };
  const std::uint32_t run_line = line() + 1;
  run(main());
  CHECK(about(1, text).at(1).ends_with("dump_test.cpp:" + std::to_string(run_line)));
}

TEST_CASE("dump prints the chain of awaits, innermost first, with file, line and function") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto waiting = spawn(outermost_call);
    co_await yield();
    const auto lines = about(2, dump());
    REQUIRE(lines.size() == 5);
    const auto expect = [&](std::size_t index, std::uint32_t where, std::string_view function) {
      CAPTURE(lines[index]);
      CHECK(lines[index].starts_with("    at "));
      CHECK(contains(lines[index], "dump_test.cpp:" + std::to_string(where) + " in "));
      CHECK(contains(lines[index], function));
    };
    expect(2, inner_line, "innermost_call");
    expect(3, middle_line, "middle_call");
    expect(4, outer_line, "outermost_call");
    CHECK(inner_line != 0);
  };
  run_on(engine, main());
}

TEST_CASE("the await site of a fiber changes as the fiber continues") {
  scripted_engine engine;
  std::uint32_t first = 0;
  std::uint32_t second = 0;
  const auto main = [&]() -> task<> {
    spawn([&]() -> task<> {
      first = line() + 1;
      co_await sleep(1ms);
      second = line() + 1;
      co_await sleep(1h);
    });
    co_await yield();
    CHECK(contains(about(2, dump()).at(2), ":" + std::to_string(first) + " in "));
    co_await sleep(2ms);
    CHECK(contains(about(2, dump()).at(2), ":" + std::to_string(second) + " in "));
  };
  run_on(engine, main());
}

TEST_CASE("a function has the name that it has in the source, with every compiler") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto waiting = spawn(outermost_call);
    co_await yield();
    const std::string text = dump();
    CHECK(contains(text, "outermost_call("));
    CHECK_FALSE(contains(text, "Frame*"));
    CHECK_FALSE(contains(text, "::_Z"));
    co_return;
  };
  run_on(engine, main());
}

TEST_CASE("the running fiber and fibers that have not begun have no await chain") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto waiting = spawn(outermost_call);
    const std::string text = dump();
    CHECK(about(1, text).size() == 2);
    CHECK(about(2, text).size() == 2);
    co_return;
  };
  run_on(engine, main());
}

TEST_CASE("waits inside library calls show the caller, not the library's headers") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto target = spawn([]() -> task<> { co_await sleep(1h); });
    const auto waiting = spawn([=]() -> task<> { co_await with_timeout(1h, joinall(target)); });
    co_await yield();
    const auto lines = about(3, dump());
    REQUIRE(lines.size() == 3);  // without joinall, with_timeout and the lambda's wrapper
    CHECK(contains(lines[0], "join fiber 2"));
    CHECK(contains(lines[2], "dump_test.cpp:"));
  };
  run_on(engine, main());
}

TEST_CASE("a dump omits the sources of every component of the library") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const std::vector<fiber<>> targets(1, spawn([]() -> task<> { co_await sleep(1h); }));
    const auto waiting = spawn([&]() -> task<> { co_await wait_some(targets, 1); });
    co_await yield();
    const std::string all = dump();
    CHECK(contains(all, "join one of"));
    CHECK(contains(all, "dump_test.cpp:"));
    CHECK_FALSE(contains(all, "joinall.cpp"));
    CHECK_FALSE(contains(all, "joining.hpp"));
  };
  run_on(engine, main());
}

TEST_CASE("a chain that lies entirely in the library is shown unchanged") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto target = spawn([]() -> task<> { co_await sleep(1h); });
    const auto waiting = spawn(joinall(target));
    co_await yield();
    const auto lines = about(3, dump());
    REQUIRE(lines.size() == 3);
    CHECK(contains(lines[2], "joining.hpp:"));
  };
  run_on(engine, main());
}

TEST_CASE("unnamed fibers that do the same are one entry with a count") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto sleep_for = [](std::chrono::seconds time) -> task<> { co_await sleep(time); };
    fiber<> last;
    for (int i = 0; i < 7; ++i) last = spawn(sleep_for, std::chrono::seconds(10 + i));
    last.set_name("last");
    co_await sleep(1s);
    const auto lines = lines_of(dump());
    CHECK(lines[0] == "scheduler: scripted, 8 fibers");
    CHECK(lines[3] == "6 fibers (2, 3, 4, 5, 6, ...): sleep, for 1.000 s, 9.000 to 14.000 s left");
    CHECK(lines[6] == "fiber 8 \"last\": sleep, for 1.000 s, 15.000 s left");
    CHECK(lines.size() == 9);
  };
  run_on(engine, main());
}

TEST_CASE("up to three fibers that wait for different objects are listed apart, and more are not") {
  for (const int count : {3, 4}) {
    scripted_engine engine;
    const auto main = [&]() -> task<> {
      const auto read = [](int fd) -> task<> { co_await probe(fd); };
      for (int i = 0; i < count; ++i) spawn(read, 10 + i);
      co_await yield();
      const std::string text = dump();
      CHECK(contains(text, "fiber 3: probe fd 11, for ") == (count == 3));
      CHECK(contains(text, "4 fibers (2, 3, 4, 5): probe fd 10 and others, for ") == (count == 4));
    };
    run_on(engine, main());
  }
}

TEST_CASE("a dump has a hundred entries unless more are requested") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    for (int i = 0; i < 150; ++i) {
      spawn([]() -> task<> { co_await sleep(1h); }).set_name("n" + std::to_string(i));
    }
    co_await yield();
    const auto headings = [](const std::string& text) {
      std::size_t found = 0;
      for (const std::string& each : lines_of(text)) found += each.starts_with("fiber ");
      return found;
    };
    const std::string usual = dump();
    CHECK(headings(usual) == 100);
    CHECK(lines_of(usual)[0] == "scheduler: scripted, 151 fibers, the first 100 of 151 entries");
    const std::string all = dump(dump_options{.entries_max = 151});
    CHECK(headings(all) == 151);
    CHECK(lines_of(all)[0] == "scheduler: scripted, 151 fibers");
    CHECK(headings(dump(dump_options{.entries_max = 2})) == 2);
    co_return;
  };
  run_on(engine, main());
}

TEST_CASE(
    "ringlet_dump prints what dump returns to standard error, or that there is no scheduler") {
  const child_end inside = run_in_child([] {
    const auto main = []() -> task<> {
      ringlet_dump();
      co_return;
    };
    scripted_engine engine;
    run_on(engine, main());
  });
  CHECK(inside.errors.starts_with("scheduler: scripted, 1 fiber\nfiber 1: running\n"));
  const child_end outside = run_in_child([] { ringlet_dump(); });
  CHECK(outside.errors == "ringlet: no scheduler runs on this thread; select another one\n");
}

TEST_CASE("ringlet_dump does not end a program whose standard error is not read") {
  const child_end unread = run_in_child([] {
    lose_the_reader_of_errors();
    ringlet_dump();
    const auto main = []() -> task<> {
      ringlet_dump();
      co_return;
    };
    scripted_engine engine;
    run_on(engine, main());
  });
  CHECK(unread.signal == 0);
  CHECK(unread.status == 0);
}

TEST_CASE("a broken rule names the running fiber and its caller's await site") {
  const std::uint32_t first = line();
  const auto breaking = []() -> task<> {
    co_await innermost_yield();
    RINGLET_ASSERT(false, "two and two are five");
  };
  const auto reader = [&](int) -> task<> { co_await breaking(); };
  const auto returned = [&](int) -> task<> {
    co_await innermost_yield();
    RINGLET_ASSERT(false, "two and two are six");
  };
  const auto said = [](auto body) {
    const child_end end = run_in_child([&] {
      const auto main = [&]() -> task<> {
        const auto broken = spawn(body, 1);
        broken.set_name("reader");
        co_await broken.join();
      };
      scripted_engine engine;
      run_on(engine, main());
    });
    CHECK(end.signal == SIGABRT);
    return end.errors;
  };
  // The innermost call that was suspended and has not returned; never a call of the library.
  const std::string nested = said(reader);
  CAPTURE(nested);
  CHECK(contains(nested, "two and two are five (in fiber 2 \"reader\", at "));
  CHECK(contains(nested, "dump_test.cpp:" + std::to_string(first + 2) + ") ("));
  const std::string flat = said(returned);
  CAPTURE(flat);
  CHECK(contains(flat, "two and two are six (in fiber 2 \"reader\", at "));
  CHECK(contains(flat, "dump_test.cpp:" + std::to_string(first + 7) + ") ("));
}

TEST_CASE("a broken rule outside of run names no fiber, even after a run") {
  const child_end end = run_in_child([] {
    const auto main = []() -> task<> { co_return; };
    scripted_engine engine;
    run_on(engine, main());
    RINGLET_ASSERT(false, "never");
  });
  CHECK(contains(end.errors, "ringlet: never ("));
  CHECK_FALSE(contains(end.errors, "in fiber"));
}

TEST_CASE("await chains of any depth are printed") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    const auto deep = spawn(go_deep, 5000);
    co_await yield();
    const auto lines = about(2, dump());
    CHECK(lines.size() == 2 + 5001);
  };
  run_on(engine, main());
}

TEST_CASE("fibers are listed oldest first") {
  scripted_engine engine;
  const auto main = []() -> task<> {
    for (int i = 0; i < 5; ++i) spawn([]() -> task<> { co_await sleep(1h); }).set_name("one");
    co_await yield();
    std::string order;
    for (const std::string& each : lines_of(dump())) {
      if (each.starts_with("fiber ")) order += each.at(6);
    }
    CHECK(order == "123456");
  };
  run_on(engine, main());
}

TEST_CASE("dump works between fibers, when no fiber is running") {
  std::string text;
  const auto main = [&]() -> task<> {
    const scheduler_handle here;
    const auto waiting = spawn([&]() -> task<> { co_await sleep(1h); });
    static_cast<void>(here.post([&] {
      text = dump();
      waiting.request_kill();
    }));
    co_await waiting.join();
  };
  run(main());
  CHECK(contains(heading_of(1, text), "fiber 1: join fiber 2"));
  CHECK(contains(heading_of(2, text), "fiber 2: sleep"));
}

TEST_CASE("dump outside of run aborts") {
  CHECK(aborts_with("a call that needs a scheduler was made outside of run()", [] { dump(); }));
}

TEST_SUITE_END();
