// report: the library's own lines on standard error.
// SPDX-License-Identifier: MIT
#pragma once

namespace ringlet::detail {

/// Prints to standard error, as fprintf(3) does. A program must not end because the reader of its
/// standard error is gone, so SIGPIPE is not raised and the line is lost. Any thread; not for
/// signal handlers.
[[gnu::format(printf, 1, 2)]] void report(const char* format, ...) noexcept;

}  // namespace ringlet::detail
