// A SOCKS5 proxy: clients name a server, and this program connects them to it.
//
//     $ ./build/examples/socks5 127.0.0.1:1080
//     listening on 127.0.0.1:1080
//     $ curl --socks5-hostname 127.0.0.1:1080 http://example.org/           # in a second terminal
//     <!doctype html>...
//
// With --socks5-hostname, curl leaves the name to the proxy, which resolves it. Every client may
// reach what this host reaches, so listen only where clients are trusted. When a connection ends, a
// line says how many bytes went there and back. Ctrl-C stops accepting, and gives connections 3 s
// to end.
//
// Shows: a binary handshake cut by a reader, which does not care how the bytes arrive; bytes that
// the reader has taken and that belong to what follows; connect() to a name, and its errors as the
// replies of the protocol; one limit for a whole handshake; a pool that limits the clients; relay.
// Leaves out: passwords, and the commands BIND and UDP ASSOCIATE. The protocol is RFC 1928.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t clients_max = 1000;
constexpr std::size_t piece_max = 255;  // of the handshake: a name, or a list of methods
constexpr auto handshake_max = 10s;
constexpr auto connect_max = 10s;
constexpr auto reply_max = 10s;
constexpr auto drain_max = 3s;
constexpr copy_options limits{.idle_timeout = 1h};

enum class reply : std::uint8_t {
  succeeded = 0,
  general_failure = 1,
  network_unreachable = 3,
  host_unreachable = 4,
  connection_refused = 5,
  command_not_supported = 7,
  address_type_not_supported = 8,
};

// Where the client wants to go; or why it may not.
struct request {
  std::string target;  // a host and a port
  reply refusal = reply::succeeded;
};

std::uint8_t byte_at(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

// The client offers ways to authenticate itself, and the proxy chooses: 0 is none at all.
task<bool> greet(reader& in, tcp_stream& client) {
  bool is_accepted = false;
  const std::string_view hello = co_await in.read_exact(2);
  if (byte_at(hello, 0) == 5) {
    const std::size_t count = byte_at(hello, 1);
    const std::string_view methods = co_await in.read_exact(count);
    is_accepted = methods.find('\0') != methods.npos;
  }
  const std::string_view choice(is_accepted ? "\x05\x00" : "\x05\xff", 2);
  co_await client.write_all(choice);
  co_return is_accepted;
}

// The rest of the request, even of one that is refused: a client that is still sending when the
// connection is closed may not see the reply.
task<request> read_request(reader& in) {
  const std::string_view head = co_await in.read_exact(4);
  const std::uint8_t version = byte_at(head, 0), command = byte_at(head, 1),
                     type = byte_at(head, 3);
  std::string host;
  if (type == 1 || type == 4) {
    const bool is_ipv6 = type == 4;
    const std::size_t size = is_ipv6 ? 16 : 4;
    const std::string_view bytes = co_await in.read_exact(size);
    char text[INET6_ADDRSTRLEN];
    ::inet_ntop(is_ipv6 ? AF_INET6 : AF_INET, bytes.data(), text, sizeof text);
    host = is_ipv6 ? '[' + std::string(text) + ']' : text;
  } else if (type == 3) {
    const std::string_view length = co_await in.read_exact(1);
    host = co_await in.read_exact(byte_at(length, 0));
  } else {
    co_return request{"", reply::address_type_not_supported};  // it has an unknown length
  }
  const std::string_view port = co_await in.read_exact(2);
  if (version != 5) co_return request{"", reply::general_failure};
  if (command != 1) co_return request{"", reply::command_not_supported};
  co_return request{host + ':' + std::to_string(byte_at(port, 0) * 256 + byte_at(port, 1))};
}

reply reply_for(const std::error_code& why) {
  if (why == std::errc::connection_refused) return reply::connection_refused;
  if (why == std::errc::network_unreachable) return reply::network_unreachable;
  const bool is_unreachable = why == std::errc::host_unreachable || why == std::errc::timed_out;
  return is_unreachable || why.category() == resolve_category() ? reply::host_unreachable
                                                                : reply::general_failure;
}

// `bound` is the proxy's address on the way to the server.
std::string answer(reply code, const address& bound = {}) {
  const std::string head{5, static_cast<char>(code), 0, static_cast<char>(bound.is_ipv6() ? 4 : 1)};
  const auto* const bytes = reinterpret_cast<const char*>(bound.data());
  const auto port = std::string_view(bytes + offsetof(sockaddr_in, sin_port), 2);
  const auto host = bound.is_ipv6()
                        ? std::string_view(bytes + offsetof(sockaddr_in6, sin6_addr), 16)
                        : std::string_view(bytes + offsetof(sockaddr_in, sin_addr), 4);
  return head + std::string(host) + std::string(port);
}

// Nothing if the client was refused before it could ask.
task<std::optional<request>> shake_hands(reader& in, tcp_stream& client) {
  const bool is_accepted = co_await greet(in, client);
  if (!is_accepted) co_return std::nullopt;
  co_return co_await read_request(in);
}

task<> connect_and_relay(reader& in, tcp_stream& client, const std::string& target) {
  tcp_stream server;
  reply code = reply::succeeded;
  try {
    server = co_await tcp_stream::connect(target, connect_max);
  } catch (const std::system_error& error) {
    code = reply_for(error.code());
  } catch (const std::invalid_argument&) {
    code = reply::general_failure;  // no host has such a name
  }
  if (code != reply::succeeded) {
    co_await client.write_all(answer(code), reply_max);
    co_return;
  }
  co_await client.write_all(answer(code, server.local_address()), reply_max);
  try {
    std::uint64_t early = 0;  // what the client has sent before the reply
    while (!in.peek().empty()) {
      const std::string_view bytes = in.peek();
      co_await server.write_all(bytes, limits.idle_timeout);
      early += bytes.size();
      in.consume(bytes.size());
    }
    const relayed moved = co_await relay(client, server, limits);
    std::printf("%s: %ju bytes there, %ju back\n", target.c_str(),
                std::uintmax_t{early + moved.there}, std::uintmax_t{moved.back});
    std::fflush(stdout);
  } catch (...) {
    // Neither side may take what it has got for everything.
    client.abort();
    server.abort();
    throw;
  }
}

task<> serve_client(tcp_stream& client) {
  reader in(client, piece_max);
  const auto asked = co_await with_timeout(handshake_max, shake_hands(in, client));
  if (!asked) co_return;
  if (asked->refusal == reply::succeeded) {
    co_await connect_and_relay(in, client, asked->target);
  } else {
    co_await client.write_all(answer(asked->refusal), reply_max);
  }
}

// An error ends one connection only. That a client or a server has gone is no error.
task<> serve(tcp_stream client) {
  const auto served = co_await as_result(serve_client(client));
  if (served || is_disconnect(served.error())) co_return;
  std::fprintf(stderr, "a connection failed: %s\n", served.error().message().c_str());
}

task<> run_proxy(const char* where) {
  auto listener = tcp_listener::bind(where);
  std::printf("listening on %s\n", listener.local_address().to_string().c_str());
  std::fflush(stdout);
  pool clients(clients_max);
  for (;;) {
    auto free = co_await select(shutdown_requested(), clients.reserve());
    if (free.index() == 0) break;
    auto client = co_await select(shutdown_requested(), listener.accept());
    if (client.index() == 0) break;
    std::get<1>(free).spawn(serve, std::get<1>(std::move(client)));
  }
  co_await listener.close();
  const bool all_ended = co_await clients.join(drain_max);
  if (!all_ended) co_await clients.kill();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s ADDRESS:PORT\n", argv[0]);
    return 2;
  }
  raise_descriptor_limit();
  return run_main(run_proxy(argv[1]));
}
