// Sets up a ring and its buffers, and takes them down.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/blocking_pool.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <new>
#include <thread>
#include <utility>

#include "uring_engine.hpp"
#include "uring_entry.hpp"
#include "uring_refusal.hpp"

namespace ringlet::extend {
using namespace detail;
namespace {

// SINGLE_ISSUER and DEFER_TASKRUN: the kernel does its part of completions in batches when this
// thread asks for them, instead of interrupting it. COOP_TASKRUN and TASKRUN_FLAG: a flag in the
// ring announces such work. SUBMIT_ALL: a refused request does not stop those behind it. Never
// NO_SQARRAY: liburing 2.3 would overwrite the ring header, and the process could not even be
// killed.
constexpr unsigned setup_flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE |
                                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
                                 IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN |
                                 IORING_SETUP_TASKRUN_FLAG;
constexpr std::uint32_t submission_entries_min = 8;
constexpr std::uint32_t completion_entries_min = 16;
constexpr std::uint32_t ring_buffers_min = 8;
// How many times, and how long each time, to wait while the kernel takes down a closed ring.
constexpr int teardown_rounds_max = 200;
constexpr auto teardown_round = std::chrono::milliseconds(1);

[[noreturn]] void refuse(const char* call, int error) {
  throw uring_refused(error, explain_uring_refusal(call, error));
}

// Written before a ring is unmapped and read after one is mapped. A ring may be mapped where
// another thread's ring was. The kernel orders the two, but liburing maps by raw system calls, so
// ThreadSanitizer does not see the order without this counter.
std::atomic<unsigned> rings_closed = 0;

void exit_ring(io_uring& ring) noexcept {
  rings_closed.fetch_add(1, std::memory_order_release);
  io_uring_queue_exit(&ring);
}

struct ring_sizes {
  std::uint32_t submissions;
  std::uint32_t completions;
  std::uint32_t buffers;
  bool operator==(const ring_sizes&) const = default;
};

// Halves the completion queue, then the buffers, then the submission queue. False at the smallest.
bool shrink(ring_sizes& sizes) noexcept {
  if (sizes.completions > completion_entries_min && sizes.completions > sizes.submissions) {
    sizes.completions /= 2;
  } else if (sizes.buffers > ring_buffers_min) {
    sizes.buffers /= 2;
  } else if (sizes.submissions > submission_entries_min) {
    sizes.submissions /= 2;
  } else {
    return false;
  }
  return true;
}

// Sizes that fitted after larger ones were refused. They are updated independently: they are only a
// starting point.
std::atomic<std::uint32_t> submissions_fit = UINT32_MAX;
std::atomic<std::uint32_t> completions_fit = UINT32_MAX;
std::atomic<std::uint32_t> buffers_fit = UINT32_MAX;

ring_sizes known_to_fit(const ring_sizes& wanted) noexcept {
  const std::uint32_t submissions = std::min(wanted.submissions, submissions_fit.load());
  const std::uint32_t completions = std::min(wanted.completions, completions_fit.load());
  return {submissions, std::max(submissions, completions),
          std::min(wanted.buffers, buffers_fit.load())};
}

void remember(const ring_sizes& sizes) noexcept {
  submissions_fit = sizes.submissions;
  completions_fit = sizes.completions;
  buffers_fit = sizes.buffers;
}

std::size_t buffer_ring_bytes(std::uint32_t count) noexcept {
  return std::size_t{count} * sizeof(io_uring_buf);
}

}  // namespace

int uring_engine::try_ring(std::uint32_t submission_entries,
                           std::uint32_t completion_entries) noexcept {
  io_uring_params params{};
  params.flags = setup_flags;
  params.cq_entries = completion_entries;
  const int made = io_uring_queue_init_params(submission_entries, &ring_, &params);
  if (made < 0) return -made;
  static_cast<void>(rings_closed.load(std::memory_order_acquire));
  // Entries are used in ring order, so the index array is written once and never again.
  if (ring_.sq.array != nullptr) {
    for (unsigned i = 0; i < *ring_.sq.kring_entries; ++i) ring_.sq.array[i] = i;
  }
  enter_flags_ = 0;
  features_.no_iowait &= (params.features & uring_constants::feature_no_iowait) != 0;
  if (features_.no_iowait) enter_flags_ |= uring_constants::enter_no_iowait;
  // Saves the kernel a look-up at each enter; if it is refused, the ordinary descriptor serves. Not
  // tried if it is switched off: once it is registered, liburing enters only by that number.
  features_.registered_ring = features_.registered_ring && io_uring_register_ring_fd(&ring_) == 1;
  if (features_.registered_ring) enter_flags_ |= IORING_ENTER_REGISTERED_RING;
  // Kernel worker threads make calls on files that wait for the disk, and writes to terminals.
  // Further calls queue. Kernels before Linux 5.15 refuse this limit and start more threads.
  unsigned workers[2] = {blocking_pool::threads_max, blocking_pool::threads_max};
  io_uring_register_iowq_max_workers(&ring_, workers);
  return 0;
}

int uring_engine::try_buffers(std::uint32_t count, std::uint32_t size) {
  decltype(pool_) pool;
  try {
    pool.reset(new buffer_pool(*this, count, size));
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  }
  void* memory = ::mmap(nullptr, buffer_ring_bytes(count), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return ENOMEM;
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uint64_t>(memory);
  registration.ring_entries = count;
  registration.bgid = buffer_group;
  const int registered = io_uring_register_buf_ring(&ring_, &registration, 0);
  if (registered != 0) {
    ::munmap(memory, buffer_ring_bytes(count));
    return -registered;
  }
  buffer_ring_ = static_cast<io_uring_buf_ring*>(memory);
  pool_ = std::move(pool);
  for (std::uint32_t id = 0; id < count; ++id) recycle_buffer(static_cast<std::int32_t>(id));
  return 0;
}

void uring_engine::drop_buffers() noexcept {
  if (buffer_ring_ == nullptr) return;
  io_uring_unregister_buf_ring(&ring_, buffer_group);
  ::munmap(buffer_ring_, buffer_ring_bytes(pool_->count()));
  buffer_ring_ = nullptr;
}

// If a ring is refused for lack of memory, smaller sizes are tried. (The limit on locked memory is
// per user, so other processes may have used it up.) A closed ring, such as the one that probed the
// kernel's features or one whose buffers were refused, counts towards the limit until the kernel
// has taken it down, so the same size is tried again for a while. The next ring of this process
// first tries the full sizes once, because the limit may have been raised, and then the sizes that
// fitted last.
void uring_engine::open_ring(const engine_options& options) {
  const ring_sizes wanted{options.submission_entries, options.completion_entries,
                          options.buffer_count};
  const ring_sizes known = known_to_fit(wanted);
  ring_sizes sizes = wanted;
  bool tries_once = known != wanted;
  int teardown_rounds = rings_closed.load(std::memory_order_relaxed) != 0 ? teardown_rounds_max : 0;
  for (;;) {
    const char* call = "io_uring_setup";
    int error = try_ring(sizes.submissions, sizes.completions);
    const bool has_ring = error == 0;
    if (has_ring) {
      call = "io_uring_register (buffer ring)";
      error = try_buffers(sizes.buffers, options.buffer_size);
      if (error == 0) break;
      exit_ring(ring_);
      teardown_rounds = teardown_rounds_max;
    }
    if (error != ENOMEM) refuse(call, error);
    if (std::exchange(tries_once, false)) {
      sizes = known;
    } else if (!has_ring && teardown_rounds > 0) {
      --teardown_rounds;
      std::this_thread::sleep_for(teardown_round);
    } else if (!shrink(sizes)) {
      refuse(call, error);
    }
  }
  if (sizes != wanted) remember(sizes);
}

uring_engine::uring_engine(const engine_options& options, const uring_features& features)
    : features_(features) {
  open_ring(options);
  wakeup_armed_ = arm_wakeup();
  // Some seccomp profiles allow io_uring_setup and refuse io_uring_enter: try one enter now.
  if (const int entered = enter(0, IORING_ENTER_GETEVENTS, never); has_failed(entered)) {
    close_ring();
    refuse("io_uring_enter", -entered);
  }
  try {
    statistics_.engine = describe();
  } catch (...) {
    close_ring();  // the destructor is not called
    throw;
  }
}

void uring_engine::close_ring() noexcept {
  drop_buffers();
  exit_ring(ring_);
}

// The kernel takes a ring down asynchronously and could still touch memory, so every request is
// ended here first.
uring_engine::~uring_engine() {
  wait_for_posters();
  RINGLET_ASSERT(in_flight() == 0, "an engine ended while operations were in flight");
  if (wakeup_armed_) {
    if (io_uring_sqe* entry = next_entry()) fill_cancel_all(*entry);
    completion none[1];
    constexpr int rounds_max = 100;  // the wake-up poll ends in the first one
    for (int round = 0; wakeup_armed_ && round < rounds_max; ++round) {
      enter(1, IORING_ENTER_GETEVENTS, 10'000'000);
      reap(none);
    }
  }
  close_ring();
}

std::string uring_engine::describe() const {
  std::string text = "uring (" + std::to_string(*ring_.sq.kring_entries) + " submissions, " +
                     std::to_string(*ring_.cq.kring_entries) + " completions, " +
                     std::to_string(pool_->count()) + " buffers";
  if (features_.multishot_receive) text += ", multishot receive";
  if (features_.limited_receive) text += ", limited receive";
  if (features_.registered_ring) text += ", registered ring";
  if (features_.no_iowait) text += ", no iowait";
  return text + ")";
}

std::unique_ptr<engine> make_uring_engine(const engine_options& options) {
  check_options(options);
  return std::make_unique<uring_engine>(options, find_uring_features());
}

}  // namespace ringlet::extend
