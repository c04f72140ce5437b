// Connects to a port of a host, sends lines, and prints what comes back, like telnet.
//
//     $ ./build/examples/get www.example.org:http 'GET / HTTP/1.0' 'Host: www.example.org' ''
//     HTTP/1.0 200 OK
//     ...
//     $ ./build/examples/get localhost:9090 hello       # while ./build/examples/echo_server runs
//     hello
//
// The host is a name or a numeric address, "[::1]:80" for IPv6; the port is a number or the name of
// a service. Each line is sent with the line end of most protocols of the internet, CR LF. After
// the last one `get` tells the server that no more will come, and prints what it receives until the
// server closes. It gives up after 10 s without a connection, or 30 s without an answer.
//
// Shows: connecting to a name, of which all addresses are tried as RFC 8305 says: the slow ones
// beside each other, so that the first that answers wins; an error that lists each of them.
// Leaves out: lines that are typed while the server answers; `echo_client` shows that.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <chrono>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

constexpr auto connect_timeout = 10s;
constexpr auto idle_timeout = 30s;

task<> get(std::string host_and_port, std::vector<std::string> lines) {
  auto server = co_await tcp_stream::connect(std::move(host_and_port), connect_timeout);
  std::string request;
  for (const std::string& line : lines) request += line + "\r\n";
  co_await server.write_all(request, idle_timeout);
  server.shutdown_write();
  auto output = standard_output();
  while (buffer data = co_await server.receive(idle_timeout)) {
    co_await output.write_all(data.bytes());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s HOST:PORT [LINE]...\n", argv[0]);
    return 2;
  }
  return run_main(get(argv[1], std::vector<std::string>(argv + 2, argv + argc)));
}
