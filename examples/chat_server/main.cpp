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
// Ctrl-C tells all members, delivers what is queued, and ends. There is a client with a line
// editor, chat_client.
//
// Lines are UTF-8 and end with LF or CR LF. What the server itself says begins with "* "; what is
// said in a room is `[ROOM] NICK: TEXT`, also to its sender; what is said to one member is
// `(private) NICK: TEXT`. Each line may come with the time in front (/time on).
//
// Shows: two fibers for each connection, in one group, with a queue between them; a queue with
// limits, so that a member that does not read costs a bounded amount of memory and no other member
// any time; errors that concern one connection and no other; an orderly end.
// Leaves out: accounts and passwords, encryption, more than one room at a time.
//
// The parts: server (names, rooms, members that do not keep up), room, member (the two fibers),
// commands, line and text (what is sent), limits, options (the command line).
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

// Tells where the server listens. With a port that the system has chosen no client could find
// it without this line.
void announce(const address& where, bool is_needed) {
  const int printed = std::printf("listening on %s\n", where.to_string().c_str());
  const int flushed = std::fflush(stdout);  // a script that waits for the line reads a pipe
  if (is_needed && (printed < 0 || flushed != 0)) {
    throw std::system_error(errno, std::system_category(),
                            "the port cannot be told on standard output");
  }
}

task<> accept_members(chat::server& home, address where) {
  auto listener = tcp_listener::bind(where);
  announce(listener.local_address(), where.port() == 0);
  for (;;) spawn(home.serve(co_await listener.accept()));
}

// Ctrl-C ends the wait and nothing else, so that there is time to say goodbye: members that do not
// take their farewell in time are cut off by the watch. If accepting fails, that ends the server in
// the same way. `home` outlives the fibers that use it: they have ended when this returns.
task<> serve(std::string host, std::uint16_t port, chat::limits limits) {
  const address where = address::parse(host, port);
  chat::server home(limits);
  const auto watch = spawn(home.watch());
  const auto acceptor = spawn(accept_members, std::ref(home), where);
  co_await select(shutdown_requested(), acceptor.join());
  co_await acceptor.kill();
  co_await home.close("the server shuts down");
  co_await watch.kill();
  if (acceptor.result() == outcome::error) co_await acceptor.get();  // throws what ended it
}

void make_room_for_connections(std::size_t members) {
  const std::size_t descriptors = raise_descriptor_limit();
  if (descriptors >= members) return;
  std::fprintf(stderr,
               "only %zu descriptors are allowed, and each member takes one; further ones will "
               "wait (the hard limit, ulimit -Hn, is what to raise)\n",
               descriptors);
}

}  // namespace

int main(int argc, char** argv) {
  chat::options options;
  if (const auto status = chat::read_command_line(argc, argv, options)) return *status;
  std::setlocale(LC_CTYPE, "C.UTF-8");  // for telling which characters can be printed

  std::signal(SIGPIPE, SIG_IGN);  // a line that is not read is an error, and not the end
  make_room_for_connections(options.allowed.members);
  return run_main(serve(options.host, options.port, options.allowed));
}
