// Sends messages of a JSON header and a body to message_server, and prints the answers.
//
//     $ ./build/examples/message_client 127.0.0.1:9090 upper hello reverse stressed
//     HELLO
//     desserts
//
// Each pair of arguments is a command and a body. A message is 4 bytes with the length of the
// header, highest first; the header, {"command": "upper", "size": 5}; and `size` bytes of body.
//
// Shows: read_frame() and write_frame(); checking what comes from another program before using it.
// Leaves out: sending the next message before the answer to the last one has come.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace ringlet;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

constexpr std::size_t header_max = 4096;
constexpr std::size_t body_max = 1024 * 1024;
constexpr auto timeout = 10s;

task<> send(writer& out, std::string command, std::string body) {
  const json header = {{"command", command}, {"size", body.size()}};
  out.cork();
  co_await write_frame(out, header.dump(), length_prefix::u32, timeout);
  co_await out.write(body, timeout);
  co_await out.flush(timeout);  // both leave as one piece
}

// The body of the next answer. Throws std::runtime_error with what the server said if it refused.
task<std::string> receive(reader& in) {
  const auto frame = co_await read_frame(in, length_prefix::u32, timeout);
  if (!frame) throw std::runtime_error("the server closed the connection without an answer");
  const json header = json::parse(*frame, nullptr, false);  // without exceptions
  const bool is_understood = header.is_object() && header.contains("ok") &&
                             header["ok"].is_boolean() && header.contains("size") &&
                             header["size"].is_number_unsigned() &&
                             header["size"].get<std::uint64_t>() <= body_max;
  if (!is_understood) throw std::runtime_error("the server sent a header of another protocol");
  const auto size = header["size"].get<std::size_t>();
  std::string body;
  while (body.size() < size) {
    const std::string_view arrived = co_await in.peek(1, timeout);
    if (arrived.empty()) {
      throw std::runtime_error("the server closed the connection within an answer");
    }
    const std::string_view part = arrived.substr(0, size - body.size());
    body += part;
    in.consume(part.size());
  }
  if (header["ok"].get<bool>()) co_return body;
  const bool has_reason = header.contains("error") && header["error"].is_string();
  throw std::runtime_error("the server refused: " +
                           (has_reason ? header["error"].get<std::string>() : "without a reason"));
}

task<> talk(std::string where, std::vector<std::string> words) {
  auto server = co_await tcp_stream::connect(std::move(where), timeout);
  reader in(server, header_max);
  writer out(server);
  auto output = standard_output();
  for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
    co_await send(out, words[i], words[i + 1]);
    const std::string body = co_await receive(in);
    co_await output.write_all(body + '\n');
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4 || argc % 2 != 0) {
    std::fprintf(stderr, "usage: %s HOST:PORT COMMAND BODY [COMMAND BODY]...\n", argv[0]);
    return 2;
  }
  return run_main(talk(argv[1], std::vector<std::string>(argv + 2, argv + argc)));
}
