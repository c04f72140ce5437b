// A runtime without mains, and what its owner does with it.
// SPDX-License-Identifier: MIT
#include <ringlet/dump.hpp>
#include <ringlet/runtime.hpp>

namespace ringlet {
using namespace extend;
using namespace detail;

runtime::runtime(runtime_options settings, std::source_location where)
    : core_(std::make_unique<runtime_core>(std::move(settings), nullptr, where)) {
  core_->start();
}

runtime::~runtime() {
  if (core_->is_left_behind()) {
    // The threads that could end it exist in the parent only.
    [[maybe_unused]] const runtime_core* const left = core_.release();
    return;
  }
  const scheduler* const here = current_scheduler_or_null();
  RINGLET_ASSERT(here == nullptr || here->membership() == nullptr ||
                     here->membership()->runtime() != core_.get(),
                 "a runtime was destroyed by one of its own fibers, whose end it would wait for");
  stop();
  try {
    core_->join();
  } catch (...) {
    report_unhandled({0, "main task of a runtime", std::current_exception()});
  }
}

scheduler_handle runtime::handle(std::size_t k) const { return scheduler_handle(core_->state(k)); }

std::string runtime::dump() const {
  std::string all;
  for (std::size_t k = 0; k < size(); ++k) {
    try {
      all += call(k, [] { return ringlet::dump(); });
    } catch (const std::system_error&) {
      all += "scheduler " + core_->state(k)->name + " is ending or has ended\n";
    }
  }
  return all;
}

}  // namespace ringlet
