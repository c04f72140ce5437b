// run_main: exit codes, signals, and the messages on standard error.
//
// Method: each case is its own process, as users' programs are. The program raises signals itself,
// or a child of it does while it sleeps; both are seen whenever they arrive.
// SPDX-License-Identifier: MIT
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>

#include <doctest/doctest.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <system_error>

#include "support/aborts.hpp"
#include "support/child.hpp"
#include "support/sanitized.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

// A program whose main() is `return run_main(main(), settings)`.
template <class Main>
child_end program(const Main& main, const options& settings = {}) {
  return run_in_child([&] {
    const int code = run_main(main(), settings);
    std::fflush(stderr);
    ::_exit(code);
  });
}

void say(const char* word) { std::fprintf(stderr, "%s\n", word); }

task<> sleep_for_ever() { co_await sleep(std::chrono::hours(1)); }

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void ignore(int) {}

}  // namespace

TEST_SUITE_BEGIN("run_main");

// Exit codes

TEST_CASE("a task<> that returns gives exit code 0, and a task<int> gives its own") {
  const auto nothing = []() -> task<> { co_return; };
  const auto three = []() -> task<int> { co_return 3; };
  CHECK(program(nothing).status == 0);
  const child_end end = program(three);
  CHECK(end.status == 3);
  CHECK(end.errors.empty());
}

TEST_CASE("an uncaught error prints one line on standard error and gives exit code 1") {
  const auto fail = []() -> task<> {
    throw std::runtime_error("no such luck");
    co_return;
  };
  const auto fail_in_system = []() -> task<int> {
    throw std::system_error(std::make_error_code(std::errc::address_in_use), "bind 127.0.0.1:80");
    co_return 0;
  };
  const auto throw_number = []() -> task<> {
    throw 5;
    co_return;
  };
  child_end end = program(fail);
  CHECK(end.status == 1);
  CHECK(end.errors == "no such luck\n");
  end = program(fail_in_system);
  CHECK(end.status == 1);
  CHECK(end.errors == "bind 127.0.0.1:80: Address already in use\n");
  end = program(throw_number);
  CHECK(end.status == 1);
  CHECK(end.errors == "the main task ended with an exception that is not a std::exception\n");
}

TEST_CASE("a main task that kills itself is an error, not a signal") {
  const auto main = []() -> task<> {
    current().kill();
    co_await yield();
  };
  const child_end end = program(main);
  CHECK(end.status == 1);
  CHECK(contains(end.errors, "killed"));
}

TEST_CASE("a deadlock prints which fiber waits for what and gives exit code 1") {
  const auto main = []() -> task<> { co_await sleep(std::chrono::hours::max()); };
  const child_end end = program(main);
  CHECK(end.status == 1);
  CHECK(contains(end.errors, "deadlock"));
  CHECK(contains(end.errors, "fiber 1: sleep"));
}

TEST_CASE("fibers that refuse to end are listed, and the exit code is 70") {
  // Takes 4 ms of real time.
  const auto main = []() -> task<> {
    const auto stubborn = spawn([]() -> task<> {
      for (;;) {
        try {
          co_await sleep(1h);
        } catch (const cancelled&) {
        }
      }
    });
    stubborn.set_name("stubborn");
    co_await yield();
  };
  const child_end end = program(main, {.shutdown_timeout = 2ms});
  CHECK(end.status == 70);
  CHECK(contains(end.errors, "fiber 2 \"stubborn\": "));
}

// Signals

TEST_CASE("SIGINT and SIGTERM kill the main task, and give 130 and 143 after its clean-up") {
  for (const int number : {SIGINT, SIGTERM}) {
    const auto main = [number]() -> task<> {
      spawn([number]() -> task<> {
        ::raise(number);
        co_return;
      });
      try {
        co_await sleep_for_ever();
      } catch (const cancelled&) {
        say("cleaned up");
        throw;
      }
    };
    const child_end end = program(main);
    CHECK(end.status == 128 + number);
    CHECK(end.errors == "cleaned up\n");
  }
}

TEST_CASE("a signal wakes a program that sleeps") {
  for (const int number : {SIGINT, SIGTERM}) {
    const auto main = [number]() -> task<> {
      const pid_t program = ::getpid();
      const pid_t sender = ::fork();
      if (sender == 0) {
        ::kill(program, number);
        ::_exit(0);
      }
      co_await sleep_for_ever();
    };
    CHECK(program(main).status == 128 + number);
  }
}

TEST_CASE("a signal is not lost while the main task does not wait") {
  const auto main = []() -> task<> {
    ::raise(SIGTERM);
    say("still here");
    co_await yield();
    co_await sleep_for_ever();
  };
  const child_end end = program(main);
  CHECK(end.status == 143);
  CHECK(end.errors == "still here\n");
}

TEST_CASE("a main task may catch the kill and choose the exit code itself") {
  const auto main = []() -> task<int> {
    ::raise(SIGTERM);
    try {
      co_await sleep_for_ever();
    } catch (const cancelled&) {
    }
    co_await sleep(1ms);  // the kill was thrown once
    co_return 7;
  };
  CHECK(program(main).status == 7);
}

TEST_CASE("an error during the clean-up after a signal prints a line and gives exit code 1") {
  const auto main = []() -> task<> {
    ::raise(SIGTERM);
    try {
      co_await sleep_for_ever();
    } catch (const cancelled&) {
    }
    throw std::runtime_error("could not save");
  };
  const child_end end = program(main);
  CHECK(end.status == 1);
  CHECK(end.errors == "could not save\n");
}

TEST_CASE("a second signal ends the process at once, with that signal's code") {
  if (sanitized) return;  // ThreadSanitizer holds signals back in forked children
  const auto main = []() -> task<> {
    ::raise(SIGINT);
    try {
      co_await sleep_for_ever();
    } catch (const cancelled&) {
      say("cleaning up");
      ::raise(SIGTERM);
      say("not here");
      throw;
    }
  };
  const child_end end = program(main);
  CHECK(end.status == 143);
  CHECK(end.errors == "cleaning up\n");
}

TEST_CASE("a signal after the main task's end changes nothing, and a second one ends the process") {
  if (sanitized) return;  // ThreadSanitizer holds signals back in forked children
  const auto main_with = [](int signals) {
    return [signals]() -> task<int> {
      spawn([signals]() -> task<> {
        try {
          co_await sleep(1h);
        } catch (const cancelled&) {
          for (int i = 0; i < signals; ++i) ::raise(SIGTERM);
          say("cleaned up");
          throw;
        }
      });
      co_await yield();
      co_return 3;
    };
  };
  CHECK(program(main_with(1)).status == 3);
  CHECK(program(main_with(1)).errors == "cleaned up\n");
  CHECK(program(main_with(2)).status == 143);
  CHECK(program(main_with(2)).errors.empty());
}

TEST_CASE("run_main restores the dispositions, whatever they were, and can be called again") {
  const child_end end = run_in_child([] {
    struct sigaction mine = {};
    mine.sa_handler = &ignore;
    ::sigaction(SIGINT, &mine, nullptr);
    ::signal(SIGTERM, SIG_IGN);
    const auto signalled = []() -> task<int> {
      ::raise(SIGINT);
      co_await sleep_for_ever();
      co_return 0;
    };
    const auto failing = []() -> task<int> {
      throw std::runtime_error("fails");
      co_return 0;
    };
    const auto good = []() -> task<int> { co_return 5; };
    const int codes = run_main(signalled()) * 10'000 + run_main(failing()) * 100 + run_main(good());
    RINGLET_ASSERT(codes == 130'01'05, "each call has its own code");
    struct sigaction now = {};
    ::sigaction(SIGINT, nullptr, &now);
    RINGLET_ASSERT(now.sa_handler == &ignore, "SIGINT is as it was");
    ::sigaction(SIGTERM, nullptr, &now);
    RINGLET_ASSERT(now.sa_handler == SIG_IGN, "SIGTERM is as it was");
    ::raise(SIGTERM);
  });
  CHECK(end.status == 0);
  CHECK(end.errors == "fails\n");
}

TEST_CASE("run_main inside run_main aborts") {
  CHECK(aborts_with("run_main() was called while another run_main() was running", [] {
    const auto nothing = []() -> task<> { co_return; };
    const auto main = [&]() -> task<> {
      run_main(nothing());
      co_return;
    };
    run_main(main());
  }));
}

TEST_SUITE_END();
