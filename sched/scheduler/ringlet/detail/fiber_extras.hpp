// fiber_extras: parts that few fibers have, stored apart so that the rest do not pay for them.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/detail/frame_pool.hpp>
#include <ringlet/extend/context.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <vector>

namespace ringlet::detail {

/// The value of a variable, without its type.
struct stored_value {
  virtual ~stored_value() = default;
};

/// The values of context variables that a fiber sees: an immutable list, whose tail the fiber
/// shares with the fibers that it inherited from.
struct context_value {
  std::uint64_t variable;
  std::shared_ptr<const stored_value> value;
  std::shared_ptr<const context_value> outer;
};

/// The awaits that the exception of a failed fiber has passed, innermost first. Allocated from the
/// frame pool, so that ending a fiber does not call operator new.
class kept_awaits {
 public:
  explicit kept_awaits(std::span<const std::source_location> awaits) noexcept
      : count_(awaits.size()) {
    std::ranges::copy(awaits, sites_);
  }
  static void* operator new(std::size_t size) { return frames.allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    frames.deallocate(memory, size);
  }

  std::span<const std::source_location> all() const noexcept { return {sites_, count_}; }

 private:
  std::size_t count_;
  std::source_location sites_[failure_trail::sites_max];
};

struct greenlet_tree;

/// The greenlets of a fiber. The deleter is stored beside the pointer, so that fibers need not know
/// what a greenlet is.
using greenlets_owner = std::unique_ptr<greenlet_tree, void (*)(greenlet_tree*) noexcept>;

/// A name, greenlets, variables, and the awaits of a failure.
struct fiber_extras {
  static void* operator new(std::size_t size) { return detail::frames.allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    detail::frames.deallocate(memory, size);
  }

  struct local {
    std::uint64_t variable;
    std::unique_ptr<detail::stored_value> value;
  };
  std::string name;
  detail::greenlets_owner greenlets{nullptr, nullptr};
  std::vector<local> locals;
  std::shared_ptr<const detail::context_value> context_values;
  std::unique_ptr<const detail::kept_awaits> awaits;
};

}  // namespace ringlet::detail
