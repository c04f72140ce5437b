// resolver: what looks names up: the system, or a class of your own.
//
//     class one_host final : public resolver {
//      public:
//       task<std::vector<address>> look_up(name_query asked) override {
//         if (asked.host != "db") throw_error(resolve_errc::host_not_found, "one_host");
//         co_await sleep(20ms);
//         co_return std::vector<address>(1, address::parse("10.0.0.7", 0));
//       }
//     };
//
// Keeps answers for 5 s, for a program that connects to the same hosts all the time on a system
// without a cache:
//
//     class short_memory final : public resolver {
//      public:
//       explicit short_memory(resolver& from = system_resolver()) : from_(from) {}
//       task<std::vector<address>> look_up(name_query asked) override {
//         const auto known = answers_.find(asked);
//         if (known != answers_.end() && now() < known->second.second) {
//           co_return known->second.first;
//         }
//         const std::vector<address> found = co_await from_.look_up(asked);
//         if (answers_.size() == 1000) answers_.clear();
//         answers_.insert_or_assign(std::move(asked), std::pair(found, now() + 5s));
//         co_return found;
//       }
//       task<std::string> look_up_name(address asked) override {
//         return from_.look_up_name(asked);
//       }
//       bool splits_families() const noexcept override { return from_.splits_families(); }
//
//      private:
//       resolver& from_;
//       std::map<name_query,
//                std::pair<std::vector<address>, std::chrono::steady_clock::time_point>> answers_;
//     };
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/resolve_error.hpp>
#include <ringlet/task.hpp>

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

namespace ringlet {

/// Which kinds of addresses are wanted.
enum class address_family : std::uint8_t { any, ipv4, ipv6 };

/// What a resolver is asked for.
struct name_query {
  /// A name, or a numeric address if the service is a name.
  std::string host;
  /// The name of a TCP service, such as "https". Empty if the port is known: then the ports of the
  /// answer do not matter.
  std::string service;
  /// The kind of addresses that the caller wants.
  address_family family = address_family::any;

  friend bool operator==(const name_query&, const name_query&) = default;
  friend std::strong_ordering operator<=>(const name_query&, const name_query&) = default;
};

/// Looks names up for resolve(), resolve_name() and tcp_stream::connect(). Derive from it to use
/// another source of names, or none in tests.
///
/// Lifetime  Outlives its calls.
/// Thread    Called in the caller's fiber, on its thread. Several schedulers may use it only if it
///           says so.
class resolver {
 public:
  resolver() = default;
  resolver(const resolver&) = delete;
  resolver& operator=(const resolver&) = delete;
  virtual ~resolver() = default;

  /// Returns the addresses of a host, the preferred ones first. Duplicates, and addresses of
  /// another family than the one asked for, are dropped by the caller.
  ///
  /// Errors    std::system_error, see resolve_errc.
  /// Cancellation  The caller's time limit cancels the call, like a kill.
  virtual task<std::vector<address>> look_up(name_query asked) = 0;

  /// Returns the name of the host that has an address, for resolve_name(). `asked` has port 0, and
  /// is no IPv4-mapped IPv6 address. Unless a class overrides it, no address has a name.
  ///
  /// Errors    std::system_error, see resolve_errc: no_name if there is none.
  /// Cancellation  As look_up().
  virtual task<std::string> look_up_name(address asked);

  /// Whether connect() should ask for IPv6 and IPv4 addresses in two calls at the same time, as a
  /// resolver with a DNS client of its own does: then the first answer can be used at once (RFC
  /// 8305, section 3). False: one call for both, which returns them in order.
  virtual bool splits_families() const noexcept { return false; }
};

/// The resolver of the system, getaddrinfo(3): /etc/hosts, DNS, multicast DNS and what else
/// nsswitch.conf(5) names, as all programs of the system see them, in the order of RFC 6724. It
/// asks for both families in one call. It keeps no answers, because getaddrinfo() does not tell how
/// long they are valid: that is known to the caches of the system, such as systemd-resolved, nscd
/// or a name server on this host. Names of addresses come from getnameinfo(3). Unless the caller
/// names a family, one of which this host has only loopback addresses is left out (AI_ADDRCONFIG).
///
/// Errors    std::system_error: see resolve_errc; the errno of EAI_SYSTEM; no thread could be
///           started.
/// Cancellation  Ends at once. The system's call itself cannot be stopped: its thread drops the
///           result when it is there.
/// Lifetime  That of the process.
/// Thread    Calls run on threads of their own, at most 16 in a process, apart from those of
///           blocking(): further lookups wait in line. Equal lookups in flight, on any scheduler,
///           are one call. A child of fork() starts new threads.
/// Memory    A block for each lookup, besides what the system's call needs.
/// Kernel    getaddrinfo(3), getnameinfo(3), nsswitch.conf(5), gai.conf(5).
resolver& system_resolver();

}  // namespace ringlet
