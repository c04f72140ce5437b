// close_with_reset: resets a connection without an engine.
// SPDX-License-Identifier: MIT
#pragma once

namespace ringlet::detail {

/// Closes a TCP socket that has no operation in flight; its peer sees a reset. For owners that
/// outlive their scheduler and its engine.
void close_with_reset(int fd) noexcept;

}  // namespace ringlet::detail
