// The examples in the headers of sched do what their comments say. Method: as in core.cpp. They run
// on the scripted engine, whose clock does not wait.
// SPDX-License-Identifier: MIT
#include <ringlet/any_fiber.hpp>
#include <ringlet/buffer.hpp>
#include <ringlet/event.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <concepts>
#include <csignal>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "sched/scripted_run.hpp"
#include "support/scripted_engine.hpp"

using namespace ringlet;
using namespace std::chrono_literals;
using ringlet::test::scripted_engine;

/// What several examples use.
namespace shared {

std::string shown;
void show(const std::string& text) { shown += text + "\n"; }
void show(std::integral auto number) { show(std::to_string(number)); }
void show(const std::string& text, int number) { show(text + " " + std::to_string(number)); }
std::string take_shown() { return std::exchange(shown, {}); }

using job = int;

task<> tick() {
  show("tick");
  co_return;
}
/// Takes that many milliseconds.
task<int> fetch(int time) {
  co_await sleep(std::chrono::milliseconds(time));
  co_return time;
}

}  // namespace shared

// scheduler

namespace around_deadlock {

task<> serve() {
  event never;
  co_await never.wait();
}
void log(const std::string& text) { shared::show(text); }

}  // namespace around_deadlock

namespace around_dump {
void log(const std::string& text) { shared::show(text); }
}  // namespace around_dump

namespace around_fiber {

using shared::show;
task<int> sum_of(std::vector<int> numbers, int remainder) {
  int sum = 0;
  for (const int number : numbers) sum += number % 2 == remainder ? number : 0;
  co_return sum;
}

}  // namespace around_fiber

namespace around_now {
task<int> fetch() { return shared::fetch(1); }
}  // namespace around_now

namespace around_options {

int failures = 0;
task<> fail() {
  throw std::runtime_error("failed");
  co_return;
}
task<> work() {
  spawn(fail);
  co_await sleep(1ms);
}

}  // namespace around_options

namespace around_outcome {

task<> work() {
  throw std::runtime_error("work failed");
  co_return;
}
void report(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& known) {
    shared::show(known.what());
  }
}

}  // namespace around_outcome

namespace around_shutdown {

struct tcp_listener {
  static tcp_listener bind(const char*) { return {}; }
};
task<> accept_connections(tcp_listener&) {
  std::raise(SIGINT);
  co_await sleep(1h);
}
task<> finish_what_is_under_way() {
  shared::show("finished");
  co_return;
}

}  // namespace around_shutdown

namespace around_sleep {

int last = -1;
void work_on(int number) { last = number; }

}  // namespace around_sleep

namespace around_spawnable {
using shared::job;
}  // namespace around_spawnable

namespace around_time_limit {
queue<int> jobs(3);
}  // namespace around_time_limit

// fibers

namespace around_as_completed {
using shared::fetch, shared::show;
}  // namespace around_as_completed

namespace around_fiber_local {
using shared::show;
}  // namespace around_fiber_local

namespace around_fiber_set {

const std::vector<std::string> urls = {"a", "b"};
task<> fetch(std::string url) {
  const std::chrono::seconds time = url == "a" ? 1s : 1h;
  co_await sleep(time);
  shared::show(url);
}

}  // namespace around_fiber_set

namespace around_greenlet_exit {
using shared::show;
}  // namespace around_greenlet_exit

namespace around_join_options {

using shared::show;
std::vector<fiber<int>> fibers;

}  // namespace around_join_options

namespace around_joinall {
using shared::fetch, shared::show;
}  // namespace around_joinall

namespace around_manual_timeout {

struct session {
  std::chrono::seconds keys_take;

  task<> say_hello() { co_await sleep(1s); }
  task<> exchange_keys() { co_await sleep(keys_take); }
  task<> work() {
    co_await sleep(1h);
    shared::show("worked");
  }
};

}  // namespace around_manual_timeout

namespace around_pool {

struct listener {
  int left;
  task<int> accept() {
    co_await sleep(1s);
    if (left == 0) throw_error(errc::closed, "accept");
    co_return left--;
  }
};
task<> serve(int connection) {
  shared::show(connection);
  co_return;
}

}  // namespace around_pool

namespace around_rate_limiter {

using query = int;
task<> send(query sent) {
  shared::show(sent);
  co_return;
}

}  // namespace around_rate_limiter

namespace around_retry {

using shared::show;
struct page {
  int calls = 0;
};
const int server = 0;
page last;
task<page> fetch_page(int) {
  if (++last.calls % 2 == 1) throw_error(errc::closed, "fetch");
  co_return last;
}
task<page> fetch() { return fetch_page(server); }

}  // namespace around_retry

namespace around_select {

queue<shared::job> inbox(1);
event stop;
void handle(shared::job next) { shared::show(next); }

}  // namespace around_select

namespace around_select_each {

using shared::job;
std::array<queue<shared::job>, 2> inboxes{queue<shared::job>(1), queue<shared::job>(1)};
void handle(std::size_t which, shared::job next) { shared::show(std::to_string(which), next); }

}  // namespace around_select_each

namespace around_select_set {

using shared::job;
std::array<queue<shared::job>, 2> inboxes{queue<shared::job>(1), queue<shared::job>(1)};
queue<shared::job> jobs(1);
event stopped;
void handle(shared::job next) { shared::show(next); }

}  // namespace around_select_set

namespace around_shield {

struct client {};
task<> talk_to(client&) { co_await sleep(1h); }
task<> say_goodbye(client&) {
  co_await sleep(1s);
  shared::show("goodbye");
}

}  // namespace around_shield

namespace around_spawn_after {

using shared::tick;
task<> remind(const char* text) {
  shared::show(text);
  co_return;
}

}  // namespace around_spawn_after

namespace around_supervise {

int failures = 0;
task<> poll_the_sensor() {
  if (failures < 3) throw std::runtime_error(std::to_string(++failures));
  co_return;
}

}  // namespace around_supervise

namespace around_task_group {

using shared::job;
task<> work(queue<shared::job>& jobs) {
  for (;;) {
    const result<shared::job> next = co_await as_result(jobs.pop());
    if (!next) co_return;
    shared::show(*next);
  }
}
task<> feed(queue<shared::job>& jobs) {
  for (int i = 0; i < 5; ++i) co_await jobs.push(i);
}

}  // namespace around_task_group

namespace around_ticker {

int updates = 0;
int overload = 0;
void note_overload(std::uint64_t) { ++overload; }
void update() {
  if (++updates == 3) throw std::runtime_error("enough");
}

}  // namespace around_ticker

namespace around_timer {

struct stream {
  int receives_left = 2;
  bool aborted = false;

  void abort() { aborted = true; }
  task<buffer> receive() {
    const auto time = receives_left-- > 0 ? 20s : 40s;
    co_await sleep(time);
    co_return buffer();
  }
};
task<> handle(const buffer&) { co_return; }

}  // namespace around_timer

namespace around_when_all {

using shared::show;
task<std::string> name_of(int) {
  co_await sleep(2s);
  co_return "Ada";
}
task<int> orders_of(int) {
  co_await sleep(1s);
  co_return 3;
}
template <class Time>
task<std::string> ask(std::string whom, Time time) {
  co_await sleep(time);
  co_return whom;
}

}  // namespace around_when_all

namespace around_with_timeout {

using shared::show;
std::chrono::seconds fetching_takes = 1s;
task<std::string> fetch(std::string name) {
  co_await sleep(fetching_takes);
  co_return name;
}
task<std::string> ask_slowly(std::string what) {
  co_await sleep(1h);
  co_return what;
}
task<> save_slowly(const std::string& what) {
  shared::show("saving " + what);
  co_await sleep(1h);
  shared::show("saved");
}

}  // namespace around_with_timeout

#include <sched_examples.hpp>

namespace {

using shared::job;
using shared::show, shared::take_shown, shared::fetch;

/// What the task returns, in a fiber of a scheduler on the scripted engine.
template <class T>
T run_example(task<T> example) {
  scripted_engine engine;
  return ringlet::test::run_on(engine, std::move(example));
}

}  // namespace

TEST_SUITE_BEGIN("examples of scheduler");

TEST_CASE("the example of deadlock.hpp logs every fiber") {
  example_deadlock::serve_once();
  CHECK(take_shown().find("fiber 1") != std::string::npos);
}

TEST_CASE("the example of dump.hpp logs every minute") {
  run_example([]() -> task<> {
    const fiber<> reports = spawn(example_dump::report);
    co_await sleep(61s);
    co_await reports.kill();
  }());
  CHECK(take_shown().find("2 fibers") != std::string::npos);
}

TEST_CASE("the example of fiber.hpp adds up in two fibers") {
  run_example(example_fiber::add_up({1, 2, 3, 4}));
  CHECK(take_shown() == "10\n");
}

TEST_CASE("the examples of clocks run") {
  run_example(example_now::example());
  run_example(example_sleep::example());
  CHECK(std::exchange(around_sleep::last, -1) == 9'999);
}

TEST_CASE("the example of options.hpp counts the failure") {
  example_options::work_quietly();
  CHECK(std::exchange(around_options::failures, 0) == 1);
}

TEST_CASE("the example of outcome.hpp reports the error") {
  run_example(example_outcome::example());
  CHECK(take_shown() == "work failed\n");
}

TEST_CASE("the example of run.hpp returns the value of its task") {
  CHECK(example_run::main() == 42);
}

TEST_CASE("the example of shutdown.hpp ends in its own order") {
  CHECK(run_main(example_shutdown::serve()) == 0);
  CHECK(take_shown() == "finished\n");
}

TEST_CASE("the example of spawnable.hpp works on each job") {
  run_example([]() -> task<> {
    queue<job> jobs(2);
    const fiber<> worker =
        spawn([&]() -> task<> { co_await example_spawnable::work_on_each(jobs, fetch); });
    co_await jobs.push(1);
    co_await sleep(1s);
    co_await worker.kill();
    CHECK(jobs.size() == 0);
  }());
}

TEST_CASE("the example of time_limit.hpp takes three jobs") {
  run_example([]() -> task<> {
    for (int i = 0; i < 3; ++i) co_await around_time_limit::jobs.push(i);
    co_await example_time_limit::example();
    CHECK(around_time_limit::jobs.size() == 0);
  }());
}

TEST_SUITE_END();
TEST_SUITE_BEGIN("examples of fibers");

TEST_CASE("the example of any_fiber.hpp registers its fiber") {
  run_example([]() -> task<> {
    queue<any_fiber> registry(1);
    const fiber<> worker = spawn(example_any_fiber::work, std::ref(registry));
    const any_fiber known = co_await registry.pop();
    CHECK(known == any_fiber(worker));
    co_await known.kill();
  }());
}

TEST_CASE("the example of as_completed.hpp shows the quickest first") {
  run_example(example_as_completed::example());
  CHECK(take_shown() == "1\n2\n3\n");
}

TEST_CASE("the examples of variables show one value per fiber") {
  run_example([]() -> task<> {
    const fiber<> one = spawn(example_fiber_local::work, 1);
    const fiber<> two = spawn(example_fiber_local::work, 2);
    co_await joinall(one, two);
    co_await example_fiber_local_2::example();
  }());
  CHECK(take_shown() == "1\n2\n7\n");
}

TEST_CASE("the example of fiber_range.hpp asks all fibers to end") {
  run_example([]() -> task<> {
    const std::vector<fiber<int>> fibers{spawn(fetch, 1), spawn(fetch, 2)};
    example_fiber_range::ask_to_end(fibers);
    co_await joinall(fibers);
    CHECK(fibers[1].result() == outcome::cancelled);
  }());
}

TEST_CASE("the example of fiber_set.hpp kills what takes too long") {
  run_example(example_fiber_set::example());
  CHECK(take_shown() == "a\n");
}

TEST_CASE("the examples of greenlets end their greenlets") {
  run_example(example_greenlet::example());
  run_example(example_greenlet_exit::example());
  CHECK(take_shown() == "stopped\n");
}

TEST_CASE("the examples of joins show what has ended") {
  run_example(example_joinall::example());
  CHECK(take_shown() == "3\n");
  run_example([]() -> task<> {
    around_join_options::fibers = {spawn(fetch, 1), spawn(fetch, 2), spawn(fetch, 9'000)};
    co_await example_join_options::example();
    around_join_options::fibers.clear();
  }());
  CHECK(take_shown() == "two have succeeded\n");
}

TEST_CASE("the example of manual_timeout.hpp limits the handshake, and not the work") {
  around_manual_timeout::session quick{1s}, slow{5s};
  run_example(example_manual_timeout::serve(quick));
  CHECK(take_shown() == "worked\n");
  CHECK_THROWS_AS(run_example(example_manual_timeout::serve(slow)), timed_out);
}

TEST_CASE("the example of pool.hpp serves all connections") {
  around_pool::listener port{3};
  CHECK_THROWS_AS(run_example(example_pool::serve_all(port)), std::system_error);
  CHECK(take_shown() == "3\n2\n1\n");
}

TEST_CASE("the example of rate_limiter.hpp sends all queries") {
  run_example([]() -> task<> {
    const auto begin = now();
    co_await example_rate_limiter::send_all(std::vector<int>(20, 1));
    CHECK(now() - begin == 10ms);
    co_await yield();
  }());
  CHECK(take_shown().size() == 40);
}

TEST_CASE("the examples of retry.hpp repeat a call that failed") {
  run_example(example_retry::example());
  CHECK(around_retry::last.calls == 2);
  run_example(example_retry_2::example());
  CHECK(std::exchange(around_retry::last.calls, 0) == 4);
  CHECK(take_shown() == "1\n");
}

TEST_CASE("the examples of select take one call") {
  run_example([]() -> task<> {
    co_await around_select::inbox.push(1);
    co_await example_select::example();
    co_await around_select_each::inboxes[1].push(2);
    co_await example_select_each::example();
  }());
  CHECK(take_shown() == "1\n1 2\n");
}

TEST_CASE("the examples of select_set.hpp take one call at a time") {
  run_example([]() -> task<> {
    const fiber<> stopping = spawn_after(1s, []() -> task<> {
      around_select_set::stopped.set();
      co_return;
    });
    for (auto& inbox : around_select_set::inboxes) co_await inbox.push(4);
    co_await example_select_set::example();
    around_select_set::stopped.reset();
    co_await around_select_set::jobs.push(5);
    co_await example_select_set_2::example();
  }());
  CHECK(take_shown() == "4\n4\n5\n");
}

TEST_CASE("the example of shield.hpp says goodbye when it is killed") {
  run_example([]() -> task<> {
    around_shield::client peer;
    const fiber<> serving = spawn(example_shield::serve, std::ref(peer));
    co_await sleep(1s);
    co_await serving.kill();
    CHECK(serving.result() == outcome::cancelled);
  }());
  CHECK(take_shown() == "goodbye\n");
}

TEST_CASE("the example of spawn_after.hpp ticks until it has reminded") {
  run_example(example_spawn_after::example());
  CHECK(take_shown().find("tick\ntick\ntick\n") == 0);
}

TEST_CASE("the example of supervise.hpp survives three failures") {
  scripted_engine engine;
  options quiet;
  quiet.on_unhandled_error = [](const unhandled_error&) {};
  ringlet::test::run_on(engine, example_supervise::poll_forever(), quiet);
  CHECK(std::exchange(around_supervise::failures, 0) == 3);
}

TEST_CASE("the example of task_group.hpp feeds its workers") {
  run_example([]() -> task<> {
    queue<job> jobs(1);
    co_await example_task_group::serve(jobs);
  }());
  CHECK(take_shown() == "0\n1\n2\n3\n4\n");
}

TEST_CASE("the example of ticker.hpp ticks") {
  CHECK_THROWS_AS(run_example(example_ticker::example()), std::runtime_error);
  CHECK(std::exchange(around_ticker::updates, 0) == 3);
  CHECK(around_ticker::overload == 0);
}

TEST_CASE("the example of timer.hpp does not abort a peer that sends in time") {
  around_timer::stream peer;
  run_example(example_timer::serve(peer));
  CHECK_FALSE(peer.aborted);
}

TEST_CASE("the examples of when_all.hpp run their calls at once") {
  run_example(example_when_all::example());
  CHECK(take_shown() == "Ada 3\n");
  run_example(example_when_all_2::example());
  CHECK(take_shown() == "a\n");
}

TEST_CASE("the example of with_timeout.hpp gives up what takes too long") {
  run_example(example_with_timeout::example());
  CHECK(take_shown() == "index.html\nsaving unknown\n");
  around_with_timeout::fetching_takes = 1h;
  run_example(example_with_timeout::example());
  CHECK(take_shown() == "too late\nsaving unknown\n");
  around_with_timeout::fetching_takes = 1s;
}

TEST_SUITE_END();
