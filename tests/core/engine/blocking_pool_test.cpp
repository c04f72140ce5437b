// The worker threads for calls without an asynchronous form: where jobs run, in which order, how
// many at once, and which can be withdrawn.
//
// Method: jobs wait at a gate until the test opens it, so "all workers are busy" and "has not
// begun" are facts, not guesses.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/blocking_pool.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/sanitized.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::detail;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("blocking_pool");

namespace {

// Jobs wait here until the gate lets them pass.
class gate {
 public:
  void enter() {
    std::unique_lock lock(mutex_);
    ++inside_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return passes_ > 0; });
    --passes_;
    --inside_;
  }
  /// Lets `count` jobs pass, whether they wait here already or come later.
  void open(int count) {
    const std::lock_guard lock(mutex_);
    passes_ += count;
    changed_.notify_all();
  }
  void wait_for(int inside) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return inside_ == inside; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int inside_ = 0;
  int passes_ = 0;
};

// State that the jobs of one case share.
struct yard {
  std::unique_ptr<extend::engine> used = make_engine(engine_kind::automatic);
  gate door;
  std::mutex mutex;
  std::string begun;  // names in the order of the calls
  std::set<std::thread::id> threads;
  int answered = 0;

  /// Takes turns until that many answers have arrived.
  void wait_for_answers(int count) {
    while (answered < count) {
      turn(*used, never);
      used->run_posted();
    }
  }
};

struct job : blocking_job {
  job(yard& where, char letter, bool in_gate) : shared(where), name(letter), waits(in_gate) {
    owner = shared.used.get();
    work = &call;
    run = &answer;
  }
  static void call(blocking_job& self) noexcept {
    auto& me = static_cast<job&>(self);
    {
      const std::lock_guard lock(me.shared.mutex);
      me.shared.begun += me.name;
      me.shared.threads.insert(std::this_thread::get_id());
    }
    if (me.waits) me.shared.door.enter();
  }
  static void answer(posted_work& self) noexcept {
    auto& me = static_cast<job&>(static_cast<blocking_job&>(self));
    ++me.shared.answered;
    me.answered_on = std::this_thread::get_id();
  }
  yard& shared;
  char name;
  bool waits;
  std::thread::id answered_on;
};

constexpr int workers = static_cast<int>(blocking_pool::threads_max);

}  // namespace

TEST_CASE("a job runs on another thread and is answered on its engine's thread") {
  blocking_pool pool;
  yard shared;
  job one(shared, 'a', false);
  pool.submit(one);
  shared.wait_for_answers(1);
  CHECK(shared.begun == "a");
  CHECK(shared.threads.count(std::this_thread::get_id()) == 0);
  CHECK(one.answered_on == std::this_thread::get_id());
}

TEST_CASE("a job may be submitted again as soon as it has been answered") {
  blocking_pool pool;
  yard shared;
  job one(shared, 'a', false);
  for (int i = 1; i <= 50; ++i) {
    pool.submit(one);
    shared.wait_for_answers(i);
  }
  CHECK(shared.begun == std::string(50, 'a'));
}

TEST_CASE("sixteen jobs run at once, and the seventeenth waits") {
  blocking_pool pool;
  yard shared;
  std::deque<job> jobs;
  for (int i = 0; i < workers; ++i) pool.submit(jobs.emplace_back(shared, 'a', true));
  shared.door.wait_for(workers);
  CHECK(shared.threads.size() == blocking_pool::threads_max);
  job late(shared, 'z', false);
  pool.submit(late);
  {
    const std::lock_guard lock(shared.mutex);
    CHECK(shared.begun == std::string(workers, 'a'));
  }
  shared.door.open(workers);
  shared.wait_for_answers(workers + 1);
  CHECK(shared.begun == std::string(workers, 'a') + "z");
  CHECK(shared.threads.size() == blocking_pool::threads_max);
}

TEST_CASE("waiting jobs begin in the order of their submission") {
  blocking_pool pool;
  yard shared;
  std::deque<job> busy, waiting;
  for (int i = 0; i < workers; ++i) pool.submit(busy.emplace_back(shared, '.', true));
  shared.door.wait_for(workers);
  for (const char name : std::string("abcdef")) {
    pool.submit(waiting.emplace_back(shared, name, false));
  }
  shared.door.open(1);  // one worker serves them all
  shared.wait_for_answers(1 + 6);
  CHECK(shared.begun == std::string(workers, '.') + "abcdef");
  shared.door.open(workers - 1);
  shared.wait_for_answers(workers + 6);
}

TEST_CASE("a job can be withdrawn until it has begun") {
  blocking_pool pool;
  yard shared;
  std::deque<job> busy;
  for (int i = 0; i < workers; ++i) pool.submit(busy.emplace_back(shared, '.', true));
  shared.door.wait_for(workers);
  job kept(shared, 'k', false);
  pool.submit(kept);
  {
    job taken_back(shared, 't', false);
    pool.submit(taken_back);
    CHECK(pool.withdraw(taken_back));
    CHECK_FALSE(pool.withdraw(taken_back));
  }
  CHECK_FALSE(pool.withdraw(busy.front()));
  shared.door.open(workers);
  shared.wait_for_answers(workers + 1);
  CHECK_FALSE(pool.withdraw(kept));
  CHECK(shared.begun == std::string(workers, '.') + "k");
}

TEST_CASE("a withdrawn job can be submitted again") {
  blocking_pool pool;
  yard shared;
  std::deque<job> busy;
  for (int i = 0; i < workers; ++i) pool.submit(busy.emplace_back(shared, '.', true));
  shared.door.wait_for(workers);
  job one(shared, 'a', false);
  pool.submit(one);
  CHECK(pool.withdraw(one));
  pool.submit(one);
  shared.door.open(workers);
  shared.wait_for_answers(workers + 1);
  CHECK(shared.begun == std::string(workers, '.') + "a");
}

TEST_CASE("a pool makes all accepted calls before it ends") {
  yard shared;
  std::deque<job> jobs;
  {
    blocking_pool pool;
    for (int i = 0; i < workers; ++i) pool.submit(jobs.emplace_back(shared, '.', true));
    shared.door.wait_for(workers);
    pool.submit(jobs.emplace_back(shared, 'a', false));
    pool.submit(jobs.emplace_back(shared, 'b', false));
    shared.door.open(workers);
  }
  CHECK(shared.begun.size() == workers + 2);
  shared.used->run_posted();
  CHECK(shared.answered == workers + 2);
}

TEST_CASE("a job without an owner is not answered, and may end its own life") {
  struct own_end : blocking_job {
    explicit own_end(std::atomic<int>& counter) : ended(counter) {
      work = [](blocking_job& self) noexcept { delete static_cast<own_end*>(&self); };
    }
    ~own_end() { ++ended; }
    std::atomic<int>& ended;
  };
  std::atomic<int> ended = 0;
  {
    blocking_pool pool;
    for (int i = 0; i < 3; ++i) pool.submit(*new own_end(ended));
  }
  CHECK(ended == 3);
}

TEST_CASE("workers block all signals, which go to the program's threads") {
  struct masked : blocking_job {
    sigset_t mask;
    std::atomic<bool> answered = false;
  };
  const auto used = make_engine(engine_kind::automatic);
  masked one;
  one.owner = used.get();
  one.work = [](blocking_job& self) noexcept {
    ::pthread_sigmask(SIG_SETMASK, nullptr, &static_cast<masked&>(self).mask);
  };
  one.run = [](posted_work& self) noexcept {
    static_cast<masked&>(static_cast<blocking_job&>(self)).answered = true;
  };
  sigset_t before, after;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &before);
  blocking_pool pool;
  pool.submit(one);
  while (!one.answered) {
    turn(*used, never);
    used->run_posted();
  }
  ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD, SIGALRM}) {
    CHECK(::sigismember(&one.mask, signal) == 1);
    CHECK(::sigismember(&after, signal) == ::sigismember(&before, signal));
  }
  // Except the signals that report a fault of the call itself.
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) {
    CHECK(::sigismember(&one.mask, fault) == 0);
    CHECK(::sigismember(&after, fault) == ::sigismember(&before, fault));
  }
}

// A sanitizer installs its own handler, and children under ThreadSanitizer cannot start threads.
TEST_CASE("a crash in a blocking call reaches the program's handler" * doctest::skip(sanitized)) {
  const child_end end = run_in_child([] {
    std::signal(SIGSEGV, [](int) { ::_exit(42); });
    yard shared;
    job one(shared, 'a', false);
    one.work = [](blocking_job&) noexcept { ::raise(SIGSEGV); };
    blocking_pool pool;
    pool.submit(one);
    shared.wait_for_answers(1);
  });
  CHECK(end.status == 42);
}

// See above.
TEST_CASE("the pool of the process serves threads that run after main has returned" *
          doctest::skip(sanitized)) {
  const child_end end = run_in_child([] {
    static std::atomic<int> calls = 0;
    // Stands for a static object that is older than the pool, which exit() destroys last.
    std::atexit([] {
      const int before = calls;
      while (calls < before + 100) std::this_thread::yield();
    });
    std::thread([] {
      yard shared;
      job one(shared, 'a', false);
      for (int i = 1;; ++i) {
        blocking_pool::instance().submit(one);
        shared.wait_for_answers(i);
        ++calls;
      }
    }).detach();
    while (calls == 0) std::this_thread::yield();
    std::exit(4);
  });
  CHECK(end.status == 4);
  CHECK(end.errors.empty());
}

// See above.
TEST_CASE("exit does not wait for a running call" * doctest::skip(sanitized)) {
  const child_end end = run_in_child([] {
    yard shared;
    job endless(shared, 'a', true);
    blocking_pool::instance().submit(endless);
    shared.door.wait_for(1);
    std::exit(4);
  });
  CHECK(end.status == 4);
}

// See above.
TEST_CASE("a child of fork() has its own pool" * doctest::skip(sanitized)) {
  yard shared;
  job one(shared, 'a', true);
  blocking_pool::instance().submit(one);
  shared.door.wait_for(1);  // the child lacks the worker that makes this call
  const child_end end = run_in_child([] {
    yard own;
    job other(own, 'b', false);
    blocking_pool::instance().submit(other);
    own.wait_for_answers(1);
    std::exit(own.begun == "b" ? 4 : 5);
  });
  CHECK(end.status == 4);
  shared.door.open(1);
  shared.wait_for_answers(1);
}

TEST_CASE("several engines share the pool of the process, and each gets its own answers") {
  std::vector<std::thread> users;
  std::atomic<int> right = 0;
  for (int i = 0; i < 4; ++i) {
    users.emplace_back([&right] {
      yard shared;
      std::deque<job> jobs;
      for (int j = 0; j < 50; ++j) {
        blocking_pool::instance().submit(jobs.emplace_back(shared, 'a', false));
      }
      shared.wait_for_answers(50);
      for (const job& one : jobs) right += one.answered_on == std::this_thread::get_id() ? 1 : 0;
    });
  }
  for (std::thread& user : users) user.join();
  CHECK(right == 200);
}

// Skipped under sanitizers, which need their own thread, and without root, which is needed to
// become a user without processes.
TEST_CASE("submit throws and accepts nothing when no thread can be started" *
          doctest::skip(sanitized || ::geteuid() != 0)) {
  const child_end end = run_in_child([] {
    yard shared;
    job one(shared, 'a', false);
    const auto user = static_cast<uid_t>(4'342'000 + ::getpid());
    const rlimit limit{1, 1};
    if (::setrlimit(RLIMIT_NPROC, &limit) != 0 || ::setresuid(user, user, user) != 0) return;
    blocking_pool pool;
    try {
      pool.submit(one);
    } catch (const std::system_error&) {
      std::fprintf(stderr, one.linked() ? "still queued" : "refused");
    }
  });
  CHECK(end.errors == "refused");
}

TEST_SUITE_END();
