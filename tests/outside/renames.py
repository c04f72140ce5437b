#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/renames.sed converts a program that was written for commit 1c2f7b4 to the current names.

usage: renames.py BUILD_ROOT [TEST...]
"""

import pathlib
import subprocess

import support

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "renames.sed"

# It compiled with the headers of that commit.
OLD = """
#include <ringlet/as_result.hpp>
#include <ringlet/duplex.hpp>
#include <ringlet/group.hpp>
#include <ringlet/joinall.hpp>
#include <ringlet/operation_wait.hpp>
#include <ringlet/queue.hpp>
#include <ringlet/remote.hpp>
#include <ringlet/run.hpp>
#include <ringlet/scheduler.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/until.hpp>

#include <thread>
#include <vector>

using namespace ringlet;
using namespace std::chrono_literals;

duplex<int, int> sums() {
  int sum = 0;
  for (;;) sum += co_yield sum;
}

task<int> pop_within(queue<int>& items, until limit) { co_return co_await items.pop(limit); }

task<> rest(std::chrono::milliseconds time) { co_await sleep(time); }

struct nop_wait : ringlet::operation_wait {
  nop_wait()
      : ringlet::operation_wait(ringlet::opcode::nop, &ringlet::operation_wait::on_done, forever) {}
};

struct patient {
  until patience(until otherwise) const;
};
until patient::patience(until otherwise) const { return otherwise; }

// It lives on until the group has ended.
task<> work(group& all) {
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 3; ++i) fibers.push_back(all.spawn(rest, 1ms));
  co_await wait(fibers, {.count = 2});
  co_await joinall(fibers, {.limit = 1s, .count = 3});
  const fiber<> killed = spawn(rest, 1h);
  co_await killed.kill();
  if (killed.result() != outcome::exited) throw std::system_error(make_error_code(errc::exited));
  remote mine;
  remote here = mine;
  std::thread other([here] { here.post([] {}); });
  queue<int> items;
  items.close();
  const until soon(1ms);
  (void)co_await as_result(pop_within(items, soon));
  other.join();
  if (current_scheduler().live_fibers() == 0) throw_error(errc::cut_short, "work");
}

int main() {
  options chosen;
  chosen.grace = 2s;
  chosen.on_unobserved = [](const unobserved_error&) {};
  group all;
  return run_main(work(all), chosen);
}
"""


class Renames(support.Case):
    def test_old_program_is_converted_to_one_that_compiles(self):
        converted = subprocess.run(["sed", "-E", "-f", SCRIPT], input=OLD, text=True, check=True,
                                   capture_output=True).stdout
        command, folder = support.test_compiler()
        done = subprocess.run(command + ["-fsyntax-only", "-x", "c++", "-"], cwd=folder,
                              input=converted, text=True, capture_output=True,
                              timeout=support.DEADLINE * 4)
        self.assertEqual(done.returncode, 0, done.stderr[:2000] + converted)
        self.assertIn("// It lives on until the group has ended.", converted)


if __name__ == "__main__":
    support.main()
