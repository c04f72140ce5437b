// Restrictions that a process cannot undo: for a forked child.
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

namespace ringlet::test {

/// From here on the system call fails with that errno in this process, for all values of its second
/// argument or for one.
void deny(int call, int error, int second_argument = -1);

/// From here on the system call ends this process, by SIGSYS.
void forbid(int call);

/// Gives this process its own unprivileged user, which may lock that much memory. Other processes
/// do not count, because the kernel counts per user. Needs root.
void limit_locked_memory(rlim_t bytes);

/// Whether this kernel counts rings as locked memory: some versions did not. Needs root.
bool counts_rings();

}  // namespace ringlet::test
