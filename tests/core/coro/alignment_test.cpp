// Types with unusual alignment wherever a coroutine stores them: arguments, locals, results and
// yielded values. No compiler passes the alignment of a frame to its promise; these tests pin that
// the frame's size is enough to derive it.
// SPDX-License-Identifier: MIT
#include <ringlet/async_generator.hpp>
#include <ringlet/generator.hpp>
#include <ringlet/task.hpp>
#include <ringlet/two_way_generator.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "support/chain.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::test;

namespace {

// The copy constructor is user-provided because clang before version 22 misaligns a parameter of a
// trivially copyable type when the optimiser elides its copy into the frame (LLVM issue 159571).
template <std::size_t A, std::size_t Size = A>
struct alignas(A) aligned {
  aligned() = default;
  aligned(const aligned& other) : bytes(other.bytes) {}
  aligned& operator=(const aligned&) = default;

  std::array<unsigned char, Size> bytes{};

  bool right() const noexcept { return reinterpret_cast<std::uintptr_t>(this) % A == 0; }
};

struct counts {
  int right = 0, wrong = 0;
  void note(bool is_right) noexcept { ++(is_right ? right : wrong); }
};

template <class T>
task<T> make(T argument, counts& seen) {
  T local = argument;
  seen.note(argument.right());
  seen.note(local.right());
  co_return local;
}

template <class T>
task<> call(counts& seen) {
  T first = co_await make<T>(T(), seen);
  T second = co_await make<T>(first, seen);
  seen.note(first.right());
  seen.note(second.right());
}

// This frame is larger than the pool serves.
template <class T>
task<> call_in_large_frame(counts& seen) {
  aligned<16, 40'000> filling;
  T local = co_await make<T>(T(), seen);
  filling.bytes[0] = local.bytes[0];
  co_await call<T>(seen);
  seen.note(local.right());
  seen.note(filling.right());
}

template <class T>
generator<T> yielding(counts& seen) {
  for (int i = 0; i < 3; ++i) {
    T local;
    seen.note(local.right());
    co_yield local;
    seen.note(local.right());
  }
}

template <class T>
async_generator<T> yielding_awaited(counts& seen) {
  for (int i = 0; i < 3; ++i) {
    T local = co_await make<T>(T(), seen);
    co_yield local;
    seen.note(local.right());
  }
}

template <class T>
two_way_generator<T, T, T> answering(counts& seen) {
  T local;
  for (int i = 0; i < 3; ++i) {
    const T next = co_yield T(local);
    seen.note(next.right());
  }
  co_return local;
}

template <class T>
task<> take_all(counts& seen) {
  for (T&& each : yielding<T>(seen)) seen.note(each.right());
  auto all = yielding_awaited<T>(seen);
  while (auto next = co_await all.next()) seen.note(next->right());
  auto talk = answering<T>(seen);
  for (auto next = talk.start(); next; next = talk.send(T())) seen.note(next->right());
  const T result = talk.result();
  seen.note(result.right());
}

template <class T>
void check() {
  counts seen;
  // Several frames at once, so that not all of them happen to be aligned.
  for (int i = 0; i < 5; ++i) {
    std::vector<task<T>> unstarted;
    for (int k = 0; k < i; ++k) unstarted.push_back(make<T>(T(), seen));
    run_alone(call<T>(seen));
    run_alone(call_in_large_frame<T>(seen));
    run_alone(take_all<T>(seen));
  }
  CHECK(seen.right > 100);
  CHECK(seen.wrong == 0);
}

}  // namespace

TEST_SUITE_BEGIN("alignment");

TEST_CASE("values in a coroutine frame are aligned as their types require" *
          doctest::skip(alignment_held < 64)) {
  check<aligned<32>>();
  check<aligned<64>>();
  check<aligned<64, 192>>();
}

TEST_CASE("a coroutine frame honours alignments above a cache line" *
          doctest::skip(alignment_held < 4096)) {
  check<aligned<128>>();
  check<aligned<128, 640>>();
  check<aligned<256>>();
  check<aligned<512, 1536>>();
  check<aligned<1024>>();
  check<aligned<4096>>();
}

TEST_SUITE_END();
