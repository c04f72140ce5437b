// The examples in the headers of core do what their comments say. Method: what an example leaves to
// its reader is in the namespace around_HEADER; its own code is in example_HEADER, made by
// tools/header_examples.py.
// SPDX-License-Identifier: MIT
#include <ringlet/buffer.hpp>
#include <ringlet/error.hpp>
#include <ringlet/task.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "support/chain.hpp"

using namespace ringlet;
using ringlet::test::run_alone;
using namespace std::chrono_literals;

namespace {

/// A stream whose calls fail with an error, or do nothing if there is none.
struct failing_stream {
  std::error_code error = {};

  void fail() const {
    if (error) throw_error(error, "stream");
  }
  task<> write_all(std::string, std::chrono::seconds) {
    fail();
    co_return;
  }
  task<std::size_t> read_some(std::string&, std::chrono::seconds) {
    fail();
    co_return std::size_t{1};
  }
  task<buffer> receive() { co_return buffer(); }
};

std::vector<int> shown;
void show(int number) { shown.push_back(number); }

std::vector<int> take_shown() { return std::exchange(shown, {}); }

task<> work() { co_return; }

}  // namespace

namespace around_error {

failing_stream stream;
const std::string answer;
int slow_peers = 0;

}  // namespace around_error

namespace around_result {

struct tcp_stream {};
task<tcp_stream> connect(const std::string& server, std::chrono::seconds) {
  if (server == "down") throw_error(std::make_error_code(std::errc::connection_refused), "connect");
  co_return tcp_stream{};
}
std::vector<std::string> logged;
void log(const std::string& server, std::error_code error) {
  logged.push_back(server + ": " + error.message());
}

}  // namespace around_result

namespace around_standard_descriptors {

const char* const path = "/dev/null";

}  // namespace around_standard_descriptors

namespace around_unique_fd {

const char* path = "/dev/null";

}  // namespace around_unique_fd

namespace around_as_result {

failing_stream stream;
std::string memory;

}  // namespace around_as_result

namespace around_async_generator {
using ::show;
using ::work;
}  // namespace around_async_generator

namespace around_cancelled {

const int file = 1;
int removed = 0;
std::exception_ptr end_of_transfer;
task<> transfer(int) {
  if (end_of_transfer) std::rethrow_exception(end_of_transfer);
  co_return;
}
void remove_partial(int) { ++removed; }

}  // namespace around_cancelled

namespace around_elements_of {

struct tree {
  const tree* left;
  int value;
  const tree* right;
};

}  // namespace around_elements_of

namespace around_generator {
using ::show;
}  // namespace around_generator

namespace around_generator_exit {

struct log {
  void write(int number) const { show(number); }
};

}  // namespace around_generator_exit

namespace around_task {
using ::show;
using ::work;
}  // namespace around_task

namespace around_buffer {

failing_stream peer;
void show(std::string_view) {}

}  // namespace around_buffer

#include <core_examples.hpp>

TEST_SUITE_BEGIN("examples of core");

TEST_CASE("the example of error.hpp counts a slow peer, and ignores a peer that left") {
  std::error_code& error = around_error::stream.error;
  run_alone(example_error::example());
  error = errc::timed_out;
  run_alone(example_error::example());
  CHECK(std::exchange(around_error::slow_peers, 0) == 1);
  error = std::make_error_code(std::errc::connection_reset);
  CHECK_NOTHROW(run_alone(example_error::example()));
  error = std::make_error_code(std::errc::no_space_on_device);
  CHECK_THROWS_AS(run_alone(example_error::example()), std::system_error);
  error = {};
}

TEST_CASE("the example of result.hpp logs why a server is not alive") {
  CHECK(run_alone(example_result::is_alive("up")));
  CHECK(around_result::logged.empty());
  CHECK_FALSE(run_alone(example_result::is_alive("down")));
  const auto logged = std::exchange(around_result::logged, {});
  CHECK(logged == std::vector<std::string>{"down: Connection refused"});
}

TEST_CASE("the examples of descriptors open a file, or say that they cannot") {
  run_alone(example_standard_descriptors::example());
  run_alone(example_unique_fd::example());
  const char* const path = std::exchange(around_unique_fd::path, "/proc/none");
  CHECK_THROWS_AS(run_alone(example_unique_fd::example()), std::system_error);
  around_unique_fd::path = path;
}

TEST_CASE("the examples of types compile") {
  CHECK(sizeof(example_value_or_unit::answers<void>) == sizeof(std::vector<int>));
  run_alone(example_version::example());
  run_alone(example_engine_options::example());
  run_alone(example_buffer::example());
}

TEST_CASE("the example of as_result.hpp returns after any error but a timeout") {
  run_alone(example_as_result::example());
  around_as_result::stream.error = errc::closed;
  CHECK_NOTHROW(run_alone(example_as_result::example()));
  around_as_result::stream.error = {};
}

TEST_CASE("the example of async_generator.hpp shows the numbers up to 9") {
  run_alone(example_async_generator::print());
  CHECK(take_shown() == std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8, 9});
}

TEST_CASE("the example of cancelled.hpp cleans up, and rethrows what it caught") {
  run_alone(example_cancelled::example());
  CHECK(around_cancelled::removed == 0);
  around_cancelled::end_of_transfer = std::make_exception_ptr(cancelled());
  CHECK_THROWS_AS(run_alone(example_cancelled::example()), cancelled);
  CHECK(std::exchange(around_cancelled::removed, 0) == 1);
  around_cancelled::end_of_transfer = nullptr;
}

TEST_CASE("the example of elements_of.hpp yields a tree in order") {
  using around_elements_of::tree;
  const tree one{nullptr, 1, nullptr}, three{nullptr, 3, nullptr}, two{&one, 2, &three};
  for (const int value : example_elements_of::in_order(&two)) show(value);
  CHECK(take_shown() == std::vector<int>{1, 2, 3});
}

TEST_CASE("the examples of generators show what their comments say") {
  run_alone(example_generator::example());
  CHECK(take_shown() == std::vector<int>{0, 1, 4, 9, 16});
  run_alone(example_two_way_generator::example());
  auto means = example_two_way_generator::mean();
  means.start();
  CHECK(means.send(10) == 10);
  CHECK(means.send(20) == 15);
}

TEST_CASE("the example of generator_exit.hpp writes the sum when it is closed") {
  const around_generator_exit::log out;
  auto sums = example_generator_exit::sums(out);
  sums.start();
  sums.send(2);
  sums.send(3);
  CHECK(take_shown().empty());
  sums.close();
  CHECK(take_shown() == std::vector<int>{5});
}

TEST_CASE("the example of task.hpp shows ten") {
  run_alone(example_task::print());
  CHECK(take_shown() == std::vector<int>{10});
}
