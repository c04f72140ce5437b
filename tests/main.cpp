// The entry of every test program: runs its doctest cases, or says why this machine cannot.
//
// Exit status 77 means "skipped" to Meson. Where a container or a sysctl refuses io_uring, or the
// kernel is older than 6.1, nothing can be proved about the uring engine: that is no success.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

constexpr int skipped = 77;

bool tests_uring() {
  const char* engine = std::getenv("RINGLET_ENGINE");
  return engine == nullptr || std::string_view(engine) == "uring";
}

// 0, or why the kernel gives us no ring: errno. By hand, since the engine is what is to be tested.
int ring_refusal() {
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;  // Linux 6.1.
  const long fd = ::syscall(SYS_io_uring_setup, 1, &params);
  if (fd < 0) return errno;
  ::close(static_cast<int>(fd));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (tests_uring()) {
    if (const int error = ring_refusal()) {
      std::printf(
          "skipped: the kernel refuses io_uring: %s (sysctl kernel.io_uring_disabled, "
          "a container's seccomp profile, or Linux older than 6.1)\n",
          std::strerror(error));
      return skipped;
    }
  }
  return doctest::Context(argc, argv).run();
}
