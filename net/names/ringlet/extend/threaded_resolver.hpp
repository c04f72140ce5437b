// threaded_resolver: a resolver made of blocking functions.
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
#include <string>
#include <vector>

namespace ringlet::extend {

/// Calls the functions on the threads of the system_resolver(), under its rules.
///
/// Errors    An error that a function returns, or a std::system_error that it throws, is thrown
///           with the name or the address. Any other exception is thrown as it is.
/// Lifetime  The functions are kept until their last call has ended, which may be after the
///           resolver, the scheduler and main(): they must not need static objects that are
///           destroyed.
class threaded_resolver : public resolver {
 public:
  using function = std::function<result<std::vector<address>>(const name_query&)>;
  using name_function = std::function<result<std::string>(const address&)>;
  /// Without `ask_name`, no address has a name.
  explicit threaded_resolver(function ask, name_function ask_name = nullptr);
  task<std::vector<address>> look_up(name_query asked) override;
  task<std::string> look_up_name(address asked) override;

  /// For the library.
  struct functions {
    function addresses;
    name_function name;
  };

 private:
  std::shared_ptr<const functions> ask_;
};

}  // namespace ringlet::extend
