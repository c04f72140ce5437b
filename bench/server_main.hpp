// Startup of the hand-written servers in this folder, and the checks of errors that their loops
// need. Shared, so that the servers differ only in technique: same options, same socket options,
// same backlog, same descriptor limit.
//
// A server's main() is
//
//     int main(int argc, char** argv) {
//       return bench::server_main(argc, argv, "description", serve);  // serve() does not return.
//     }
//
// The first line on standard output is `listening on HOST:PORT`, with the real port. If the server
// cannot start, for instance because the port is in use, it prints one line to standard error and
// exits with status 1.
// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <string>

namespace bench {

/// How long accepting pauses when descriptors or memory run out. Peers wait in the backlog.
inline constexpr int accept_pause_ms = 50;

/// Whether an error of accept(2) means that descriptors or memory ran out: pause, then try again.
inline bool is_out_of_resources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/// Whether an error of accept(2) means that the listening socket itself is unusable. All other
/// errors concern a single peer that is already gone (accept(2), "Error handling").
inline bool is_listener_broken(int error) {
  return error == EBADF || error == EINVAL || error == ENOTSOCK || error == EOPNOTSUPP ||
         error == EFAULT;
}

/// Prints a message to standard error and ends the program with exit status 1.
[[noreturn]] void fail(const std::string& sentence);
[[noreturn]] void fail(const std::string& what, int error);

/// Parses the options, listens, prints the address, and calls `serve` with the listening socket.
int server_main(int argc, char** argv, const char* description, void (*serve)(int listener));

}  // namespace bench
