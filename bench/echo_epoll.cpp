// Hand-written epoll: what a careful C programmer gets without io_uring.
//
//     $ ./build/bench/echo_epoll --port 9090
//     listening on 127.0.0.1:9090
//     $ printf 'hello\n' | nc -N 127.0.0.1 9090
//     hello
//
// Every byte comes back. One thread, edge-triggered, and every call is tried before waiting: a
// message costs one recv, one send and its share of an epoll_wait. Three choices keep it at two
// calls per message instead of three or four:
//
//   - Both directions are registered once, when the connection is accepted, and never changed.
//   - A read that does not fill the buffer has emptied the socket (epoll(7), question 9), so the
//     recv that would only return EAGAIN is skipped, unless the event said that the peer has ended.
//   - All connections share one receive buffer, which stays in the cache. Only bytes that a slow
//     peer does not accept are copied, and nothing more is read from it until it accepts them.
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "server_main.hpp"

namespace {

constexpr std::size_t buffer_size = 64 * 1024;
constexpr std::uint32_t interest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

// Limits per turn: reads from one connection, and accepted connections.
constexpr int reads_per_turn = 8;
constexpr int accepts_per_turn = 64;

struct connection {
  int fd = -1;
  std::vector<char> unsent;  // Not accepted by the socket. Until it is sent, reading pauses.
  std::size_t sent = 0;      // Bytes of `unsent` that have been sent since.
};

enum class progress { blocked, again, over };

std::array<char, buffer_size> buffer;

// blocked: the socket accepts no more now. again: everything is sent. over: the peer is gone.
progress send_some(int fd, const char* data, std::size_t size, std::size_t& sent) {
  while (sent < size) {
    const ssize_t count = ::send(fd, data + sent, size - sent, MSG_NOSIGNAL);
    if (count >= 0) {
      sent += static_cast<std::size_t>(count);
    } else if (errno == EAGAIN) {
      return progress::blocked;
    } else if (errno != EINTR) {
      return progress::over;
    }
  }
  return progress::again;
}

progress send_rest(connection& peer) {
  const progress result = send_some(peer.fd, peer.unsent.data(), peer.unsent.size(), peer.sent);
  if (result == progress::again) {
    peer.unsent = {};  // Frees the memory: slow peers are few, and idle ones may be many.
    peer.sent = 0;
  }
  return result;
}

// Echoes until the socket is empty or full (blocked), or the limit per turn is reached (again).
progress echo(connection& peer, bool ended) {
  for (int reads = 0; reads < reads_per_turn; ++reads) {
    const ssize_t count = ::recv(peer.fd, buffer.data(), buffer.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return progress::blocked;
    if (count <= 0) return progress::over;
    const auto size = static_cast<std::size_t>(count);
    std::size_t sent = 0;
    const progress result = send_some(peer.fd, buffer.data(), size, sent);
    if (result == progress::over) return result;
    if (result == progress::blocked) {
      peer.unsent.assign(buffer.data() + sent, buffer.data() + size);
      return result;
    }
    if (size < buffer.size() && !ended) return progress::blocked;
  }
  return progress::again;
}

void on_event(int poller, connection* peer, std::uint32_t events) {
  const bool ended = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  bool had_unsent = !peer->unsent.empty();
  progress result = had_unsent ? send_rest(*peer) : progress::again;
  // Edges that occurred while reading was paused are lost, so a read after a pause continues until
  // EAGAIN.
  if (result == progress::again) result = echo(*peer, ended || had_unsent);
  if (result == progress::again) {
    // EPOLL_CTL_MOD checks the socket again and queues it behind those that are already ready.
    epoll_event event{interest, {.ptr = peer}};
    if (::epoll_ctl(poller, EPOLL_CTL_MOD, peer->fd, &event) != 0) result = progress::over;
  }
  if (result == progress::over) {
    ::close(peer->fd);
    delete peer;  // No other event of this batch refers to it: epoll reports a descriptor once.
  }
}

// False if accepting has to pause.
bool accept_some(int poller, int listener) {
  for (int accepted = 0; accepted < accepts_per_turn; ++accepted) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (errno == EAGAIN) return true;
      if (bench::is_out_of_resources(errno)) return false;
      if (bench::is_listener_broken(errno)) bench::fail("accept", errno);
      continue;
    }
    auto* peer = new connection{.fd = fd, .unsent = {}, .sent = 0};
    epoll_event event{interest, {.ptr = peer}};
    if (::epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0) {
      const int error = errno;
      ::close(fd);
      delete peer;
      if (!bench::is_out_of_resources(error)) bench::fail("epoll_ctl", error);
      return false;
    }
  }
  return true;
}

void set_listening(int poller, int listener, bool on, int operation) {
  epoll_event event{on ? EPOLLIN : 0u, {.ptr = nullptr}};  // Null stands for the listening socket.
  if (::epoll_ctl(poller, operation, listener, &event) != 0) bench::fail("epoll_ctl", errno);
}

void serve(int listener) {
  const int poller = ::epoll_create1(EPOLL_CLOEXEC);
  if (poller < 0) bench::fail("cannot make an epoll instance", errno);
  ::fcntl(listener, F_SETFL, ::fcntl(listener, F_GETFL) | O_NONBLOCK);
  set_listening(poller, listener, true, EPOLL_CTL_ADD);
  bool accepting = true;
  std::array<epoll_event, 256> events;
  for (;;) {
    const int count = ::epoll_wait(poller, events.data(), static_cast<int>(events.size()),
                                   accepting ? -1 : bench::accept_pause_ms);
    if (count < 0 && errno != EINTR) bench::fail("epoll_wait", errno);
    bool accept_now = !accepting;
    for (int index = 0; index < count; ++index) {
      const epoll_event& event = events[static_cast<std::size_t>(index)];
      if (event.data.ptr == nullptr) {
        accept_now = true;
      } else {
        on_event(poller, static_cast<connection*>(event.data.ptr), event.events);
      }
    }
    // The listening socket is level-triggered. While accepting pauses, its events are turned off;
    // otherwise epoll_wait would not sleep.
    if (accept_now && accept_some(poller, listener) != accepting) {
      accepting = !accepting;
      set_listening(poller, listener, accepting, EPOLL_CTL_MOD);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return bench::server_main(argc, argv, "Echo server: hand-written epoll", serve);
}
