// The table of opcodes: whether its rows match what the engines do.
//
// Method: the compiler checks that each opcode has its row; these tests compare each row with what
// its functions do.
// SPDX-License-Identifier: MIT
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
  std::memset(&entry, 0xff, sizeof entry);  // left over from an earlier request
  row.fill(entry, op, uring_features{});
  return entry;
}

bool equal(const io_uring_sqe& one, const io_uring_sqe& other) {
  return std::memcmp(&one, &other, sizeof one) == 0;
}

}  // namespace

TEST_CASE("every opcode has a unique name, and other numbers have none") {
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

TEST_CASE("an entry is multishot or poll_first for exactly the opcodes whose rows say so") {
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

TEST_CASE("an entry names the memory of exactly the opcodes whose rows have some") {
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

TEST_CASE(
    "a row tells epoll what to wait for and how to make the call, unless the engine makes it") {
  for (const detail::opcode_row& row : detail::opcode_table) {
    if (!row.may_start()) continue;
    CAPTURE(row.name);
    const bool by_the_engine = row.code == opcode::nop || detail::fills_lent_buffer(row.code);
    CHECK((row.attempt == nullptr) == by_the_engine);
    CHECK((row.readiness != 0) == (row.code != opcode::nop));
  }
}

TEST_CASE("a new operation transfers without flags, at the descriptor's current position") {
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
