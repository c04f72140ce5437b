// The examples in the headers of sched/sync do what their comments say. Method: see core.cpp. The
// scripted engine's clock moves only when all fibers sleep. Streams, which belong to net, are here
// objects that keep what is written.
// SPDX-License-Identifier: MIT
#include <ringlet/async_generator.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task.hpp>
#include <ringlet/task_group.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sched/calls.hpp"
#include "support/aborts.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

// Not anonymous, because the templates of the library are made for it.
namespace stubs {

std::string written;

std::string take_written() { return std::exchange(written, {}); }

struct written_stream {
  task<> write_all(std::string_view text) {
    co_await yield();
    written += text;
  }
};

}  // namespace stubs

using stubs::take_written;
using stubs::written;
using stubs::written_stream;

namespace around_basic_queue {

written_stream standard_output() { return {}; }

}  // namespace around_basic_queue

namespace around_future {

written_stream standard_output() { return {}; }

}  // namespace around_future

namespace around_queue {

struct tcp_stream : written_stream {
  std::vector<std::string> lines;
};

class reader {
 public:
  explicit reader(tcp_stream& from) : left_(from.lines) {}
  task<std::optional<std::string>> read_line() {
    co_await yield();
    std::optional<std::string> line;
    if (next_ != left_.size()) line = left_[next_++];
    co_return line;
  }

 private:
  const std::vector<std::string>& left_;
  std::size_t next_ = 0;
};

}  // namespace around_queue

namespace around_lifo_queue {

struct tcp_stream {
  std::string name;

  task<> write_all(std::string_view text) {
    co_await yield();
    written += name + text.data() + ' ';
  }
};

}  // namespace around_lifo_queue

namespace around_semaphore {
using tcp_stream = written_stream;
}  // namespace around_semaphore

namespace around_broadcast {
using tcp_stream = written_stream;
}  // namespace around_broadcast

namespace around_watch {
using tcp_stream = written_stream;
}  // namespace around_watch

namespace around_shared_mutex {

using address = std::string;

struct tcp_stream {
  static task<tcp_stream> connect(address peer) {
    co_await yield();
    written += peer + ':';
    co_return tcp_stream{};
  }
  task<> write_all(std::string_view text) {
    co_await yield();
    written += text;
    written += ' ';
  }
};

}  // namespace around_shared_mutex

#include <sync_examples.hpp>

TEST_SUITE_BEGIN("examples of sync");

TEST_CASE("the example of mutex.hpp moves money one time after the other") {
  run_scripted([](scripted_engine&) -> task<> {
    using namespace example_mutex;
    here = 100;  // the leak check may run a case again
    there = 0;
    const fiber<> first = spawn(move_money(10)), second = spawn(move_money(20));
    co_await yield();
    CHECK(here == 90);  // the second one waits
    CHECK(there == 0);
    const std::vector both{first, second};
    co_await joinall(both);
    CHECK(here == 70);
    CHECK(there == 30);
  });
}

TEST_CASE("the example of recursive_mutex.hpp keeps two lines together") {
  run_scripted([](scripted_engine&) -> task<> {
    using namespace example_recursive_mutex;
    const fiber<> two = spawn(add_both("a", "b")), one = spawn(add("c"));
    const std::vector all{two, one};
    co_await joinall(all);
    const std::vector<std::string> lines = std::exchange(log, {});
    CHECK(lines == std::vector<std::string>{"a", "b", "c"});
  });
}

TEST_CASE("the example of shared_mutex.hpp sends to the routes as they were when it began") {
  run_scripted([](scripted_engine&) -> task<> {
    using namespace example_shared_mutex;
    std::vector<std::string> routes_then{"a", "b"};
    co_await replace(std::move(routes_then));
    const fiber<> sender = spawn(send_to_all("x")), writer = spawn(replace({"c"}));
    const std::vector both{sender, writer};
    co_await joinall(both);
    CHECK(take_written() == "a:x b:x ");
    co_await send_to_all("y");
    CHECK(take_written() == "c:y ");
  });
}

TEST_CASE("the example of semaphore.hpp takes things in pairs") {
  run_scripted([](scripted_engine&) -> task<> {
    written_stream database;
    co_await example_semaphore::query(database, "select");
    CHECK(take_written() == "select");
    CHECK(example_semaphore::queries.available() == 10);

    using namespace example_semaphore_2;
    const fiber<> taker = spawn(take_a_pair());
    on_arrival();
    co_await yield();
    CHECK_FALSE(taker.done());
    on_arrival();
    co_await taker.join();
    CHECK(arrived.available() == 0);
  });
}

TEST_CASE("the example of bounded_semaphore.hpp aborts when more are closed than were opened") {
  run_scripted([](scripted_engine&) -> task<> {
    co_await example_bounded_semaphore::on_open();
    example_bounded_semaphore::on_close();
  });
  CHECK(aborts_with("8 permits more than that", [] {
    run_scripted([](scripted_engine&) -> task<> {
      example_bounded_semaphore::on_close();
      co_return;
    });
  }));
}

TEST_CASE("the example of condition.hpp takes a job when there is one") {
  run_scripted([](scripted_engine&) -> task<> {
    const fiber<std::string> taker = spawn(example_condition::take());
    co_await yield();
    CHECK_FALSE(taker.done());
    co_await example_condition::submit("sweep");
    const std::string job = co_await taker.get();
    CHECK(job == "sweep");
  });
}

TEST_CASE("the example of event.hpp waits only until it is loaded") {
  run_scripted([](scripted_engine& engine) -> task<> {
    const auto start = engine.now();
    const fiber<> user = spawn(example_event::use());
    spawn(example_event::load());
    co_await user.join();
    co_await example_event::use();
    CHECK(engine.now() == start + 1'000'000);
  });
}

TEST_CASE("the example of auto_reset_event.hpp saves several changes at once") {
  run_scripted([](scripted_engine&) -> task<> {
    using namespace example_auto_reset_event;
    const fiber<> saver = spawn(save_changes());
    add("a");
    add("b");
    co_await yield();
    co_await yield();
    CHECK(saved == "ab");
    co_await saver.kill();
  });
}

TEST_CASE("the example of barrier.hpp doubles in step until the sum is large enough") {
  run_scripted([](scripted_engine&) -> task<> {
    using namespace example_barrier;
    std::vector<fiber<>> workers;
    for (std::size_t i = 0; i < parts.size(); ++i) workers.push_back(spawn(work(i)));
    co_await joinall(workers);
    CHECK(parts == std::vector<int>(4, 256));
    CHECK(sum == 1024);
  });
}

TEST_CASE("the example of latch.hpp waits for all loads") {
  run_scripted([](scripted_engine&) -> task<> {
    co_await with_group(example_latch::load_all);
    CHECK(example_latch::loaded.is_zero());
  });
}

TEST_CASE("the example of queue.hpp writes the lines that it has read") {
  run_scripted([](scripted_engine&) -> task<> {
    around_queue::tcp_stream from;
    from.lines = {"a", "b", "c"};
    const fiber<> producer = spawn(example_queue::read_all(from));
    around_queue::tcp_stream to;
    co_await example_queue::write_all(std::move(to));
    CHECK(producer.done());
    CHECK(take_written() == "a\nb\nc\n");
  });
}

TEST_CASE("the example of basic_queue.hpp prints all items of a closed queue") {
  run_scripted([](scripted_engine&) -> task<> {
    queue<std::string> lines;
    lines.try_push("a");
    lines.try_push("b");
    lines.close();
    co_await example_basic_queue::print_all(lines);
    CHECK(take_written() == "ab");
  });
}

TEST_CASE("the example of lifo_queue.hpp asks the stream that was used last") {
  run_scripted([](scripted_engine&) -> task<> {
    using namespace example_lifo_queue;
    idle.try_push({"old"});
    idle.try_push({"warm"});
    co_await ask("?");
    co_await ask("!");
    CHECK(take_written() == "warm? warm! ");
  });
}

TEST_CASE("the example of priority_queue.hpp puts out the fire") {
  run_scripted([](scripted_engine&) -> task<> {
    const std::string name = co_await example_priority_queue::most_urgent();
    CHECK(name == "put out the fire");
    const auto next = example_priority_queue::jobs.try_pop();
    CHECK(next->name == "sweep");
  });
}

TEST_CASE("the example of joinable_queue.hpp ends when nothing is left to halve") {
  run_scripted([](scripted_engine&) -> task<> {
    co_await example_joinable_queue::halve_all();
    CHECK(example_joinable_queue::numbers.unfinished() == 0);
  });
}

TEST_CASE("the example of channel.hpp adds up what both senders send") {
  run_scripted([](scripted_engine&) -> task<> {
    const int sum = co_await example_channel::add_up();
    CHECK(sum == 199 * 200 / 2);
  });
}

TEST_CASE("the example of broadcast.hpp shows each line to all peers, and what one has missed") {
  run_scripted([](scripted_engine&) -> task<> {
    using namespace example_broadcast;
    on_peer({});
    on_peer({});
    co_await say("hello ");
    co_await sleep(1ms);
    CHECK(take_written() == "hello hello ");
    for (int i = 0; i < 1025; ++i) room.try_send("");
    room.close();
    co_await sleep(1ms);
    const std::string late = take_written();
    CHECK(late == "you were too slow for some lines\nyou were too slow for some lines\n");
  });
}

TEST_CASE("the example of watch.hpp shows the latest greeting until it is closed") {
  run_scripted([](scripted_engine&) -> task<> {
    using namespace example_watch;
    const fiber<> shown = spawn(show({}));
    co_await sleep(1ms);
    change("skipped\n");
    change("bye\n");
    co_await sleep(1ms);
    greeting.close();
    co_await shown.join();
    CHECK(take_written() == "hello\nbye\n");
  });
}

TEST_CASE("the example of future.hpp prints the value when the promise has it") {
  run_scripted([](scripted_engine&) -> task<> {
    promise<std::string> text;
    example_future::print_soon(text);
    co_await yield();
    text.set_value("ready");
    co_await sleep(1ms);
    CHECK(take_written() == "ready");
  });
}

TEST_CASE("the examples of promise.hpp give an answer to its question, and a sum") {
  run_scripted([](scripted_engine&) -> task<> {
    using namespace example_promise;
    const fiber<std::string> asker = spawn(answer_to(7));
    co_await yield();
    on_answer(8, "unknown");
    on_answer(7, "yes");
    const std::string answer = co_await asker.get();
    CHECK(answer == "yes");
    CHECK(asked.empty());
    const fiber<std::string> unanswered = spawn(answer_to(9));
    co_await unanswered.join();
    CHECK(unanswered.result() == outcome::error);
    CHECK(asked.empty());
    const future<int> sum = example_promise_2::start_to_add(2, 3);
    const int added = co_await sum.get();
    CHECK(added == 5);
  });
}
