// A storm of random kills over fibers that accept, connect, read, write, sleep and join: whatever
// phase a kill meets, no descriptor is leaked, no fiber is left, every kill is thrown exactly once,
// and no connection is lost. No byte is lost or duplicated as long as only calls that promise it
// were killed.
//
// Method: a population of victims, each of which repeats one kind of call, catches what it is
// killed with and continues; partners that are never killed hold the other ends and check every
// byte by its position. A killer picks victims, and now and then lets some other fibers run, so
// that kills come before, during and after everything. The random numbers are the same in every
// run; the order in which the kernel completes operations is not.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_stream.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/checked_bytes.hpp"
#include "support/loopback.hpp"
#include "support/random.hpp"
#include "support/sanitized.hpp"
#include "support/schedulers.hpp"

using namespace ringlet;
using namespace ringlet::test;
using namespace std::chrono_literals;

namespace {

#ifdef __OPTIMIZE__
constexpr int kills_per_storm = sanitized ? 10'000 : 100'000;
#else
constexpr int kills_per_storm = 10'000;
#endif

struct storm;

// A fiber that is killed and continues.
struct victim {
  storm& all;
  fiber<> self = {};
  std::uint64_t kills_sent = 0;
  std::uint64_t kills_thrown = 0;
  std::uint64_t successes = 0;

  void kill() {
    ++kills_sent;
    self.request_kill();
  }
};

// Where clients connect.
struct door {
  door() : listener(tcp_listener::bind("127.0.0.1:0")) {}

  tcp_listener listener;
  std::vector<int> seen = {};  // how many times each client was seen
  std::uint64_t connects = 0;

  address somewhere() {
    ++connects;
    return listener.local_address();
  }
};

// A stream that is dropped when a call was interrupted, and then reconnected by its own fiber.
struct renewable {
  tcp_listener listener = tcp_listener::bind("127.0.0.1:0");
  tcp_stream stream = {};
  fiber<> partner = {};
  fiber<> renewing = {};
  std::uint64_t received = 0;  // by the partner, at the end
};

// State that all fibers share. Checks are counted and evaluated at the end: a storm makes millions.
struct storm {
  explicit storm(std::uint64_t seed) : random(seed) {}

  random_numbers random;
  bool over = false;           // for the victims
  bool victims_ended = false;  // and for those that write to them
  bool abandoned = false;      // by the run, which cancels at every wait
  door numbered;
  door anonymous;
  std::vector<std::unique_ptr<victim>> victims = {};
  std::vector<fiber<>> partners = {};
  std::vector<std::unique_ptr<renewable>> renewables = {};
  std::uint64_t wrong_bytes = 0;
  std::uint64_t surprises = 0;  // errors that nothing here should have caused
  std::uint64_t cuts = 0;
  std::uint64_t refusals = 0;

  std::chrono::microseconds up_to(std::size_t microseconds) {
    return std::chrono::microseconds(static_cast<long>(random.below(microseconds)));
  }
  // A limit that has passed, that passes soon, or never.
  time_limit some_limit() {
    const std::size_t kind = random.below(4);
    if (kind == 0) return 0s;
    if (kind == 1) return up_to(300);
    return forever;
  }
  void surprise_unless(bool expected) {
    if (!expected) ++surprises;
  }
  void check(std::uint64_t place, std::span<const std::byte> bytes) {
    if (!are_bytes_from(place, bytes)) ++wrong_bytes;
  }
};

// Makes calls until the storm is over; `call` makes one, and returns whether it succeeded.
template <class Call>
task<> be_a_victim(victim& v, Call call) {
  while (!v.all.over) {
    try {
      const bool succeeded = co_await call(v);
      if (succeeded) ++v.successes;
    } catch (const cancelled&) {
      ++v.kills_thrown;
    }
  }
  for (bool pending = !v.all.abandoned; pending;) {  // kills that have not been thrown yet
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

// Sleeping and joining

task<bool> sleep_a_moment(victim& v) {
  co_await sleep(v.all.up_to(200));
  co_return true;
}

task<bool> join_somebody(victim& v) {
  const auto& other = v.all.victims[v.all.random.below(v.all.victims.size())];
  if (other.get() == &v) {
    co_await yield();
    co_return false;
  }
  const bool ended = co_await other->self.join(v.all.up_to(300));
  v.all.surprise_unless(!ended || v.all.over);
  co_return !ended;
}

// Reading with calls that lose nothing: every byte must be seen once.

// Ends only after its reader: an engine retries a cancelled read once, and success wins, so a
// reader killed at the end of the storm would sometimes see the end of the stream.
task<> write_without_end(storm& all, tcp_stream stream) {
  random_numbers random(all.random.next());
  std::uint64_t place = 0;
  while (!all.victims_ended) {
    const auto piece = bytes_from(place, 1 + random.below(3000));
    const auto written = co_await as_result(stream.write_all(piece));
    if (!written) co_return;
    place += piece.size();
    if (random.once_in(2)) co_await sleep(std::chrono::microseconds(random.below(500)));
  }
}

// Counts its position independently, to compare it with the stream's.
struct read_stream {
  tcp_stream stream;
  std::uint64_t place = 0;
  std::array<std::byte, 700> memory = {};
};

task<bool> receive_a_piece(victim& v, read_stream& from) {
  const auto lent = co_await as_result(from.stream.receive(v.all.some_limit()));
  if (!lent) {
    v.all.surprise_unless(lent.error() == errc::timed_out);
    co_return false;
  }
  v.all.check(from.place, *lent);
  from.place += lent->size();
  v.all.surprise_unless(from.stream.bytes_read() == from.place);
  co_return true;
}

task<bool> read_a_piece(victim& v, read_stream& from) {
  const auto room = std::span(from.memory).first(1 + v.all.random.below(from.memory.size()));
  const auto count = co_await as_result(from.stream.read_some(room, v.all.some_limit()));
  if (!count) {
    v.all.surprise_unless(count.error() == errc::timed_out);
    co_return false;
  }
  v.all.check(from.place, room.first(*count));
  from.place += *count;
  v.all.surprise_unless(from.stream.bytes_read() == from.place);
  co_return true;
}

task<> add_reader(storm& all) {
  auto pair = co_await connected_pair();
  all.partners.push_back(spawn(&write_without_end, std::ref(all), std::move(pair.far)));
  auto from = std::make_shared<read_stream>(read_stream{std::move(pair.near)});
  add_victim(all, [from](victim& v) {
    return v.all.random.once_in(2) ? receive_a_piece(v, *from) : read_a_piece(v, *from);
  });
}

// Compound calls: when interrupted, they make their direction unusable, and the count tells how far
// they came. A fiber that is not killed then makes a new connection.

// False while there is no connection; set by `renew`, which a kill does not stop.
task<bool> has_connection(victim& v, renewable& one, task<> (*renew)(storm&, renewable&)) {
  if (one.stream) co_return true;
  if (!one.renewing) one.renewing = spawn(renew, std::ref(v.all), std::ref(one));
  co_await one.renewing.join();
  one.renewing = {};
  co_return false;
}

// A call after an interrupted one must be refused.
template <class Result>
void count_cut(storm& all, const Result& refused) {
  ++all.cuts;
  if (!refused && refused.error() == errc::partial_transfer) ++all.refusals;
}

task<> renew_for_reading(storm& all, renewable& one) {
  auto pair = co_await connected_through(one.listener);
  one.partner = spawn(&write_without_end, std::ref(all), std::move(pair.far));
  one.stream = std::move(pair.near);
}

task<bool> read_exact_or_cut(victim& v, renewable& one) {
  const bool connected = co_await has_connection(v, one, &renew_for_reading);
  if (!connected) co_return false;
  std::array<std::byte, 2000> memory{};
  const std::uint64_t before = one.stream.bytes_read();
  bool done = false;
  try {
    const auto read = co_await as_result(one.stream.read_exact(memory, v.all.some_limit()));
    done = read.has_value();
    v.all.surprise_unless(done || read.error() == errc::timed_out);
  } catch (const cancelled&) {
    ++v.kills_thrown;
  }
  const std::uint64_t came = one.stream.bytes_read() - before;
  v.all.check(before, std::span(memory).first(came));
  v.all.surprise_unless(done == (came == memory.size()));
  if (done || came == 0) co_return done;
  tcp_stream cut = std::exchange(one.stream, tcp_stream());
  const auto refused = co_await as_result(cut.read_some(memory));
  count_cut(v.all, refused);
  co_return false;
}

task<> check_what_is_written(storm& all, renewable& one, tcp_stream stream) {
  random_numbers random(all.random.next());
  one.received = 0;
  for (;;) {
    const auto lent = co_await as_result(stream.receive());
    if (!lent || !*lent) co_return;
    all.check(one.received, *lent);
    one.received += lent->size();
    if (random.once_in(4)) co_await sleep(std::chrono::microseconds(random.below(300)));
  }
}

task<> renew_for_writing(storm& all, renewable& one) {
  auto pair = co_await connected_through(one.listener);
  pair.near.set_send_buffer(8192);
  one.partner = spawn(&check_what_is_written, std::ref(all), std::ref(one), std::move(pair.far));
  one.stream = std::move(pair.near);
}

// After an interrupted write the peer must receive as many bytes as the count says.
task<> compare_counts(storm& all, renewable& one, tcp_stream cut) {
  const std::uint64_t written = cut.bytes_written();
  co_await cut.close();
  co_await one.partner.join();
  all.surprise_unless(one.received == written);
  co_await renew_for_writing(all, one);
}

task<bool> write_all_or_cut(victim& v, renewable& one) {
  const bool connected = co_await has_connection(v, one, &renew_for_writing);
  if (!connected) co_return false;
  const std::uint64_t before = one.stream.bytes_written();
  const auto piece = bytes_from(before, 1 + v.all.random.below(60'000));
  bool done = false;
  try {
    const auto written = co_await as_result(one.stream.write_all(piece, v.all.some_limit()));
    done = written.has_value();
    v.all.surprise_unless(done || written.error() == errc::timed_out);
  } catch (const cancelled&) {
    ++v.kills_thrown;
  }
  const std::uint64_t went = one.stream.bytes_written() - before;
  v.all.surprise_unless(done == (went == piece.size()));
  if (done || went == 0) co_return done;
  try {
    const auto refused = co_await as_result(one.stream.write_all("x"));
    count_cut(v.all, refused);
  } catch (const cancelled&) {
    ++v.kills_thrown;
  }
  one.renewing = spawn(&compare_counts, std::ref(v.all), std::ref(one), std::move(one.stream));
  co_return false;
}

// Connecting and accepting: a client's number must reach exactly one accepting fiber.

task<> take_the_number(storm& all, tcp_stream stream) {
  std::array<std::byte, 4> number{};
  const auto read = co_await as_result(stream.read_exact(number));
  all.surprise_unless(read.has_value());
  if (!read) co_return;
  std::size_t client = 0;
  for (const std::byte digit : number) client = client * 256 + std::to_integer<std::size_t>(digit);
  ++all.numbered.seen.at(client);
}

task<bool> accept_one(victim& v) {
  auto made = co_await as_result(v.all.numbered.listener.accept(v.all.some_limit()));
  if (!made) {
    v.all.surprise_unless(made.error() == errc::timed_out);
    co_return false;
  }
  spawn(&take_the_number, std::ref(v.all), std::move(*made));
  co_return true;
}

task<> bring_numbers(storm& all) {
  door& d = all.numbered;
  while (!all.over) {
    const std::size_t client = d.seen.size();
    d.seen.push_back(0);
    auto stream = co_await tcp_stream::connect(d.somewhere());
    std::array<std::byte, 4> number{};
    for (std::size_t i = 0; i < 4; ++i) number[i] = static_cast<std::byte>(client >> (24 - 8 * i));
    co_await stream.write_all(number);
    stream.shutdown_write();
    const auto end = co_await as_result(stream.receive());  // until the number was taken
    all.surprise_unless(end && !*end);
  }
}

task<bool> connect_and_drop(victim& v) {
  co_await sleep(v.all.up_to(300));
  const auto made =
      co_await as_result(tcp_stream::connect(v.all.anonymous.somewhere(), v.all.some_limit()));
  v.all.surprise_unless(made || made.error() == errc::timed_out);
  co_return made.has_value();
}

// Until the listener is closed.
template <class Take>
task<> accept_all(storm& all, tcp_listener& listener, Take take) {
  for (;;) {
    auto made = co_await as_result(listener.accept());
    if (!made) {
      all.surprise_unless(made.error() == errc::closed);
      co_return;
    }
    take(std::move(*made));
  }
}

// The storm

task<> rain_kills(storm& all) {
  for (int sent = 0; sent < kills_per_storm; ++sent) {
    all.victims[all.random.below(all.victims.size())]->kill();
    const std::size_t pause = all.random.below(64);
    if (pause == 0) co_await sleep(all.up_to(50));
    if (pause == 1) co_await sleep(0s);
    if (pause <= 8) co_await yield();
  }
}

constexpr int of_each_kind = 12;

renewable& new_renewable(storm& all) {
  return *all.renewables.emplace_back(std::make_unique<renewable>());
}

task<> raise_storm(storm& all) {
  for (int i = 0; i < of_each_kind; ++i) {
    co_await add_reader(all);
    add_victim(all, &sleep_a_moment);
    add_victim(all, &join_somebody);
    add_victim(all, &accept_one);
    add_victim(all, &connect_and_drop);
    add_victim(all, [&one = new_renewable(all)](victim& v) { return read_exact_or_cut(v, one); });
    add_victim(all, [&one = new_renewable(all)](victim& v) { return write_all_or_cut(v, one); });
    all.partners.push_back(spawn(&bring_numbers, std::ref(all)));
  }
  co_await yield();  // all have begun, because a fiber that is killed before it begins never begins
}

// Lets every fiber end: the victims first, then those that wait for them.
task<> calm_storm(storm& all) {
  all.over = true;
  for (const auto& v : all.victims) v->kill();
  for (const auto& v : all.victims) co_await v->self.join();
  all.victims_ended = true;
  for (const auto& one : all.renewables) {
    if (one->renewing) co_await one->renewing.join();
    one->stream = tcp_stream();
    if (one->partner) co_await one->partner.join();
  }
  const auto take = [&all](tcp_stream made) {
    spawn(&take_the_number, std::ref(all), std::move(made));
  };
  const auto sweeper = spawn(accept_all(all, all.numbered.listener, take));
  co_await joinall(all.partners);
  co_await all.numbered.listener.close();
  co_await all.anonymous.listener.close();
  co_await sweeper.join();
}

void check_storm(const storm& all) {
  CHECK(all.wrong_bytes == 0);
  CHECK(all.surprises == 0);
  for (const auto& v : all.victims) {
    CHECK(v->kills_thrown == v->kills_sent);
    CHECK(v->self.result() == outcome::value);
  }
  for (const auto& partner : all.partners) CHECK(partner.result() == outcome::value);
  CHECK(std::count(all.numbered.seen.begin(), all.numbered.seen.end(), 1) ==
        static_cast<std::ptrdiff_t>(all.numbered.seen.size()));
  // It was a storm: each kind of call was killed, and succeeded.
  for (std::size_t kind = 0; kind < 7; ++kind) {
    std::uint64_t successes = 0;
    for (std::size_t i = kind; i < all.victims.size(); i += 7) {
      successes += all.victims[i]->successes;
    }
    CAPTURE(kind);
    CHECK(successes > 0);
  }
  CHECK(all.cuts > 0);
  CHECK(all.refusals == all.cuts);
}

constexpr std::uint64_t seed = 0x5eed;

task<> weather() {
  storm all(seed);
  co_await raise_storm(all);
  const auto drop = [](tcp_stream) {};
  const auto dropping = spawn(accept_all(all, all.anonymous.listener, drop));
  co_await rain_kills(all);
  co_await calm_storm(all);
  co_await dropping.join();
  check_storm(all);
}

}  // namespace

TEST_SUITE_BEGIN("kill storm");

TEST_CASE("a storm of kills loses no byte, no connection and no descriptor") {
  const std::size_t before = open_descriptors();
  MESSAGE(kills_per_storm, " kills with seed ", seed);
  on_one_scheduler(&weather);
  CHECK(open_descriptors() == before);
}

TEST_CASE("two storms at once on two threads lose no byte, no connection and no descriptor") {
  const std::size_t before = open_descriptors();
  on_two_schedulers(&weather);
  CHECK(open_descriptors() == before);
}

TEST_CASE("a run that ends in the middle of a storm leaves nothing behind") {
  const std::size_t before = open_descriptors();
  std::optional<storm> all;
  const auto body = [&]() -> task<> {
    all.emplace(seed);
    co_await raise_storm(*all);
    for (int i = 0; i < 1000; ++i) {
      all->victims[all->random.below(all->victims.size())]->kill();
      if (i % 8 == 0) co_await sleep(0s);
    }
    all->over = all->victims_ended = all->abandoned = true;
  };
  on_one_scheduler(body);
  all.reset();
  CHECK(open_descriptors() == before);
}

TEST_SUITE_END();
