// A small store of keys and values for the programs of this machine, over a Unix socket.
//
//     $ ./build/examples/key_value_unix /tmp/store.sock
//     listening on /tmp/store.sock
//     $ nc -U /tmp/store.sock                               # in a second terminal
//     SET color blue
//     OK
//     GET color
//     VALUE blue
//     DEL color
//     OK
//     GET color
//     NONE
//
// Also from socat (socat - UNIX-CONNECT:/tmp/store.sock) and from any language. Only the user who
// started it may connect: the file has the permissions 0600, and the kernel says who the peer is.
// Ctrl-C removes the file, and ends it when its peers have ended, or after a second. If it is
// killed, the next start removes the file.
//
// Shows: serve_connections() and its limits, unix_listener and its file, credentials(), a reader
// whose limit bounds each line, a store that fibers share without a lock, because no wait lies
// between looking and changing. Leaves out: keeping the store on disk.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t line_max = 4096;
constexpr std::size_t keys_max = 100'000;

class store {
 public:
  // The answer to one line, without its end.
  std::string answer(std::string_view line) {
    const std::string_view command = take_word(line);
    const std::string_view key = take_word(line);
    if (key.empty()) return "ERROR a command has a key: SET key value, GET key, DEL key";
    const auto found = values_.find(key);
    if (command == "GET" && line.empty()) {
      return found == values_.end() ? "NONE" : "VALUE " + found->second;
    }
    if (command == "DEL" && line.empty()) {
      if (found == values_.end()) return "NONE";
      values_.erase(found);
      return "OK";
    }
    if (command != "SET" || line.empty()) return "ERROR SET key value, GET key, DEL key";
    if (found == values_.end() && values_.size() == keys_max) return "ERROR the store is full";
    values_.insert_or_assign(std::string(key), std::string(line));
    return "OK";
  }

 private:
  // Takes the text before the first blank, and the blank.
  static std::string_view take_word(std::string_view& line) {
    const std::size_t blank = line.find(' ');
    const std::string_view word = line.substr(0, blank);
    line.remove_prefix(blank == std::string_view::npos ? line.size() : blank + 1);
    return word;
  }

  std::map<std::string, std::string, std::less<>> values_;
};

task<> serve_peer(unix_stream peer, store& values) {
  if (peer.credentials().uid != ::geteuid()) {
    co_await peer.write_all("ERROR this store belongs to another user\n");
    co_return;
  }
  reader in(peer, line_max);
  for (;;) {
    const auto line = co_await as_result(in.read_line());
    std::string answer = "ERROR a line has at most 4096 bytes";
    if (line) {
      if (!*line) co_return;  // the peer has ended the connection
      answer = values.answer(**line);
    } else if (line.error() != errc::too_long) {
      throw_error(line.error(), "read_line");
    }
    co_await peer.write_all(answer + '\n');
  }
}

task<> serve(std::string path) {
  store values;
  auto listener = unix_listener::bind(path, {.permissions = 0600});
  std::printf("listening on %s\n", listener.local_address().to_string().c_str());
  std::fflush(stdout);
  server_limits limits;
  limits.connections = 1000;
  limits.first_byte_timeout = 10min;
  limits.idle_timeout = 10min;
  limits.drain_timeout = 1s;
  limits.busy_line = "ERROR too many connections\n";
  const auto serve_one = [&values](unix_stream peer) {
    return serve_peer(std::move(peer), values);
  };
  const server_report done = co_await serve_connections(listener, serve_one, limits);
  for (const std::string& peer : done.cut_off_peers) {
    std::fprintf(stderr, "%s was cut off\n", peer.c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s PATH\n", argv[0]);
    return 2;
  }
  return run_main(serve(argv[1]));
}
