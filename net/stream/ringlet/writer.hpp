// writer: writes to a stream at once, or collects small pieces and sends them together.
//
//     task<> answer_all(tcp_stream& peer, std::vector<std::string> answers) {
//       writer out(peer);
//       out.cork();
//       for (const std::string& answer : answers) {
//         co_await out.write(answer);  // collected
//         co_await out.write("\n");
//       }
//       co_await out.flush();  // one request
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/buffer.hpp>
#include <ringlet/byte_stream.hpp>
#include <ringlet/task.hpp>
#include <ringlet/time_limit.hpp>

#include <cstddef>
#include <exception>
#include <span>
#include <string_view>
#include <system_error>
#include <vector>

namespace ringlet {

/// Writes to any sink. write() sends at once, unless the writer is corked: then bytes are collected
/// until flush(). So an answer that was not flushed can only be missing where cork() was called.
///
/// Limits    Collects at most capacity() bytes. A write that does not fit sends what was collected
///           and its own bytes, by one call of the sink, and copies neither.
/// Overlap   One call at a time: starting one while another one waits is the caller's bug and
///           aborts.
/// Errors    Those of the sink, as std::system_error. After one other than errc::timed_out, every
///           call fails with it: how much the peer has received is unknown. std::bad_alloc: nothing
///           was written or collected; call again.
/// Cancellation  Bytes that were collected stay collected. If the call was cut short in the middle,
///           the position in the stream is lost, and the next call that sends fails
///           with errc::partial_transfer; otherwise nothing of its bytes was written, and it may be
///           made again. A timeout counts as a cancellation. A write that only collects does not
///           wait.
/// Lifetime  Borrows the sink, which must not be moved and must outlive the writer. A writer that
///           is destroyed with bytes that were not flushed reports them to
///           options::on_unhandled_error, unless an exception ends its scope, or a call has failed
///           to write them: that has been reported already. See discard().
/// Thread    That of the sink's scheduler.
/// Memory    What is collected, in memory that grows by doubling and is freed when it is sent.
class writer {
 public:
  /// The capacity() if the program gives none, in bytes.
  static constexpr std::size_t default_capacity = 16 * 1024;

  /// `capacity`: bytes, at least 1.
  template <byte_sink Sink>
  explicit writer(Sink& sink, std::size_t capacity = default_capacity)
      : writer(&sink, &write_to<Sink>, capacity) {}
  writer(const writer&) = delete;
  writer& operator=(const writer&) = delete;
  ~writer();

  /// Writes all bytes, after those that were collected. They are borrowed until the co_await
  /// returns.
  borrowing_task<void> write(std::span<const std::byte> bytes, time_limit timeout = forever);
  /// The same for text.
  borrowing_task<void> write(std::string_view text, time_limit timeout = forever) {
    return write(std::as_bytes(std::span(text)), timeout);
  }
  /// The same for received bytes.
  borrowing_task<void> write(const buffer& data, time_limit timeout = forever) {
    return write(data.bytes(), timeout);
  }
  /// Writes several pieces as if they were one. The list is borrowed, too.
  borrowing_task<void> write(std::span<const std::span<const std::byte>> parts,
                             time_limit timeout = forever);

  /// From now on, until flush(), write() collects.
  void cork() noexcept { corked_ = true; }
  /// Whether write() collects.
  bool is_corked() const noexcept { return corked_; }
  /// Sends what was collected; from now on, write() sends at once. Does not wait if nothing was
  /// collected. If it fails or is cancelled, the bytes stay collected.
  task<> flush(time_limit timeout = forever);

  /// How many bytes are collected.
  std::size_t unflushed() const noexcept { return collected_.size(); }
  /// Drops them, for instance because the peer is gone.
  void discard() noexcept;

  /// The most bytes that are collected.
  std::size_t capacity() const noexcept { return capacity_; }

 private:
  using pieces = std::span<const std::span<const std::byte>>;
  using write_function = task<> (*)(void* sink, pieces parts, time_limit timeout);
  class call;

  template <byte_sink Sink>
  static task<> write_to(void* sink, pieces parts, time_limit timeout) {
    Sink& to = *static_cast<Sink*>(sink);
    if (parts.size() == 1) {
      co_await to.write_all(parts.front(), timeout);
    } else {
      co_await to.write_all(parts, timeout);
    }
  }

  writer(void* sink, write_function how, std::size_t capacity);
  task<> write_one(std::span<const std::byte> bytes, time_limit timeout);
  task<> write_several(pieces parts, time_limit timeout);
  bool collect(pieces parts);
  task<> send(pieces parts, time_limit timeout);
  task<> send_collected_and(pieces parts, time_limit timeout);
  void check_usable() const;

  void* sink_;
  write_function write_;
  std::size_t capacity_;
  std::vector<std::byte> collected_;
  std::error_code error_;  // the error that every call fails with
  int unwinding_ = std::uncaught_exceptions();
  bool corked_ = false;
  bool waiting_ = false;
  bool told_ = false;  // whether a call has failed to send what is collected
};

}  // namespace ringlet
