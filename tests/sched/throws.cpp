// Interposes between the C++ runtime and the unwinder, and counts.
// SPDX-License-Identifier: MIT
#include "throws.hpp"

#include <dlfcn.h>
#include <unwind.h>

#include <atomic>
#include <cstdlib>

namespace {

std::atomic<std::uint64_t> counted = 0;

}  // namespace

std::uint64_t ringlet::test::throws_so_far() noexcept { return counted.load(); }

#if !defined(RINGLET_TEST_ADDRESS_SANITIZER) && !defined(RINGLET_TEST_THREAD_SANITIZER)
extern "C" _Unwind_Reason_Code _Unwind_RaiseException(_Unwind_Exception* thrown) {
  using function = _Unwind_Reason_Code (*)(_Unwind_Exception*);
  static const auto next = reinterpret_cast<function>(::dlsym(RTLD_NEXT, "_Unwind_RaiseException"));
  if (next == nullptr) std::abort();
  counted.fetch_add(1);
  return next(thrown);
}
#endif
