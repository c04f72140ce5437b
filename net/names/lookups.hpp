// lookups: the lookups in flight in this process, and the threads that make them.
//
// One table per process, never destroyed, because a thread may be stuck in a lookup when main() has
// ended. A child of fork() begins with a new one.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/detail/blocking_pool.hpp>
#include <ringlet/extend/engine.hpp>
#include <ringlet/extend/threaded_resolver.hpp>
#include <ringlet/remote_future.hpp>
#include <ringlet/remote_promise.hpp>
#include <ringlet/resolver.hpp>
#include <ringlet/result.hpp>

#include <cstddef>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace ringlet::detail {

/// Thread: any.
class lookups {
 public:
  using functions = extend::threaded_resolver::functions;
  /// Asks for addresses, or for the name of an address.
  using question = std::variant<name_query, address>;

  using call_result = result<std::variant<std::vector<address>, std::string>>;

  /// What a call has returned, or thrown.
  struct answer {
    std::optional<call_result> found;
    std::exception_ptr thrown;
  };

  /// One call for several callers.
  struct lookup;

  /// A caller's share in a lookup. Its first caller starts it. If the last caller leaves before a
  /// thread has begun the call, the call is not made.
  class share {
   public:
    /// Throws std::bad_alloc, and std::system_error if there is no thread and none can be started.
    share(std::shared_ptr<const functions> ask, question asked);
    share(const share&) = delete;
    share& operator=(const share&) = delete;
    ~share();

    remote_future<answer> get_answer() const noexcept;

   private:
    lookups& table_;
    std::shared_ptr<lookup> lookup_;
  };

  lookups() = default;
  lookups(const lookups&) = delete;
  lookups& operator=(const lookups&) = delete;

 private:
  using key = std::pair<const functions*, question>;
  using places = std::map<key, std::shared_ptr<lookup>>;

  /// The table of this process. Throws std::bad_alloc.
  static lookups& instance();
  std::shared_ptr<lookup> join(std::shared_ptr<const functions> ask, question asked);
  void leave(lookup& left) noexcept;
  static std::shared_ptr<lookup> take_out(lookup& ended) noexcept;

  std::mutex mutex_;  // locked before that of the pool
  places in_flight_;
  blocking_pool threads_;
  lookups* parents_ = nullptr;  // keeps the parent's table reachable in a child of fork()
};

}  // namespace ringlet::detail
