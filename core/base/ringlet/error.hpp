// error: the errors that ringlet adds to those of the system, and how errors are thrown.
//
// Errors from the outside world are std::error_codes: the kernel's in std::system_category(),
// ringlet's own as ringlet::errc. They are thrown as std::system_error; as_result() returns the
// code instead.
//
//     try {
//       co_await stream.write_all(answer, 5s);
//     } catch (const timed_out&) {
//       ++slow_peers;
//     } catch (const std::system_error& error) {
//       if (!is_disconnect(error.code())) throw;  // a peer that left is nothing to report
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <system_error>

namespace ringlet {

/// Errors that have no errno.
enum class errc : std::uint8_t {
  /// The stream, listener, queue, pool or scheduler was closed by this program while, or before,
  /// the
  /// call waited.
  closed = 1,
  /// An earlier compound call in this direction (write_all, read_exact) was cut short by a
  /// cancellation, so it is unknown where in the byte stream the next call would start.
  partial_transfer,
  /// The limit (`time_limit`) of the call passed. Equivalent to std::errc::timed_out.
  timed_out,
  /// The stream ended before the requested number of bytes had arrived.
  end_of_stream,
  /// The fiber was killed before it had a value.
  fiber_cancelled,
  /// A piece of the input, such as a line, is longer than the reader's limit.
  too_long,
  /// A barrier was broken while, or before, the call waited: an arrival was cancelled or timed out,
  /// the action failed, or the barrier was reset.
  broken_barrier,
  /// The promise was destroyed before it had a value or an error.
  broken_promise,
  /// The subscriber of a broadcast was too slow, and was disconnected.
  lagged,
};

/// The category of errc; its name is "ringlet".
const std::error_category& ringlet_category() noexcept;

/// Found by argument-dependent look-up, so that an errc converts to std::error_code.
std::error_code make_error_code(errc code) noexcept;

/// Thrown when the limit of a call or of with_timeout() passed: the std::system_error whose code is
/// errc::timed_out. It has a type of its own because programs usually catch it separately.
class timed_out : public std::system_error {
 public:
  /// `what` names the call that ran out of time.
  explicit timed_out(const char* what);
};

/// Throws `code` as timed_out or std::system_error; `what` names the call that failed.
[[noreturn]] void throw_error(std::error_code code, const char* what);

/// Turns a result of the kernel (a negated errno) into an error code.
inline std::error_code system_error_code(int negated_errno) noexcept {
  return {-negated_errno, std::system_category()};
}

/// Whether the error only means that the connection has ended: connection_reset, broken_pipe,
/// connection_aborted, not_connected, std::errc::timed_out of the system (the peer no longer
/// answers), errc::closed, errc::end_of_stream. Not errc::timed_out, a limit of the program.
/// Servers see this all the time: count it, but do not print it.
bool is_disconnect(const std::error_code& code) noexcept;

}  // namespace ringlet

template <>
struct std::is_error_code_enum<ringlet::errc> : std::true_type {};
