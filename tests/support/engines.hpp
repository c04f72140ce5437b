// The engines that keep one contract, for cases that go through all of them.
//
//   for_each_engine([](const engine_maker& make) {
//     const auto engine = make();
//     ...
//   });
// SPDX-License-Identifier: MIT
#pragma once

#include <ringlet/extend/engine.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "support/scripted_engine.hpp"

namespace ringlet::test {
using namespace extend;

/// Sets an environment variable during its lifetime.
class scoped_environment {
 public:
  scoped_environment(const char* name, const std::string& value) : name_(name) {
    if (const char* const before = std::getenv(name)) before_ = before;
    ::setenv(name, value.c_str(), 1);
  }
  ~scoped_environment() {
    if (before_) {
      ::setenv(name_, before_->c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }
  scoped_environment(const scoped_environment&) = delete;
  scoped_environment& operator=(const scoped_environment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

/// Creates engines of one kind. Any thread.
class engine_maker {
 public:
  enum class kind : std::uint8_t { scripted, uring, epoll };

  engine_maker(kind what, std::string name, std::string disabled = "")
      : name_(std::move(name)), disabled_(std::move(disabled)), kind_(what) {}

  std::unique_ptr<extend::engine> operator()(const engine_options& options = {}) const {
    if (kind_ == kind::scripted) {
      return std::make_unique<scripted_engine>(options.buffer_count, options.buffer_size);
    }
    if (kind_ == kind::epoll) return make_epoll_engine(options);
    // The environment belongs to all threads.
    static std::mutex one_at_a_time;
    const std::lock_guard lock(one_at_a_time);
    const char* const before = std::getenv("RINGLET_DISABLE");
    const std::string list = before == nullptr ? disabled_ : before + ("," + disabled_);
    const scoped_environment less("RINGLET_DISABLE", list);
    return make_uring_engine(options);
  }

  const std::string& name() const noexcept { return name_; }
  /// With a feature switched off: for slow cases that do not use it.
  bool is_rung() const noexcept { return !disabled_.empty(); }

 private:
  std::string name_;
  std::string disabled_;
  kind kind_;
};

/// The kernel engines: io_uring, complete and with each optional feature switched off, and epoll.
/// RINGLET_ENGINE selects one kind. Engines that the kernel refuses are left out.
inline const std::vector<engine_maker>& kernel_engines() {
  static const std::vector<engine_maker> all = [] {
    const char* const named = std::getenv("RINGLET_ENGINE");
    const std::string_view wanted = named == nullptr ? "" : named;
    std::vector<engine_maker> makers;
    if (wanted != "epoll") {
      using kind = engine_maker::kind;
      makers.emplace_back(kind::uring, "uring");
      for (const char* feature :
           {"multishot_receive", "limited_receive", "registered_ring", "no_iowait"}) {
        makers.emplace_back(kind::uring, std::string("uring without ") + feature, feature);
      }
      try {
        makers.front()();
      } catch (const std::system_error& error) {
        MESSAGE("skipped: conformance of uring: ", error.what());
        makers.clear();
      }
    }
    if (wanted != "uring") makers.emplace_back(engine_maker::kind::epoll, "epoll");
    return makers;
  }();
  return all;
}

/// Calls `body` with each of kernel_engines().
inline void for_each_kernel_engine(const std::function<void(const engine_maker&)>& body) {
  for (const engine_maker& make : kernel_engines()) {
    INFO("engine: ", make.name());
    body(make);
  }
}

/// The same, with the scripted engine first.
inline void for_each_engine(const std::function<void(const engine_maker&)>& body) {
  {
    INFO("engine: scripted");
    body(engine_maker(engine_maker::kind::scripted, "scripted"));
  }
  for_each_kernel_engine(body);
}

}  // namespace ringlet::test
