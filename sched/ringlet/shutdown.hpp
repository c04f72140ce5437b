// shutdown_requested and shutting_down: an end that the program carries out itself.
//
//     task<> serve() {
//       auto listener = tcp_listener::bind("127.0.0.1:9090");
//       const auto acceptor = spawn(accept_connections, std::ref(listener));
//       co_await shutdown_requested();       // Ctrl-C
//       co_await acceptor.kill();            // no new connections
//       co_await finish_what_is_under_way();
//     }                                      // run_main returns 0
#pragma once

#include <ringlet/result.hpp>
#include <ringlet/scheduler.hpp>
#include <ringlet/until.hpp>
#include <ringlet/wait.hpp>

#include <coroutine>

namespace ringlet {

/// See shutdown_requested().
class [[nodiscard]] shutdown_wait : public list_wait {
 public:
  explicit shutdown_wait(until limit) noexcept : list_wait(limit) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> caller) noexcept {
    return begin(caller.promise());
  }
  result<bool> take() { return await_resume(); }
  bool await_resume() {
    rethrow_interruption();
    return reason_ == cancel_reason::none;
  }

  bool try_now() noexcept;
  void watch() noexcept;
  static const wait_type type;

 private:
  bool begin(frame_record& at) noexcept;
};

/// Waits for the first SIGINT or SIGTERM under run_main(): true; false when the limit passed first.
/// From then on every call returns true at once.
///
/// The first call in a run, awaited or not, changes what the first signal does: it cancels nothing,
/// and ends this wait instead. The main task then has options::grace to end. If it has not, the
/// signal acts as if shutdown_requested() had never been called: see run_main(). A main task that
/// returns decides the exit code, also after a signal. A second signal ends the program at once.
///
/// Under run(), which touches no signals, nothing ends this wait but its limit and cancellation.
/// Cancellation loses nothing. May be a part of a select(). Thread: any fiber's.
shutdown_wait shutdown_requested(until limit = forever) noexcept;

/// Whether this thread's run is ending: a signal has come, the main task was killed, or it has
/// ended. Needs no fiber, so that a callback or a destructor can ask; aborts outside of run().
bool shutting_down() noexcept;

}  // namespace ringlet
