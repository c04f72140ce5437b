// A producer that sends values to a consumer, and a tree as a range: generators as in Python.
//
//     $ ./build/examples/generator_send
//     producing 1
//     consuming 1
//     the consumer answers: 200 OK
//     producing 2
//     consuming 2
//     the consumer answers: 200 OK
//     the consumer took 2 items
//     apple banana cherry date: 4 names
//
// Shows: two_way_generator, where `item = co_yield answer` is Python's `item = yield answer`;
// generator, for use in a range-based for; elements_of, which is `yield from`. These are plain
// calls on one thread. No call waits, so there is no scheduler, and main() is an ordinary one.
// Leaves out: throwing exceptions into a generator (two_way_generator::throw_into()), generators
// that wait between two values (async_generator).
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

using namespace ringlet;

namespace {

// Yields strings, receives integers, and returns how many it received.
using conversation = two_way_generator<std::string, int, int>;

conversation consume() {
  int count = 0;
  std::string answer;
  try {
    for (;;) {
      const int item = co_yield answer;
      std::printf("consuming %d\n", item);
      answer = "200 OK";
      ++count;
    }
  } catch (const generator_exit&) {  // close() was called
    co_return count;
  }
}

void produce(int count, conversation& consumer) {
  consumer.start();
  for (int item = 1; item <= count; ++item) {
    std::printf("producing %d\n", item);
    const std::optional<std::string> answer = consumer.send(item);
    if (!answer) return;  // the consumer has returned
    std::printf("the consumer answers: %s\n", answer->c_str());
  }
  consumer.close();
}

struct tree {
  std::string name;
  std::unique_ptr<tree> left, right;
};

std::unique_ptr<tree> grow(std::string name, std::unique_ptr<tree> left = nullptr,
                           std::unique_ptr<tree> right = nullptr) {
  return std::make_unique<tree>(tree{std::move(name), std::move(left), std::move(right)});
}

// Yields the names in order and returns their number.
generator<const std::string&, int> names(const tree* root) {
  if (root == nullptr) co_return 0;
  const int before = co_yield elements_of(names(root->left.get()));
  co_yield root->name;
  const int behind = co_yield elements_of(names(root->right.get()));
  co_return before + 1 + behind;
}

}  // namespace

int main() {
  conversation consumer = consume();
  produce(2, consumer);
  std::printf("the consumer took %d items\n", consumer.result());

  const auto fruit = grow("cherry", grow("apple", nullptr, grow("banana")), grow("date"));
  auto all = names(fruit.get());
  const char* separator = "";
  for (const std::string& name : all) {
    std::printf("%s%s", std::exchange(separator, " "), name.c_str());
  }
  std::printf(": %d names\n", all.result());
}
