// Finds out what refused io_uring. The errno alone does not tell: EPERM comes from a seccomp
// profile or the sysctl, ENOSYS from an old kernel or another seccomp profile (io_uring_setup(2),
// ERRORS).
// SPDX-License-Identifier: MIT
#include "uring_refusal.hpp"

#include <sys/resource.h>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace ringlet::extend {
namespace {

// kernel.io_uring_disabled: 0 (allowed), 1 (only for privileged processes) or 2 (for none); -1 if
// there is no such sysctl (before Linux 6.6).
int sysctl_disabled(const char* sysctl) {
  int value = 0;
  return std::ifstream(sysctl) >> value ? value : -1;
}

// Whether this process runs under a seccomp filter (proc(5): mode 2).
bool has_seccomp_filter() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("Seccomp:", 0) == 0) return line.find('2') != std::string::npos;
  }
  return false;
}

std::string who_denied(const char* sysctl) {
  switch (sysctl_disabled(sysctl)) {
    case 2:
      return "the sysctl kernel.io_uring_disabled is 2; `sysctl kernel.io_uring_disabled=0` allows "
             "it";
    case 1:
      return "the sysctl kernel.io_uring_disabled is 1: run with CAP_SYS_ADMIN, join the group of "
             "kernel.io_uring_group, or `sysctl kernel.io_uring_disabled=0`";
    default:
      break;
  }
  if (has_seccomp_filter()) {
    return "a seccomp filter denies it, as the default profiles of Docker and containerd do; allow "
           "io_uring_setup, io_uring_enter and io_uring_register in the profile (Docker: "
           "--security-opt seccomp=PROFILE.json)";
  }
  return "a security module denies it";
}

std::string memory_lock_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  if (limit.rlim_cur == RLIM_INFINITY) return "unlimited";
  return std::to_string(limit.rlim_cur / 1024) + " KiB";
}

}  // namespace

std::string explain_uring_refusal(const char* call, int error, const char* sysctl) {
  std::string text = std::string("io_uring is not available: ") + call + " failed (" +
                     std::strerror(error) + "): ";
  switch (error) {
    case EPERM:
    case EACCES:
      return text + who_denied(sysctl);
    case ENOSYS:
    case EOPNOTSUPP:
      return text + (has_seccomp_filter()
                         ? "a seccomp filter hides it, as Podman's default profile does; allow "
                           "io_uring_setup, io_uring_enter and io_uring_register in the profile"
                         : "this kernel has no io_uring; Linux 6.1 or later has what is needed");
    case EINVAL:
      return text + "this kernel lacks a feature that is needed; Linux 6.1 or later has it";
    case ENOMEM:
      return text + "even the smallest ring was refused; the limit on locked memory is " +
             memory_lock_limit() +
             " for all processes of the user: raise it with `ulimit -l`, "
             "LimitMEMLOCK= of systemd, or CAP_IPC_LOCK";
    default:
      return text + explain_shortage(error);
  }
}

}  // namespace ringlet::extend
