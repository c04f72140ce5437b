// The yardstick: an echo server written directly on liburing, as fast as the kernel allows here.
//
//     $ ./build/bench/echo_limit --port 9090
//     listening on 127.0.0.1:9090
//     $ printf 'hello\n' | nc -N 127.0.0.1 9090
//     hello
//
// Every byte comes back. One thread, one ring, and one io_uring_enter per turn, which submits and
// waits. The technique was chosen by measurement: CPU per message, median of the ratios within 20
// to 100 short rounds [95 % interval], Linux 6.18, 2026-11-21; less is better. Ratios to this
// server, which receives multishot into a buffer ring and sends the answer from the buffer:
//
//   connections x bytes       500 x 64             500 x 4 KiB   16 x 64   5000 x 64
//   single-shot receive       1.024 [1.018 1.036]  1.02          1.01      1.01 [0.99 1.06]
//   echo_epoll.cpp            1.055 [1.047 1.073]  1.06          1.01      1.05 [1.02 1.09]
//
// Single-shot receive uses the same buffer ring, and polls first if the last one emptied the
// socket. Ratios to single-shot receive, at 500 x 64:
//
//   sends by send(2) instead of through the ring               1.10 [1.05 1.14]
//   without SINGLE_ISSUER, DEFER_TASKRUN, COOP_TASKRUN         1.29 [1.21 1.33]
//   send linked to a receive into the connection's own memory  0.99 [0.97 1.01]
//
// Within the noise, 0.99 to 1.01: polling first always or never; arming the receive together with
// the send; sends without a completion; registered files; an unregistered ring; no NO_IOWAIT;
// another enter after a sleep; turns of 32 to 1024 completions; 256 to 4096 buffers; buffers offset
// by a cache line, or in huge pages. The buffer size matters for long messages: 64 KiB in pieces of
// 4 KiB cost five times the CPU of one piece, in pieces of 16 KiB twice.
// SPDX-License-Identifier: MIT
#include <liburing.h>

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "hand_ring.hpp"
#include "server_main.hpp"

namespace {

constexpr unsigned submission_entries = 1024;
constexpr unsigned completion_entries = 8192;
// A turn handles at most this many completions, so that the received bytes are still in the cache
// when the kernel sends them. Each queues at most three requests, so the submission queue holds the
// requests of a turn.
constexpr unsigned completions_per_turn = 256;
static_assert(3 * completions_per_turn <= submission_entries);

// The ring hands out buffers in FIFO order, so all of them are touched: few, to stay in the cache,
// and large, because a short message touches only the part that it fills.
constexpr std::uint16_t buffer_count = 128;
constexpr std::size_t buffer_size = 64 * 1024;
constexpr std::uint16_t no_buffer = 0xffff;

// A peer that sends without reading may occupy this many buffers. Then its receive is cancelled
// until it has read them. The kernel may deliver up to 32 more before it sees the cancellation.
constexpr unsigned staged_max = 4;

// What a completion is for, in the low bits of user_data, below the connection's address.
enum class kind : std::uint64_t { accept, accept_pause, receive, receive_own, send, ignored };
constexpr std::uint64_t kind_mask = 7;

struct alignas(8) connection {
  explicit connection(int descriptor) : fd(descriptor) {}

  int fd;
  unsigned sent = 0;  // Bytes of the first staged buffer that have been sent.
  // Buffers received but not yet sent, oldest first, linked through server::slots_.
  std::uint16_t first = no_buffer;
  std::uint16_t last = no_buffer;
  std::uint16_t staged = 0;
  bool receiving = false;   // A receive is in flight: its last completion has not arrived.
  bool sending = false;     // A send is in flight. One at a time, or the bytes would interleave.
  bool cancelling = false;  // The receive is being cancelled, see staged_max.
  bool starved = false;     // The last receive ended because the buffer ring was empty.
  bool ended = false;       // The peer sends no more, or is gone.
  // Private memory for one receive while starved: slow peers that hold all buffers of the ring must
  // not stop other connections.
  unsigned own_size = 0;
  std::unique_ptr<char[]> own;

  bool has_data() const { return first != no_buffer || own_size > 0; }
};

class server {
 public:
  explicit server(int listener)
      : listener_(listener), ring_(submission_entries, completion_entries) {}

  [[noreturn]] void run() {
    ring_.arm_accept(listener_, name_of(nullptr, kind::accept));
    for (;;) {
      ring_.submit_and_wait();
      ring_.for_each_completion(completions_per_turn,
                                [this](const io_uring_cqe& completion) { handle(completion); });
    }
  }

 private:
  struct slot {
    unsigned size;
    std::uint16_t next;
  };

  void handle(const io_uring_cqe& completion) {
    auto* peer = reinterpret_cast<connection*>(completion.user_data & ~kind_mask);
    switch (static_cast<kind>(completion.user_data & kind_mask)) {
      case kind::accept:
        if (completion.res >= 0) pump(*new connection(completion.res));
        return ring_.accept_again(listener_, completion, name_of(nullptr, kind::accept_pause));
      case kind::accept_pause:
        return ring_.arm_accept(listener_, name_of(nullptr, kind::accept));
      case kind::receive:
        return on_receive(*peer, completion.res, completion.flags);
      case kind::receive_own:
        return on_receive_own(*peer, completion.res);
      case kind::send:
        return on_send(*peer, completion.res);
      case kind::ignored:
        return;
    }
  }

  static std::uint64_t name_of(connection* peer, kind what) {
    return reinterpret_cast<std::uint64_t>(peer) | static_cast<std::uint64_t>(what);
  }

  io_uring_sqe* queue(connection* peer, kind what) { return ring_.queue(name_of(peer, what)); }

  // --- One connection ----------------------------------------------------------------------------

  // Starts the connection's next send and receive, or closes it. Every completion ends here.
  void pump(connection& peer) {
    if (!peer.sending && peer.has_data()) start_send(peer);
    if (peer.receiving) {
      if (peer.staged > staged_max && !peer.cancelling) cancel_receive(peer);
      return;
    }
    if (peer.sending)
      return;  // Its completion leads here again, with nothing left to send or with an error.
    if (!peer.ended) return start_receive(peer);
    ::close(peer.fd);
    delete &peer;
  }

  void start_receive(connection& peer) {
    peer.receiving = true;
    if (peer.starved) return start_receive_own(peer);
    ring_.arm_receive(peer.fd, name_of(&peer, kind::receive));
  }

  void start_receive_own(connection& peer) {
    peer.starved = false;
    peer.own = std::make_unique_for_overwrite<char[]>(buffer_size);
    ::io_uring_prep_recv(queue(&peer, kind::receive_own), peer.fd, peer.own.get(), buffer_size, 0);
  }

  void cancel_receive(connection& peer) {
    peer.cancelling = true;
    ::io_uring_prep_cancel64(queue(nullptr, kind::ignored), name_of(&peer, kind::receive), 0);
  }

  void on_receive(connection& peer, int result, unsigned flags) {
    if ((flags & IORING_CQE_F_MORE) == 0) peer.receiving = peer.cancelling = false;
    if (ring_.has_buffer(flags)) {
      const std::uint16_t index = ring_.buffer_index(flags);
      if (result > 0 && !peer.ended) {
        stage(peer, index, static_cast<unsigned>(result));
      } else {
        ring_.recycle(index);
      }
    }
    if (result == -ENOBUFS) peer.starved = true;
    if (result == 0 || (result < 0 && !ring_.is_passing(-result))) peer.ended = true;
    pump(peer);
  }

  void on_receive_own(connection& peer, int result) {
    peer.receiving = false;
    if (result > 0) peer.own_size = static_cast<unsigned>(result);
    if (result <= 0) peer.own.reset();
    if (result == 0 || (result < 0 && !ring_.is_passing(-result))) peer.ended = true;
    pump(peer);
  }

  void start_send(connection& peer) {
    peer.sending = true;
    const bool is_own = peer.first == no_buffer;
    const char* data = is_own ? peer.own.get() : ring_.buffer(peer.first);
    const unsigned size = is_own ? peer.own_size : slots_[peer.first].size;
    ::io_uring_prep_send(queue(&peer, kind::send), peer.fd, data + peer.sent, size - peer.sent,
                         MSG_NOSIGNAL);
  }

  void on_send(connection& peer, int result) {
    peer.sending = false;
    if (result >= 0) {
      peer.sent += static_cast<unsigned>(result);
      const unsigned size = peer.first == no_buffer ? peer.own_size : slots_[peer.first].size;
      if (peer.sent == size) drop_first(peer);
    } else if (!ring_.is_passing(-result)) {
      // Nothing more can be sent to this peer. Shutting the socket down ends its receive.
      while (peer.has_data()) drop_first(peer);
      peer.ended = true;
      if (peer.receiving) ::shutdown(peer.fd, SHUT_RDWR);
    }
    pump(peer);
  }

  // --- Buffers -----------------------------------------------------------------------------------

  void stage(connection& peer, std::uint16_t index, unsigned size) {
    slots_[index] = {size, no_buffer};
    if (peer.first == no_buffer) {
      peer.first = index;
    } else {
      slots_[peer.last].next = index;
    }
    peer.last = index;
    ++peer.staged;
  }

  void drop_first(connection& peer) {
    peer.sent = 0;
    if (peer.first == no_buffer) {
      peer.own.reset();
      peer.own_size = 0;
      return;
    }
    const std::uint16_t index = peer.first;
    peer.first = slots_[index].next;
    --peer.staged;
    ring_.recycle(index);
  }

  int listener_;
  bench::hand_ring<buffer_count, buffer_size> ring_;
  std::array<slot, buffer_count> slots_{};
};

void serve(int listener) { std::make_unique<server>(listener)->run(); }

}  // namespace

int main(int argc, char** argv) {
  return bench::server_main(argc, argv, "Echo server: hand-written liburing, the limit", serve);
}
