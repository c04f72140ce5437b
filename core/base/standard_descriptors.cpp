// Opens placeholders for missing standard descriptors.
// SPDX-License-Identifier: MIT
#include <ringlet/standard_descriptors.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>

namespace ringlet {

void reserve_standard_descriptors() noexcept {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // open(2) returns the lowest free number, which is `fd`: all lower ones are open by now. The
    // access mode is the wrong one, so that using the descriptor fails with EBADF as if it were
    // missing.
    if (::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) >= 0) continue;
    // Without /dev (in a chroot), open the root directory: an O_PATH descriptor can be neither read
    // nor written.
    static_cast<void>(::open("/", O_PATH));
  }
}

}  // namespace ringlet
