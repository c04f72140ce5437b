// greenlet<T>: where a switch leads, what it returns, and when a greenlet begins and ends.
//
// greenlet_errors_test.cpp tests exceptions; greenlet_fiber_test.cpp tests waits, kills and other
// fibers.
// SPDX-License-Identifier: MIT
#include <ringlet/greenlet.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "greenlet_bodies.hpp"
#include "support/aborts.hpp"
#include "support/counted.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("greenlet");

// row: GR-01
TEST_CASE("creating a greenlet runs no code, and its parent is the running greenlet") {
  in_fiber([]() -> task<> {
    bool ran = false;
    const greenlet<int> outer([&ran](int n) -> task<int> {
      ran = true;
      const greenlet<int> inner(plus_one);
      CHECK(inner.parent() == greenlet<int>::current());
      CHECK(inner.id() == 2);
      co_return n;
    });
    CHECK_FALSE(ran);
    CHECK(outer.parent() == greenlet<int>::main());
    CHECK(outer.id() == 1);
    co_await outer.switch_to(1);
    CHECK(ran);
  });
}

// row: GR-01
TEST_CASE("a greenlet keeps its callable and arguments until its body has ended") {
  life_count lives;
  in_fiber([&]() -> task<> {
    const auto sum = [extra = counted(lives, 100)](const counted& a, int b,
                                                   const int& first) -> task<int> {
      const int second = co_await greenlet<int>::main().switch_to(first + 1);
      co_return extra.value() + a.value() + b + first + second;
    };
    const greenlet<int> adder(sum, counted(lives, 20), 3);
    const int first = co_await adder.switch_to(1000);
    CHECK(first == 1001);
    const int all = co_await adder.switch_to(5000);
    CHECK(all == 6123);
    CHECK(lives.alive() == 1);  // the objects of this scope
  });
  CHECK(lives.alive() == 0);
}

// row: GR-01
TEST_CASE("a greenlet that was never switched to destroys its arguments with its owner") {
  life_count lives;
  in_fiber([&]() -> task<> {
    const auto take = [](counted, int n) -> task<int> { co_return n; };
    { const greenlet<int> unused(take, counted(lives)); }
    CHECK(lives.made > 0);
    CHECK(lives.alive() == 0);
    co_return;
  });
}

// row: GR-01
TEST_CASE("a greenlet whose construction throws leaves nothing behind") {
  struct unwilling {
    unwilling() = default;
    unwilling(const unwilling&) { throw std::runtime_error("not copied"); }
  };
  in_fiber([]() -> task<> {
    const unwilling argument;
    const auto take = [](const unwilling&, int n) -> task<int> { co_return n; };
    CHECK_THROWS_WITH(greenlet<int>(take, argument), "not copied");
    co_return;
  });
}

// row: GR-02
TEST_CASE("the first switch begins the body, and later values are returned by its own switches") {
  std::string log;
  in_fiber([&]() -> task<> {
    const greenlet<int> other([&log](int n) -> task<int> {
      log += "begin " + std::to_string(n) + ", ";
      for (;;) {
        n = co_await greenlet<int>::main().switch_to(10 * n);
        log += "got " + std::to_string(n) + ", ";
      }
    });
    for (int i = 1; i <= 3; ++i) {
      const int back = co_await other.switch_to(i);
      log += "back " + std::to_string(back) + ", ";
    }
  });
  CHECK(log == "begin 1, back 10, got 2, back 20, got 3, back 30, ");
}

// row: W39
TEST_CASE("a switch returns the value that is next sent to its caller") {
  in_fiber([]() -> task<> {
    const greenlet<std::string> third([](std::string text) -> task<std::string> {
      for (;;) text = co_await greenlet<std::string>::main().switch_to("third has " + text);
    });
    const greenlet<std::string> second([&third](std::string text) -> task<std::string> {
      for (;;) text = co_await third.switch_to(text + " by second");
    });
    const std::string back = co_await second.switch_to("x");
    CHECK(back == "third has x by second");
  });
}

// row: GR-02
TEST_CASE("greenlets that send nothing only take turns") {
  std::string log;
  in_fiber([&]() -> task<> {
    std::optional<greenlet<>> a, b;
    a.emplace([&]() -> task<> {
      log += "12 ";
      co_await b->switch_to();
      log += "34 ";
    });
    b.emplace([&]() -> task<> {
      log += "56 ";
      co_await a->switch_to();
      log += "78 ";
    });
    co_await a->switch_to();
    CHECK(a->state() == greenlet_state::finished);
    CHECK(b->state() == greenlet_state::suspended);
  });
  CHECK(log == "12 56 34 ");
}

// row: GR-02
TEST_CASE("a value may be move-only, and a switch moves it once") {
  struct traveller {
    explicit traveller(int n) : number(std::make_unique<int>(n)) {}
    traveller(traveller&& from) noexcept : number(std::move(from.number)), moves(from.moves + 1) {}
    std::unique_ptr<int> number;
    int moves = 0;
  };
  in_fiber([]() -> task<> {
    const greenlet<traveller> other([](traveller) -> task<traveller> {
      traveller got = co_await greenlet<traveller>::main().switch_to(traveller(1));
      CHECK(*got.number == 2);
      CHECK(got.moves == 1);
      co_return traveller(3);
    });
    traveller first = co_await other.switch_to(traveller(0));
    CHECK(*first.number == 1);
    CHECK(first.moves == 1);
    traveller named(2);
    traveller second = co_await other.switch_to(std::move(named));
    CHECK(*second.number == 3);
    CHECK(second.moves <= 2);  // into the promise and out of it
    CHECK(named.number == nullptr);
  });
}

// row: GR-02
TEST_CASE("an lvalue is copied, and every value is destroyed once") {
  life_count lives;
  in_fiber([&]() -> task<> {
    const greenlet<counted> other([](counted got) -> task<counted> {
      for (;;) {
        counted next = co_await greenlet<counted>::main().switch_to(got);
        got = std::move(next);
      }
    });
    const counted mine(lives, 7);
    for (int i = 0; i < 3; ++i) {
      const counted back = co_await other.switch_to(mine);
      CHECK(back.value() == 7);
      CHECK(mine.value() == 7);
    }
  });
  CHECK(lives.alive() == 0);
}

// row: GR-02
TEST_CASE("a value is constructed from any type that converts to it") {
  in_fiber([]() -> task<> {
    const greenlet<std::string> other([](std::string text) -> task<std::string> {
      text = co_await greenlet<std::string>::main().switch_to("a text that is not kept inline");
      co_return text + "!";
    });
    const std::string first = co_await other.switch_to("");
    CHECK(first == "a text that is not kept inline");
    const std::string second = co_await other.switch_to("another text that is not kept inline");
    CHECK(second == "another text that is not kept inline!");
  });
}

// row: GR-03
TEST_CASE("the parent's switch returns the body's return value") {
  in_fiber([]() -> task<> {
    const greenlet<int> once(plus_one);
    const int back = co_await once.switch_to(41);
    CHECK(back == 42);
    CHECK(once.state() == greenlet_state::finished);
  });
}

// row: GR-03
TEST_CASE("the body's return value goes to the parent, whichever greenlet switched last") {
  in_fiber([]() -> task<> {
    greenlet_ref<int> target;
    const greenlet<int> child(plus_one);
    const greenlet<int> other([&child](int n) -> task<int> {
      co_return co_await child.switch_to(n);  // the main greenlet is the child's parent
    });
    const int back = co_await other.switch_to(1);
    CHECK(back == 2);
    CHECK(other.state() == greenlet_state::suspended);
  });
}

// rows: W38 GR-03
TEST_CASE("a parent that has not begun begins with its child's return value") {
  in_fiber([]() -> task<> {
    const greenlet<int> top(plus_one);
    const greenlet<int> child(plus_one);
    child.set_parent(top);
    const int back = co_await child.switch_to(1);
    CHECK(back == 3);
    CHECK(top.state() == greenlet_state::finished);
  });
}

// rows: W35 GR-07
TEST_CASE("a value sent to an ended greenlet goes to the nearest living parent") {
  in_fiber([]() -> task<> {
    const greenlet<int> dead(plus_one);
    co_await dead.switch_to(1);
    const int back = co_await dead.switch_to(5);  // the parent is the caller
    CHECK(back == 5);

    const greenlet<int> middle([&dead](int) -> task<int> {
      const greenlet<int> child(plus_one);
      co_await child.switch_to(0);
      CHECK(child.parent() == greenlet<int>::current());
      const int mine = co_await child.switch_to(6);
      CHECK(mine == 6);
      co_return co_await dead.switch_to(7);  // not to this one, but to the main one
    });
    const int sent = co_await middle.switch_to(0);
    CHECK(sent == 7);
    CHECK(middle.state() == greenlet_state::suspended);
  });
}

// row: GR-07
TEST_CASE("a parent that has not begun begins with the value sent to its ended child") {
  in_fiber([]() -> task<> {
    const greenlet<int> dead(plus_one);
    co_await dead.switch_to(1);
    const greenlet<int> top(plus_one);
    dead.set_parent(top);
    const int back = co_await dead.switch_to(10);
    CHECK(back == 11);
  });
}

// row: GR-08
TEST_CASE("switching to oneself returns the value at once") {
  in_fiber([]() -> task<> {
    const int in_main = co_await greenlet<int>::current().switch_to(5);
    CHECK(in_main == 5);
    const greenlet<int> other(
        [](int n) -> task<int> { co_return co_await greenlet<int>::current().switch_to(n + 1); });
    const int back = co_await other.switch_to(1);
    CHECK(back == 2);
  });
}

// row: GR-09
TEST_CASE("a parent can be changed at any time, and cycles are refused") {
  in_fiber([]() -> task<> {
    const greenlet<int> a(echo), b(plus_one), c(plus_one);
    b.set_parent(a);
    c.set_parent(b);
    CHECK_THROWS_AS(a.set_parent(c), parent_cycle);
    CHECK_THROWS_AS(a.set_parent(a), parent_cycle);
    CHECK(a.parent() == greenlet<int>::main());
    co_await a.switch_to(1);
    const int through_a = co_await b.switch_to(5);  // b ends, a gets 6 and sends it on
    CHECK(through_a == 6);
    c.set_parent(greenlet<int>::main());
    const int straight = co_await c.switch_to(7);
    CHECK(straight == 8);
    c.set_parent(a);
    CHECK(c.parent() == a);
  });
}

// rows: GR-09 GR-10
TEST_CASE("the main greenlet has no parent, and cannot be given one") {
  in_fiber([]() -> task<> {
    const greenlet_ref<int> main = greenlet<int>::main();
    CHECK_FALSE(main.parent());
    CHECK(main.id() == 0);
    CHECK(main.state() == greenlet_state::running);
    CHECK(main == greenlet<int>::current());
    co_return;
  });
  CHECK(aborts_with("the main greenlet of a fiber cannot have a parent", [] {
    in_fiber([]() -> task<> {
      const greenlet<int> other(echo);
      greenlet<int>::main().set_parent(other);
      co_return;
    });
  }));
}

// row: GR-11
TEST_CASE("current is the running greenlet, and does not exist outside of a fiber") {
  in_fiber([]() -> task<> {
    greenlet_ref<int> seen;
    const greenlet<int> other([&seen](int n) -> task<int> {
      seen = greenlet<int>::current();
      co_return n;
    });
    co_await other.switch_to(1);
    CHECK(seen == other);
  });
  constexpr auto outside = "a call that needs a scheduler was made outside of run()";
  CHECK(aborts_with(outside, [] { (void)greenlet<int>::current(); }));
  CHECK(aborts_with(outside, [] { const greenlet<int> lost(plus_one); }));
}

// rows: GR-12 W40
TEST_CASE("the state tells whether a greenlet has begun, runs, is suspended or has ended") {
  in_fiber([]() -> task<> {
    greenlet_ref<int> self;
    const greenlet<int> other([&self](int n) -> task<int> {
      CHECK(self.state() == greenlet_state::running);
      CHECK(self.parent().state() == greenlet_state::suspended);
      n = co_await greenlet<int>::main().switch_to(n);
      co_return n;
    });
    self = other;
    CHECK(other.state() == greenlet_state::created);
    co_await other.switch_to(1);
    CHECK(other.state() == greenlet_state::suspended);
    CHECK(greenlet<int>::main().state() == greenlet_state::running);
    co_await other.switch_to(1);
    CHECK(other.state() == greenlet_state::finished);
  });
}

// rows: W41 GR-13
TEST_CASE("destroying the owner destroys the calls, innermost first, without an exception") {
  std::string log;
  struct note {
    std::string* to;
    char letter;
    note(std::string& where, char what) : to(&where), letter(what) {}
    note(const note&) = delete;
    note& operator=(const note&) = delete;
    ~note() { *to += letter; }
  };
  in_fiber([&]() -> task<> {
    greenlet_ref<int> left;
    {
      const greenlet<int> other([&log](int n) -> task<int> {
        const note first(log, 'c'), second(log, 'b');
        const auto below = [](std::string& to, int number) -> task<int> {
          const note local(to, 'a');
          try {
            co_return co_await send_to_main(number);
          } catch (...) {
            to += "thrown";
            throw;
          }
        };
        co_return co_await below(log, n);
      });
      co_await other.switch_to(1);
      left = other;
      CHECK(log.empty());
    }
    CHECK(log == "abc");
    CHECK(left.state() == greenlet_state::finished);
    const int back = co_await left.switch_to(5);  // as in every greenlet that has ended
    CHECK(back == 5);
  });
}

// row: GR-13
TEST_CASE("assigning to an owner ends the greenlet that it owned") {
  life_count lives;
  in_fiber([&]() -> task<> {
    const auto keep = [](const counted&, int n) -> task<int> { co_return co_await echo(n); };
    greenlet<int> owner(keep, counted(lives));
    co_await owner.switch_to(1);
    CHECK(lives.alive() == 1);
    owner = greenlet<int>(plus_one);
    CHECK(lives.alive() == 0);
    const int back = co_await owner.switch_to(1);
    CHECK(back == 2);
  });
}

// row: GR-13
TEST_CASE("owned greenlets may own others, and owners and parents may be destroyed first") {
  in_fiber([]() -> task<> {
    const auto own_one = [](int n) -> task<int> {
      const greenlet<int> inner(echo);
      co_await inner.switch_to(n);  // to the main greenlet
      co_return 0;
    };
    std::optional<greenlet<int>> outer;
    outer.emplace(own_one);
    co_await outer->switch_to(1);
    outer.reset();

    std::optional<greenlet<int>> above;
    above.emplace(echo);
    co_await above->switch_to(1);
    const greenlet<int> below(plus_one);
    below.set_parent(*above);
    above.reset();
    const int back = co_await below.switch_to(1);
    CHECK(back == 2);
  });
}

// row: GR-13
TEST_CASE("a greenlet whose last owner is among its own arguments ends in order") {
  in_fiber([]() -> task<> {
    struct box {
      std::optional<greenlet<int>> self;
    };
    const auto body = [](const std::shared_ptr<box>&, int n) -> task<int> { co_return n + 1; };
    auto shared = std::make_shared<box>();
    shared->self.emplace(body, shared);
    const greenlet_ref<int> only = *shared->self;
    shared.reset();
    const int back = co_await only.switch_to(1);
    CHECK(back == 2);
    CHECK(only.state() == greenlet_state::finished);
  });
}

// row: GR-13
TEST_CASE("a running greenlet cannot be destroyed") {
  CHECK(aborts_with("a greenlet was destroyed while it runs", [] {
    in_fiber([]() -> task<> {
      std::optional<greenlet<int>> owner;
      owner.emplace([&owner](int n) -> task<int> {
        owner.reset();
        co_return n;
      });
      co_await owner->switch_to(1);
    });
  }));
}

// row: GR-16
TEST_CASE("the hook is called at every switch, and set_hook returns the previous hook") {
  static std::vector<switch_event> events;
  static int line_of_switch = 0;
  events.clear();
  const switch_hook hook = [](const switch_event& event) noexcept { events.push_back(event); };
  in_fiber([&]() -> task<> {
    const greenlet<int> other(echo), failing(fail_with, "expected");
    const bool was_none = set_switch_hook(hook) == nullptr;
    CHECK(was_none);
    line_of_switch = __LINE__ + 1;
    co_await other.switch_to(1);
    co_await greenlet<int>::current().switch_to(1);  // not a switch
    const std::string what = co_await told(failing.switch_to(1));
    const std::string left = co_await told(other.throw_into());
    const bool was_ours = set_switch_hook(nullptr) == hook;
    CHECK(was_ours);
    const greenlet<int> unseen(plus_one);
    co_await unseen.switch_to(1);
  });
  std::string log;
  for (const switch_event& event : events) {
    CHECK(event.fiber == 1);
    log += event.kind == switch_kind::switched ? "switch " : "throw ";
    log += std::to_string(event.from) + std::to_string(event.to) + ", ";
  }
  CHECK(log == "switch 01, switch 10, switch 02, throw 20, throw 01, switch 10, ");
  REQUIRE(events.size() == 6);
  CHECK(static_cast<int>(events[0].where.line()) == line_of_switch);
  CHECK(events[3].where.line() == 0);  // it ended
}

// row: GR-21
TEST_CASE("a coroutine as hook does not compile") {
  using coroutine_hook = task<> (*)(const switch_event&) noexcept;
  CHECK(std::is_invocable_v<decltype(set_switch_hook)&, switch_hook>);
  CHECK_FALSE(std::is_invocable_v<decltype(set_switch_hook)&, coroutine_hook>);
}

namespace {

// The numbers of a tree in order, sent from any depth.
struct node {
  int number;
  const node* left = nullptr;
  const node* right = nullptr;
};

task<> visit(const node* at) {
  if (at == nullptr) co_return;
  co_await visit(at->left);
  co_await greenlet<int>::current().parent().switch_to(at->number);
  co_await visit(at->right);
}

task<int> all_of(const node* root, int) {
  co_await visit(root);
  co_return -1;
}

}  // namespace

// row: GR-18
TEST_CASE("a greenlet can switch from any depth of calls, even inside another greenlet") {
  std::string log;
  in_fiber([&]() -> task<> {
    const node one{1}, three{3}, two{2, &one, &three}, five{5}, four{4, &two, &five};
    const greenlet<int> doubled([&four](int) -> task<int> {
      const greenlet<int> numbers(all_of, &four);
      for (;;) {
        const int next = co_await numbers.switch_to(0);
        if (next < 0) co_return next;
        co_await greenlet<int>::main().switch_to(2 * next);
      }
    });
    for (int next = 0;;) {
      next = co_await doubled.switch_to(0);
      if (next < 0) break;
      log += std::to_string(next) + ' ';
    }
  });
  CHECK(log == "2 4 6 8 10 ");
}

TEST_CASE("greenlets of different types may switch to each other where their value types match") {
  in_fiber([]() -> task<> {
    const greenlet<std::string> words([](std::string word) -> task<std::string> {
      const greenlet<int> lengths([](int n) -> task<int> {
        for (;;) n = co_await greenlet<int>::current().parent().switch_to(n * n);
      });
      for (;;) {
        const int square = co_await lengths.switch_to(static_cast<int>(word.size()));
        word = co_await greenlet<std::string>::main().switch_to(std::to_string(square));
      }
    });
    const std::string first = co_await words.switch_to("abc");
    const std::string second = co_await words.switch_to("abcd");
    CHECK(first + ' ' + second == "9 16");
  });
}

TEST_CASE("sending to a greenlet that waits for another type aborts") {
  constexpr auto other_type = "a greenlet was sent a value of another type than the one";
  CHECK(aborts_with(other_type, [] {
    in_fiber([]() -> task<> {
      const greenlet<std::string> confused([](std::string text) -> task<std::string> {
        co_await greenlet<int>::main().switch_to(1);  // which waits for a string
        co_return text;
      });
      co_await confused.switch_to("a");
    });
  }));
  CHECK(aborts_with(other_type, [] {
    in_fiber([]() -> task<> {
      const greenlet<int> number(plus_one);
      const greenlet<> nothing([&number]() -> task<> { co_await number.switch_to(1); });
      co_await nothing.switch_to();  // the number arrives here
    });
  }));
}

// row: GR-19
TEST_CASE("an owner can be moved but not copied, and a reference can be copied and empty") {
  CHECK_FALSE(std::is_copy_constructible_v<greenlet<int>>);
  CHECK_FALSE(std::is_copy_assignable_v<greenlet<int>>);
  CHECK(std::is_nothrow_move_constructible_v<greenlet<int>>);
  CHECK(std::is_copy_assignable_v<greenlet_ref<int>>);
  CHECK_FALSE(std::is_constructible_v<greenlet<int>, int>);
  CHECK_FALSE(std::is_constructible_v<greenlet<int>, task<std::string> (*)(int)>);
  CHECK_FALSE(greenlet_ref<int>());
  in_fiber([]() -> task<> {
    greenlet<int> first(echo);
    const greenlet_ref<int> borrowed = std::move(first);  // does not accept it
    CHECK(borrowed == first);
    const greenlet<int> second = std::move(first);
    CHECK(borrowed == second);
    CHECK_FALSE(first);
    co_return;
  });
}

TEST_SUITE_END();
