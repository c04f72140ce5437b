// Bursts of connections to a tcp_listener_group, with hand-overs and without.
//
// Twice the same connections end up on the second scheduler. First only that one listens. Then both
// do, and the first one, which has more descriptors, hands over each connection that the system
// gives to it: about half of them. A hand-over costs what both schedulers use in excess, divided by
// the number of hand-overs. Connections arrive while the schedulers do something else, so that each
// scheduler accepts its part of a burst at once, as a busy server does.
// SPDX-License-Identifier: MIT
#include "micro_hand_over.hpp"

#include <ringlet/scheduler_handle.hpp>
#include <ringlet/tcp_listener.hpp>
#include <ringlet/tcp_listener_group.hpp>
#include <ringlet/tcp_stream.hpp>
#include <ringlet/unique_fd.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

using namespace ringlet;

namespace bench {
namespace {

// Below the limit on connections that wait for accept() on a scheduler.
constexpr int burst_size = 48;
// More than a burst, so the first scheduler hands over every connection.
constexpr std::size_t ballast = 64;

// What the two schedulers and the client share. Each scheduler uses only its part of `held`.
struct bursts {
  std::atomic<int> listening = 0;
  std::atomic<int> accepted = 0;
  std::atomic<int> stopped = 0;  // Schedulers that have stopped to wait for a burst.
  std::atomic<int> arrived = 0;  // Bursts of which all connections have been made.
  std::array<std::vector<tcp_stream>, 2> held;
};

void count_up(std::atomic<int>& number) {
  number.fetch_add(1);
  number.notify_all();
}

void wait_for(const std::atomic<int>& number, int least) {
  for (int now = number.load(); now < least; now = number.load()) number.wait(now);
}

task<> accept_on(std::size_t k, tcp_listener_group port, bursts& all) {
  std::vector<tcp_listener> descriptors;
  while (k == 0 && descriptors.size() < ballast) {
    descriptors.push_back(tcp_listener::bind("127.0.0.1:0"));
  }
  tcp_listener listener = port.listen();
  count_up(all.listening);
  for (;;) {
    all.held[k].push_back(co_await listener.accept());
    // Waking the client for each connection would be measured, too.
    if ((all.accepted.fetch_add(1) + 1) % burst_size == 0) all.accepted.notify_all();
  }
}

// A reset when it closes: no port stays in the state TIME_WAIT.
unique_fd connect_to(const address& port) {
  unique_fd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const linger at_once{1, 0};
  ::setsockopt(made.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port.port());
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(made.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    std::perror("cannot connect");
    std::_Exit(1);  // The schedulers wait for this connection.
  }
  return made;
}

std::uint64_t thread_cpu_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(time.tv_nsec);
}

std::uint64_t cpu_of_both(runtime& two) {
  return two.call(0, thread_cpu_ns) + two.call(1, thread_cpu_ns);
}

// Closes the connections of the previous burst, then lets the next one arrive.
void stop_for_burst(std::size_t k, bursts& all, int number) {
  all.held[k].clear();
  count_up(all.stopped);
  wait_for(all.arrived, number);
}

void make_burst(runtime& two, const address& port, bursts& all, int number) {
  for (std::size_t k : {0u, 1u}) {
    const auto stop = [k, &all, number] { stop_for_burst(k, all, number); };
    if (!two.handle(k).post(stop)) std::abort();
  }
  wait_for(all.stopped, 2 * number);
  std::vector<unique_fd> clients;
  for (int i = 0; i < burst_size; ++i) clients.push_back(connect_to(port));
  count_up(all.arrived);
  wait_for(all.accepted, number * burst_size);
}

struct cost {
  double cpu_ns = 0;  // For all connections.
  std::uint64_t handed_over = 0;
};

cost cost_of_bursts(runtime& two, std::size_t first, int count) {
  const tcp_listener_group port("127.0.0.1:0");
  bursts all;
  std::vector<remote_fiber<>> acceptors;
  for (std::size_t k = first; k < 2; ++k) {
    acceptors.push_back(two.spawn(k, accept_on, k, port, std::ref(all)));
    wait_for(all.listening, static_cast<int>(acceptors.size()));
  }
  const std::uint64_t before = cpu_of_both(two);
  for (int number = 1; number <= count; ++number) {
    make_burst(two, port.local_address(), all, number);
  }
  cost found;
  found.cpu_ns = static_cast<double>(cpu_of_both(two) - before);
  for (const auto& one : port.statistics()) found.handed_over += one.handed_over;
  for (std::size_t k : {0u, 1u}) two.call(k, [k, &all] { all.held[k].clear(); });
  for (const auto& one : acceptors) one.request_kill();
  for (const auto& one : acceptors) one.join_blocking();
  return found;
}

}  // namespace

double hand_overs(runtime& two, int count) {
  const int bursts_made = std::max(1, count / burst_size);
  const cost alone = cost_of_bursts(two, 1, bursts_made);
  const cost shared = cost_of_bursts(two, 0, bursts_made);
  const auto handed_over = static_cast<double>(std::max<std::uint64_t>(1, shared.handed_over));
  return (shared.cpu_ns - alone.cpu_ns) / handed_over;
}

}  // namespace bench
