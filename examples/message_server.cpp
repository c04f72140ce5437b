// Answers messages of a JSON header and a body, however the network cuts them into pieces.
//
//     $ ./build/examples/message_server 127.0.0.1:9090
//     listening on 127.0.0.1:9090
//     $ ./build/examples/message_client 127.0.0.1:9090 upper hello    # in a second terminal
//     HELLO
//
// TCP carries bytes, not messages: two sends may arrive as one piece, and one as several. So each
// message says how long it is: 4 bytes with the length of the header, highest first; the header,
// {"command": "upper", "size": 5}; and `size` bytes of body. An answer looks the same, with
// {"ok": true, "size": 5} or {"ok": false, "error": "...", "size": 0}. In Python, a client sends
// struct.pack("!I", len(header)) + header + body. Ctrl-C ends the server.
//
// Shows: read_frame() and its limit; a body that grows as it arrives; a header and a body that
// leave as one piece; answering a peer before its connection is closed.
// Leaves out: a limit on the number of connections.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

using namespace ringlet;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

constexpr std::size_t header_max = 4096;
constexpr std::size_t body_max = 1024 * 1024;
constexpr auto idle_timeout = 30s;
constexpr auto farewell_timeout = 1s;

struct request {
  std::string command;
  std::size_t size;
};

// Nothing if the header is not one of this protocol.
std::optional<request> parse(std::string_view header) {
  const json parsed = json::parse(header, nullptr, false);  // without exceptions
  if (!parsed.is_object()) return std::nullopt;
  const auto command = parsed.find("command");
  const auto size = parsed.find("size");
  if (command == parsed.end() || !command->is_string()) return std::nullopt;
  if (size == parsed.end() || !size->is_number_unsigned()) return std::nullopt;
  if (size->get<std::uint64_t>() > body_max) return std::nullopt;
  return request{command->get<std::string>(), size->get<std::size_t>()};
}

// The body grows as its bytes arrive. A peer that only claims a large one costs no memory.
task<std::string> read_body(reader& in, std::size_t size) {
  std::string body;
  while (body.size() < size) {
    const std::string_view arrived = co_await in.peek(1, idle_timeout);
    if (arrived.empty()) throw_error(errc::end_of_stream, "the body of a message");
    const std::string_view part = arrived.substr(0, size - body.size());
    body += part;
    in.consume(part.size());
  }
  co_return body;
}

task<> answer(writer& out, json header, std::string body) {
  header["size"] = body.size();
  out.cork();
  co_await write_frame(out, header.dump(), length_prefix::u32, idle_timeout);
  co_await out.write(body, idle_timeout);
  co_await out.flush(idle_timeout);
}

task<> read_to_the_end(tcp_stream& peer) {
  while (const buffer data = co_await peer.receive()) {
  }
}

// Where the next message begins is unknown. Closing while bytes are unread would reset the
// connection, and the peer might lose the answer.
task<> refuse(tcp_stream& peer, writer& out, const char* reason) {
  json header = {{"ok", false}, {"error", reason}};
  co_await answer(out, std::move(header), "");
  peer.shutdown_write();
  co_await move_on_after(farewell_timeout, read_to_the_end(peer));
}

task<> serve_peer(tcp_stream& peer) {
  reader in(peer, header_max);
  writer out(peer);
  for (;;) {
    const auto header = co_await as_result(read_frame(in, length_prefix::u32, idle_timeout));
    if (!header && header.error() == errc::too_long) {
      co_return co_await refuse(peer, out, "a header has at most 4096 bytes");
    }
    if (!header) throw_error(header.error(), "the header of a message");
    if (!*header) co_return;  // the peer has ended the connection between two messages
    const auto wanted = parse(**header);
    if (!wanted) {
      co_return co_await refuse(peer, out,
                                "a header is {\"command\": text, \"size\": 0 to 1048576}");
    }
    std::string body = co_await read_body(in, wanted->size);
    json status = {{"ok", true}};
    if (wanted->command == "upper") {
      for (char& c : body) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    } else if (wanted->command == "reverse") {
      std::reverse(body.begin(), body.end());
    } else {
      status = {{"ok", false}, {"error", "the commands are upper and reverse"}};
      body.clear();
    }
    co_await answer(out, std::move(status), std::move(body));
  }
}

// An error ends one connection only. That a peer has gone is no error.
task<> serve_and_report(tcp_stream peer) {
  const std::string name = peer.peer_address().to_string();
  const auto served = co_await as_result(serve_peer(peer));
  if (!served && !is_disconnect(served.error())) {
    std::fprintf(stderr, "%s: %s\n", name.c_str(), served.error().message().c_str());
  }
}

task<> serve(std::string where) {
  auto listener = tcp_listener::bind(where);
  std::printf("listening on %s\n", listener.local_address().to_string().c_str());
  std::fflush(stdout);
  for (;;) spawn(serve_and_report(co_await listener.accept()));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s ADDRESS:PORT\n", argv[0]);
    return 2;
  }
  return run_main(serve(argv[1]));
}
