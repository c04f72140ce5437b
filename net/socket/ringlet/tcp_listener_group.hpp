// tcp_listener_group: one TCP port for several schedulers, each with a listener of its own.
//
//     task<> echo(tcp_stream peer) {
//       while (buffer data = co_await peer.receive()) co_await peer.write_all(data);
//     }
//     task<> serve(tcp_listener listener) {
//       for (;;) spawn(echo(co_await listener.accept()));
//     }
//     int main() {
//       const tcp_listener_group port("127.0.0.1:9090");
//       // All listen before the first connection is placed, because no task begins earlier.
//       const auto serve_here = [&] { return serve(port.listen()); };
//       return run_main_on_all(serve_here);
//     }
//
// The system spreads connections over the listeners of a port (SO_REUSEPORT) by a hash of the
// addresses. That is even for thousands of connections and not for a few: of 16 connections, one of
// 4 schedulers may get 8. So a scheduler that has accepted a connection hands it to the one with
// the fewest open descriptors, before any byte is read.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/tcp_listener.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ringlet::detail {

class listener_shares;

}  // namespace ringlet::detail

namespace ringlet {

/// What one listener of a tcp_listener_group has done so far.
struct listener_share_statistics {
  /// The name of its scheduler.
  std::string scheduler;
  /// How many descriptors its scheduler has open, and how many connections wait for accept() there:
  /// what the next connection is placed by.
  std::size_t load = 0;
  /// Connections that the system gave to this listener.
  std::uint64_t accepted = 0;
  /// How many of them went to another scheduler.
  std::uint64_t handed_over = 0;
  /// How many came from other schedulers.
  std::uint64_t taken_over = 0;
};

/// A TCP port on which several schedulers listen. Each of them calls listen() once.
///
/// A connection goes to the scheduler that has the fewest open descriptors, among those with an
/// open listener of the group and fewer than 64 connections that wait for accept(); between equals,
/// to the one that accepted it. A scheduler that is busy with a long computation accepts nothing
/// while it computes: what the system has put into the backlog of its listener waits.
///
/// When a listener is closed, connections that it has accepted, and that no fiber has taken, go to
/// the listeners that are left. The system resets those in its backlog that it had not accepted,
/// unless net.ipv4.tcp_migrate_req is set; see ip-sysctl in the kernel's documentation.
///
/// Another process of the same user may listen on the port, too, if it sets SO_REUSEPORT, and then
/// gets a part of the connections. The system does not report it.
///
/// Lifetime  May be destroyed before its listeners; port numbers and loads are shared.
/// Thread    Any. listen() is called on the thread of the scheduler that gets the listener.
/// Memory    A block for the group, one for each listener, and one for each connection that is
///           under way to another scheduler; without memory for that, the connection stays.
/// Kernel    SO_REUSEPORT in socket(7).
class tcp_listener_group {
 public:
  /// For "host:port"; port 0 picks a free port, which all listeners share. Nothing is opened yet.
  ///
  /// Errors    Those of address::parse(). std::bad_alloc.
  explicit tcp_listener_group(std::string_view host_and_port, const listen_options& options = {});
  /// The same for an address that was parsed.
  explicit tcp_listener_group(const address& where, const listen_options& options = {});

  /// A listener for the scheduler of this thread. Aborts outside of run().
  ///
  /// Errors    Those of tcp_listener::bind().
  tcp_listener listen() const;

  /// The address and port of its listeners; before the first listen() the address that was given.
  address local_address() const;

  /// What each open listener has done, in the order of listen(). Numbers that other threads change
  /// may be behind by the connection that is being placed.
  ///
  /// Errors    std::bad_alloc.
  std::vector<listener_share_statistics> statistics() const;

 private:
  std::shared_ptr<detail::listener_shares> shares_;
};

}  // namespace ringlet
