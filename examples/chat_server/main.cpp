// A chat server: rooms over TCP, for anyone with nc.
//
//     $ ./build/examples/chat_server
//     listening on 127.0.0.1:9091
//     $ nc 127.0.0.1 9091                            # in a second terminal, and in a third
//     * welcome to ringlet chat: what is your nickname?
//     alice
//     * hello, alice: /join ROOM lets you talk, /help lists the commands
//     /join lobby
//     * you are in lobby with 0 others
//     hello
//     [lobby] alice: hello
//
// Ctrl-C notifies all members, delivers the queued lines, and ends the server. chat_client is a
// client with a line editor.
//
// Lines are UTF-8 and end with LF or CR LF. Lines from the server itself begin with "* "; lines in
// a room are `[ROOM] NICK: TEXT`, also for their sender; private lines are `(private) NICK: TEXT`.
// With /time on, each line begins with the time.
//
// Shows: two fibers per connection, in one group, with a queue between them. The queue is bounded,
// so a member that does not read costs a bounded amount of memory and does not delay the other
// members. Errors affect only their own connection. A clean shutdown.
// Leaves out: accounts and passwords, encryption, more than one room at a time.
//
// The parts: server (names, rooms, members that do not keep up), room, member (the two fibers),
// commands, line and text (what is sent), limits, options (the command line).
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <system_error>

#include "limits.hpp"
#include "options.hpp"
#include "server.hpp"

using namespace ringlet;

namespace {

// Prints the address. `is_needed`: the system has chosen the port, so no client could find the
// server without this line.
void announce(const address& where, bool is_needed) {
  const int printed = std::printf("listening on %s\n", where.to_string().c_str());
  const int flushed = std::fflush(stdout);  // a script that waits for the line reads a pipe
  if (is_needed && (printed < 0 || flushed != 0)) {
    throw std::system_error(errno, std::system_category(),
                            "cannot print the port to standard output");
  }
}

task<> accept_members(chat::server& home, address where) {
  auto listener = tcp_listener::bind(where);
  announce(listener.local_address(), where.port() == 0);
  for (;;) spawn(home.serve(co_await listener.accept()));
}

// Ctrl-C only ends the wait, so that there is time to say goodbye: the watch disconnects members
// that do not accept the goodbye in time. A failure of accept() ends the server in the same way.
// `home` outlives the fibers that use it: they have ended when this returns.
task<> serve(std::string host, std::uint16_t port, chat::limits limits) {
  const address where = address::parse(host, port);
  chat::server home(limits);
  const auto watch = spawn(home.watch());
  const auto acceptor = spawn(accept_members, std::ref(home), where);
  co_await select(shutdown_requested(), acceptor.join());
  co_await acceptor.kill();
  co_await home.close("the server shuts down");
  co_await watch.kill();
  if (acceptor.result() == outcome::error) co_await acceptor.get();  // throws its error
}

void make_room_for_connections(std::size_t members) {
  const std::size_t descriptors = raise_descriptor_limit();
  if (descriptors >= members) return;
  std::fprintf(stderr,
               "only %zu descriptors are allowed, one per member; further members will wait (raise "
               "the hard limit, ulimit -Hn)\n",
               descriptors);
}

}  // namespace

int main(int argc, char** argv) {
  chat::options options;
  if (const auto status = chat::read_command_line(argc, argv, options)) return *status;
  std::setlocale(LC_CTYPE, "C.UTF-8");  // tells which characters are printable

  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe becomes an error, and does not end the program
  make_room_for_connections(options.allowed.members);
  return run_main(serve(options.host, options.port, options.allowed));
}
