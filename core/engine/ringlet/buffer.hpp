// buffer: memory that the engine lends for received bytes, returned when the lease ends.
//
//     while (const buffer data = co_await peer.receive()) show(data.text());
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace ringlet::extend {

class buffer_pool;

}  // namespace ringlet::extend

namespace ringlet {

/// A lease of received bytes. Converts to std::span and std::string_view, and to false when empty:
/// receive() returns an empty buffer at the end of the stream. Movable; one that was moved from is
/// empty. Hold it no longer than the bytes are needed: a scheduler has a bounded number of buffers
/// (see engine_options), and when all are on lease, every further receive pays for an allocation.
///
/// Lifetime  The bytes stay valid and unchanged until the buffer is destroyed, reset or assigned
///           to. It may outlive its stream and its scheduler.
/// Thread    That of the scheduler that lent it; dropping it on another thread aborts. Once the
///           scheduler has ended, any.
/// Memory    engine_options::buffer_size bytes, lent by the scheduler.
class buffer {
 public:
  buffer() noexcept = default;
  /// For engines: a lease of `size` bytes at `data`, returned to `pool` as number `id`.
  buffer(extend::buffer_pool& pool, std::int32_t id, std::byte* data, std::uint32_t size) noexcept
      : pool_(&pool), data_(data), size_(size), id_(id) {}
  buffer(buffer&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        id_(other.id_) {}
  buffer& operator=(buffer&& other) noexcept {
    if (this != &other) {
      reset();
      pool_ = std::exchange(other.pool_, nullptr);
      data_ = std::exchange(other.data_, nullptr);
      size_ = std::exchange(other.size_, 0);
      id_ = other.id_;
    }
    return *this;
  }
  ~buffer() {
    if (pool_ != nullptr) give_back();
  }

  /// Whether the buffer has bytes.
  explicit operator bool() const noexcept { return size_ != 0; }
  /// The opposite.
  bool empty() const noexcept { return size_ == 0; }
  /// The number of bytes.
  std::size_t size() const noexcept { return size_; }
  /// The first byte. Not to be used if the buffer is empty.
  std::byte* data() noexcept { return data_; }
  const std::byte* data() const noexcept { return data_; }

  /// All bytes. Those of a buffer that is not const may be changed in place.
  std::span<std::byte> bytes() noexcept { return {data_, size_}; }
  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  /// The same.
  operator std::span<const std::byte>() const noexcept { return bytes(); }
  /// All bytes, as they are: nothing is decoded.
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }
  /// The same.
  operator std::string_view() const noexcept { return text(); }

  /// Ends the lease now. The buffer is then empty.
  void reset() noexcept {
    if (pool_ != nullptr) give_back();
    pool_ = nullptr;
    data_ = nullptr;
    size_ = 0;
  }

 private:
  void give_back() noexcept;

  extend::buffer_pool* pool_ = nullptr;
  std::byte* data_ = nullptr;
  std::uint32_t size_ = 0;
  std::int32_t id_ = 0;
};

}  // namespace ringlet
