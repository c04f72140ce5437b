// A client for the chat server: for a terminal, where messages arrive while you type, or a pipe.
//
//     $ ./build/examples/chat_server
//     $ ./build/examples/chat_client --nick alice --room lobby     # in a second terminal
//     * welcome to ringlet chat: what is your nickname?
//     * hello, alice: /join ROOM lets you talk, /help lists the commands
//     * you are in lobby with 0 others
//     [lobby] hel_                    (messages appear above this line and do not disturb it)
//     $ echo hello | ./build/examples/chat_client --nick bob --room lobby | tee log
//
// Arrows and Ctrl-A, Ctrl-E, Ctrl-K, ... edit; up and down recall earlier lines. Ctrl-D and /quit
// end it once everything typed has arrived; Ctrl-C ends it immediately. When the server hangs up,
// the client reconnects with the same nickname and room. It then sends the lines typed since, and
// again the text that the server had not repeated to the room. In a pipe it exits with status 1 if
// the nickname, the room or the server is unavailable, or if some text did not reach the room.
//
// Shows: waiting for a descriptor that another library (the line editor) reads. Two fibers in one
// group: one reads the keyboard, one stays connected. Two in another group for the duration of a
// connection: one reads from the server, one writes.
// Leaves out: host names (the address is numeric), encryption, completion, saving the history,
// resending commands that were in flight when the server hung up.
//
// The parts: client (staying connected, the keyboard), session (one connection), outbox (lines that
// wait or may be lost), console with plain_console and editor (typing), text, options (the command
// line).
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <langinfo.h>

#include <clocale>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "client.hpp"
#include "console.hpp"
#include "options.hpp"

using namespace ringlet;

namespace {

task<int> talk(std::string host, std::uint16_t port, std::string nick, std::string room) {
  const address server = address::parse(host, port);
  const std::unique_ptr<chat_client::console> screen = chat_client::open_console();
  chat_client::client client(*screen, server, nick, room);
  co_return co_await client.run();
}

// The protocol is UTF-8, and so is nearly every terminal, regardless of LANG.
void use_utf8() {
  if (std::setlocale(LC_CTYPE, "") == nullptr ||
      std::string_view(::nl_langinfo(CODESET)) != "UTF-8") {
    std::setlocale(LC_CTYPE, "C.UTF-8");
  }
}

}  // namespace

int main(int argc, char** argv) {
  chat_client::options options;
  if (const auto status = chat_client::read_command_line(argc, argv, options)) return *status;
  use_utf8();
  return run_main(talk(options.host, options.port, options.nick, options.room));
}
