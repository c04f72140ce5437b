// counted: a value that counts how many times it was created and destroyed. It has a pointer to the
// heap, so that AddressSanitizer also detects a double destruction.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

namespace ringlet::test {

/// How many of a set of values are alive, and how many ever existed.
struct life_count {
  int made = 0;
  int destroyed = 0;
  int alive() const noexcept { return made - destroyed; }
};

class counted {
 public:
  explicit counted(life_count& lives, int value = 0)
      : lives_(&lives), value_(std::make_unique<int>(value)) {
    ++lives_->made;
  }
  counted(const counted& other) : counted(*other.lives_, other.value()) {}
  counted(counted&& other) : lives_(other.lives_), value_(std::move(other.value_)) {
    ++lives_->made;
  }
  counted& operator=(counted&& other) noexcept {
    value_ = std::move(other.value_);
    return *this;
  }
  ~counted() { ++lives_->destroyed; }

  /// -1 after a move.
  int value() const noexcept { return value_ ? *value_ : -1; }

 private:
  life_count* lives_;
  std::unique_ptr<int> value_;
};

}  // namespace ringlet::test
