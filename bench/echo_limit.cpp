// The yardstick: an echo server written straight on liburing, as fast as the kernel allows here.
//
//     $ ./build/bench/echo_limit --port 9090
//     listening on 127.0.0.1:9090
//     $ printf 'hello\n' | nc -N 127.0.0.1 9090
//     hello
//
// You will see every byte come back. One thread, one ring, and one enter a turn, which submits and
// reaps. The technique was chosen by measurement: CPU per message, median of the ratios within 20
// to 100 short rounds [95 % interval], Linux 6.18; less is better. Next to this server, which
// receives multishot into a buffer ring and sends the answer from the buffer:
//
//   connections x bytes       500 x 64             500 x 4 KiB   16 x 64   5000 x 64
//   single-shot receive       1.024 [1.018 1.036]  1.02          1.01      1.01 [0.99 1.06]
//   echo_epoll.cpp            1.055 [1.047 1.073]  1.06          1.01      1.05 [1.02 1.09]
//
// Single-shot receive takes from the same ring, and polls first if the last one emptied the socket.
// Next to it, at 500 x 64:
//
//   sends by send(2) instead of through the ring               1.10 [1.05 1.14]
//   without SINGLE_ISSUER, DEFER_TASKRUN, COOP_TASKRUN         1.29 [1.21 1.33]
//   send linked to a receive into the connection's own memory  0.99 [0.97 1.01]
//
// Within the noise, 0.99 to 1.01: polling first always or never; arming the receive along with the
// send; sends that complete silently; registered files; an unregistered ring; no NO_IOWAIT; another
// enter after a sleep; turns of 32 to 1024 completions; 256 to 4096 buffers; buffers offset by a
// cache line, or in huge pages. The size of the buffers decides for long messages: 64 KiB in pieces
// of 4 KiB cost five times the CPU of one piece, in pieces of 16 KiB twice.
#include <liburing.h>

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "server_main.hpp"

namespace {

// Younger than liburing 2.3. Without it a thread asleep in its ring counts as waiting for a disk.
constexpr unsigned enter_no_iowait = 1U << 7;
constexpr unsigned feature_no_iowait = 1U << 17;

constexpr unsigned submission_entries = 1024;
constexpr unsigned completion_entries = 8192;
// A turn handles at most so many completions, so that what they touched is still in the cache when
// the kernel sends it. Each queues three requests at most: the submission queue holds a turn's.
constexpr unsigned completions_per_turn = 256;
static_assert(3 * completions_per_turn <= submission_entries);

// The ring hands buffers out first in, first out, so all of them get touched: few, to stay in the
// cache, and large, because a short message touches no more than it fills.
constexpr unsigned buffer_count = 128;
constexpr std::size_t buffer_size = 64 * 1024;
constexpr std::uint16_t no_buffer = 0xffff;

// A peer that sends without reading may occupy so many buffers; then its receiving is cancelled
// until it has taken them. What the kernel delivers before it sees the cancel comes on top, at
// most 32.
constexpr unsigned staged_max = 4;

// What a completion is about. It sits in the low bits of user_data, below the connection's address.
enum class kind : std::uint64_t { accept, accept_pause, receive, receive_own, send, ignored };
constexpr std::uint64_t kind_mask = 7;

struct alignas(8) connection {
  explicit connection(int descriptor) : fd(descriptor) {}

  int fd;
  unsigned sent = 0;  // How much of the first staged buffer has gone out.
  // Buffers received and not yet sent, oldest first, linked through server::slots_.
  std::uint16_t first = no_buffer;
  std::uint16_t last = no_buffer;
  std::uint16_t staged = 0;
  bool receiving = false;   // A receive is in flight; its final completion is still to come.
  bool sending = false;     // So is a send. One at a time, or the bytes would interleave.
  bool cancelling = false;  // The receive has been asked to stop, see staged_max.
  bool starved = false;     // The last receive ended because the buffer ring was empty.
  bool ended = false;       // The peer sends no more, or is gone.
  // Memory of its own for one receive, while starved: slow peers that hold all buffers of the ring
  // shall not stop the others.
  unsigned own_size = 0;
  std::unique_ptr<char[]> own;

  bool has_data() const { return first != no_buffer || own_size > 0; }
};

class server {
 public:
  explicit server(int listener) : listener_(listener) {
    make_ring();
    make_buffers();
  }

  [[noreturn]] void run() {
    arm_accept();
    for (;;) {
      enter(::io_uring_cq_ready(&ring_) > 0 ? 0 : 1, IORING_ENTER_GETEVENTS);
      handle_completions();
    }
  }

 private:
  struct slot {
    unsigned size;
    std::uint16_t next;
  };

  void make_ring() {
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL |
                       IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                       IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
    parameters.cq_entries = completion_entries;
    const int made = ::io_uring_queue_init_params(submission_entries, &ring_, &parameters);
    if (made < 0) bench::fail("cannot make an io_uring (Linux 6.1 or newer, permitted?)", -made);
    if (::io_uring_register_ring_fd(&ring_) == 1) {
      enter_flags_ |= IORING_ENTER_REGISTERED_RING;
    }
    if ((parameters.features & feature_no_iowait) != 0) enter_flags_ |= enter_no_iowait;
  }

  static void* map(std::size_t size) {
    void* memory =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) bench::fail("cannot map memory for buffers", errno);
    return memory;
  }

  void make_buffers() {
    buffers_ = static_cast<char*>(map(buffer_count * buffer_size));
    buffer_ring_ = static_cast<io_uring_buf_ring*>(map(buffer_count * sizeof(io_uring_buf)));
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uint64_t>(buffer_ring_);
    registration.ring_entries = buffer_count;
    const int registered = ::io_uring_register_buf_ring(&ring_, &registration, 0);
    if (registered < 0) bench::fail("cannot register a buffer ring", -registered);
    ::io_uring_buf_ring_init(buffer_ring_);
    for (std::uint16_t index = 0; index < buffer_count; ++index) recycle(index);
  }

  // --- The turn ----------------------------------------------------------------------------------

  // Publishes what was queued, submits it, and runs the task work from which completions come.
  // Called by hand because liburing 2.3 has no call that passes these flags. How many entries were
  // taken needs no look: what was not is still between head and tail, and goes with the next turn.
  void enter(unsigned least_completions, unsigned flags) {
    if (recycled_ > 0) ::io_uring_buf_ring_advance(buffer_ring_, static_cast<int>(recycled_));
    recycled_ = 0;
    ring_.sq.sqe_head = ring_.sq.sqe_tail;
    io_uring_smp_store_release(ring_.sq.ktail, ring_.sq.sqe_tail);
    const unsigned queued = ring_.sq.sqe_tail - *ring_.sq.khead;
    const long result = ::syscall(__NR_io_uring_enter, ring_.enter_ring_fd, queued,
                                  least_completions, flags | enter_flags_, nullptr, 0);
    if (result < 0 && errno != EINTR && errno != EAGAIN && errno != EBUSY) {
      bench::fail("io_uring_enter", errno);
    }
  }

  void handle_completions() {
    const unsigned count = std::min(::io_uring_cq_ready(&ring_), completions_per_turn);
    const unsigned head = *ring_.cq.khead;
    for (unsigned index = 0; index < count; ++index) {
      handle(ring_.cq.cqes[(head + index) & *ring_.cq.kring_mask]);
    }
    ::io_uring_cq_advance(&ring_, count);
  }

  void handle(const io_uring_cqe& completion) {
    auto* peer = reinterpret_cast<connection*>(completion.user_data & ~kind_mask);
    switch (static_cast<kind>(completion.user_data & kind_mask)) {
      case kind::accept:
        return on_accept(completion.res, completion.flags);
      case kind::accept_pause:
        return arm_accept();
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

  // The next free entry. It has its user_data, which liburing's prep functions leave alone.
  io_uring_sqe* queue(connection* peer, kind what) {
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    while (entry == nullptr) {  // Only if the kernel lacked the memory to take the last turn's.
      enter(0, 0);
      entry = ::io_uring_get_sqe(&ring_);
    }
    entry->user_data = name_of(peer, what);
    return entry;
  }

  // --- Accepting ---------------------------------------------------------------------------------

  void arm_accept() {
    ::io_uring_prep_multishot_accept(queue(nullptr, kind::accept), listener_, nullptr, nullptr,
                                     SOCK_CLOEXEC);
  }

  void on_accept(int result, unsigned flags) {
    if (result >= 0) pump(*new connection(result));
    if ((flags & IORING_CQE_F_MORE) != 0) return;
    if (result >= 0 ||
        (!bench::is_out_of_resources(-result) && !bench::is_listener_broken(-result))) {
      return arm_accept();
    }
    if (bench::is_listener_broken(-result)) bench::fail("accept", -result);
    static __kernel_timespec pause{0, bench::accept_pause_ms * 1'000'000LL};
    ::io_uring_prep_timeout(queue(nullptr, kind::accept_pause), &pause, 0, 0);
  }

  // --- One connection ----------------------------------------------------------------------------

  // Starts what the connection can do next. Every completion of it ends here.
  void pump(connection& peer) {
    if (!peer.sending && peer.has_data()) start_send(peer);
    if (peer.receiving) {
      if (peer.staged > staged_max && !peer.cancelling) cancel_receive(peer);
      return;
    }
    if (peer.sending)
      return;  // Its completion comes back here with nothing left to send, or an error.
    if (!peer.ended) return start_receive(peer);
    ::close(peer.fd);
    delete &peer;
  }

  void start_receive(connection& peer) {
    peer.receiving = true;
    if (peer.starved) return start_receive_own(peer);
    io_uring_sqe* entry = queue(&peer, kind::receive);
    ::io_uring_prep_recv_multishot(entry, peer.fd, nullptr, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
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
    if ((flags & IORING_CQE_F_BUFFER) != 0) {
      const auto index = static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
      if (result > 0 && !peer.ended) {
        stage(peer, index, static_cast<unsigned>(result));
      } else {
        recycle(index);
      }
    }
    if (result == -ENOBUFS) peer.starved = true;
    if (result == 0 || (result < 0 && !is_passing(-result))) peer.ended = true;
    pump(peer);
  }

  void on_receive_own(connection& peer, int result) {
    peer.receiving = false;
    if (result > 0) peer.own_size = static_cast<unsigned>(result);
    if (result <= 0) peer.own.reset();
    if (result == 0 || (result < 0 && !is_passing(-result))) peer.ended = true;
    pump(peer);
  }

  // Errors that end a receive or a send, but not the connection.
  static bool is_passing(int error) {
    return error == ENOBUFS || error == ECANCELED || error == EAGAIN || error == EINTR;
  }

  void start_send(connection& peer) {
    peer.sending = true;
    const bool is_own = peer.first == no_buffer;
    const char* data = is_own ? peer.own.get() : buffers_ + peer.first * buffer_size;
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
    } else if (!is_passing(-result)) {
      // Nothing more can be said to this peer. Its receive ends when the socket is shut down.
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
    recycle(index);
  }

  // Gives a buffer back. The kernel sees it at the next enter.
  void recycle(std::uint16_t index) {
    ::io_uring_buf_ring_add(buffer_ring_, buffers_ + index * buffer_size, buffer_size, index,
                            ::io_uring_buf_ring_mask(buffer_count), static_cast<int>(recycled_));
    ++recycled_;
  }

  int listener_;
  unsigned enter_flags_ = 0;
  unsigned recycled_ = 0;
  char* buffers_ = nullptr;
  io_uring_buf_ring* buffer_ring_ = nullptr;
  io_uring ring_{};
  std::array<slot, buffer_count> slots_{};
};

void serve(int listener) { std::make_unique<server>(listener)->run(); }

}  // namespace

int main(int argc, char** argv) {
  return bench::server_main(argc, argv, "Echo server: hand-written liburing, the limit", serve);
}
