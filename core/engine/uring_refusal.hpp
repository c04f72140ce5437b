// Why io_uring was refused, in a sentence that says what to do.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "kernel_engine.hpp"

namespace ringlet::extend {

using uring_refused = engine_refused;

/// The file that tells whether io_uring is switched off (since Linux 6.6).
inline constexpr const char* uring_sysctl = "/proc/sys/kernel/io_uring_disabled";

/// `call` is the system call that failed and `error` its errno; tests pass a `sysctl` file of their
/// own.
std::string explain_uring_refusal(const char* call, int error, const char* sysctl = uring_sysctl);

}  // namespace ringlet::extend
