// listening_descriptors: the sockets that a service manager has opened for this program.
//
//     task<> serve(std::vector<listening_descriptor> given) {
//       auto listener = given.empty() ? tcp_listener::bind("127.0.0.1:9090")
//                                     : tcp_listener(std::move(given.front().fd));
//       co_await serve_connections(listener, echo);
//     }
//     int main() { return run_main(serve(listening_descriptors())); }
//
// With such a socket a service starts at its first connection, restarts without losing one, and
// needs no right to open its port.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/unique_fd.hpp>

#include <string>
#include <vector>

namespace ringlet {

/// A socket that was passed to this process.
struct listening_descriptor {
  /// The descriptor, which is closed on exec. tcp_listener, unix_listener and udp_socket take it.
  unique_fd fd;
  /// Its name, FileDescriptorName= of the socket unit; "unknown" if the manager gave none.
  std::string name;
};

/// The sockets that systemd, or a manager with the same protocol, has opened for this process, in
/// the order of the configuration; empty if it was started another way. Removes LISTEN_FDS,
/// LISTEN_PID and LISTEN_FDNAMES from the environment, so that children, and a second call, find
/// none.
///
/// Errors    std::invalid_argument if a variable is not what the protocol allows;
///           std::system_error with bad_file_descriptor if a descriptor is not open. The variables
///           are removed all the same. std::bad_alloc.
/// Thread    At the beginning of main(), before there are others: unsetenv(3) is not safe beside
///           them.
/// Kernel    sd_listen_fds(3).
std::vector<listening_descriptor> listening_descriptors();

}  // namespace ringlet
