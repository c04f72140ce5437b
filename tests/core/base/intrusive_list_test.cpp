// intrusive_list: order, removal from the middle, and which destructions abort.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/intrusive_list.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>

#include "support/aborts.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("intrusive_list");

namespace {

struct item : list_hook<> {
  explicit item(char letter) : name(letter) {}
  char name;
};
using item_list = intrusive_list<item>;

std::string names(item_list& list) {
  std::string text;
  for (item* one = list.next(nullptr); one != nullptr; one = list.next(one)) text += one->name;
  return text;
}

void clear(item_list& list) {
  while (!list.empty()) list.pop_front();
}

}  // namespace

TEST_CASE("elements leave a list first in, first out") {
  item a('a'), b('b'), c('c');
  item_list list;
  CHECK(list.empty());
  list.push_back(a);
  list.push_back(b);
  list.push_back(c);
  CHECK_FALSE(list.empty());
  CHECK(&list.front() == &a);
  CHECK(&list.pop_front() == &a);
  CHECK(&list.pop_front() == &b);
  CHECK(&list.pop_front() == &c);
  CHECK(list.empty());
}

TEST_CASE("push_front inserts before all other elements") {
  item a('a'), b('b'), c('c');
  item_list list;
  list.push_front(a);
  list.push_front(b);
  list.push_back(c);
  CHECK(names(list) == "bac");
  clear(list);
}

TEST_CASE("an element can be removed from any place, and inserted again") {
  for (const char leaving : {'a', 'b', 'c'}) {
    std::array<item, 3> items{item('a'), item('b'), item('c')};
    item_list list;
    for (item& one : items) list.push_back(one);
    item& one = items[static_cast<std::size_t>(leaving - 'a')];
    CHECK(one.linked());
    one.unlink();
    CHECK_FALSE(one.linked());
    std::string expected = "abc";
    expected.erase(expected.find(leaving), 1);
    CHECK(names(list) == expected);
    list.push_back(one);
    CHECK(names(list) == expected + leaving);
    clear(list);
  }
}

TEST_CASE("removing an element that is in no list does nothing") {
  item a('a');
  a.unlink();
  a.unlink();
  CHECK_FALSE(a.linked());
}

TEST_CASE("iterating over an empty list ends at once") {
  item_list list;
  CHECK(list.next(nullptr) == nullptr);
}

TEST_CASE("splice_back appends in order and empties the other list") {
  std::array<item, 4> items{item('a'), item('b'), item('c'), item('d')};
  item_list list, other;
  list.push_back(items[0]);
  list.push_back(items[1]);
  other.push_back(items[2]);
  other.push_back(items[3]);
  list.splice_back(other);
  CHECK(names(list) == "abcd");
  CHECK(other.empty());
  list.splice_back(other);
  CHECK(names(list) == "abcd");
  clear(list);
}

TEST_CASE("an element with two hooks can be in two lists") {
  struct first_tag;
  struct second_tag;
  struct both : list_hook<first_tag>, list_hook<second_tag> {
    int value = 7;
  };
  both one;
  intrusive_list<both, first_tag> first;
  intrusive_list<both, second_tag> second;
  first.push_back(one);
  second.push_back(one);
  CHECK(first.pop_front().value == 7);
  CHECK(first.empty());
  CHECK(&second.front() == &one);
  second.pop_front();
}

TEST_CASE("an element destroyed while it is in a list aborts and says so") {
  CHECK(aborts_with("an element was destroyed while it was in a list", [] {
    item_list list;
    item a('a');
    list.push_back(a);
  }));
}

TEST_CASE("a list destroyed before its elements aborts and says so") {
  CHECK(aborts_with("a list was destroyed while elements were in it", [] {
    item a('a');
    item_list list;
    list.push_back(a);
  }));
}

TEST_SUITE_END();
