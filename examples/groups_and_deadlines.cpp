// Calls that belong together: they end together and in time, and leave no fiber behind.
//
//     $ ./build/examples/groups_and_deadlines
//     beta was faster than alpha
//     front page: sunny, 3 headlines
//     weather: told to stop
//     no front page: 1 failed in a group: the news service is down
//     order: saved as a draft
//     no order: timed out
//
// Shows: when_any() takes the first answer and cancels the other call. with_group() calls a
// function whose fibers do not outlive the call: the first failure cancels the rest. with_timeout()
// limits a whole call, no matter how many waits it makes; shield() gives its cleanup some time.
// Leaves out: sets of fibers without a scope (fiber_set), with a limited size (pool), the values of
// several calls as a tuple (when_all()).
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

// Stands for a request over the network.
task<std::string> ask(std::string mirror, std::chrono::milliseconds time) {
  co_await sleep(time);
  co_return mirror;
}

task<> ask_both_mirrors() {
  const auto race = co_await when_any(ask("alpha", 1h), ask("beta", 20ms));
  const char* const names[] = {"alpha", "beta"};
  std::printf("%s was faster than %s\n", names[race.index], names[1 - race.index]);
}

task<std::string> weather(std::chrono::milliseconds time) {
  try {
    co_await sleep(time);
  } catch (const cancelled&) {
    std::puts("weather: told to stop");
    throw;
  }
  co_return "sunny";
}

task<int> news(bool available) {
  co_await sleep(10ms);
  if (!available) throw std::runtime_error("the news service is down");
  co_return 3;
}

task<std::string> front_page(task_group& group, bool there_are_news) {
  const auto sky = group.spawn(weather, there_are_news ? 30ms : 1h);
  const auto count = group.spawn(news, there_are_news);
  const std::string text = co_await sky.get();
  co_return text + ", " + std::to_string(co_await count.get()) + " headlines";
}

task<> print_front_page(bool there_are_news) {
  try {
    const std::string page = co_await with_group(front_page, there_are_news);
    std::printf("front page: %s\n", page.c_str());
  } catch (const group_error& error) {
    std::printf("no front page: %s\n", error.what());
  }
}

task<> save_as_draft() {
  co_await sleep(10ms);
  std::puts("order: saved as a draft");
}

task<> place_order() {
  std::exception_ptr stopped;
  try {
    co_await sleep(1h);  // the shop is slow today
  } catch (const cancelled&) {
    stopped = std::current_exception();  // a handler cannot co_await
  }
  if (stopped) {
    co_await shield(1s, save_as_draft());
    std::rethrow_exception(stopped);
  }
}

task<> morning() {
  co_await ask_both_mirrors();
  co_await print_front_page(true);
  co_await print_front_page(false);
  try {
    co_await with_timeout(50ms, place_order());
  } catch (const timed_out&) {
    std::puts("no order: timed out");
  }
}

}  // namespace

int main() { return run_main(morning()); }
