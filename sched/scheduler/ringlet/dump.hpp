// dump: prints what every fiber is waiting for.
//
// From a debugger, in a program that uses run_main(): `call (void)ringlet_dump()` in gdb prints
// dump() of the selected thread to standard error.
//
//     task<> report() {
//       for (;;) {
//         co_await sleep(60s);
//         log(dump({.entries_max = 20}));
//       }
//     }
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <source_location>
#include <string>

namespace ringlet {

/// How much dump() prints.
struct dump_options {
  /// At most this many entries; the first line tells how many fibers there are.
  std::size_t entries_max = 100;
};

/// Describes all fibers of this thread's scheduler, oldest first. Each entry has the fiber's id and
/// name, where and by which fiber it was spawned, what it waits for, for how long, and the time
/// left if the wait has a limit. It also has the time left of the nearest limit around its calls
/// (with_timeout() and similar, also around its group) and of the shield around them. Below is the
/// chain of awaits, innermost first. The first line names the scheduler, its engine and the number
/// of fibers. The second line says how many fibers are ready, how much posted work has been run,
/// and how often other threads have woken the scheduler; it is left out if there is nothing to say.
/// The text is for people: any version may change it.
///
/// Unnamed fibers that were spawned at the same place and wait in the same way in the same chain
/// share one entry with their number: "3 fibers (4, 5, 6): sleep, ...". Fibers that wait for
/// different objects (descriptors, fibers) share one only if there are more than 3; the entry then
/// shows the first of these objects "and others". Awaits inside ringlet's own headers are left out,
/// unless a chain has no others.
///
/// Errors    None: without enough memory, the text says so instead. Aborts outside of run().
/// Thread    That of the scheduler.
/// Memory    The text, and while it is made, a few words per fiber.
std::string dump();
std::string dump(const dump_options& how);

}  // namespace ringlet

namespace ringlet::detail {

/// Whether `place` is in ringlet itself: in a header in a directory "ringlet", or in a source file.
bool is_of_library(const std::source_location& place) noexcept;

}  // namespace ringlet::detail

/// For debuggers: prints dump() of the calling thread's scheduler to standard error, or that there
/// is none. Linked into every program that uses run_main().
extern "C" void ringlet_dump() noexcept;
