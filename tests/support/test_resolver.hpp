// test_resolver: a resolver whose answers and delays a test chooses, on the scheduler's clock.
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/address.hpp>
#include <ringlet/error.hpp>
#include <ringlet/resolver.hpp>
#include <ringlet/sleep.hpp>
#include <ringlet/task.hpp>

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace ringlet::test {

/// Knows what it was told by add(); any other host does not exist.
class test_resolver final : public resolver {
 public:
  explicit test_resolver(bool splits = false) : splits_(splits) {}

  /// `family` matters only if it splits families. With an error the addresses do not matter.
  void add(const std::string& host, std::vector<std::string_view> addresses,
           std::chrono::milliseconds delay = {}, address_family family = address_family::any,
           std::error_code error = {}) {
    reply made;
    for (const std::string_view one : addresses) made.found.push_back(address::parse(one, 0));
    made.delay = delay;
    made.error = error;
    name_query asked;
    asked.host = host;
    asked.family = family;
    replies_[asked] = made;
  }
  std::size_t asked() const noexcept { return asked_; }
  std::size_t answered() const noexcept { return answered_; }

  task<std::vector<address>> look_up(name_query asked) override {
    ++asked_;
    name_query known = asked;
    known.service.clear();
    if (!splits_) known.family = address_family::any;
    const auto place = replies_.find(known);
    if (place == replies_.end()) throw_error(resolve_errc::host_not_found, asked.host.c_str());
    const reply& made = place->second;
    co_await sleep(made.delay);
    ++answered_;
    if (made.error) throw_error(made.error, asked.host.c_str());
    co_return made.found;
  }
  bool splits_families() const noexcept override { return splits_; }

 private:
  struct reply {
    std::vector<address> found;
    std::chrono::milliseconds delay{};
    std::error_code error;
  };
  bool splits_;
  std::map<name_query, reply> replies_;
  std::size_t asked_ = 0;
  std::size_t answered_ = 0;
};

}  // namespace ringlet::test
