// The counting operator new.
#include "allocations.hpp"

#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RINGLET_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define RINGLET_TEST_SANITIZED 1
#endif
#endif

namespace {

thread_local constinit std::size_t count = 0;

}  // namespace

#ifndef RINGLET_TEST_SANITIZED
// The other forms of new and delete end in these.
void* operator new(std::size_t size) {
  ++count;
  if (void* memory = std::malloc(size != 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace ringlet::test {

std::size_t allocations() noexcept { return count; }

bool allocations_are_counted() noexcept {
#ifdef RINGLET_TEST_SANITIZED
  return false;
#else
  return true;
#endif
}

}  // namespace ringlet::test
