// How run_main handles signals and errors.
#include <ringlet/detail/report.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/run.hpp>
#include <ringlet/standard_descriptors.hpp>
#include <ringlet/unique_fd.hpp>

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <exception>
#include <new>
#include <thread>

extern "C" [[gnu::used]] void ringlet_dump() noexcept try {
  ringlet::extend::scheduler* const here = ringlet::extend::current_scheduler_or_null();
  if (here == nullptr) {
    ringlet::detail::report("ringlet: no scheduler runs on this thread; select another one\n");
  } else {
    ringlet::detail::report("%s", here->dump().c_str());
  }
} catch (const std::exception& error) {
  ringlet::detail::report("ringlet: no dump: %s\n", error.what());
}

namespace ringlet {
using namespace extend;

namespace {

// Keeps the linker from dropping a function that only debuggers call.
void (*volatile const debugger_entry)() noexcept = &ringlet_dump;

constexpr int exit_failure = 1;
constexpr int exit_software = 70;  // EX_SOFTWARE of sysexits(3)
constexpr int exit_signal_base = 128;

// The signal handler may touch only lock-free atomics and the engine's eventfd.
std::atomic<int> received_signal = 0;
std::atomic<extend::engine*> engine_to_wake = nullptr;
std::atomic<int> handlers_running = 0;  // on any thread: the engine must outlive them

void on_signal(int number) {
  const int saved_errno = errno;
  if (received_signal.exchange(number) != 0) ::_exit(exit_signal_base + number);
  ++handlers_running;
  if (extend::engine* sleeper = engine_to_wake.load()) sleeper->wake();
  --handlers_running;
  errno = saved_errno;
}

// Handles SIGINT and SIGTERM from construction to destruction. A child of fork() gets the previous
// dispositions back.
class signal_watch {
 public:
  explicit signal_watch(extend::engine& woken) {
    static const int registered = ::pthread_atfork(nullptr, nullptr, &in_child);
    if (registered != 0) throw std::bad_alloc();
    received_signal = 0;
    RINGLET_ASSERT(engine_to_wake.exchange(&woken) == nullptr,
                   "run_main() was called while another run_main() was running");
    struct sigaction action = {};
    action.sa_handler = &on_signal;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGINT, &action, &before_interrupt_);
    ::sigaction(SIGTERM, &action, &before_terminate_);
    here = this;
  }
  ~signal_watch() {
    here = nullptr;
    put_back();
    engine_to_wake = nullptr;
    while (handlers_running != 0) std::this_thread::yield();
  }
  signal_watch(const signal_watch&) = delete;
  signal_watch& operator=(const signal_watch&) = delete;

 private:
  void put_back() const noexcept {
    ::sigaction(SIGINT, &before_interrupt_, nullptr);
    ::sigaction(SIGTERM, &before_terminate_, nullptr);
  }
  static void in_child() noexcept {
    engine_to_wake = nullptr;
    handlers_running = 0;
    received_signal = 0;
    if (const signal_watch* const left = here.exchange(nullptr)) left->put_back();
  }

  static constinit std::atomic<const signal_watch*> here;
  struct sigaction before_interrupt_;
  struct sigaction before_terminate_;
};

constinit std::atomic<const signal_watch*> signal_watch::here = nullptr;

void watch_signals(extend::scheduler& scheduler) {
  scheduler.signal().watch(received_signal);
  scheduler.set_stuck_handler([] { ::_exit(exit_software); });
}

task<int> with_code_zero(task<> main) {
  co_await main;
  co_return 0;
}

}  // namespace

int run_main(task<int> main, options settings, std::source_location where) {
  reserve_standard_descriptors();
  static_cast<void>(debugger_entry);
  try {
    const std::unique_ptr<engine> engine = make_engine(settings.engine, settings.sizes);
    const signal_watch watch(*engine);
    return detail::run_on(*engine, std::move(main), std::move(settings), where, &watch_signals);
  } catch (const std::system_error& error) {
    if (error.code() == errc::fiber_cancelled && received_signal != 0) {
      return exit_signal_base + received_signal;
    }
    detail::report("%s\n", error.what());
  } catch (const std::bad_alloc&) {
    detail::report("out of memory, and the main task did not handle it (std::bad_alloc)\n");
  } catch (const std::exception& error) {
    detail::report("%s\n", error.what());
  } catch (...) {
    detail::report("the main task ended with an exception that is not a std::exception\n");
  }
  return exit_failure;
}

int run_main(task<> main, options settings, std::source_location where) {
  return run_main(with_code_zero(std::move(main)), std::move(settings), where);
}

}  // namespace ringlet
