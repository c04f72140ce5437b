// What a UDP send does while its socket has no room, and that a long one lets other fibers run.
//
// Method: on the loopback interface a datagram leaves its sender's buffer at once, so that a send
// never waits. Here datagrams go to a neighbour that does not answer, behind a TAP device in a
// network namespace of a child: the kernel keeps them in the sender's buffer until the neighbour is
// known, and the test then reads from the device what was sent. Where a program may not make a
// namespace or a device, that part is skipped.
// SPDX-License-Identifier: MIT
#include <ringlet/fiber.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/udp_socket.hpp>
#include <ringlet/unique_fd.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "support/bytes.hpp"
#include "support/child.hpp"
#include "support/schedulers.hpp"

using namespace ringlet;
using namespace ringlet::test;

namespace {

// A network with this host, 192.0.2.1, and a neighbour, 192.0.2.2, of which the kernel at first
// does not know the hardware address.
class silent_network {
 public:
  silent_network() = default;

  // False where that is not allowed.
  bool begin() {
    const bool apart = ::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 || ::unshare(CLONE_NEWNET) == 0;
    if (!apart) return false;
    device_.reset(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    ifreq asked = for_device();
    asked.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (device_.get() < 0 || ::ioctl(device_.get(), TUNSETIFF, &asked) != 0) return false;
    control_.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    asked = for_device();
    set_name(asked.ifr_addr, "192.0.2.1:0");
    control(SIOCSIFADDR, asked);
    set_name(asked.ifr_netmask, "255.255.255.0:0");
    control(SIOCSIFNETMASK, asked);
    asked.ifr_flags = IFF_UP;
    control(SIOCSIFFLAGS, asked);
    return true;
  }

  // From now on, the kernel hands the device what it has kept.
  void find_neighbour() {
    arpreq asked{};
    set_name(asked.arp_pa, "192.0.2.2:0");
    asked.arp_ha.sa_family = ARPHRD_ETHER;
    asked.arp_ha.sa_data[0] = 2;
    asked.arp_flags = ATF_COM | ATF_PERM;
    std::strncpy(asked.arp_dev, name, sizeof asked.arp_dev - 1);
    control(SIOCSARP, asked);
  }

  // The datagrams that the device got.
  std::vector<std::string> datagrams() {
    constexpr std::size_t ethernet = 14;
    constexpr std::size_t headers = ethernet + 20 + 8;  // IPv4 without options, UDP
    std::vector<std::string> found;
    std::array<char, 2048> frame;
    for (;;) {
      const auto size = ::read(device_.get(), frame.data(), frame.size());
      if (size <= 0) return found;
      const std::string_view all(frame.data(), static_cast<std::size_t>(size));
      const bool is_udp = all.size() >= headers &&
                          all.substr(12, 2) == std::string_view("\x08\0", 2) &&
                          all[ethernet + 9] == IPPROTO_UDP;
      if (is_udp) found.emplace_back(all.substr(headers));
    }
  }

 private:
  static constexpr char name[] = "silent";

  static ifreq for_device() {
    ifreq asked{};
    std::strncpy(asked.ifr_name, name, sizeof asked.ifr_name - 1);
    return asked;
  }
  static void set_name(sockaddr& where, const char* text) {
    const address parsed = address::parse(text);
    std::memcpy(&where, parsed.data(), sizeof where);
  }
  template <class Request>
  void control(unsigned long call, Request& asked) {
    if (::ioctl(control_.get(), call, &asked) != 0) {
      throw std::runtime_error("ioctl " + std::to_string(call) + ": " + std::strerror(errno));
    }
  }

  unique_fd device_;
  unique_fd control_;
};

void require(bool met, const std::string& what) {
  if (!met) throw std::runtime_error(what);
}

// Sends until the socket has no room. The last send waits, and is returned.
task<fiber<void>> fill(udp_socket& socket, std::vector<std::string>& sent) {
  for (;;) {
    sent.push_back(pattern(1000 + sent.size()));
    auto sending = spawn([&socket, text = sent.back()]() -> task<> { co_await socket.send(text); });
    co_await yield();
    if (!sending.done()) co_return sending;
    require(sent.size() < 1000, "the socket always has room");
  }
}

task<> send_without_room(silent_network& network) {
  auto socket = udp_socket::connect(address::parse("192.0.2.2:9"), {.send_buffer = 1});
  std::vector<std::string> sent;
  const auto killed = co_await fill(socket, sent);
  co_await killed.kill();
  require(killed.result() == outcome::cancelled, "the kill did not end the send");
  sent.pop_back();
  const auto waiting = co_await fill(socket, sent);
  network.find_neighbour();
  co_await waiting.get();
  const auto arrived = network.datagrams();
  require(arrived == sent, std::to_string(arrived.size()) + " datagrams arrived, the last of " +
                               std::to_string(arrived.empty() ? 0 : arrived.back().size()) +
                               " bytes");
}

}  // namespace

TEST_SUITE_BEGIN("udp_room");

TEST_CASE("a send that waits for room sends all bytes, and a killed one none") {
  const child_end end = run_in_child([] {
    silent_network network;
    if (!network.begin()) {
      std::fputs("skipped", stderr);
      return;
    }
    run(send_without_room(network));
  });
  CHECK(end.status == 0);
  if (end.errors == "skipped") {
    MESSAGE("skipped: this program may not make a network namespace and a TAP device");
  } else {
    CHECK(end.errors == "");
  }
}

TEST_CASE("a send of many segments lets other fibers run") {
  on_one_scheduler([]() -> task<> {
    auto server = udp_socket::bind("127.0.0.1:0");
    auto client = udp_socket::connect(server.local_address());
    const std::string all = pattern(100 * 64 * 10);
    bool is_sent = false;
    const auto sending = spawn([&]() -> task<> {
      co_await client.send_segments(bytes(all), 10);
      is_sent = true;
    });
    int turns = 0;
    while (!is_sent) {
      ++turns;
      co_await yield();
    }
    co_await sending.get();
    CHECK(turns >= 6);  // 100 calls, 16 in a row
    CHECK(client.bytes_written() == all.size());
  });
}

TEST_SUITE_END();
