// Option values that no engine supports: every engine refuses them in the same way, before it asks
// the kernel, with the option's name, value and range.
// SPDX-License-Identifier: MIT
#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

#include "support/engines.hpp"

using namespace ringlet;
using namespace ringlet::extend;
using namespace ringlet::test;

TEST_SUITE_BEGIN("engine options");

namespace {

struct bad_option {
  engine_options options;
  const char* sentence;
};

const bad_option bad_options[] = {
    {{.submission_entries = 0},
     "the engine option submission_entries is 0; it must be a power of two from 1 to 32768"},
    {{.submission_entries = 100},
     "the engine option submission_entries is 100; it must be a power of two from 1 to 32768"},
    {{.submission_entries = 65'536, .completion_entries = 65'536},
     "the engine option submission_entries is 65536; it must be a power of two from 1 to 32768"},
    {{.completion_entries = 0},
     "the engine option completion_entries is 0; it must be a power of two from 512 "
     "(submission_entries) to 65536"},
    {{.completion_entries = 256},
     "the engine option completion_entries is 256; it must be a power of two from 512 "
     "(submission_entries) to 65536"},
    {{.completion_entries = 131'072},
     "the engine option completion_entries is 131072; it must be a power of two from 512 "
     "(submission_entries) to 65536"},
    {{.buffer_count = 0},
     "the engine option buffer_count is 0; it must be a power of two from 1 to 32768"},
    {{.buffer_count = 100},
     "the engine option buffer_count is 100; it must be a power of two from 1 to 32768"},
    {{.buffer_count = 65'536},
     "the engine option buffer_count is 65536; it must be a power of two from 1 to 32768"},
    {{.buffer_size = 0}, "the engine option buffer_size is 0; it must be from 1 to 1073741824"},
    {{.buffer_size = 3'221'225'472},
     "the engine option buffer_size is 3221225472; it must be from 1 to 1073741824"},
};

// The message that the call throws; empty when it throws nothing.
template <class F>
std::string refusal(F call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("every engine refuses an option out of its range, with name, value and range") {
  for (const bad_option& bad : bad_options) {
    CHECK(refusal([&] { make_uring_engine(bad.options); }) == bad.sentence);
    CHECK(refusal([&] { make_epoll_engine(bad.options); }) == bad.sentence);
    CHECK(refusal([&] { make_engine(engine_kind::automatic, bad.options); }) == bad.sentence);
  }
}

TEST_CASE("every engine accepts options at both ends of their ranges") {
  for_each_kernel_engine([](const engine_maker& make) {
    if (make.is_rung()) return;
    const engine_options least{
        .submission_entries = 1, .completion_entries = 1, .buffer_count = 1, .buffer_size = 1};
    CHECK(refusal([&] { make(least); }).empty());
    CHECK(refusal([&] { make({.buffer_count = 32'768, .buffer_size = 64}); }).empty());
  });
}

TEST_SUITE_END();
