// Constants of the kernel's interface that Debian 12's headers (liburing 2.3) do not have yet.
// SPDX-License-Identifier: MIT
#pragma once

#include <liburing.h>

namespace ringlet::extend::uring_constants {

// io_uring_enter(2): the wait is not charged as iowait. Linux 6.15.
inline constexpr unsigned enter_no_iowait = 1U << 7;
// io_uring_setup(2), features: the kernel knows enter_no_iowait.
inline constexpr unsigned feature_no_iowait = 1U << 17;

}  // namespace ringlet::extend::uring_constants
