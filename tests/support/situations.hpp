// One situation per kind of operation: something that the operation has to wait for, on real
// descriptors or simulated by the scripted engine.
// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "support/bytes.hpp"
#include "support/scripted_engine.hpp"
#include "support/sockets.hpp"
#include "support/watched.hpp"

namespace ringlet::test {
using namespace extend;

/// An operation that waits until make_ready(), and the effect that it must then have had.
struct situation {
  explicit situation(opcode kind) : op(kind) {}
  virtual ~situation() = default;
  /// Lets the operation complete.
  virtual void make_ready() = 0;
  /// Checks that it has succeeded, and its effect.
  virtual void check_success(extend::engine& engine) = 0;

  watched op;
};

/// A pair of descriptors: the operation uses one end, the test the other.
struct paired : situation {
  paired(opcode kind, fd_pair ends) : situation(kind), pair(std::move(ends)) {}
  fd_pair pair;
};

/// recv or read of three bytes.
struct reading : paired {
  reading(opcode kind, fd_pair ends) : paired(kind, std::move(ends)) {
    op.fd = pair.near.get();
    op.data = memory.data();
    op.length = static_cast<std::uint32_t>(memory.size());
  }
  void make_ready() override { put(pair.far, "abc"); }
  void check_success(engine&) override {
    CHECK(op.answer == 3);
    CHECK(text(memory, 3) == "abc");
  }
  std::array<std::byte, 16> memory{};
};

/// receive of three bytes into a lent buffer.
struct receiving : paired {
  receiving() : paired(opcode::receive, socket_pair()) { op.fd = pair.near.get(); }
  void make_ready() override { put(pair.far, "abc"); }
  void check_success(extend::engine& engine) override {
    CHECK(op.answer == 3);
    const completion& last = op.seen.back();
    REQUIRE(last.buffer != completion::no_buffer);
    CHECK(engine.buffers().lend(last.buffer, 3).text() == "abc");
  }
};

/// recvmsg of three bytes into two pieces of memory.
struct receiving_message : reading {
  receiving_message() : reading(opcode::receive_message, socket_pair()) {
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
    op.data = &message;
    op.length = 0;
  }
  std::array<iovec, 2> pieces{{{memory.data(), 1}, {memory.data() + 1, memory.size() - 1}}};
  msghdr message{};
};

/// send or write of three bytes into a full socket or pipe.
struct writing : paired {
  writing(opcode kind, fd_pair ends) : paired(kind, std::move(ends)) {
    fill(pair.far);
    op.fd = pair.far.get();
    op.data = const_cast<char*>("abc");
    op.length = 3;
  }
  void make_ready() override { CHECK(drain(pair.near).find("abc") == std::string::npos); }
  void check_success(engine&) override {
    CHECK(op.answer == 3);
    CHECK(drain(pair.near) == "abc");
  }
};

/// sendmsg of two pieces into a full socket.
struct sending_message : writing {
  sending_message() : writing(opcode::send_message, socket_pair()) {
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
    op.data = &message;
    op.length = 0;
  }
  std::array<iovec, 2> pieces{{{const_cast<char*>("ab"), 2}, {const_cast<char*>("c"), 1}}};
  msghdr message{};
};

/// poll for input.
struct polling : paired {
  polling() : paired(opcode::poll, socket_pair()) {
    op.fd = pair.near.get();
    op.poll.events = POLLIN;
  }
  void make_ready() override { put(pair.far, "abc"); }
  void check_success(engine&) override {
    CHECK((op.answer & POLLIN) != 0);
    CHECK(drain(pair.near) == "abc");
  }
};

/// accept of one connection.
struct accepting : situation {
  accepting() : situation(opcode::accept) { op.fd = listener.fd.get(); }
  void make_ready() override { client = connect_to(listener); }
  void check_success(engine&) override {
    const unique_fd server(op.answer);
    REQUIRE(server);
    put(client, "abc");
    std::array<char, 3> memory{};
    CHECK(::recv(server.get(), memory.data(), memory.size(), MSG_WAITALL) == 3);
  }
  loopback_listener listener;
  unique_fd client;
};

/// connect to a Unix socket whose backlog is full: io_uring makes that call on a kernel thread.
struct connecting : situation {
  connecting() : situation(opcode::connect) {
    listener = unique_fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    earlier = unique_fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    client = unique_fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    // Only the family: the kernel chooses a free abstract name.
    address.sun_family = AF_UNIX;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(listener.get(), generic, sizeof address.sun_family) == 0);
    REQUIRE(::listen(listener.get(), 0) == 0);
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(listener.get(), generic, &size) == 0);
    REQUIRE(::connect(earlier.get(), generic, size) == 0);
    op.fd = client.get();
    op.data = &address;
    op.length = size;
  }
  void make_ready() override {
    const unique_fd accepted(::accept(listener.get(), nullptr, nullptr));
    CHECK(accepted);
  }
  void check_success(engine&) override {
    CHECK(op.answer == 0);
    const unique_fd server(::accept(listener.get(), nullptr, nullptr));
    put(client, "abc");
    CHECK(drain(server) == "abc");
  }
  unique_fd listener, earlier, client;
  sockaddr_un address{};
};

/// Any of them on the scripted engine. An operation that is ready before its start completes at the
/// start.
struct played : situation {
  played(scripted_engine& world, opcode kind, std::int32_t result)
      : situation(kind), engine_(world), result_(result) {
    constexpr int descriptor = 7;
    op.fd = descriptor;
    op.data = memory_.data();
    op.length = static_cast<std::uint32_t>(memory_.size());
    if (kind == opcode::send_message || kind == opcode::receive_message) {
      op.data = &message_;
      op.length = 0;
    }
    world.on_start = [this](operation& started) {
      if (&started != &op) return engine_.complete(started, 0);  // a nop
      if (ready_) complete();
    };
  }
  ~played() override { engine_.on_start = nullptr; }
  void make_ready() override {
    ready_ = true;
    if (engine_.is_waiting(op.code, op.fd)) complete();
  }
  void check_success(extend::engine& engine) override {
    CHECK(op.answer == result_);
    if (op.code == opcode::receive) {
      const completion& last = op.seen.back();
      REQUIRE(last.buffer != completion::no_buffer);
      CHECK(engine.buffers().lend(last.buffer, 3).text() == "abc");
    } else if (reads()) {
      CHECK(text(memory_, 3) == "abc");
    }
  }

 private:
  bool reads() const {
    return op.code == opcode::receive || op.code == opcode::recv || op.code == opcode::read;
  }
  void complete() {
    ready_ = false;
    reads() ? engine_.deliver(op, "abc") : engine_.complete(op, result_);
  }

  scripted_engine& engine_;
  std::int32_t result_;
  bool ready_ = false;
  std::array<std::byte, 16> memory_{};
  msghdr message_{};
};

inline void for_each_played_situation(scripted_engine& world,
                                      const std::function<void(situation&)>& body) {
  const std::pair<opcode, std::int32_t> kinds[] = {
      {opcode::recv, 3},      {opcode::read, 3},
      {opcode::receive, 3},   {opcode::send, 3},
      {opcode::write, 3},     {opcode::send_message, 3},
      {opcode::poll, POLLIN}, {opcode::accept, 1000},
      {opcode::connect, 0},   {opcode::receive_message, 3},
  };
  for (const auto& [kind, result] : kinds) {
    INFO(name_of(kind));
    played made(world, kind, result);
    body(made);
  }
}

inline void for_each_real_situation(const std::function<void(situation&)>& body) {
  using maker = std::function<std::unique_ptr<situation>()>;
  const std::pair<const char*, maker> kinds[] = {
      {"recv", [] { return std::make_unique<reading>(opcode::recv, socket_pair()); }},
      {"recv, TCP", [] { return std::make_unique<reading>(opcode::recv, tcp_pair()); }},
      {"read, pipe", [] { return std::make_unique<reading>(opcode::read, pipe_pair()); }},
      {"read, TCP", [] { return std::make_unique<reading>(opcode::read, tcp_pair()); }},
      {"receive", [] { return std::make_unique<receiving>(); }},
      {"send", [] { return std::make_unique<writing>(opcode::send, socket_pair()); }},
      {"write, pipe", [] { return std::make_unique<writing>(opcode::write, pipe_pair()); }},
      {"send_message", [] { return std::make_unique<sending_message>(); }},
      {"receive_message", [] { return std::make_unique<receiving_message>(); }},
      {"poll", [] { return std::make_unique<polling>(); }},
      {"accept", [] { return std::make_unique<accepting>(); }},
      {"connect", [] { return std::make_unique<connecting>(); }},
  };
  for (const auto& [name, make] : kinds) {
    INFO(name);
    const std::unique_ptr<situation> made = make();
    body(*made);
  }
}

/// Calls `body` with a new situation of each kind for that engine; real descriptors both
/// unregistered and registered.
inline void for_each_situation(extend::engine& engine,
                               const std::function<void(situation&)>& body) {
  if (auto* const world = dynamic_cast<scripted_engine*>(&engine)) {
    return for_each_played_situation(*world, body);
  }
  for_each_real_situation(body);
  for_each_real_situation([&](situation& one) {
    INFO("kept");
    engine.register_fd(one.op.fd);
    body(one);
    engine.unregister_fd(one.op.fd);
  });
}

}  // namespace ringlet::test
