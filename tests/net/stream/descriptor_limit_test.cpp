// raise_descriptor_limit(), in child processes, because a limit cannot be restored.
// SPDX-License-Identifier: MIT
#include <ringlet/descriptor_limit.hpp>
#include <ringlet/extend/assert.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>

#include "support/child.hpp"

using namespace ringlet;
using namespace ringlet::test;

namespace {

rlimit limits() {
  rlimit both{};
  ::getrlimit(RLIMIT_NOFILE, &both);
  return both;
}

}  // namespace

TEST_SUITE_BEGIN("descriptor_limit");

TEST_CASE("raising the descriptor limit sets the soft limit to the hard one, and returns it") {
  const child_end end = run_in_child([] {
    const rlimit low{64, 128};
    RINGLET_ASSERT(::setrlimit(RLIMIT_NOFILE, &low) == 0, "the limit cannot be lowered");
    RINGLET_ASSERT(raise_descriptor_limit() == 128, "the new limit was not returned");
    RINGLET_ASSERT(limits().rlim_cur == 128, "the soft limit was not raised");
    RINGLET_ASSERT(limits().rlim_max == 128, "the hard limit was changed");
    RINGLET_ASSERT(raise_descriptor_limit() == 128, "twice is not the same as once");
  });
  CHECK(end.status == 0);
  CHECK(end.errors == "");
}

TEST_CASE("only raise_descriptor_limit() raises the descriptor limit") {
  const rlimit before = limits();
  const child_end end = run_in_child([&] {
    RINGLET_ASSERT(limits().rlim_cur == before.rlim_cur, "a child has other limits");
    RINGLET_ASSERT(raise_descriptor_limit() == before.rlim_max, "the hard limit was not returned");
  });
  CHECK(end.status == 0);
  CHECK(limits().rlim_cur == before.rlim_cur);
}

TEST_SUITE_END();
