// Cancellations on a ring: each is repeated until its operation is over, and only those that missed
// are repeated.
//
// Method: first the book-keeping alone, with the test's clock; then an engine whose requests and
// answers are counted and changed on their way (support/faulty_enter.hpp).
// SPDX-License-Identifier: MIT
#include "uring_cancels.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "support/faulty_enter.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"
#include "uring_engine.hpp"
#include "uring_entry.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

namespace {

// Takes the cancellations that are due now, in order, as an engine with room does.
std::vector<const operation*> ask(uring_cancels& cancels) {
  std::vector<const operation*> asked;
  while (operation* const op = cancels.first_waiting()) {
    cancels.sent(*op);
    asked.push_back(op);
  }
  return asked;
}

using list = std::vector<const operation*>;

void end(std::initializer_list<watched*> ops) {
  for (watched* op : ops) op->unlink();
}

}  // namespace

TEST_SUITE_BEGIN("uring: cancels");

TEST_CASE("a cancellation that was not reported as missed is not repeated") {
  uring_cancels cancels;
  watched first, second;
  cancels.sent(first);
  cancels.add_waiting(second);
  CHECK(ask(cancels) == list{&second});
  cancels.all_reaped();
  CHECK(ask(cancels).empty());
  CHECK(cancels.due() == never);
  end({&first, &second});
}

TEST_CASE("only the cancellation that missed is repeated, after all completions were reaped") {
  uring_cancels cancels;
  std::deque<watched> ops(2000);
  for (watched& op : ops) cancels.sent(op);
  cancels.missed(&ops[700]);
  CHECK(ask(cancels).empty());
  cancels.all_reaped();
  CHECK(ask(cancels) == list{&ops[700]});
  cancels.all_reaped();
  CHECK(ask(cancels).empty());
  cancels.missed(&ops[700]);
  cancels.all_reaped();
  CHECK(ask(cancels) == list{&ops[700]});
  for (watched& op : ops) op.unlink();
}

TEST_CASE("an answer about an operation that is over or destroyed is ignored") {
  uring_cancels cancels;
  watched other;
  cancels.sent(other);
  std::optional<watched> gone(std::in_place);
  const watched* const address = &*gone;
  cancels.sent(*gone);
  gone->unlink();
  gone.reset();
  cancels.missed(address);
  cancels.told_to_stop(address, 0);
  cancels.all_reaped();
  CHECK(ask(cancels).empty());
  CHECK(cancels.due() == never);
  end({&other});
}

TEST_CASE("an operation that completes after its cancellation missed is not cancelled again") {
  uring_cancels cancels;
  watched op;
  cancels.sent(op);
  cancels.missed(&op);
  op.unlink();
  cancels.all_reaped();
  CHECK(ask(cancels).empty());
}

TEST_CASE(
    "an operation on a worker is cancelled again after a pause, which doubles up to a limit") {
  uring_cancels cancels;
  watched op, other;
  cancels.sent(op);
  cancels.sent(other);
  steady_ns now = 1000;
  for (const steady_ns pause : {1, 2, 4, 8, 16, 32, 64, 125, 125}) {
    cancels.told_to_stop(&op, now);
    CHECK(cancels.due() == now + pause * 1'000'000);
    cancels.ask_again(cancels.due() - 1);
    CHECK(ask(cancels).empty());
    now = cancels.due();
    cancels.ask_again(now);
    CHECK(ask(cancels) == list{&op});
    CHECK(cancels.due() == never);
  }
  end({&op, &other});
}

TEST_CASE("the next pause is short again once an operation on a worker is over") {
  uring_cancels cancels;
  watched op;
  cancels.sent(op);
  cancels.told_to_stop(&op, 0);
  cancels.ask_again(cancels.due());
  ask(cancels);
  cancels.told_to_stop(&op, 0);
  CHECK(cancels.due() == 2 * uring_cancels::pause_min);
  op.unlink();
  cancels.ask_again(cancels.due());
  CHECK(cancels.due() == never);
  cancels.sent(op);
  cancels.told_to_stop(&op, 0);
  CHECK(cancels.due() == uring_cancels::pause_min);
  end({&op});
}

TEST_CASE("several cancelled operations on workers share the earliest deadline") {
  uring_cancels cancels;
  watched first, second;
  cancels.sent(first);
  cancels.sent(second);
  cancels.told_to_stop(&first, 100);
  cancels.told_to_stop(&second, 200);
  CHECK(cancels.due() == 100 + uring_cancels::pause_min);
  cancels.ask_again(cancels.due());
  CHECK(ask(cancels) == list{&first, &second});
  end({&first, &second});
}

namespace {

// An engine whose cancellations are counted; the first `misled` of them name an operation that does
// not exist, and `answer` replaces the kernel's answer.
class misled_engine {
 public:
  explicit misled_engine(int misled = 0, std::int32_t answer = -ENOENT)
      : misled_(misled), answer_(answer) {}

  engine& operator*() const noexcept { return *engine_; }
  engine* operator->() const noexcept { return engine_.get(); }
  int asked() const noexcept { return asked_; }

 private:
  static constexpr std::uint64_t nowhere = 8;

  io_uring& ring() const { return static_cast<uring_engine&>(*engine_).ring(); }

  void look_at_requests() {
    const io_uring_sq& queue = ring().sq;
    for (unsigned i = *queue.khead; i != queue.sqe_tail; ++i) {
      io_uring_sqe& entry = queue.sqes[i & *queue.kring_mask];
      if (entry.opcode != IORING_OP_ASYNC_CANCEL) continue;
      ++asked_;
      if (misled_-- > 0) entry.addr = nowhere;
    }
  }
  void replace_answers() {
    const io_uring_cq& queue = ring().cq;
    for (unsigned i = *queue.khead; i != *queue.ktail; ++i) {
      io_uring_cqe& entry = queue.cqes[i & *queue.kring_mask];
      if ((entry.user_data & detail::tag::mask) == detail::tag::cancel) entry.res = answer_;
    }
  }

  std::unique_ptr<extend::engine> engine_ = make_uring_engine();
  int misled_;
  std::int32_t answer_;
  int asked_ = 0;
  const faulty_enter watch_{[this](const enter_call&) {
                              look_at_requests();
                              return 0;
                            },
                            [this] { replace_answers(); }};
};

// Receives on a socket that never gets any data.
struct waiting_receives {
  explicit waiting_receives(extend::engine& engine, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      engine.start(ops.emplace_back(opcode::recv, pair.near.get(), std::span<std::byte>(memory)));
    }
    turn(engine);
  }
  fd_pair pair = socket_pair();
  std::array<std::byte, 1> memory{};
  std::deque<watched> ops;
};

}  // namespace

// The kernel completes some twenty of them per turn; all remaining ones used to be cancelled again.
TEST_CASE("a cancellation that misses is repeated alone, even with a thousand in flight") {
  misled_engine engine(1);
  waiting_receives receives(*engine, 1000);
  for (watched& op : receives.ops) engine->cancel(op);
  finish_all(*engine);
  CHECK(engine.asked() == 1001);
  for (const watched& op : receives.ops) CHECK(op.answer == -ECANCELED);
}

TEST_CASE(
    "a cancellation that finds its operation has no answer, and is not counted as a completion") {
  misled_engine engine;
  waiting_receives receives(*engine, 10);
  for (watched& op : receives.ops) engine->cancel(op);
  finish_all(*engine);
  CHECK(engine.asked() == 10);
  CHECK(engine->statistics().completions == 10);
}

TEST_CASE("a cancellation that misses every time is repeated until its operation ends by itself") {
  misled_engine engine(1'000'000);
  waiting_receives receives(*engine, 1);
  engine->cancel(receives.ops.front());
  for (int i = 0; i < 10; ++i) turn(*engine, never);
  CHECK(engine.asked() >= 9);
  put(receives.pair.far, "x");
  finish_all(*engine);
  CHECK(receives.ops.front().answer == 1);
}

TEST_CASE("an operation that outlives the stop request to its worker is cancelled again") {
  misled_engine engine(3, -EALREADY);
  waiting_receives receives(*engine, 100);
  engine->cancel(receives.ops.front());
  finish(*engine, receives.ops.front());
  CHECK(receives.ops.front().answer == -ECANCELED);
  CHECK(engine.asked() == 4);
  for (watched& op : receives.ops) engine->cancel(op);
  finish_all(*engine);
}

TEST_SUITE_END();
