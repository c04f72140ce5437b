// The echo server of scale.py with Boost.Asio: one io_context, which any number of threads run, and
// a session with a buffer of 16 KiB for each connection. It uses handlers, the form of Asio that
// costs least; coroutines cost a little more.
//
//     $ echo_asio --port 0 --threads 2
//     listening on 127.0.0.1:45123
// SPDX-License-Identifier: MIT
#include <array>
#include <boost/asio.hpp>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

// One connection. At most one of its operations is under way, so it needs no strand.
class session : public std::enable_shared_from_this<session> {
 public:
  explicit session(tcp::socket accepted) : peer_(std::move(accepted)) {}

  void read() {
    peer_.async_read_some(asio::buffer(data_),
                          [self = shared_from_this()](error_code error, std::size_t size) {
                            if (!error) self->write(size);
                          });
  }

 private:
  void write(std::size_t size) {
    asio::async_write(peer_, asio::buffer(data_, size),
                      [self = shared_from_this()](error_code error, std::size_t) {
                        if (!error) self->read();
                      });
  }

  tcp::socket peer_;
  std::array<char, 16 * 1024> data_;
};

class server {
 public:
  server(asio::io_context& context, const tcp::endpoint& where)
      : acceptor_(context, where), pause_(context) {
    accept();
  }
  tcp::endpoint local_endpoint() const { return acceptor_.local_endpoint(); }

 private:
  void accept() {
    acceptor_.async_accept([this](error_code error, tcp::socket peer) {
      if (error) {
        std::cerr << error.message() << '\n';
        pause_.expires_after(std::chrono::milliseconds(100));
        pause_.async_wait([this](error_code) { accept(); });
        return;
      }
      error_code is_gone;
      peer.set_option(tcp::no_delay(true), is_gone);
      if (!is_gone) std::make_shared<session>(std::move(peer))->read();
      accept();
    });
  }

  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
};

}  // namespace

int main(int argc, char** argv) {
  std::string host = "127.0.0.1";
  int port = 9090;
  int threads = 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--host") host = argv[i + 1];
    if (option == "--port") port = std::atoi(argv[i + 1]);
    if (option == "--threads") threads = std::atoi(argv[i + 1]);
  }
  try {
    asio::io_context context(threads);
    const server echo(context, {asio::ip::make_address(host), static_cast<unsigned short>(port)});
    std::cout << "listening on " << echo.local_endpoint() << std::endl;
    std::vector<std::jthread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back([&context] { context.run(); });
    context.run();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
