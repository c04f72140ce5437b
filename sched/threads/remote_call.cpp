// The messages of a call to another scheduler. Each function runs on the thread that the header
// names; the messages order what the two threads do.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/remote_call.hpp>
#include <ringlet/fiber.hpp>

#include <utility>

namespace ringlet::detail {
using namespace extend;

call_target call_target::at(std::size_t index) noexcept {
  scheduler& here = current_scheduler();
  runtime_member* const member = here.membership();
  RINGLET_ASSERT(index < (member == nullptr ? 1 : member->count()),
                 "a call names a scheduler that this runtime does not have: numbers go from 0 to "
                 "scheduler_count() - 1");
  return {member == nullptr ? &here : &member->peer(index), nullptr};
}

const std::string& call_target::name() const noexcept {
  return near != nullptr ? near->shared_handle_state()->name : state->name;
}

bool call_target::post(posted_work& work) const noexcept {
  if (near != nullptr) {
    near->engine().post(work);
    return true;
  }
  return state->post(work);
}

remote_call::remote_call() noexcept : done_watcher(&remote_call::on_callee_ended) {
  for (message* m : {&request_, &answer_, &kill_}) m->call = this;
  request_.run = &remote_call::on_request;
  answer_.run = &remote_call::on_answer;
}

bool remote_call::send(const call_target& to, const fiber_base& caller,
                       const std::source_location& site) noexcept {
  to_ = &to;
  caller_ = &caller.scheduler().engine();
  site_ = site;
  is_shielded_ = caller.is_shielded();
  if (caller.scheduler().accepts_call(is_shielded_) && to.post(request_)) return true;
  end_ = end::refused;
  return false;
}

void remote_call::send_kill() noexcept {
  ++kills_left_;
  if (!kill_in_flight_ && !is_answered_) post_kill();
}

void remote_call::post_kill() noexcept {
  --kills_left_;
  kill_.run = &remote_call::on_kill;
  // False if the scheduler has ended: then the answer is on its way.
  kill_in_flight_ = to_->post(kill_);
}

void remote_call::on_request(posted_work& received) noexcept {
  remote_call& self = *static_cast<message&>(received).call;
  scheduler& here = current_scheduler();
  if (!here.accepts_call(self.is_shielded_)) {
    self.end_ = end::refused;
    return self.answer();
  }
  try {
    self.make_callee(here);
  } catch (...) {
    self.error_ = std::current_exception();
    self.end_ = end::error;
  }
  if (self.callee_ == nullptr) return self.answer();
  self.callee_->watch(self);
  here.adopt(*self.callee_);
}

void remote_call::make_callee(scheduler& here) {
  scope& root = here.root_scope();
  callee_ = start(here, is_shielded_ ? shield_.emplace(root) : root, site_);
  if (callee_ == nullptr) end_ = end::value;
}

void remote_call::on_callee_ended(done_watcher& watcher) noexcept {
  auto& self = static_cast<remote_call&>(watcher);
  self.take(*self.callee_);
  self.answer();
}

void remote_call::take(fiber_base& ended) noexcept {
  switch (ended.result()) {
    case outcome::value:
      end_ = end::value;
      try {
        collect(ended);
      } catch (...) {
        error_ = std::current_exception();
        end_ = end::error;
      }
      break;
    case outcome::error:
      error_ = ended.take_error();
      end_ = end::error;
      break;
    default:
      end_ = end::killed;
  }
  ended.drop_reference();
}

// After this the call may be over and destroyed, unless a kill is in flight.
void remote_call::answer() noexcept {
  has_ended_ = true;
  caller_->post(answer_);
}

void remote_call::on_kill(posted_work& received) noexcept {
  remote_call& self = *static_cast<message&>(received).call;
  engine& caller = *self.caller_;
  if (!self.has_ended_) self.callee_->kill();
  self.kill_.run = &remote_call::on_kill_answer;
  caller.post(self.kill_);
}

void remote_call::on_answer(posted_work& received) noexcept {
  remote_call& self = *static_cast<message&>(received).call;
  self.is_answered_ = true;
  if (!self.kill_in_flight_) self.on_over();
}

void remote_call::on_kill_answer(posted_work& received) noexcept {
  remote_call& self = *static_cast<message&>(received).call;
  self.kill_in_flight_ = false;
  if (self.is_answered_) return self.on_over();
  if (self.kills_left_ != 0) self.post_kill();
}

}  // namespace ringlet::detail
