// decoded<T>: what a decoder has made of the bytes that have arrived.
//
//     decoded<int> decode_digit(std::string_view bytes) {
//       if (bytes.empty()) return more_bytes(1);
//       if (bytes[0] < '0' || bytes[0] > '9') return std::make_error_code(std::errc::bad_message);
//       return decoded<int>(bytes[0] - '0', 1);  // the value, and the bytes that it took
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/assert.hpp>

#include <cstddef>
#include <optional>
#include <system_error>
#include <utility>

namespace ringlet {

/// Not all bytes of the value have arrived.
struct more_bytes {
  /// `least`: at least 1.
  explicit constexpr more_bytes(std::size_t least) noexcept : count(least) {}

  /// How many more, at least.
  std::size_t count;
};

/// A value and the number of bytes that it took, or how many more are needed, or an error.
template <class T>
class [[nodiscard]] decoded {
 public:
  using value_type = T;

  /// A value that took the first `used` bytes.
  decoded(T value, std::size_t used) : value_(std::move(value)), count_(used) {}
  /// Not yet.
  decoded(more_bytes more) noexcept : count_(more.count) {}
  /// Bytes that are not a value. `error` is not 0.
  decoded(std::error_code error) noexcept : error_(error) {}

  /// Whether there is a value.
  bool has_value() const noexcept { return value_.has_value(); }
  /// The same.
  explicit operator bool() const noexcept { return has_value(); }
  /// The value. Aborts if there is none.
  T& operator*() & noexcept { return checked(); }
  const T& operator*() const& noexcept { return const_cast<decoded*>(this)->checked(); }
  T&& operator*() && noexcept { return std::move(checked()); }

  /// How many bytes the value took; 0 if there is none.
  std::size_t used() const noexcept { return has_value() ? count_ : 0; }
  /// How many more bytes are needed, at least; 0 if there is a value or an error.
  std::size_t more() const noexcept { return has_value() ? 0 : count_; }
  /// The error; 0 if there is a value or more bytes are needed.
  std::error_code error() const noexcept { return error_; }

 private:
  T& checked() noexcept {
    RINGLET_ASSERT(has_value(), "the value of a decoded<T> was read although it has none");
    return *value_;
  }

  std::optional<T> value_;
  std::size_t count_ = 0;
  std::error_code error_;
};

}  // namespace ringlet
