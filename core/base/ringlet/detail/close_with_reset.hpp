// close_with_reset: the end of a connection where there is no engine.
#pragma once

namespace ringlet::detail {

/// Closes a TCP socket that nothing is in flight on; its peer sees a reset. For those who hold one
/// when their scheduler, and its engine, have ended.
void close_with_reset(int fd) noexcept;

}  // namespace ringlet::detail
