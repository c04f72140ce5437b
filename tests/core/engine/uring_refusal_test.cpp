// When io_uring is refused: the reason, the remedy, and the smaller ring that is tried where only
// memory was refused.
//
// Method: steps that cannot be undone (a seccomp filter, a limit, another user) happen in a forked
// child, which prints the message that it got. Its descriptors are counted before and after.
// SPDX-License-Identifier: MIT
#include "uring_refusal.hpp"

#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>
#include <liburing.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <functional>
#include <string>
#include <system_error>

#include "support/child.hpp"
#include "support/restrictions.hpp"
#include "support/sanitized.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("uring: refused");

namespace {

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

// Creates an engine and uses it; prints its name or the error, and then whether descriptors leaked.
void report_engine(const engine_options& options = {}) {
  const std::size_t before = count_open_descriptors();
  try {
    const auto engine = make_uring_engine(options);
    watched op;
    engine->start(op);
    finish(*engine, op);
    std::fprintf(stderr, "made %s\n", engine->name().c_str());
  } catch (const std::system_error& error) {
    std::fprintf(stderr, "errno %d: %s\n", error.code().value(), error.what());
  }
  if (count_open_descriptors() != before) std::fprintf(stderr, "descriptors were left open\n");
}

// The output of report_engine() in a process that `restrict` has restricted.
std::string report_under(const std::function<void()>& restrict) {
  const child_end end = run_in_child([&] {
    restrict();
    report_engine();
  });
  CHECK(end.status == 0);
  CHECK_FALSE(contains(end.errors, "descriptors were left open"));
  return end.errors;
}

// UndefinedBehaviorSanitizer opens a pipe the first time that it checks an object's type, so it has
// to see this object while there are descriptors.
void show_exception_to_sanitizer() {
  try {
    throw uring_refused(EMFILE, "");
  } catch (const std::system_error& error) {
    static_cast<void>(error.code().value());
    static_cast<void>(error.what());
  }
}

bool has_sysctl_switch() {
  int value = 0;
  std::ifstream("/proc/sys/kernel/io_uring_disabled") >> value;
  return value != 0;
}

}  // namespace

TEST_CASE("every errno of io_uring_setup has a message with the call and the remedy") {
  CHECK(contains(explain_uring_refusal("io_uring_setup", ENOSYS), "6.1"));
  CHECK(contains(explain_uring_refusal("io_uring_setup", EINVAL), "6.1"));
  CHECK(contains(explain_uring_refusal("io_uring_setup", ENOMEM), "ulimit -l"));
  CHECK(contains(explain_uring_refusal("io_uring_setup", EMFILE), "ulimit -n"));
  CHECK(contains(explain_uring_refusal("io_uring_setup", ENFILE), "fs.file-max"));
  for (const int error : {ENFILE, ENOMEM, ENOBUFS}) {
    CHECK_FALSE(contains(explain_uring_refusal("io_uring_setup", error), "ulimit -n"));
  }
  for (const int error : {EPERM, EACCES, ENOSYS, EOPNOTSUPP, EINVAL, ENOMEM, EMFILE, EIO}) {
    const std::string text = explain_uring_refusal("io_uring_setup", error);
    CHECK(text.rfind("io_uring is not available: io_uring_setup failed (", 0) == 0);
    CHECK(contains(text, std::system_category().message(error).c_str()));
  }
}

TEST_CASE("the sysctl that disables io_uring is named, with its value and the one that allows it") {
  const unique_fd file(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  REQUIRE(file);
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  const auto explain = [&](const char* value) {
    REQUIRE(::pwrite(file.get(), value, 2, 0) == 2);
    return explain_uring_refusal("io_uring_setup", EPERM, path.c_str());
  };
  const std::string off = explain("2\n");
  CHECK(contains(off, "the sysctl kernel.io_uring_disabled is 2"));
  CHECK(contains(off, "`sysctl kernel.io_uring_disabled=0` allows it"));
  const std::string restricted = explain("1\n");
  CHECK(contains(restricted, "the sysctl kernel.io_uring_disabled is 1"));
  CHECK(contains(restricted, "CAP_SYS_ADMIN"));
  CHECK(contains(restricted, "kernel.io_uring_group"));
  CHECK_FALSE(contains(explain("0\n"), "sysctl"));
}

TEST_CASE("the message mentions neither a filter nor a sysctl where there is none") {
  const bool filtered = ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 0;
  CHECK(contains(explain_uring_refusal("io_uring_setup", ENOSYS), "seccomp") == filtered);
  if (filtered || has_sysctl_switch()) return;
  CHECK(contains(explain_uring_refusal("io_uring_setup", EPERM), "a security module denies it"));
}

TEST_CASE("a seccomp filter that denies io_uring is named, with the calls to allow") {
  const std::string text = report_under([] { deny(SYS_io_uring_setup, EPERM); });
  CHECK(contains(text, "errno 1: io_uring is not available: io_uring_setup failed"));
  if (has_sysctl_switch()) return;
  CHECK(contains(text, "seccomp"));
  CHECK(contains(text, "io_uring_setup, io_uring_enter and io_uring_register"));
  // The errno is explained once, and not repeated after the remedy.
  CHECK(contains(text, "seccomp=PROFILE.json)\n"));
}

TEST_CASE("a seccomp filter that hides io_uring is not mistaken for an old kernel") {
  const std::string text = report_under([] { deny(SYS_io_uring_setup, ENOSYS); });
  CHECK(contains(text, "a seccomp filter hides it"));
}

TEST_CASE("a filter that allows the set-up and denies the use is detected at once") {
  const std::string text = report_under([] { deny(SYS_io_uring_enter, EPERM); });
  CHECK(contains(text, "errno 1: io_uring is not available: io_uring_enter failed"));
}

TEST_CASE("a kernel without buffer rings is reported as too old") {
  const std::string text =
      report_under([] { deny(SYS_io_uring_register, EINVAL, IORING_REGISTER_PBUF_RING); });
  CHECK(contains(text, "errno 22: io_uring is not available: io_uring_register (buffer ring)"));
  CHECK(contains(text, "6.1"));
}

TEST_CASE("a kernel that cannot register the ring descriptor gets an engine without that feature") {
  const std::string text =
      report_under([] { deny(SYS_io_uring_register, EINVAL, IORING_REGISTER_RING_FDS); });
  CHECK(contains(text, "made uring"));
  CHECK_FALSE(contains(text, "registered ring"));
}

TEST_CASE("the error names the descriptor limit when there is none for the wake-up or the ring") {
  for (const bool for_wakeup : {true, false}) {
    const std::string text = report_under([for_wakeup] {
      show_exception_to_sanitizer();
      const int next = ::dup(STDERR_FILENO);
      ::close(next);
      rlimit limit{};
      ::getrlimit(RLIMIT_NOFILE, &limit);
      limit.rlim_cur = static_cast<rlim_t>(next) + (for_wakeup ? 0 : 1);
      ::setrlimit(RLIMIT_NOFILE, &limit);
    });
    CHECK(contains(text, for_wakeup
                             ? "errno 24: an engine needs a file descriptor for its wake-ups"
                             : "errno 24: io_uring is not available: io_uring_setup failed"));
    CHECK(contains(text, "ulimit -n"));
  }
}

// With a few descriptors left the ring is created, and the probes that need sockets fail.
TEST_CASE("a shortage of descriptors is not mistaken for an old kernel") {
  for (rlim_t left = 0; left < 6; ++left) {
    CAPTURE(left);
    const std::string text = report_under([left] {
      show_exception_to_sanitizer();
      const int next = ::dup(STDERR_FILENO);
      ::close(next);
      rlimit limit{};
      ::getrlimit(RLIMIT_NOFILE, &limit);
      limit.rlim_cur = static_cast<rlim_t>(next) + left;
      ::setrlimit(RLIMIT_NOFILE, &limit);
    });
    INFO(text);
    CHECK((contains(text, "made uring") || contains(text, "errno 24")));
    CHECK(contains(text, "ulimit -n") == contains(text, "errno 24"));
    CHECK_FALSE(contains(text, "6.1"));
  }
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("uring: short of memory");

namespace {

constexpr rlim_t kibibyte = 1024;

// Rings of the default sizes; counted by the function below.
std::atomic<int> full_rings_tried = 0;

// Only root can become another user.
const bool cannot_change_user = ::geteuid() != 0;

}  // namespace

// The linker takes this function instead of liburing's.
extern "C" int io_uring_queue_init_params(unsigned entries, io_uring* ring,
                                          io_uring_params* params) {
  using setup = int (*)(unsigned, io_uring*, io_uring_params*);
  static const auto make =
      reinterpret_cast<setup>(::dlsym(RTLD_NEXT, "io_uring_queue_init_params"));
  if (params->cq_entries == engine_options().completion_entries) ++full_rings_tried;
  return make(entries, ring, params);
}

TEST_CASE("the limit is named when it refuses even the smallest ring" *
          doctest::skip(cannot_change_user)) {
  if (!counts_rings()) {
    MESSAGE("skipped: this kernel does not count rings as locked memory");
    return;
  }
  const std::string text = report_under([] { limit_locked_memory(0); });
  CHECK(contains(text, "errno 12: io_uring is not available"));
  CHECK(contains(text, "even the smallest ring was refused; the limit on locked memory is 0 KiB"));
}

// A ring that was given up because of its buffers is still accounted for a while, and the smaller
// rings tried next used to be refused for that. On a busy machine that can take longer than the
// engine waits: then another process tries again, as another user.
TEST_CASE("a limit on locked memory gives the ring that fits it" *
          doctest::skip(cannot_change_user)) {
  if (!counts_rings()) {
    MESSAGE("skipped: this kernel does not count rings as locked memory");
    return;
  }
  bool made_before = false;
  for (rlim_t limit = 4 * kibibyte; limit <= 128 * kibibyte; limit += 4 * kibibyte) {
    std::string text;
    bool made = false;
    for (int tries = 0; tries < 5 && !made; ++tries) {
      text = report_under([limit] { limit_locked_memory(limit); });
      made = contains(text, "made uring (");
      if (!made_before) break;
    }
    INFO(text);
    CHECK((made || !made_before));
    CHECK_FALSE(contains(text, "8192 completions"));
    made_before = made;
  }
  CHECK(made_before);
}

// Each run used to wait for 200 ms in case the full sizes fit.
TEST_CASE("the sizes that fit under a limit are determined once in a process" *
          doctest::skip(cannot_change_user)) {
  if (!counts_rings()) {
    MESSAGE("skipped: this kernel does not count rings as locked memory");
    return;
  }
  const std::string text = report_under([] {
    limit_locked_memory(64 * kibibyte);
    make_uring_engine();
    full_rings_tried = 0;
    for (int i = 0; i < 3; ++i) make_uring_engine();
    std::fprintf(stderr, "full sizes were tried %d times; ", full_rings_tried.load());
  });
  CHECK(contains(text, "full sizes were tried 3 times; "));
}

TEST_CASE("a limit that fits the full sizes gives the full sizes" *
          doctest::skip(cannot_change_user)) {
  const std::string text = report_under([] { limit_locked_memory(8192 * kibibyte); });
  CHECK(contains(text, "made uring (512 submissions, 8192 completions, 128 buffers"));
}

// Skipped under sanitizers, which need terabytes of address space themselves.
TEST_CASE("an engine has fewer buffers when they do not fit into the address space" *
          doctest::skip(sanitized)) {
  for (const rlim_t room : {64 * kibibyte, 512 * kibibyte, 1024 * kibibyte, 65'536 * kibibyte}) {
    const std::string text = report_under([room] {
      std::size_t pages = 0;
      std::ifstream("/proc/self/statm") >> pages;
      const rlim_t bytes = pages * static_cast<rlim_t>(::getpagesize()) + room;
      const rlimit limit{bytes, bytes};
      ::setrlimit(RLIMIT_AS, &limit);
    });
    INFO(text);
    CHECK((contains(text, "made uring (") || contains(text, "errno 12")));
    CHECK(contains(text, "128 buffers") == (room > 4096 * kibibyte));
  }
}

TEST_SUITE_END();
