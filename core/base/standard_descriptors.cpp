// Holds the places of descriptors that are missing.
#include <ringlet/standard_descriptors.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>

namespace ringlet {

void reserve_standard_descriptors() noexcept {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // open(2) takes the lowest number, which is this one: those below are there by now. In the
    // wrong direction, so that its use fails with EBADF as if nothing were there.
    if (::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) >= 0) continue;
    // Where there is no /dev (a chroot) the root does: by such a descriptor nothing can be read or
    // written.
    static_cast<void>(::open("/", O_PATH));
  }
}

}  // namespace ringlet
