// What the fuzz targets share: the fuzzer's bytes as a sequence of choices, and the end of the
// program when a promise is broken.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

/// Called with each input: by libFuzzer, or by replay.cpp with the corpus.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace ringlet::test {

/// Ends the program, which libFuzzer detects, unless the promise is kept.
inline void demand(bool kept, std::string_view promise, std::string_view what = "") {
  if (kept) return;
  std::fprintf(stderr, "broken promise: %.*s %.*s\n", static_cast<int>(promise.size()),
               promise.data(), static_cast<int>(what.size()), what.data());
  std::abort();
}

/// One byte per choice. When none is left every choice is 0, so 0 must lead to the end.
class choices {
 public:
  explicit choices(std::span<const std::uint8_t> bytes) noexcept : left_(bytes) {}

  bool are_left() const noexcept { return !left_.empty(); }
  /// 0 to count - 1; count is at most 256.
  std::size_t below(std::size_t count) noexcept {
    if (left_.empty()) return 0;
    const std::size_t chosen = left_.front() % count;
    left_ = left_.subspan(1);
    return chosen;
  }
  /// 1 to most; most is at most 65,536.
  std::size_t size_up_to(std::size_t most) noexcept {
    const std::size_t high = below(256);
    return 1 + (high * 256 + below(256)) % most;
  }

 private:
  std::span<const std::uint8_t> left_;
};

}  // namespace ringlet::test
