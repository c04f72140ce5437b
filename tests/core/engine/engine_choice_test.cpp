// Which engine make_engine() creates: the one that the caller names, then the one that the
// environment names, then the best that works, with one line that says why it is not io_uring.
//
// Method: each choice is made in a forked child with its own environment, and limits and filters
// that cannot be undone. The child prints the names of its engines, or the error.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/restrictions.hpp"
#include "support/sanitized.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"
#include "uring_features.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

namespace {

constexpr const char* epoll_made = "made epoll (128 buffers)\n";
constexpr const char* what_silences =
    "; epoll is used instead (RINGLET_ENGINE=epoll silences this)\n";

struct environment {
  const char* engine = nullptr;   // RINGLET_ENGINE
  const char* disable = nullptr;  // RINGLET_DISABLE
};

void set(const char* name, const char* value) {
  if (value == nullptr) {
    ::unsetenv(name);
  } else {
    ::setenv(name, value, 1);
  }
}

// Creates an engine and uses it; prints its name, or the error.
void report_engine(engine_kind kind) {
  try {
    const std::unique_ptr<extend::engine> made = make_engine(kind);
    watched op;
    made->start(op);
    finish(*made, op);
    const std::string& engine = made->statistics().engine;
    std::fprintf(stderr, "made %s\n", made->name() == engine ? engine.c_str() : "two names");
  } catch (const std::system_error& error) {
    std::fprintf(stderr, "errno %d: %s\n", error.code().value(), error.what());
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "invalid: %s\n", error.what());
  }
}

std::string choose(
    engine_kind kind, const environment& around, const std::function<void()>& restrict = [] {}) {
  const child_end end = run_in_child([&] {
    set("RINGLET_ENGINE", around.engine);
    set("RINGLET_DISABLE", around.disable);
    restrict();
    report_engine(kind);
  });
  CHECK(end.status == 0);
  return end.errors;
}

void deny_rings() { deny(SYS_io_uring_setup, EPERM); }

bool starts_with(const std::string& text, std::string_view start) {
  return text.rfind(start, 0) == 0;
}
bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}
bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}
auto lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

// One line that gives the reason, then the engine that is used instead.
bool says_once_and_goes_on(const std::string& text) {
  return lines(text) == 2 && starts_with(text, "ringlet: io_uring is not available: ") &&
         ends_with(text, std::string(what_silences) + epoll_made);
}

}  // namespace

TEST_SUITE_BEGIN("engine choice");

TEST_CASE("epoll is used without a message when the caller or the environment requests it") {
  CHECK(choose(engine_kind::epoll, {}) == epoll_made);
  CHECK(choose(engine_kind::automatic, {.engine = "epoll"}) == epoll_made);
  CHECK(choose(engine_kind::epoll, {}, deny_rings) == epoll_made);
  CHECK(choose(engine_kind::automatic, {.engine = "epoll"}, deny_rings) == epoll_made);
}

TEST_CASE("the caller's choice overrides the environment, which is not even read") {
  CHECK(choose(engine_kind::epoll, {.engine = "uring"}, deny_rings) == epoll_made);
  CHECK(choose(engine_kind::epoll, {.engine = "nonsense", .disable = "nonsense"}) == epoll_made);
  CHECK(starts_with(choose(engine_kind::uring, {.engine = "epoll"}, deny_rings), "errno 1: "));
}

TEST_CASE("epoll is used where io_uring is refused, and one line says why") {
  for (const char* engine : {static_cast<const char*>(nullptr), ""}) {
    const std::string text = choose(engine_kind::automatic, {.engine = engine}, deny_rings);
    INFO(text);
    CHECK(says_once_and_goes_on(text));
    CHECK(contains(text, "io_uring_setup failed (Operation not permitted)"));
  }
}

TEST_CASE("a caller that requests io_uring where it is refused gets the reason, and no epoll") {
  for (const auto& [kind, engine] :
       {std::pair(engine_kind::uring, ""), std::pair(engine_kind::automatic, "uring")}) {
    const std::string text = choose(kind, {.engine = engine}, deny_rings);
    INFO(text);
    CHECK(lines(text) == 1);
    CHECK(starts_with(text, "errno 1: io_uring is not available: io_uring_setup failed ("));
    CHECK_FALSE(contains(text, "epoll"));
  }
}

TEST_CASE("the fallback line is printed once, for any number of engines and threads") {
  const child_end end = run_in_child([] {
    set("RINGLET_ENGINE", nullptr);
    set("RINGLET_DISABLE", nullptr);
    deny_rings();
    for (int i = 0; i < 3; ++i) report_engine(engine_kind::automatic);
    if (sanitized) return;  // under ThreadSanitizer a forked child cannot start threads
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) threads.emplace_back(report_engine, engine_kind::automatic);
    for (std::thread& one : threads) one.join();
  });
  CHECK(end.status == 0);
  const std::string& text = end.errors;
  INFO(text);
  CHECK(text.find(what_silences) == text.rfind(what_silences));
  CHECK(lines(text) == (sanitized ? 1 + 3 : 1 + 5));
  CHECK(ends_with(text, std::string(epoll_made) + epoll_made));
}

TEST_CASE("an unknown engine name is an error that lists both engines") {
  CHECK(choose(engine_kind::automatic, {.engine = "kqueue"}) ==
        "invalid: RINGLET_ENGINE is 'kqueue'; it must be uring or epoll\n");
}

TEST_CASE("an unknown feature name is an error that lists all features, at any place in the list") {
  for (const char* list :
       {"nonsense", "no_iowait,nonsense", "nonsense,buffer_ring", ",nonsense,"}) {
    const std::string text = choose(engine_kind::automatic, {.disable = list});
    INFO(text);
    CHECK(text ==
          "invalid: RINGLET_DISABLE names 'nonsense'; the names are single_issuer defer_taskrun "
          "buffer_ring multishot_accept multishot_poll multishot_receive limited_receive "
          "registered_ring no_iowait\n");
  }
}

TEST_CASE("epoll is used without a required feature, and the line names that feature") {
  for (const std::string name :
       {"single_issuer", "defer_taskrun", "buffer_ring", "multishot_accept", "multishot_poll"}) {
    const std::string text = choose(engine_kind::automatic, {.disable = name.c_str()});
    INFO(text);
    CHECK(says_once_and_goes_on(text));
    CHECK(contains(text, "RINGLET_DISABLE switches off " + name + ", which is needed;"));
    const std::string insisted = choose(engine_kind::uring, {.disable = name.c_str()});
    CHECK(insisted == "errno 95: io_uring is not available: RINGLET_DISABLE switches off " + name +
                          ", which is needed\n");
  }
}

TEST_CASE("the error names the sysctl, not a disk, when no epoll watch is left") {
  const child_end none = run_in_child([] {
    deny(SYS_epoll_ctl, ENOSPC);
    try {
      make_epoll_engine();
    } catch (const std::system_error& error) {
      std::fprintf(stderr, "errno %d: %s\n", error.code().value(), error.what());
    }
  });
  CHECK(none.errors.find("errno 28: no epoll instance could be made") != std::string::npos);
  CHECK(none.errors.find("fs.epoll.max_user_watches") != std::string::npos);
  const child_end later = run_in_child([] {
    const auto engine = make_epoll_engine();
    deny(SYS_epoll_ctl, ENOSPC);
    const fd_pair pair = socket_pair();
    for (int i = 0; i < 2; ++i) {
      watched op(opcode::poll, pair.near.get());
      op.poll.events = POLLIN;
      engine->start(op);
      finish(*engine, op);
      RINGLET_ASSERT(op.answer == -ENOSPC, "not told");
    }
  });
  CHECK(later.status == 0);
  CHECK(later.errors ==
        "ringlet: epoll: no watch is left for this user; raise the sysctl "
        "fs.epoll.max_user_watches\n");
}

TEST_CASE(
    "make_engine fails when no descriptor is left, instead of hiding that and failing in epoll") {
  for (const int error : {EMFILE, ENFILE}) {
    const std::string text =
        choose(engine_kind::automatic, {}, [error] { deny(SYS_io_uring_setup, error); });
    INFO(text);
    CHECK(lines(text) == 1);
    CHECK(contains(text, error == EMFILE ? "ulimit -n" : "fs.file-max"));
    CHECK_FALSE(contains(text, "epoll"));
  }
}

TEST_CASE("epoll takes over when even the smallest ring is refused for lack of locked memory" *
          doctest::skip(::geteuid() != 0)) {
  if (!counts_rings()) {
    MESSAGE("skipped: this kernel does not count rings as locked memory");
    return;
  }
  const std::string text = choose(engine_kind::automatic, {}, [] { limit_locked_memory(0); });
  INFO(text);
  CHECK(says_once_and_goes_on(text));
  CHECK(contains(text, "io_uring_setup failed (Cannot allocate memory)"));
  CHECK(contains(text, "the limit on locked memory is 0 KiB"));
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("uring: chosen");

TEST_CASE("io_uring is used without a message where it works") {
  for (const auto& [kind, engine] :
       {std::pair(engine_kind::uring, ""), std::pair(engine_kind::uring, "epoll"),
        std::pair(engine_kind::automatic, ""), std::pair(engine_kind::automatic, "uring")}) {
    const std::string text = choose(kind, {.engine = engine});
    INFO(text);
    CHECK(starts_with(text, "made uring (512 submissions, 8192 completions, 128 buffers"));
    CHECK(lines(text) == 1);
  }
}

TEST_CASE("an optional feature that is missing is not among those in use") {
  for (const auto& [name, shown] :
       {std::pair("multishot_receive", ", multishot receive"),
        std::pair("limited_receive", ", limited receive"),
        std::pair("registered_ring", ", registered ring"), std::pair("no_iowait", ", no iowait")}) {
    // Features that this kernel lacks are not in use anyway.
    std::string expected = choose(engine_kind::automatic, {});
    if (const auto at = expected.find(shown); at != std::string::npos) {
      expected.erase(at, std::string_view(shown).size());
    }
    CHECK(choose(engine_kind::automatic, {.disable = name}) == expected);
    CHECK(choose(engine_kind::uring, {.disable = name}) == expected);
  }
}

TEST_CASE("a list of features switches off all that it names") {
  const std::string text =
      choose(engine_kind::uring,
             {.disable = "no_iowait,registered_ring,limited_receive,multishot_receive"});
  CHECK(text == "made uring (512 submissions, 8192 completions, 128 buffers)\n");
}

TEST_CASE("a smaller ring is used without a message where only that is allowed" *
          doctest::skip(::geteuid() != 0)) {
  if (!counts_rings()) {
    MESSAGE("skipped: this kernel does not count rings as locked memory");
    return;
  }
  constexpr rlim_t kibibytes = 1024;
  const std::string text =
      choose(engine_kind::automatic, {}, [] { limit_locked_memory(64 * kibibytes); });
  INFO(text);
  CHECK(starts_with(text, "made uring ("));
  CHECK_FALSE(contains(text, "8192 completions"));
  CHECK(lines(text) == 1);
}

// A service manager may allow io_uring and refuse Unix sockets.
TEST_CASE("features newer than the set-up flags are not assumed where they cannot be tried") {
  const child_end end = run_in_child([] {
    deny(SYS_socketpair, EAFNOSUPPORT);
    const uring_features found = try_uring_features();
    std::fprintf(stderr, "%d %d", found.multishot_receive, found.limited_receive);
  });
  CHECK(end.signal == 0);
  CHECK(end.errors == "1 0");
}

// The probe needs a socket pair, and nothing after it does.
TEST_CASE("the kernel's features are probed once in a process") {
  const child_end end = run_in_child([] {
    set("RINGLET_DISABLE", nullptr);
    report_engine(engine_kind::uring);
    forbid(SYS_socketpair);
    report_engine(engine_kind::uring);
  });
  CHECK(end.signal == 0);
  CHECK(lines(end.errors) == 2);
}

TEST_SUITE_END();
