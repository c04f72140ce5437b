// Operations that complete repeatedly: what they report, how they end, what they leave behind.
//
// Method: no test relies on `more`: an engine may end a multishot operation at any completion, and
// the test then starts it again.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "support/bytes.hpp"
#include "support/engines.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

namespace {

constexpr std::uint32_t buffer_count = 4;
constexpr std::uint32_t buffer_size = 64;
constexpr engine_options small{.submission_entries = 8,
                               .completion_entries = 16,
                               .buffer_count = buffer_count,
                               .buffer_size = buffer_size};

// A multishot receive whose completions are taken one by one.
struct stream_of_buffers {
  stream_of_buffers(extend::engine& from, int fd) : op(opcode::receive, fd), engine(from) {
    op.multishot = true;
  }
  // The next completion: the bytes, or the error. Restarts the operation if it has ended.
  std::string next() {
    while (taken == op.seen.size()) {
      if (!op.in_flight()) engine.start(op);
      turn(engine, never);
    }
    return take();
  }
  std::string take() {
    const completion& one = op.seen[taken++];
    if (one.result < 0) return "error " + std::to_string(-one.result);
    if (one.buffer == completion::no_buffer) return "";
    const auto size = static_cast<std::uint32_t>(one.result);
    if (!keeps) return std::string(engine.buffers().lend(one.buffer, size).text());
    kept.push_back(engine.buffers().lend(one.buffer, size));
    return std::string(kept.back().text());
  }

  watched op;
  extend::engine& engine;
  std::size_t taken = 0;
  bool keeps = false;
  std::vector<buffer> kept;
};

// Calls `body` with each kernel engine, a receive on a connection that is registered or not, and
// the far end of the connection.
void for_each_connection(
    const std::function<void(engine&, stream_of_buffers&, const unique_fd& far)>& body) {
  for_each_kernel_engine([&](const engine_maker& make) {
    const auto engine = make(small);
    for (const bool kept : {false, true}) {
      const fd_pair pair = tcp_pair();
      if (kept) engine->register_fd(pair.near.get());
      stream_of_buffers in(*engine, pair.near.get());
      body(*engine, in, pair.far);
      engine->unregister_fd(pair.near.get());
    }
  });
}

bool closes_on_exec(int fd) { return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }

}  // namespace

TEST_SUITE_BEGIN("conformance: multishot");

TEST_CASE("a multishot accept completes once per connection until it is cancelled") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const loopback_listener listener;
    watched op(opcode::accept, listener.fd.get());
    op.multishot = true;
    engine->start(op);
    for (std::size_t count = 1; count <= 3; ++count) {
      const unique_fd client = connect_to(listener);
      while (op.seen.size() < count) turn(*engine, never);
      CHECK(op.seen.size() == count);
      CHECK(op.seen.back().more);
      const unique_fd server(op.answer);
      CHECK(server);
      CHECK(closes_on_exec(server.get()));
    }
    CHECK(op.in_flight());
    engine->cancel(op);
    finish(*engine, op);
    CHECK(op.answer == -ECANCELED);
    CHECK_FALSE(op.seen.back().more);
    CHECK(op.seen.size() == 4);
  });
}

TEST_CASE("a connection that arrives after a multishot accept was cancelled is not lost") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const loopback_listener listener;
    watched op(opcode::accept, listener.fd.get());
    op.multishot = true;
    engine->start(op);
    turn(*engine);
    engine->cancel(op);
    finish(*engine, op);
    const unique_fd client = connect_to(listener);
    engine->start(op);
    while (op.seen.size() < 2) turn(*engine, never);
    const unique_fd server(op.answer);
    CHECK(server);
    engine->cancel(op);
    finish(*engine, op);
  });
}

TEST_CASE("a multishot poll reports each event until it is cancelled") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    const fd_pair pair = socket_pair();
    watched op(opcode::poll, pair.near.get());
    op.poll.events = POLLIN;
    op.multishot = true;
    engine->start(op);
    turn(*engine);
    for (std::size_t count = 1; count <= 3; ++count) {
      put(pair.far, "x");
      while (op.seen.size() < count) turn(*engine, never);
      CHECK((op.answer & POLLIN) != 0);
      CHECK(op.seen.back().more);
      CHECK(drain(pair.near) == "x");
    }
    engine->cancel(op);
    finish(*engine, op);
    CHECK(op.answer == -ECANCELED);
  });
}

// More connections than an engine takes in one turn, and than there is room for.
TEST_CASE("a hundred simultaneous connections are all accepted, however small the batch") {
  for_each_kernel_engine([](const engine_maker& make) {
    for (const std::size_t batch : {1U, 256U}) {
      constexpr std::size_t count = 100;
      const auto engine = make();
      const loopback_listener listener(count);
      std::vector<unique_fd> clients;
      for (std::size_t i = 0; i < count; ++i) clients.push_back(connect_to(listener));
      watched op(opcode::accept, listener.fd.get());
      op.multishot = true;
      while (op.seen.size() < count) {
        if (!op.in_flight()) engine->start(op);
        turn(*engine, never, batch);
      }
      std::set<int> servers;
      for (const completion& one : op.seen) servers.insert(one.result);
      CHECK(servers.size() == count);
      CHECK(*servers.begin() >= 0);
      for (const int fd : servers) unique_fd(fd).reset();
      engine->cancel(op);
      finish_all(*engine);
      CHECK(op.answer == -ECANCELED);
    }
  });
}

TEST_CASE("a multishot poll reports input that is not read once, and reports the next input") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    for (const bool kept : {false, true}) {
      const fd_pair pair = socket_pair();
      if (kept) engine->register_fd(pair.near.get());
      put(pair.far, "x");
      watched op(opcode::poll, pair.near.get());
      op.poll.events = POLLIN;
      op.multishot = true;
      engine->start(op);
      while (op.seen.empty()) turn(*engine, never);
      for (int i = 0; i < 10; ++i) turn(*engine);
      CHECK(op.seen.size() == 1);
      put(pair.far, "y");
      while (op.seen.size() < 2) turn(*engine, never);
      for (int i = 0; i < 10; ++i) turn(*engine);
      CHECK(op.seen.size() == 2);
      CHECK(op.in_flight());
      engine->cancel(op);
      finish(*engine, op);
      CHECK(op.seen.size() == 3);
      engine->unregister_fd(pair.near.get());
    }
  });
}

TEST_CASE("a multishot receive lends what arrives, message by message, until the end") {
  for_each_connection([](extend::engine& engine, stream_of_buffers& in, const unique_fd& far) {
    for (const char* text : {"one", "two", "three", "four", "five", "six"}) {
      put(far, text);
      CHECK(in.next() == text);
    }
    put(far, "last");
    ::shutdown(far.get(), SHUT_WR);
    CHECK(in.next() == "last");
    CHECK(in.next().empty());
    CHECK_FALSE(in.op.in_flight());
    CHECK(engine.buffers_free() == buffer_count);
  });
}

TEST_CASE(
    "a multishot receive without buffers ends with ENOBUFS, and continues when buffers return") {
  for_each_connection([](extend::engine& engine, stream_of_buffers& in, const unique_fd& far) {
    in.keeps = true;
    const std::string sent = pattern(buffer_count * buffer_size + 100);
    put(far, sent);
    std::string got;
    std::string came;
    while ((came = in.next()).rfind("error", 0) != 0) got += came;
    CHECK(came == "error " + std::to_string(ENOBUFS));
    CHECK_FALSE(in.op.in_flight());
    CHECK(engine.buffers_free() == 0);
    // Still no buffer, although bytes are waiting.
    CHECK(in.next() == came);
    in.kept.clear();
    in.keeps = false;
    while (got.size() < sent.size()) got += in.next();
    CHECK(got == sent);
    engine.cancel(in.op);
    finish_all(engine);
    CHECK(engine.buffers_free() == buffer_count);
  });
}

TEST_CASE("a multishot receive with a limit ends no later than with the buffer that reaches it") {
  for_each_connection([](extend::engine& engine, stream_of_buffers& in, const unique_fd& far) {
    const std::string sent = pattern(10 * buffer_size - 3);
    put(far, sent);
    std::string got;
    for (const std::uint32_t limit : {buffer_size + 1, 1U, 2 * buffer_size, 3 * buffer_size}) {
      CAPTURE(limit);
      in.op.receive.limit = limit;
      std::size_t before_last = 0;
      std::string piece = in.next();
      got += piece;
      while (in.op.in_flight() || in.taken != in.op.seen.size()) {
        before_last += piece.size();
        got += piece = in.next();
      }
      CHECK(before_last < limit);
    }
    while (got.size() < sent.size()) got += in.next();
    CHECK(got == sent);
    engine.cancel(in.op);
    finish_all(engine);
    CHECK(engine.buffers_free() == buffer_count);
  });
}

TEST_CASE("a multishot receive that is cancelled midway loses nothing") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make(small);
    for (const std::size_t batch : {1U, 256U}) {
      fd_pair pair = socket_pair();
      stream_of_buffers in(*engine, pair.near.get());
      const std::string sent = pattern(3000);
      std::string got;
      for (std::size_t offset = 0; offset < sent.size(); offset += 100) {
        if (!in.op.in_flight()) engine->start(in.op);
        turn(*engine, 0, batch);
        put(pair.far, std::string_view(sent).substr(offset, 100));
        if (offset % 300 == 0) turn(*engine, 0, batch);
        engine->cancel(in.op);
        while (in.op.in_flight()) turn(*engine, never, batch);
        while (in.taken != in.op.seen.size()) {
          const std::string came = in.take();
          if (came.rfind("error", 0) != 0) got += came;
        }
      }
      got += drain(pair.near);
      CHECK(got == sent);
      CHECK(engine->buffers_free() == buffer_count);
    }
  });
}

namespace {

// Cancels at its first completion.
class impatient : public operation {
 public:
  impatient(extend::engine& engine, int from)
      : operation(opcode::receive, &on_completion), engine_(engine) {
    fd = from;
    multishot = true;
  }
  int completions = 0;

 private:
  static void on_completion(operation& op, const completion& done) noexcept {
    auto& self = static_cast<impatient&>(op);
    if (done.buffer != completion::no_buffer) self.engine_.recycle_buffer(done.buffer);
    if (++self.completions == 1) self.engine_.cancel(self);
  }
  engine& engine_;
};

}  // namespace

TEST_CASE("an operation may be cancelled while its final completion is pending, then destroyed") {
  for_each_kernel_engine([](const engine_maker& make) {
    const auto engine = make();
    for (int round = 0; round < 3; ++round) {
      const fd_pair pair = tcp_pair();
      impatient op(*engine, pair.near.get());
      put(pair.far, "abc");
      ::shutdown(pair.far.get(), SHUT_WR);
      engine->start(op);
      finish(*engine, op);
      // Two, except for an engine that ends it at the first one.
      CHECK(op.completions >= 1);
      CHECK(op.completions <= 2);
      CHECK(op.answer == (op.completions == 1 ? 3 : 0));
    }
    turn(*engine);
    CHECK(engine->in_flight() == 0);
  });
}

TEST_SUITE_END();
