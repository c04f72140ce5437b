// report: the library's own lines on standard error.
#pragma once

namespace ringlet::detail {

/// Prints to standard error, as fprintf(3) does. A program must not end because what reads its
/// errors is gone, so SIGPIPE is not raised: the line is lost instead. Any thread; not for signal
/// handlers.
[[gnu::format(printf, 1, 2)]] void report(const char* format, ...) noexcept;

}  // namespace ringlet::detail
