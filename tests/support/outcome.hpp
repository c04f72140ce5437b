// outcome_of: the outcome of a call in words, so that a test can compare it with a string.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/as_result.hpp>
#include <ringlet/buffer.hpp>
#include <ringlet/extend/context.hpp>
#include <ringlet/result.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task.hpp>

#include <concepts>
#include <cstddef>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

#include "support/bytes.hpp"

namespace ringlet::test {
using namespace extend;

inline std::string in_words(const result<void>& got) {
  return got ? "done" : got.error().message();
}
inline std::string in_words(const result<std::size_t>& got) {
  return got ? std::to_string(*got) + " bytes" : got.error().message();
}
inline std::string in_words(const result<buffer>& got) {
  return got ? std::to_string(got->size()) + " bytes" : got.error().message();
}
/// For calls that return a piece, in quotes, or nothing.
inline std::string in_words(const result<std::string_view>& got) {
  return got ? "'" + std::string(*got) + "'" : got.error().message();
}
inline std::string in_words(const result<std::optional<std::string_view>>& got) {
  if (!got) return got.error().message();
  return *got ? "'" + std::string(**got) + "'" : "end";
}
/// For calls that return a stream.
template <class T>
requires requires(T made) { made.native_handle(); }
std::string in_words(const result<T>& got) {
  return got ? "fd " + std::to_string(got->native_handle()) : got.error().message();
}

/// The same words, with ", then cancelled" when an interruption is pending, which is consumed.
inline task<std::string> with_what_is_pending(std::string words) {
  try {
    co_await yield();
  } catch (const cancelled&) {
    words += ", then cancelled";
  }
  co_return words;
}

/// Awaits the wait that `make()` returns. "3 bytes", "done", "fd 7", the message of the error, or
/// "cancelled"; with ", then cancelled" when an interruption is still pending afterwards.
template <std::invocable Make>
task<std::string> outcome_of(Make make) {
  std::string words;
  try {
    const auto got = co_await as_result(make());
    words = in_words(got);
  } catch (const cancelled&) {
    words = "cancelled";
  }
  co_return co_await with_what_is_pending(words);
}

}  // namespace ringlet::test
