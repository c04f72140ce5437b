// Seccomp filters and limits for the calling process.
// SPDX-License-Identifier: MIT
#include "support/restrictions.hpp"

#include <grp.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>

#include "support/child.hpp"

namespace ringlet::test {
namespace {

void answer(int call, std::uint32_t answer, int second_argument) {
  const auto number = static_cast<std::uint32_t>(call);
  const auto wanted = static_cast<std::uint32_t>(second_argument);
  const auto any = static_cast<std::uint8_t>(second_argument < 0 ? 2 : 0);
  std::array<sock_filter, 7> program{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4),
      BPF_JUMP(BPF_JMP | BPF_JA, any, 0, 0),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args) + sizeof(std::uint64_t)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, wanted, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, answer),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) std::perror("seccomp");
}

}  // namespace

void deny(int call, int error, int second_argument) {
  answer(call, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error), second_argument);
}

void forbid(int call) { answer(call, SECCOMP_RET_KILL_PROCESS, -1); }

void limit_locked_memory(rlim_t bytes) {
  const rlimit limit{bytes, bytes};
  const auto user = static_cast<uid_t>(4'242'000 + ::getpid());
  if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || ::setgroups(0, nullptr) != 0 ||
      ::setresgid(user, user, user) != 0 || ::setresuid(user, user, user) != 0) {
    std::perror("limit_locked_memory");
  }
}

bool counts_rings() {
  const child_end end = run_in_child([] {
    limit_locked_memory(0);
    io_uring_params params{};
    const long ring = ::syscall(SYS_io_uring_setup, 8, &params);
    if (ring < 0 && errno == ENOMEM) std::fprintf(stderr, "refused");
  });
  return end.errors == "refused";
}

}  // namespace ringlet::test
