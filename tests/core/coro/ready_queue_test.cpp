// The order in which contexts run, and the budget that keeps one from starving the rest.
//
// Method: bare contexts and a loop (support/chain.hpp).
// SPDX-License-Identifier: MIT
#include <ringlet/extend/context.hpp>

#include <doctest/doctest.h>

#include <string>

#include "support/chain.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("ready_queue");

namespace {

task<> write_letters(std::string& text, char letter, int count) {
  for (int i = 0; i < count; ++i) {
    text += letter;
    co_await yield_wait();
  }
}

task<> ready_waits(std::string& text, char letter, int count) {
  for (int i = 0; i < count; ++i) {
    text += letter;
    co_await ready_now();
  }
}

// The same, with every wait in a nested call.
task<> one_ready_wait() { co_await ready_now(); }
task<> ready_waits_in_calls(std::string& text, char letter, int count) {
  for (int i = 0; i < count; ++i) {
    text += letter;
    co_await one_ready_wait();
  }
}

}  // namespace

TEST_CASE("contexts run first in, first out, in every round") {
  ready_queue queue;
  std::string text;
  CHECK(queue.empty());
  chain<> a(queue, write_letters(text, 'a', 3));
  chain<> b(queue, write_letters(text, 'b', 3));
  chain<> c(queue, write_letters(text, 'c', 3));
  CHECK_FALSE(queue.empty());
  CHECK(&queue.first() == &a);
  run_ready(queue);
  CHECK(text == "abcabcabc");
  CHECK(queue.empty());
}

TEST_CASE("resume resumes the first context only") {
  ready_queue queue;
  std::string text;
  chain<> a(queue, write_letters(text, 'a', 0));
  chain<> b(queue, write_letters(text, 'b', 0));
  queue.set_stack_base(__builtin_frame_address(0));
  queue.resume(queue.first());
  CHECK(a.done());
  CHECK_FALSE(b.done());
  CHECK(&queue.first() == &b);
  queue.resume(b);
  CHECK(b.done());
  CHECK(queue.empty());
}

TEST_CASE("pop_first removes a context without resuming it") {
  ready_queue queue;
  std::string text;
  chain<> a(queue, write_letters(text, 'a', 1));
  chain<> b(queue, write_letters(text, 'b', 1));
  CHECK(&queue.pop_first() == &a);
  run_ready(queue);
  CHECK(text == "b");
  queue.push(a);
  run_ready(queue);
  CHECK(text == "ba");
}

TEST_CASE("other contexts get a turn after 128 waits that need not suspend") {
  ready_queue queue;
  std::string text;
  chain<> greedy(queue, ready_waits(text, 'g', 400));
  chain<> modest(queue, write_letters(text, 'm', 3));
  run_ready(queue);
  const std::string run(ready_queue::budget, 'g');
  CHECK(text == run + "m" + run + "m" + run + "m" + std::string(400 - 3 * run.size(), 'g'));
}

TEST_CASE("a new resumption has a new budget") {
  ready_queue queue;
  std::string text;
  chain<> greedy(queue, []() -> task<> {
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < ready_queue::budget - 1; ++j) co_await ready_now();
      co_await yield_wait();
    }
  }());
  chain<> modest(queue, write_letters(text, 'm', 10));
  queue.set_stack_base(__builtin_frame_address(0));
  int resumptions = 0;
  while (!greedy.done()) {
    context& first = queue.first();
    queue.resume(first);
    resumptions += &first == &greedy ? 1 : 0;
  }
  CHECK(resumptions == 4);
  run_ready(queue);
}

// Unwinding a chain that has used up its part of the stack does not start a new turn. Without
// optimisation and under sanitizers that happens about every hundred calls, and used to renew the
// budget forever.
TEST_CASE("nested calls do not extend the budget, however often the stack is unwound") {
  ready_queue queue;
  std::string text;
  chain<> greedy(queue, ready_waits_in_calls(text, 'g', 400));
  chain<> modest(queue, write_letters(text, 'm', 3));
  run_ready(queue);
  const std::string run(ready_queue::budget, 'g');
  CHECK(text == run + "m" + run + "m" + run + "m" + std::string(400 - 3 * run.size(), 'g'));
}

TEST_SUITE_END();
