// Types with unusual alignment as values of fibers, items of queues, and arguments.
// SPDX-License-Identifier: MIT
#include <ringlet/fiber.hpp>
#include <ringlet/greenlet.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/when_all.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <tuple>
#include <vector>

#include "sched/scripted_run.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

namespace {

template <std::size_t A>
struct alignas(A) aligned {
  unsigned char bytes[A + 1] = {};

  bool right() const noexcept { return reinterpret_cast<std::uintptr_t>(this) % A == 0; }
};

template <class T>
task<T> make(T argument, int& wrong) {
  T local;
  if (!argument.right() || !local.right()) ++wrong;
  co_await yield();
  if (!argument.right() || !local.right()) ++wrong;
  co_return local;
}

template <class T>
task<> use(int& wrong) {
  std::vector<fiber<T>> all;
  for (int i = 0; i < 10; ++i) all.push_back(spawn(&make<T>, T(), std::ref(wrong)));
  for (const fiber<T>& each : all) {
    co_await each.join();
    if (!each.value().right()) ++wrong;
  }
  queue<T> items;
  for (int i = 0; i < 20; ++i) items.try_push(T());
  while (const T* next = items.peek()) {
    if (!next->right()) ++wrong;
    const T popped = co_await items.pop();
    if (!popped.right()) ++wrong;
  }
  const auto both = co_await when_all(make<T>(T(), wrong), make<T>(T(), wrong));
  if (!std::get<0>(both).right() || !std::get<1>(both).right()) ++wrong;
  greenlet<T> echo([&wrong](T in) -> task<T> {
    if (!in.right()) ++wrong;
    co_return in;
  });
  const T answer = co_await echo.switch_to(T());
  if (!answer.right()) ++wrong;
}

template <class T>
void check() {
  int wrong = 0;
  scripted_engine engine;
  run_on(engine, use<T>(wrong));
  CHECK(wrong == 0);
}

}  // namespace

TEST_SUITE_BEGIN("alignment");

TEST_CASE("values of fibers and items of queues are aligned as their types require" *
          doctest::skip(alignment_held < 64)) {
  check<aligned<16>>();
  check<aligned<64>>();
}

TEST_CASE("fibers honour alignments above a cache line" * doctest::skip(alignment_held < 4096)) {
  check<aligned<128>>();
  check<aligned<256>>();
  check<aligned<1024>>();
  check<aligned<4096>>();
}

TEST_SUITE_END();
