// dump: what every fiber is waiting for.
//
// From a debugger, in a program that uses run_main(): `call (void)ringlet_dump()` in gdb prints
// dump() of the selected thread to standard error.
#pragma once

#include <cstddef>
#include <source_location>
#include <string>

namespace ringlet {

/// How much dump() prints.
struct dump_options {
  /// At most this many entries; the first line tells how many there are.
  std::size_t entries_max = 100;
};

/// All fibers of this thread's scheduler, oldest first: id, name, where it was spawned and by
/// which fiber, what it waits for, since when and for how much longer if the wait has a limit, the
/// time left of the limit around its calls that passes first (with_timeout() and the like, also
/// around the group that it belongs to) and of the shield they are in, and below it the chain of
/// its awaits, innermost first. The first line names the scheduler, its engine and the number of
/// fibers. Where there is no memory for all this, it says so instead. Aborts outside of run().
///
/// Fibers without a name that are spawned at one place and wait in the same way in the same chain
/// are one entry, with their number: "3 fibers (4, 5, 6): sleep, ...". Those that wait for
/// different things (descriptors, fibers) become one only where there are more than 3; the entry
/// then shows the first of these things "and others". Awaits inside of ringlet's own headers are
/// left out, unless a chain has no others.
std::string dump();
std::string dump(const dump_options& how);

namespace detail {

/// Whether that place is in ringlet itself: in a header in a directory "ringlet", or in a source.
bool is_of_library(const std::source_location& place) noexcept;

}  // namespace detail
}  // namespace ringlet

/// For debuggers: prints dump() of the calling thread's scheduler to standard error, or that there
/// is none. Linked into every program that uses run_main().
extern "C" void ringlet_dump() noexcept;
