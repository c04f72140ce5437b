// The parts of server_main.hpp that run once.
// SPDX-License-Identifier: MIT
#include "server_main.hpp"

#include <CLI/CLI.hpp>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "command_line.hpp"

namespace bench {

void fail(const std::string& sentence) {
  std::fprintf(stderr, "%s\n", sentence.c_str());
  std::exit(1);
}

void fail(const std::string& what, int error) { fail(what + ": " + std::strerror(error)); }

namespace {

// Every connection takes a descriptor, and the soft limit is often 1,024 because of select(2).
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// SIGINT and SIGTERM end the process immediately, with status 130 or 143; SIGPIPE is ignored. These
// servers have nothing to clean up: the kernel closes the sockets and cancels the requests of a
// ring. So the loops need no stop flag, and do not pay for one.
void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = [](int number) { ::_exit(128 + number); };
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

std::string endpoint_text(const std::string& host, const std::string& port) {
  const bool is_ipv6 = host.find(':') != std::string::npos;
  return (is_ipv6 ? "[" + host + "]" : host) + ":" + port;
}

// A blocking listening socket. TCP_NODELAY is set only here: on Linux accepted sockets inherit it.
int listen_on(const std::string& host, std::uint16_t port) {
  const std::string endpoint = endpoint_text(host, std::to_string(port));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int lookup = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (lookup != 0) fail("cannot listen on " + endpoint + ": " + ::gai_strerror(lookup));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, ::freeaddrinfo);

  const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("cannot make a socket", errno);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::bind(fd, found->ai_addr, found->ai_addrlen) != 0 || ::listen(fd, SOMAXCONN) != 0) {
    const int error = errno;
    fail("cannot listen on " + endpoint, error);
  }
  return fd;
}

// Prints the line that scripts wait for, and flushes it, because standard output is usually a pipe.
// `is_needed`: fail if that does not work, because the system has chosen the port.
void announce(int listener, bool is_needed) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::getsockname(listener, generic, &size) != 0 ||
      ::getnameinfo(generic, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    fail("cannot find the address of the listening socket");
  }
  const int printed = std::printf("listening on %s\n", endpoint_text(host, port).c_str());
  const int flushed = std::fflush(stdout);
  if (is_needed && (printed < 0 || flushed != 0)) {
    fail("cannot print the port to standard output", errno);
  }
}

}  // namespace

int server_main(int argc, char** argv, const char* description, void (*serve)(int listener)) {
  std::string host = "127.0.0.1";
  std::uint16_t port = 9090;
  CLI::App app(description);
  add_endpoint(app, host, "Address to listen on", port, "Port to listen on, 0 for any free one", 0);
  if (const auto status = parse(app, argc, argv)) return *status;

  raise_descriptor_limit();
  install_signal_handlers();
  const int listener = listen_on(host, port);
  announce(listener, port == 0);
  serve(listener);
  return 0;
}

}  // namespace bench
