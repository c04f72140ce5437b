// What every hand-written echo server in this folder does before its loop, and the three answers
// its loop needs about errors. It is shared so that the servers differ in nothing but the technique
// that they stand for: same options, same socket options, same backlog, same descriptor limit.
//
// A server's main() is
//
//     int main(int argc, char** argv) {
//       return bench::server_main(argc, argv, "what it is", serve);  // serve(listener) stays.
//     }
//
// First line on standard output: `listening on HOST:PORT`, with the real port. A port that is
// taken, or any other reason not to start, is one sentence on standard error and exit status 1.
#pragma once

#include <cerrno>
#include <string>

namespace bench {

/// How long accepting pauses when descriptors or memory run out. Until then the backlog
/// holds the peers.
inline constexpr int accept_pause_ms = 50;

/// Whether an error of accept(2) means "descriptors or memory ran out": pause, then try again.
inline bool is_out_of_resources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/// Whether an error of accept(2) says that the listening socket itself is of no use any more. All
/// others concern one peer that is already gone (accept(2), "Error handling").
inline bool is_listener_broken(int error) {
  return error == EBADF || error == EINVAL || error == ENOTSOCK || error == EOPNOTSUPP ||
         error == EFAULT;
}

/// Ends the program with a sentence on standard error, and exit status 1.
[[noreturn]] void fail(const std::string& sentence);
[[noreturn]] void fail(const std::string& what, int error);

/// Parses the options, listens, announces, and hands the listening socket to `serve`.
int server_main(int argc, char** argv, const char* description, void (*serve)(int listener));

}  // namespace bench
