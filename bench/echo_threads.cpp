// The classic baseline: one blocking thread per connection, carefully written.
//
//     $ ./build/bench/echo_threads --port 9090
//     listening on 127.0.0.1:9090
//     $ printf 'hello\n' | nc -N 127.0.0.1 9090
//     hello
//
// Every byte comes back. Each thread only calls recv(2) and send(2) on a blocking socket: no lock,
// no allocation, no shared state. Stacks are small, so thousands of threads cost address space
// rather than memory. What remains is the cost of the technique itself: a thread switch per
// message.
// SPDX-License-Identifier: MIT
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "server_main.hpp"

namespace {

// 16 KiB holds a 4 KiB message, or several small ones, in one call. The stack is four times that
// size, which leaves enough room for the C library and a signal frame with AVX-512 state.
constexpr std::size_t buffer_size = 16 * 1024;
constexpr std::size_t stack_size = 64 * 1024;

void pause_accepting() {
  const timespec pause{0, bench::accept_pause_ms * 1'000'000L};
  ::nanosleep(&pause, nullptr);
}

// False if the peer is gone.
bool send_all(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t sent = ::send(fd, data, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    data += sent;
    size -= static_cast<std::size_t>(sent);
  }
  return true;
}

// One connection, from accept to close. A peer that vanishes ends only its own thread.
void* echo(void* argument) {
  const int fd = static_cast<int>(reinterpret_cast<std::intptr_t>(argument));
  char buffer[buffer_size];
  for (;;) {
    const ssize_t received = ::recv(fd, buffer, sizeof buffer, 0);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) break;
    if (!send_all(fd, buffer, static_cast<std::size_t>(received))) break;
  }
  ::close(fd);
  return nullptr;
}

void start_thread(const pthread_attr_t& attributes, int fd) {
  pthread_t thread;
  // EAGAIN means that the limit on threads is reached. The peer waits until a thread has ended;
  // further peers wait in the backlog. Rejected peers would only connect again.
  while (::pthread_create(&thread, &attributes, echo,
                          reinterpret_cast<void*>(static_cast<std::intptr_t>(fd))) != 0) {
    pause_accepting();
  }
}

void serve(int listener) {
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, stack_size);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  for (;;) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) {
      start_thread(attributes, fd);
    } else if (bench::is_out_of_resources(errno)) {
      pause_accepting();
    } else if (bench::is_listener_broken(errno)) {
      bench::fail("accept", errno);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return bench::server_main(argc, argv, "Echo server: one blocking thread per connection", serve);
}
