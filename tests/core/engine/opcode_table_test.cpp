// The table of opcodes: whether its rows say what the engines do.
//
// Method: the compiler checks that each opcode has its row; here each row is compared with what its
// functions do.
#include "opcode_table.hpp"

#include <doctest/doctest.h>

#include <poll.h>

#include <cstddef>
#include <cstring>
#include <set>
#include <string_view>

#include "support/watched.hpp"
#include "uring_constants.hpp"
#include "uring_features.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("opcode table");

namespace {

io_uring_sqe entry_of(const detail::opcode_row& row, const operation& op) {
  io_uring_sqe entry;
  std::memset(&entry, 0xff, sizeof entry);  // what an earlier request has left
  row.fill(entry, op, uring_features{});
  return entry;
}

bool equal(const io_uring_sqe& one, const io_uring_sqe& other) {
  return std::memcmp(&one, &other, sizeof one) == 0;
}

}  // namespace

TEST_CASE("every opcode has a name of its own, and what is no opcode has none") {
  std::set<std::string_view> names;
  for (const detail::opcode_row& row : detail::opcode_table) {
    CHECK(detail::find_row(row.code) == &row);
    CHECK(names.insert(detail::name_of(row.code)).second);
  }
  constexpr auto unknown = static_cast<opcode>(static_cast<int>(opcode::close) + 1);
  CHECK(detail::find_row(unknown) == nullptr);
  CHECK(detail::name_of(unknown) == std::string_view("an unknown opcode"));
}

TEST_CASE("the opcodes that may be started come first, and each of the rest may be called") {
  for (const detail::opcode_row& row : detail::opcode_table) {
    CAPTURE(row.name);
    CHECK(row.may_start() == (static_cast<std::size_t>(row.code) < detail::startable_count));
    CHECK((row.may_start() || row.may_call()));
  }
}

TEST_CASE("an entry says multishot and poll_first for those opcodes whose rows say so") {
  for (const detail::opcode_row& row : detail::opcode_table) {
    if (!row.may_start()) continue;
    CAPTURE(row.name);
    watched op(row.code, 7);
    const io_uring_sqe plain = entry_of(row, op);
    CHECK(plain.fd == 7);
    CHECK(plain.user_data == reinterpret_cast<std::uint64_t>(&op));
    op.multishot = true;
    CHECK(equal(entry_of(row, op), plain) != row.multishot);
    op.multishot = false;
    op.poll_first = true;
    CHECK(equal(entry_of(row, op), plain) != row.poll_first);
  }
}

TEST_CASE("an entry names the memory of those opcodes whose rows have some") {
  for (const detail::opcode_row& row : detail::opcode_table) {
    if (!row.may_start()) continue;
    CAPTURE(row.name);
    char memory[3];
    watched op(row.code, 7);
    op.data = memory;
    const bool is_named = entry_of(row, op).addr == reinterpret_cast<std::uint64_t>(memory);
    CHECK(is_named == (row.memory != detail::operation_memory::none));
  }
}

TEST_CASE("what may be started tells epoll what it waits for, and how it is made there") {
  for (const detail::opcode_row& row : detail::opcode_table) {
    if (!row.may_start()) continue;
    CAPTURE(row.name);
    const bool by_the_engine = row.code == opcode::nop || row.code == opcode::receive;
    CHECK((row.attempt == nullptr) == by_the_engine);
    CHECK((row.readiness != 0) == (row.code != opcode::nop));
  }
}

TEST_CASE("a new operation transfers without flags, at the position of its descriptor") {
  for (const detail::opcode_row& row : detail::opcode_table) {
    CAPTURE(row.name);
    watched op(opcode::nop);
    op.become(row.code);
    CHECK(op.code == row.code);
    const bool is_file = row.fields == detail::operation_fields::file;
    CHECK(op.file.offset == (is_file ? operation::current_position : 0));
  }
}

TEST_SUITE_END();
