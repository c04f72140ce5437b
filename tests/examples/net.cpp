// The examples in the headers of net do what their comments say. Method: see core.cpp. They run
// over the loopback device; those that change the process or its standard streams run in a child.
// SPDX-License-Identifier: MIT
#include <ringlet/as_result.hpp>
#include <ringlet/event.hpp>
#include <ringlet/fiber.hpp>
#include <ringlet/memory_stream.hpp>
#include <ringlet/now.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/resolve.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/standard_streams.hpp>
#include <ringlet/task.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_listener_group.hpp>
#include <ringlet/tcp_stream.hpp>
#include <ringlet/udp_server.hpp>
#include <ringlet/udp_socket.hpp>
#include <ringlet/unix_datagram.hpp>
#include <ringlet/unix_listener.hpp>
#include <ringlet/unix_stream.hpp>

#include <doctest/doctest.h>

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <net_examples.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "support/child.hpp"
#include "support/loopback.hpp"
#include "support/scratch_folder.hpp"
#include "support/sockets.hpp"

using namespace ringlet;
using namespace ringlet::test;

namespace {

template <class Source>
task<std::string> read_all(Source& from) {
  std::string text;
  while (buffer data = co_await from.receive()) text += data.text();
  co_return text;
}

/// The bytes that the other side has received are answered in reverse.
task<> answer_in_reverse(tcp_listener& listener) {
  tcp_stream peer = co_await listener.accept();
  const std::string question = co_await read_all(peer);
  co_await peer.write_all(std::string(question.rbegin(), question.rend()));
}

}  // namespace

TEST_SUITE_BEGIN("examples of net");

TEST_CASE("the example of ringlet.hpp echoes") {
  run([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    tcp_stream client = co_await tcp_stream::connect(listener.local_address());
    const fiber<> server = spawn(example_ringlet::echo(co_await listener.accept()));
    co_await client.write_all("hello");
    client.shutdown_write();
    const std::string echoed = co_await read_all(client);
    CHECK(echoed == "hello");
    co_await server.join();
  }());
}

TEST_CASE("the example of address.hpp connects, and refuses bad addresses") {
  run([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    const std::string where = listener.local_address().to_string();
    const tcp_stream made = co_await example_address::connect_to(where);
    CHECK(made.peer_address() == listener.local_address());
    CHECK_THROWS_AS(co_await example_address::connect_to("localhost:80"), std::invalid_argument);
    CHECK_THROWS_AS(co_await example_address::connect_to("127.0.0.1:0"), std::invalid_argument);
  }());
}

TEST_CASE("the example of tcp_listener.hpp sends back what it receives") {
  run([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    const address where = listener.local_address();
    const fiber<> server = spawn(example_tcp_listener::serve(std::move(listener)));
    tcp_stream client = co_await tcp_stream::connect(where);
    co_await client.write_all("hello");
    client.shutdown_write();
    const std::string echoed = co_await read_all(client);
    CHECK(echoed == "hello");
    co_await server.kill();
  }());
}

TEST_CASE("the example of tcp_listener_group.hpp echoes on the port that the group got") {
  run([]() -> task<> {
    const tcp_listener_group port("127.0.0.1:0");
    const fiber<> server = spawn(example_tcp_listener_group::serve(port.listen()));
    co_await yield();
    tcp_stream client = co_await tcp_stream::connect(port.local_address());
    co_await client.write_all("hello");
    client.shutdown_write();
    const std::string echoed = co_await read_all(client);
    CHECK(echoed == "hello");
    co_await server.kill();
  }());
}

TEST_CASE("the example of tcp_stream.hpp returns the whole answer") {
  run([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    const fiber<> server = spawn(answer_in_reverse(listener));
    const std::string answer = co_await example_tcp_stream::ask(listener.local_address(), "abc");
    CHECK(answer == "cba");
  }());
}

TEST_CASE("the examples of names look a host up in a resolver, or need none") {
  run([]() -> task<> {
    example_resolver::one_host names;
    resolve_options how;
    how.with = &names;
    const auto found = co_await resolve("db", "80", how);
    CHECK(found.front().to_string() == "10.0.0.7:80");
    example_resolver_2::short_memory kept(names);
    how.with = &kept;
    for (int i = 0; i < 2; ++i) {
      const auto again = co_await resolve("db", "80", how);
      CHECK(again == found);
    }
    const std::string best = co_await example_resolve::best_address_of("::1");
    CHECK(best == "[::1]:443");
    const std::string logged =
        co_await example_resolve_name::name_for_the_log(address::loopback(1));
    CHECK(logged.find("127.0.0.1") != std::string::npos);  // with a name, if it has one
    const bool exists = co_await example_resolve_error::exists("127.0.0.1");
    CHECK(exists);
    auto listener = tcp_listener::bind("127.0.0.1:0");
    const std::string where = listener.local_address().to_string();
    const tcp_stream reached = co_await example_connect_options::reach(where);
    CHECK(reached.peer_address() == listener.local_address());
  }());
}

TEST_CASE("the examples of byte_stream.hpp and socket_stream.hpp send back what they receive") {
  run([]() -> task<> {
    auto [near, far] = memory_stream::pair();
    co_await near.write_all("abc");
    near.shutdown_write();
    co_await example_byte_stream::echo(far);
    const std::string echoed = co_await read_all(near);
    CHECK(echoed == "abc");
    connection ends = co_await connected_pair();
    co_await ends.near.write_all("abc");
    ends.near.shutdown_write();
    co_await example_socket_stream::echo(ends.far);
    co_await ends.far.close();
    const std::string again = co_await read_all(ends.near);
    CHECK(again == "abc");
  }());
}

TEST_CASE("the example of copy.hpp writes what it receives") {
  const fd_pair out = pipe_pair();
  run([](int fd) -> task<> {
    connection ends = co_await connected_pair();
    co_await ends.near.write_all("abc");
    ends.near.shutdown_write();
    standard_stream written(fd);
    const std::uint64_t count = co_await example_copy::download(ends.far, written);
    CHECK(count == 3);
  }(out.far.get()));
  CHECK(drain(out.near) == "abc");
}

TEST_CASE("the examples of memory_stream.hpp and pipe.hpp return what was written") {
  run([]() -> task<> {
    const std::string echoed =
        co_await example_memory_stream::echoed(example_byte_stream::echo<memory_stream>);
    CHECK(echoed == "hello");
    const std::string through = co_await example_pipe::through_a_pipe("abc");
    CHECK(through == "abc");
  }());
}

TEST_CASE("the example of relay.hpp forwards a connection") {
  run([]() -> task<> {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    const fiber<> server = spawn(answer_in_reverse(listener));
    connection ends = co_await connected_pair();
    const fiber<> relaying =
        spawn(example_relay::forward(std::move(ends.far), listener.local_address()));
    co_await ends.near.write_all("abc");
    ends.near.shutdown_write();
    const std::string answer = co_await read_all(ends.near);
    CHECK(answer == "cba");
    co_await relaying.get();
  }());
}

TEST_CASE("the example of split.hpp sends lines while it receives") {
  run([]() -> task<> {
    connection ends = co_await connected_pair();
    queue<std::string> lines;
    const auto talking = spawn(example_split::talk(std::move(ends.far), lines));
    co_await lines.push("one");
    co_await lines.push("two");
    lines.close();
    const std::string sent = co_await read_all(ends.near);
    CHECK(sent == "onetwo");
    co_await ends.near.write_all("abc");
    ends.near.shutdown_write();
    const std::uint64_t received = co_await talking.get();
    CHECK(received == 3);
  }());
}

TEST_CASE("the examples of unix_listener.hpp and unix_stream.hpp talk to each other") {
  const scratch_folder folder;
  run([](unix_address where) -> task<> {
    const fiber<> server = spawn(example_unix_listener::serve(where));
    co_await yield();
    const std::string answer = co_await example_unix_stream::ask(where, ::geteuid(), "hello");
    CHECK(answer == "hello");
    CHECK_THROWS_AS(co_await example_unix_stream::ask(where, ::geteuid() + 1, "hello"),
                    std::runtime_error);
    co_await server.kill();
  }(unix_address::path(folder / "socket")));
}

TEST_CASE("the example of unix_datagram.hpp logs the datagrams that fit") {
  const scratch_folder folder;
  run([](unix_address where) -> task<> {
    std::string logged;
    event last;
    const auto log = [&](std::string_view text) {
      logged += text;
      if (text == "last") last.set();
    };
    const fiber<> collecting = spawn(example_unix_datagram::collect(where, log));
    co_await yield();
    auto sender = unix_datagram::open();
    co_await sender.send_to(where, "first ");
    co_await sender.send_to(where, std::string(3000, 'x'));
    co_await sender.send_to(where, "last");
    co_await last.wait();
    CHECK(logged == "first last");
    co_await collecting.kill();
  }(unix_address::path(folder / "socket")));
}

TEST_CASE("the example of udp_socket.hpp sends each datagram back") {
  run([]() -> task<> {
    auto server = udp_socket::bind("127.0.0.1:0");
    const fiber<> echoing = spawn(example_udp_socket::echo(server));
    auto client = udp_socket::connect(server.local_address());
    co_await client.send("hello");
    const udp_datagram answer = co_await client.receive();
    CHECK(answer.data.text() == "hello");
    co_await echoing.kill();
  }());
}

TEST_CASE("the example of udp_server.hpp answers each datagram") {
  run([]() -> task<> {
    auto socket = udp_socket::bind("127.0.0.1:0");
    auto client = udp_socket::connect(socket.local_address());
    const fiber<> serving = spawn(example_udp_server::serve(std::move(socket)));
    co_await client.send("hello");
    const udp_datagram answer = co_await client.receive();
    CHECK(answer.data.text() == "hello");
    co_await serving.kill();
  }());
}

TEST_CASE("the example of unix_address.hpp makes a path and a name") {
  run(example_unix_address::example());
}

TEST_CASE("the example of reader.hpp answers each line") {
  run([]() -> task<> {
    connection ends = co_await connected_pair();
    const fiber<> server = spawn(example_reader::answer_lines(std::move(ends.far)));
    co_await ends.near.write_all("one\ntwo\n");
    ends.near.shutdown_write();
    const std::string answers = co_await read_all(ends.near);
    CHECK(answers == "you said: one\nyou said: two\n");
  }());
}

TEST_CASE("the example of writer.hpp sends all answers") {
  run([]() -> task<> {
    connection ends = co_await connected_pair();
    const std::vector<std::string> answers{"one", "two"};
    co_await example_writer::answer_all(ends.near, answers);
    ends.near.shutdown_write();
    const std::string sent = co_await read_all(ends.far);
    CHECK(sent == "one\ntwo\n");
  }());
}

TEST_CASE("the example of frames.hpp answers frames") {
  run([]() -> task<> {
    connection ends = co_await connected_pair();
    const fiber<> server = spawn(example_frames::answer_frames(std::move(ends.far)));
    co_await ends.near.write_all(std::string_view("\0\0\0\3one\0\0\0\0", 11));
    ends.near.shutdown_write();
    const std::string answers = co_await read_all(ends.near);
    CHECK(answers == std::string_view("\0\0\0\x0dyou said: one\0\0\0\x0ayou said: ", 31));
  }());
}

TEST_CASE("the examples of frame_format.hpp and decoded.hpp encode and decode") {
  CHECK(example_frame_format::prefixed("abc") == std::string_view("\3\0abc", 5));
  const auto digit = example_decoded::decode_digit("7x");
  CHECK(digit.used() == 1);
  CHECK(*digit == 7);
  CHECK(example_decoded::decode_digit("").more() == 1);
  CHECK(example_decoded::decode_digit("x").error() == std::errc::bad_message);
}

TEST_CASE("the example of codec.hpp sends frost back") {
  run([]() -> task<> {
    connection ends = co_await connected_pair();
    const fiber<> server = spawn(example_codec::report_frost(ends.far));
    co_await ends.near.write_all(std::string_view("\0\5\xff\xfb\0\0\xff\xff", 8));
    ends.near.shutdown_write();
    co_await server.get();
    ends.far.shutdown_write();
    const std::string frost = co_await read_all(ends.near);
    CHECK(frost == "\xff\xfb\xff\xff");
  }());
}

TEST_CASE("the example of poll_fd.hpp reloads at a hangup") {
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  run([]() -> task<> {
    event reloaded;
    const fiber<> watcher = spawn(example_poll_fd::on_hangup([&] { reloaded.set(); }));
    co_await yield();
    ::raise(SIGHUP);
    co_await reloaded.wait();
    co_await watcher.kill();
  }());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("the example of standard_streams.hpp copies lines") {
  fd_pair in = pipe_pair();
  const fd_pair out = pipe_pair();
  put(in.far, "one\ntwo\n");
  in.far.reset();
  const child_end end = run_in_child([&] {
    ::dup2(in.near.get(), STDIN_FILENO);
    ::dup2(out.far.get(), STDOUT_FILENO);
    run(example_standard_streams::copy());
  });
  CHECK(end.status == 0);
  CHECK(drain(out.near) == "one\ntwo\n");
}

TEST_CASE("the example of descriptor_limit.hpp refuses more connections than the limit allows") {
  const child_end end = run_in_child([] {
    example_descriptor_limit::prepare_for(10);
    example_descriptor_limit::prepare_for(std::numeric_limits<std::size_t>::max() - 1000);
  });
  CHECK(end.errors.find("ulimit -Hn") != std::string::npos);
}
