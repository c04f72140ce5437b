// standard_descriptors: no socket becomes standard input, output or error.
//
//     reserve_standard_descriptors();  // before the first open(2) of the program
//     const unique_fd log(open(path, O_WRONLY | O_APPEND));  // 3 or more, or not open
// SPDX-License-Identifier: MIT
#pragma once

namespace ringlet {

/// If one of the descriptors 0, 1, 2 is missing, opens one there that can neither be read (0) nor
/// written (1, 2). Otherwise the next socket would get that number, and other code would use it as
/// standard input or output. run() also calls this before it opens anything. The reservation is not
/// permanent: if a program closes one of these descriptors while it runs, a socket may get the
/// number.
///
/// Errors    None: if the system refuses, the descriptor stays closed.
/// Thread    Any, while no other thread opens descriptors.
void reserve_standard_descriptors() noexcept;

}  // namespace ringlet
