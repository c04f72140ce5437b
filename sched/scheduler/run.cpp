// run_main.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/report.hpp>
#include <ringlet/detail/signal_watch.hpp>
#include <ringlet/dump.hpp>
#include <ringlet/run.hpp>
#include <ringlet/standard_descriptors.hpp>

#include <exception>
#include <memory>
#include <utility>

extern "C" [[gnu::used]] void ringlet_dump() noexcept try {
  ringlet::extend::scheduler* const here = ringlet::extend::current_scheduler_or_null();
  if (here == nullptr) {
    ringlet::detail::report("ringlet: no scheduler runs on this thread; select another one\n");
  } else {
    ringlet::detail::report("%s", here->dump().c_str());
  }
} catch (const std::exception& error) {
  ringlet::detail::report("ringlet: no dump: %s\n", error.what());
}

namespace ringlet {
using namespace extend;
using namespace detail;

namespace {

// Keeps the linker from dropping a function that only debuggers call.
void (*volatile const debugger_entry)() noexcept = &ringlet_dump;

task<int> with_code_zero(task<> main) {
  co_await main;
  co_return 0;
}

}  // namespace

int run_main(task<int> main, options settings, std::source_location where) {
  reserve_standard_descriptors();
  static_cast<void>(debugger_entry);
  try {
    const std::unique_ptr<engine> engine = make_engine(settings.engine, settings.sizes);
    extend::engine* const woken[] = {engine.get()};
    const signal_watch watch(woken);
    return detail::run_on(*engine, std::move(main), std::move(settings), where,
                          [](extend::scheduler& made) { signal_watch::attach(made); });
  } catch (...) {
    return exit_code_after(std::current_exception(), "");
  }
}

int run_main(task<> main, options settings, std::source_location where) {
  return run_main(with_code_zero(std::move(main)), std::move(settings), where);
}

}  // namespace ringlet
