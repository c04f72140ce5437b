// threaded_resolver: a resolver made of a blocking function.
//
//     threaded_resolver names([](const name_query& asked) -> result<std::vector<address>> {
//       return ask_the_directory_server(asked.host);  // blocks
//     });
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/resolver.hpp>
#include <ringlet/result.hpp>
#include <ringlet/task.hpp>

#include <functional>
#include <memory>
#include <vector>

namespace ringlet::extend {

/// Calls the function on the threads of the system_resolver(), under its rules.
///
/// Errors    An error that the function returns, or a std::system_error that it throws, is thrown
///           with the name of the host. Any other exception is thrown as it is.
/// Lifetime  The function is kept until its last call has ended, which may be after the resolver,
///           the scheduler and main(): it must not need static objects that are destroyed.
class threaded_resolver : public resolver {
 public:
  using function = std::function<result<std::vector<address>>(const name_query&)>;
  explicit threaded_resolver(function ask);
  task<std::vector<address>> look_up(name_query asked) override;

 private:
  std::shared_ptr<const function> ask_;
};

}  // namespace ringlet::extend
