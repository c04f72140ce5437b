// Equal lookups share a call; the last caller that leaves withdraws it; fork() begins a new table.
// SPDX-License-Identifier: MIT
#include "lookups.hpp"

#include <pthread.h>

#include <atomic>
#include <new>
#include <system_error>

namespace ringlet::detail {
using namespace extend;
namespace {

// Null until the first lookup, and again in a child of fork(): a thread that the child does not
// have may hold the mutex of the parent's table.
constinit std::atomic<lookups*> table_of_process = nullptr;
constinit std::atomic<lookups*> table_of_parent = nullptr;

void leave_table_behind() noexcept {
  if (lookups* const inherited = table_of_process.exchange(nullptr)) table_of_parent = inherited;
}

template <class T>
lookups::call_result of(result<T> made) {
  if (!made) return made.error();
  return std::variant<std::vector<address>, std::string>(*std::move(made));
}

lookups::call_result call(const lookups::functions& ask, const lookups::question& asked) {
  if (const address* const named = std::get_if<address>(&asked)) return of(ask.name(*named));
  return of(ask.addresses(std::get<name_query>(asked)));
}

}  // namespace

struct lookups::lookup : blocking_job {
  lookup(lookups& in, std::shared_ptr<const functions> asking) : table(in), ask(std::move(asking)) {
    work = &lookup::make_call;
  }
  static void make_call(blocking_job& job) noexcept;

  lookups& table;
  std::shared_ptr<const functions> ask;
  places::iterator place;  // until it is over
  std::size_t callers = 0;
  bool is_over = false;
  remote_promise<answer> answered;
};

lookups& lookups::instance() {
  if (lookups* const made = table_of_process.load(std::memory_order_acquire)) return *made;
  static const int registered = ::pthread_atfork(nullptr, nullptr, &leave_table_behind);
  if (registered != 0) throw std::bad_alloc();
  auto made = std::make_unique<lookups>();
  made->parents_ = table_of_parent;
  lookups* first = nullptr;
  if (!table_of_process.compare_exchange_strong(first, made.get())) return *first;
  return *made.release();
}

std::shared_ptr<lookups::lookup> lookups::join(std::shared_ptr<const functions> ask,
                                               question asked) {
  const std::lock_guard lock(mutex_);
  const auto [place, is_new] = in_flight_.try_emplace(key(ask.get(), std::move(asked)));
  if (is_new) {
    try {
      place->second = std::make_shared<lookup>(*this, std::move(ask));
      place->second->place = place;
      threads_.submit(*place->second);
    } catch (...) {
      in_flight_.erase(place);
      throw;
    }
  }
  ++place->second->callers;
  return place->second;
}

void lookups::leave(lookup& left) noexcept {
  std::shared_ptr<lookup> withdrawn;  // freed after the lock is released
  const std::lock_guard lock(mutex_);
  if (--left.callers != 0 || left.is_over || !threads_.withdraw(left)) return;
  withdrawn = take_out(left);
}

std::shared_ptr<lookups::lookup> lookups::take_out(lookup& ended) noexcept {
  ended.is_over = true;
  std::shared_ptr<lookup> taken = std::move(ended.place->second);
  ended.table.in_flight_.erase(ended.place);
  return taken;
}

void lookups::lookup::make_call(blocking_job& job) noexcept {
  auto& self = static_cast<lookup&>(job);
  answer made;
  try {
    made.found = call(*self.ask, self.place->first.second);
  } catch (const std::system_error& error) {
    made.found.emplace(error.code());
  } catch (...) {
    made.thrown = std::current_exception();
  }
  std::shared_ptr<lookup> last;
  {
    const std::lock_guard lock(self.table.mutex_);
    last = take_out(self);
  }
  last->answered.set_value(std::move(made));
}

lookups::share::share(std::shared_ptr<const functions> ask, question asked)
    : table_(instance()), lookup_(table_.join(std::move(ask), std::move(asked))) {}

lookups::share::~share() {
  // In a child of fork(), the parent's table may be locked forever.
  if (table_of_process.load(std::memory_order_relaxed) == &table_) table_.leave(*lookup_);
}

remote_future<lookups::answer> lookups::share::get_answer() const noexcept {
  return lookup_->answered.get_future();
}

}  // namespace ringlet::detail
