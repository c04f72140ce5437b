// What dump() says about a fiber that waits for a remote_future.
// SPDX-License-Identifier: MIT
#include <ringlet/remote_future.hpp>

#include <fmt/format.h>

#include <iterator>

namespace ringlet::extend {

const wait_type remote_future_wait::type = make_type<remote_future_wait>("remote future");

void remote_future_wait::describe(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "{} with {} waiting, promised at {}",
                 static_cast<const void*>(on_), on_->flag().waiting(), on_->place());
}

}  // namespace ringlet::extend
