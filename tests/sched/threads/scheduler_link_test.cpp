// scheduler_link: messages of the library that reach a scheduler from other threads.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/scheduler_link.hpp>
#include <ringlet/run.hpp>
#include <ringlet/scheduler_handle.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <optional>
#include <thread>

#include "sched/scripted_run.hpp"
#include "support/allocations.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

struct message : posted_work {
  message() { run = &message::on_arrival; }
  static void on_arrival(posted_work& self) noexcept {
    auto& arrived = static_cast<message&>(self);
    ++arrived.count;
    arrived.thread = std::this_thread::get_id();
  }
  int count = 0;
  std::thread::id thread;
};

}  // namespace

TEST_SUITE_BEGIN("scheduler_link");

TEST_CASE("a message runs on the scheduler's thread, though the mailbox is full") {
  options settings;
  settings.posts_max = 0;
  message sent;
  const auto main = [&]() -> task<> {
    const scheduler_handle here;
    CHECK(here.post([] {}) == post_result::full);
    std::thread other([&, link = scheduler_link(current_scheduler())] { CHECK(link.post(sent)); });
    while (sent.count == 0) co_await yield();
    other.join();
  };
  run(main(), settings);
  CHECK(sent.count == 1);
  CHECK(sent.thread == std::this_thread::get_id());
}

TEST_CASE("a message that arrives when all fibers have ended still runs") {
  scripted_engine engine;
  message sent;
  const auto main = [&]() -> task<> {
    CHECK(scheduler_link(current_scheduler()).post(sent));
    co_return;
  };
  run_on(engine, main());
  CHECK(sent.count == 1);
}

TEST_CASE("a post to a scheduler that has ended returns false, and does not run the message") {
  std::optional<scheduler_link> link;
  const auto main = [&]() -> task<> {
    link.emplace(current_scheduler());
    co_return;
  };
  run(main());
  message sent;
  CHECK_FALSE(link->post(sent));
  CHECK(sent.count == 0);
}

TEST_CASE("a post of a message does not allocate") {
  scripted_engine engine;
  message sent;
  const auto main = [&]() -> task<> {
    const scheduler_link link(current_scheduler());
    const std::size_t before = allocations();
    CHECK(link.post(sent));
    CHECK(allocations() == before);
    co_await sleep(1ms);
    CHECK(sent.count == 1);
  };
  run_on(engine, main());
}

TEST_SUITE_END();
