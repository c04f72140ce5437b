// A storm of random kills over fibers that accept, connect, read, write, sleep and join: whatever
// phase a kill meets, no descriptor is leaked, no fiber is left, every kill is thrown exactly once,
// no connection is lost, and no byte is lost or doubled where only calls were killed that promise
// it.
//
// Method: a population of victims, each of which makes one kind of call again and again, catches
// what it is killed with and goes on; partners that are never killed hold the other ends and check
// every byte by its place. A killer draws victims, and now and then lets some of the others run, so
// that kills come before, during and after everything. The numbers are the same in every run; the
// order in which the kernel completes things is not.
#include <ringlet/joinall.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_stream.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "support/checked_bytes.hpp"
#include "support/loopback.hpp"
#include "support/random.hpp"
#include "support/schedulers.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr int kills_per_storm = 100'000;
#else
constexpr int kills_per_storm = 10'000;
#endif

struct storm;

// A fiber that is killed and goes on.
struct victim {
  storm& all;
  fiber<> self = {};
  std::uint64_t kills_sent = 0;
  std::uint64_t kills_thrown = 0;
  std::uint64_t successes = 0;
};

// What all share. Checks are counted and looked at in the end: a storm makes millions.
struct storm {
  explicit storm(std::uint64_t seed) : random(seed) {}

  random_numbers random;
  bool over = false;
  tcp_listener listener = tcp_listener::bind("127.0.0.1:0");
  std::vector<std::unique_ptr<victim>> victims;
  std::vector<fiber<>> partners;
  std::uint64_t wrong_bytes = 0;
  std::uint64_t surprises = 0;  // errors that nothing here should have caused
  std::uint64_t cuts = 0;
  std::uint64_t refusals = 0;

  // A limit that rarely passes in time, often at once, or never.
  until some_limit() {
    switch (random.below(4)) {
      case 0:
        return 0s;
      case 1:
        return std::chrono::microseconds(random.below(300));
      default:
        return forever;
    }
  }
};

// Makes calls until the storm is over; `call` makes one, and tells whether it succeeded.
template <class Call>
task<> be_a_victim(victim& v, Call call) {
  while (!v.all.over) {
    try {
      const bool succeeded = co_await call(v.all);
      if (succeeded) ++v.successes;
      continue;
    } catch (const cancelled&) {
      ++v.kills_thrown;
    }
  }
  // Those that are still pending.
  for (bool pending = true; pending;) {
    try {
      co_await yield();
      pending = false;
    } catch (const cancelled&) {
      ++v.kills_thrown;
    }
  }
}

template <class Call>
void add_victim(storm& all, Call call) {
  all.victims.push_back(std::make_unique<victim>(victim{all}));
  victim& v = *all.victims.back();
  v.self = spawn(be_a_victim(v, std::move(call)));
}

bool is_passed_limit(const std::error_code& code) { return code == errc::timed_out; }

// Sleeping and joining

task<bool> sleep_a_moment(storm& all) {
  co_await sleep(std::chrono::microseconds(all.random.below(200)));
  co_return true;
}

task<bool> join_somebody(storm& all) {
  const auto& other = all.victims[all.random.below(all.victims.size())]->self;
  if (!other || other.id() == current().id()) {
    co_await yield();
    co_return false;
  }
  co_return co_await other.join(std::chrono::microseconds(all.random.below(300)));
}

// Reading: the partner writes without end; the reader must see every byte once.

struct read_stream {
  tcp_stream stream;
  std::uint64_t place = 0;
  std::array<std::byte, 700> memory;
};

task<> write_until_the_end(storm& all, tcp_stream stream) {
  random_numbers random(all.random.next());
  std::uint64_t place = 0;
  while (!all.over) {
    const auto piece = bytes_from(place, 1 + random.below(3000));
    const auto written = co_await as_result(stream.write_all(piece));
    if (!written) break;
    place += piece.size();
    if (random.once_in(2)) co_await sleep(std::chrono::microseconds(random.below(500)));
  }
}

task<bool> read_a_piece(storm& all, read_stream& from) {
  if (all.random.once_in(2)) {
    const auto lent = co_await as_result(from.stream.receive(all.some_limit()));
    if (!lent) {
      if (!is_passed_limit(lent.error())) ++all.surprises;
      co_return false;
    }
    if (!are_bytes_from(from.place, *lent)) ++all.wrong_bytes;
    from.place += lent->size();
  } else {
    const auto room = std::span(from.memory).first(1 + all.random.below(from.memory.size()));
    const auto count = co_await as_result(from.stream.read_some(room, all.some_limit()));
    if (!count) {
      if (!is_passed_limit(count.error())) ++all.surprises;
      co_return false;
    }
    if (!are_bytes_from(from.place, room.first(*count))) ++all.wrong_bytes;
    from.place += *count;
  }
  if (from.stream.bytes_read() != from.place) ++all.surprises;
  co_return true;
}

task<> add_reader(storm& all) {
  auto pair = co_await connected_through(all.listener);
  all.partners.push_back(spawn(&write_until_the_end, std::ref(all), std::move(pair.far)));
  auto from = std::make_shared<read_stream>();
  from->stream = std::move(pair.near);
  add_victim(all, [from](storm& s) { return read_a_piece(s, *from); });
}

// Compound calls: cut short, they poison their direction, and the count tells how far they came. A
// connection of its own for each.

task<bool> exact_or_cut(storm& all, tcp_stream& stream) {
  std::array<std::byte, 2000> memory;
  const std::uint64_t before = stream.bytes_read();
  std::exception_ptr kill;
  bool done = false;
  try {
    const auto read = co_await as_result(stream.read_exact(memory, all.some_limit()));
    done = read.has_value();
    if (!done && !is_passed_limit(read.error())) ++all.surprises;
  } catch (const cancelled&) {
    kill = std::current_exception();
  }
  const std::uint64_t came = stream.bytes_read() - before;
  if (!are_bytes_from(before, std::span(memory).first(came))) ++all.wrong_bytes;
  if (done != (came == memory.size())) ++all.surprises;
  if (!done && came != 0) {
    ++all.cuts;
    const auto refused = co_await as_result(stream.read_some(memory));
    if (!refused && refused.error() == errc::cut_short) ++all.refusals;
    stream = tcp_stream();
  }
  if (kill) std::rethrow_exception(kill);
  co_return done;
}

task<> check_what_was_written(storm& all, tcp_stream stream, std::shared_ptr<std::uint64_t> count) {
  std::uint64_t place = 0;
  for (;;) {
    const auto lent = co_await as_result(stream.receive());
    if (!lent || !*lent) break;
    if (!are_bytes_from(place, *lent)) ++all.wrong_bytes;
    place += lent->size();
    if (place % 3 == 0) co_await yield();
  }
  *count = place;
}

struct written_stream {
  tcp_stream stream;
  std::shared_ptr<std::uint64_t> received;
  fiber<> reader;
};

task<bool> write_or_cut(storm& all, written_stream& to) {
  const std::uint64_t before = to.stream.bytes_written();
  const auto piece = bytes_from(before, 1 + all.random.below(100'000));
  std::exception_ptr kill;
  bool done = false;
  try {
    const auto written = co_await as_result(to.stream.write_all(piece, all.some_limit()));
    done = written.has_value();
    if (!done && !is_passed_limit(written.error())) ++all.surprises;
  } catch (const cancelled&) {
    kill = std::current_exception();
  }
  const std::uint64_t went = to.stream.bytes_written() - before;
  if (done != (went == piece.size())) ++all.surprises;
  if (!done && went != 0) {
    ++all.cuts;
    const auto refused = co_await as_result(to.stream.write_all("x"));
    if (!refused && refused.error() == errc::cut_short) ++all.refusals;
    const std::uint64_t written = to.stream.bytes_written();
    to.stream = tcp_stream();
    co_await to.reader.join();
    if (*to.received != written) ++all.wrong_bytes;
  }
  if (kill) std::rethrow_exception(kill);
  co_return done;
}

// Connecting and accepting: what a client says must reach exactly one of those who accept.

struct door {
  tcp_listener listener = tcp_listener::bind("127.0.0.1:0");
  std::vector<int> seen;  // how often each client was
};

task<> take_the_number(door& d, tcp_stream stream) {
  std::array<std::byte, 4> number;
  const auto read = co_await as_result(stream.read_exact(number));
  if (!read) co_return;
  std::uint32_t client = 0;
  for (const std::byte digit : number) client = client * 256 + std::to_integer<unsigned>(digit);
  ++d.seen.at(client);
}

task<bool> accept_one(storm& all, door& d) {
  auto made = co_await as_result(d.listener.accept(all.some_limit()));
  if (!made) {
    if (!is_passed_limit(made.error())) ++all.surprises;
    co_return false;
  }
  spawn(&take_the_number, std::ref(d), std::move(*made));
  co_return true;
}

task<> bring_numbers(storm& all, door& d) {
  while (!all.over) {
    const auto client = static_cast<std::uint32_t>(d.seen.size());
    d.seen.push_back(0);
    auto stream = co_await tcp_stream::connect(d.listener.local_address());
    std::array<std::byte, 4> number;
    for (int i = 0; i < 4; ++i) number[i] = static_cast<std::byte>(client >> (24 - 8 * i));
    co_await stream.write_all(number);
    stream.shutdown_write();
    const auto end = co_await as_result(stream.receive());  // until the number was taken
    if (!end || *end) ++all.surprises;
  }
}

task<bool> connect_and_drop(storm& all, door& d) {
  const auto made =
      co_await as_result(tcp_stream::connect(d.listener.local_address(), all.some_limit()));
  if (!made && !is_passed_limit(made.error())) ++all.surprises;
  co_return made.has_value();
}

task<> drop_all(storm& all, door& d) {
  for (;;) {
    const auto made = co_await as_result(d.listener.accept());
    if (!made) {
      if (made.error() != errc::closed) ++all.surprises;
      co_return;
    }
  }
}

}  // namespace

TEST_SUITE_BEGIN("kill storm");

TEST_SUITE_END();
