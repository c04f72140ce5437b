// Tries the features of io_uring on a temporary ring, and applies RINGLET_DISABLE.
//
// Features are tried, not derived from the kernel's version: distributions backport features to
// older kernels and remove them from newer ones.
// SPDX-License-Identifier: MIT
#include "uring_features.hpp"

#include <ringlet/unique_fd.hpp>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "uring_engine.hpp"
#include "uring_refusal.hpp"

namespace ringlet::extend {
namespace {

// Long enough for a busy machine, short enough for one that hangs.
constexpr steady_ns patience = 1'000'000'000;

struct trial : operation {
  trial(opcode kind, int descriptor)
      : operation(kind, [](operation& op, const completion& done) noexcept {
          auto& self = static_cast<trial&>(op);
          if (self.completions++ == 0) self.first = done;
        }) {
    fd = descriptor;
  }
  completion first;
  int completions = 0;
};

[[noreturn]] void lacks(const char* what, int error) {
  throw uring_refused(error, explain_uring_refusal(what, error));
}

void turn(engine& ring, steady_ns deadline) {
  std::array<completion, 8> done;
  const std::size_t count = ring.wait(deadline, done);
  for (const completion& one : std::span(done).first(count)) ring.dispatch(one);
}

// Starts `op` and waits for its first completion.
void attempt(engine& ring, trial& op) {
  const steady_ns limit = ring.now() + patience;
  ring.start(op);
  while (op.completions == 0 && ring.now() < limit) turn(ring, limit);
}

// Cancels `op` and waits for its end: the kernel must be done with it before it is destroyed.
void end(engine& ring, trial& op) {
  ring.cancel(op);
  while (op.in_flight()) turn(ring, never);
}

void try_nop(engine& ring) {
  trial op(opcode::nop, -1);
  attempt(ring, op);
  const std::int32_t answer = op.completions != 0 ? op.answer : -ETIME;
  end(ring, op);
  if (answer < 0) lacks("a request that does nothing", -answer);
}

// Starts a multishot request that is ready already; returns its first completion.
completion try_multishot(engine& ring, opcode kind, int fd, std::uint32_t limit = 0) {
  trial op(kind, fd);
  op.multishot = true;
  if (kind == opcode::poll) op.poll.events = POLLIN;
  if (kind == opcode::receive) op.receive.limit = limit;
  attempt(ring, op);
  const completion first = op.first;  // before end(), which may bring another
  if (first.buffer != completion::no_buffer) ring.recycle_buffer(first.buffer);
  end(ring, op);
  return first;
}

bool lives_on(const completion& first) { return first.result > 0 && first.more; }

// A service manager may allow io_uring and refuse Unix sockets. Features that cannot be tried are
// then assumed: multishot poll, accept and receive are older than the set-up flags, which the
// kernel has.
uring_features try_sockets(engine& ring) {
  uring_features found;
  found.limited_receive = false;  // Linux 6.17: not assumed
  int ends[2];
  const bool has_pair = ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0;
  // Without descriptors nothing can be tried, and the answer would be remembered for good.
  if (!has_pair && (errno == EMFILE || errno == ENFILE)) lacks("socketpair", errno);
  if (has_pair) {
    const unique_fd near(ends[0]), far(ends[1]);
    const auto put_byte = [&] { return ::send(far.get(), "x", 1, MSG_NOSIGNAL) == 1; };
    if (put_byte()) {
      if (!lives_on(try_multishot(ring, opcode::poll, near.get()))) lacks("multishot poll", EINVAL);
      found.multishot_receive = lives_on(try_multishot(ring, opcode::receive, near.get()));
      // A receive with a limit of one byte ends with that byte. Kernels before 6.17 refuse it.
      if (put_byte()) {
        const completion only = try_multishot(ring, opcode::receive, near.get(), 1);
        found.limited_receive = only.result > 0 && !only.more;
      }
    }
  }
  const unique_fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;  // without a path the kernel chooses a free abstract name
  auto* const generic = reinterpret_cast<sockaddr*>(&name);
  if (listener && ::bind(listener.get(), generic, sizeof name.sun_family) == 0 &&
      ::listen(listener.get(), 1) == 0) {
    trial accept(opcode::accept, listener.get());
    accept.multishot = true;
    ring.start(accept);
    end(ring, accept);
    if (accept.answer != -ECANCELED) lacks("multishot accept", EINVAL);
  }
  return found;
}

constexpr std::array needed = {"single_issuer", "defer_taskrun", "buffer_ring", "multishot_accept",
                               "multishot_poll"};

struct optional_feature {
  std::string_view name;
  bool uring_features::*member;
};
constexpr std::array optional = {
    optional_feature{"multishot_receive", &uring_features::multishot_receive},
    optional_feature{"limited_receive", &uring_features::limited_receive},
    optional_feature{"registered_ring", &uring_features::registered_ring},
    optional_feature{"no_iowait", &uring_features::no_iowait},
};

void switch_off(std::string_view name, uring_features& features) {
  for (const optional_feature& one : optional) {
    if (name != one.name) continue;
    features.*one.member = false;
    return;
  }
  for (const std::string_view one : needed) {
    if (name != one) continue;
    throw uring_refused(EOPNOTSUPP, "io_uring is not available: RINGLET_DISABLE switches off " +
                                        std::string(name) + ", which is needed");
  }
  std::string text = "RINGLET_DISABLE names '" + std::string(name) + "'; the names are";
  for (const std::string_view one : needed) text.append(" ").append(one);
  for (const optional_feature& one : optional) text.append(" ").append(one.name);
  throw std::invalid_argument(text);
}

}  // namespace

uring_features try_uring_features() {
  uring_engine ring(
      {.submission_entries = 8, .completion_entries = 16, .buffer_count = 8, .buffer_size = 64},
      {});
  try_nop(ring);
  return try_sockets(ring);
}

uring_features find_uring_features() {
  uring_features allowed;
  if (const char* const list = std::getenv("RINGLET_DISABLE")) {
    for (std::string_view rest = list; !rest.empty();) {
      const std::string_view name = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(name.size() + 1, rest.size()));
      if (!name.empty()) switch_off(name, allowed);
    }
  }
  // If this throws, the next call tries again: a limit may have been raised by then.
  static const uring_features found = try_uring_features();
  for (const optional_feature& one : optional) allowed.*one.member &= found.*one.member;
  return allowed;
}

}  // namespace ringlet::extend
