// dump: what every fiber is waiting for.
#pragma once

#include <string>

namespace ringlet {

/// All fibers of this thread's scheduler, oldest first: id, name, where it was spawned and by whom,
/// what it waits for and since when, and below it the chain of its awaits, innermost first. The
/// first line names the scheduler, its engine and the number of fibers. Where there is no memory
/// for all this, it says so instead. Aborts outside of run().
std::string dump();

}  // namespace ringlet
