// Receiving, and closing with operations in flight.
// SPDX-License-Identifier: MIT
#include <ringlet/address.hpp>
#include <ringlet/detail/close_with_reset.hpp>
#include <ringlet/detail/socket_calls.hpp>
#include <ringlet/detail/tcp_info.hpp>
#include <ringlet/extend/datagram_header.hpp>
#include <ringlet/extend/descriptor.hpp>
#include <ringlet/extend/io_wait.hpp>
#include <ringlet/unique_fd.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <new>
#include <string>

namespace ringlet::extend {

void descriptor::describe(direction which, std::string& out) const {
  const std::string number = "fd " + std::to_string(fd());
  address peer;
  const bool is_known = family_ == family::internet && fd() >= 0 &&
                        detail::socket_calls::peer_name(
                            detail::socket_calls::socket_on{scheduler_->engine(), fd()}, peer) >= 0;
  if (is_known) {
    out += which == direction::read ? "from " : "to ";
    out += peer.to_string() + " (" + number + ')';
    describe_traffic(out);
  } else {
    out += number;
  }
}

// Only in a dump: what has gone over a TCP connection, and how well.
void descriptor::describe_traffic(std::string& out) const {
  detail::tcp_counters found;
  if (detail::read_tcp_info(detail::socket_calls::socket_on{scheduler_->engine(), fd()}, found) < 0)
    return;
  out += ", " + std::to_string(counts_[index(direction::read)]) + " bytes in, " +
         std::to_string(counts_[index(direction::write)]) + " out, round trip " +
         std::to_string(found.round_trip_us) + " us, " + std::to_string(found.retransmits) +
         " retransmits";
}

descriptor::descriptor(extend::scheduler& scheduler, int fd, kind what, family of) noexcept
    : closable(scheduler, opcode::receive, &descriptor::on_received), kind_(what), family_(of) {
  operation::fd = fd;
  scheduler.hooks().add(*this);
  scheduler.engine().register_fd(fd);
  scheduler.count_descriptors(1);
}

descriptor::~descriptor() {
  if (scheduler_ != nullptr) scheduler_->count_descriptors(-1);
}

descriptor::owner descriptor::make(int fd, kind what, family of) {
  return owner(new descriptor(current_scheduler(), fd, what, of));
}

descriptor::owner descriptor::make_for_datagrams(int fd, const msghdr& form) {
  owner made = make(fd, kind::shared, family::internet);
  made->on_completion = &descriptor::on_datagram;
  made->become(opcode::receive_datagram);
  made->receive.flags = MSG_TRUNC;  // the header tells the size also of what did not fit
  made->data = const_cast<msghdr*>(&form);
  return made;
}

void descriptor::find_family() noexcept {
  int domain = AF_UNSPEC;
  const bool is_known = detail::socket_calls::get_option(*this, SOL_SOCKET, SO_DOMAIN, domain) >= 0;
  const bool internet = is_known && (domain == AF_INET || domain == AF_INET6);
  family_ = internet ? family::internet : family::other;
}

void descriptor::refuse_thread() const noexcept {
  RINGLET_ASSERT(scheduler_ != nullptr, "a stream was used after its scheduler had ended");
  detail::wrong_thread(*scheduler_, "a stream was used on a thread that is not its scheduler's");
}

std::int32_t descriptor::call(operation& op) const noexcept {
  if (closing_ || scheduler_ == nullptr) return op.answer = -EBADF;
  check_thread();
  op.fd = operation::fd;
  return scheduler_->engine().call(op);
}

void descriptor::on_received(operation& op, const completion& done) noexcept {
  auto& self = static_cast<descriptor&>(op);
  const bool has_bytes = done.buffer != completion::no_buffer && done.result > 0;
  if (has_bytes) self.note_arrival(static_cast<std::uint32_t>(done.result));
  self.keep_buffer(done);
  self.note_end(done);
  if (done.result != -ECANCELED) self.set_last_seen(done.nonempty);
  const bool stays = done.more && !self.is_limited();
  if (std::exchange(self.is_awaited_, false)) {
    self.reader_->on_arrival();
  } else if (stays && self.has_too_much(arrived_max)) {
    self.last_seen_ = fill::more;
    self.cancel_receiving();
  }
  if (stays && self.bulk_left_ != 0) self.cancel_receiving();
  if (!done.more && self.closing_) self.go_on_closing();
}

// Datagrams are never in bulk, and do not tell of an end: last_seen_ is never `more`, so that every
// request is multishot. An error is kept for the next call, and the one after that starts a new
// request.
void descriptor::on_datagram(operation& op, const completion& done) noexcept {
  auto& self = static_cast<descriptor&>(op);
  if (self.keep_buffer(done)) self.last_seen_ = fill::unknown;
  self.note_end(done);
  if (std::exchange(self.is_awaited_, false)) {
    self.reader_->on_arrival();
  } else if (done.more && self.has_too_much(datagrams_max)) {
    self.cancel_receiving();
  }
  if (!done.more && self.closing_) self.go_on_closing();
}

bool descriptor::keep_buffer(const completion& done) noexcept {
  if (done.buffer == completion::no_buffer) return false;
  extend::engine& engine = scheduler_->engine();
  if (done.result > 0 && (!closing_ || is_awaited_)) {
    arrived_.push(engine.buffers(), done.buffer, static_cast<std::uint32_t>(done.result));
    return true;
  }
  engine.recycle_buffer(done.buffer);
  return false;
}

void descriptor::note_end(const completion& done) noexcept {
  if (done.more || closing_) return;
  // These results do not end the stream: the next call starts a new request.
  const bool passing =
      done.result == -ECANCELED || done.result == -ENOBUFS || detail::asks_to_retry(done.result);
  end_arrived_ = done.result <= 0 && !passing;
}

// While no fiber reads, a peer may fill a few buffers, or only one when few are free for other
// connections.
bool descriptor::has_too_much(std::size_t most) const noexcept {
  extend::engine& engine = scheduler_->engine();
  const bool few_left = engine.buffers_free() < engine.buffers().count() / 4;
  return arrived_.size() > (few_left ? 1 : most);
}

bool descriptor::take_buffer(std::int32_t& id, std::int32_t& size) noexcept {
  if (arrived_.empty()) return false;
  buffer_pool& pool = scheduler_->engine().buffers();
  id = arrived_.pop(pool);
  const buffer_pool::filled& what = pool.filled_at(id);
  size = static_cast<std::int32_t>(what.end - what.begin);
  return true;
}

bool descriptor::take_end(std::int32_t& result) noexcept {
  if (!arrived_.empty() || !end_arrived_) return false;
  end_arrived_ = false;
  result = answer;
  return true;
}

void descriptor::keep_error(std::int32_t error) noexcept {
  if (closing_ || is_receiving()) return;
  answer = error;
  end_arrived_ = true;
}

// All buffers are leased. If there is data, it goes to private memory. If there is none, the next
// request waits for data without holding a buffer, and its completion leads here again.
bool descriptor::receive_privately(std::byte*& memory, std::int32_t& size) noexcept {
  buffer_pool& pool = scheduler_->engine().buffers();
  std::byte* made = nullptr;
  try {
    made = pool.allocate_private();
  } catch (const std::bad_alloc&) {
    size = -ENOMEM;
    return true;
  }
  const std::int32_t received = receive_now_into(made);
  if (received > 0) {
    if (code == opcode::receive) note_arrival(static_cast<std::uint32_t>(received));
    memory = made;
  } else {
    pool.free_private(made);
  }
  if (received == -EAGAIN) {
    set_last_seen(false);
    return false;
  }
  size = received;
  return true;
}

std::int32_t descriptor::receive_now_into(std::byte* memory) noexcept {
  const std::uint32_t size = buffers().size();
  if (code == opcode::receive_datagram) {
    datagram_layout layout(*static_cast<const msghdr*>(data), {memory, size});
    operation now(opcode::receive_message, nullptr);
    now.transfer.flags = MSG_TRUNC;
    now.data = &layout.message();
    const std::int32_t received = call(now);
    return received < 0 ? received : layout.finish(received);
  }
  operation now(opcode::receive_now, nullptr);
  now.data = memory;
  now.length = size;
  return call(now);
}

bool descriptor::has_something_to_receive() noexcept {
  operation now(opcode::poll, nullptr);
  now.poll.events = POLLIN;
  if (call(now) != -EAGAIN) return true;
  set_last_seen(false);  // the next request waits for data without holding a buffer
  return false;
}

void descriptor::drop_untaken() noexcept {
  if (!arrived_.empty()) arrived_.clear(scheduler_->engine().buffers());
  end_arrived_ = false;
  if (closing_) end_bulk();
}

const char* descriptor::thread_rule() const noexcept {
  return "a stream was closed or destroyed on a thread that is not its scheduler's";
}

void descriptor::on_left(direction which) noexcept {
  if (is_watched_) watch().on_end(which, count(which));
  if (closing_) go_on_closing();
}

void descriptor::begin_close() noexcept {
  end_watch();
  if (kind_ == kind::connection && scheduler_ != nullptr) {
    detail::socket_calls::shutdown(
        detail::socket_calls::socket_on{scheduler_->engine(), operation::fd}, SHUT_RDWR);
  }
  if (reader_ != nullptr) reader_->on_close();
  if (writer_ != nullptr) writer_->cancel_wait(cancel_reason::closed);
}

void descriptor::abort() noexcept {
  if (operation::fd < 0 || kind_ == kind::borrowed) return;
  if (scheduler_ == nullptr) return detail::close_with_reset(release_fd());
  if (is_left_behind()) {  // the connection is the parent's
    close(nullptr);
    return;
  }
  check_thread();
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  const detail::socket_calls::socket_on at{scheduler_->engine(), operation::fd};
  detail::socket_calls::set_option(at, SOL_SOCKET, SO_LINGER, at_once);
  set_reset_on_close(true);
  close(nullptr);
}

int descriptor::release_fd() noexcept {
  if (scheduler_ != nullptr) check_thread();
  RINGLET_ASSERT(
      is_idle(),
      "the descriptor of a stream was released while a read or a write was in flight, or "
      "after a receive() or readable(), whose request stays in flight: release it before");
  RINGLET_ASSERT(!has_arrived(),
                 "a descriptor was released with received bytes that no call has taken");
  closing_ = true;
  end_watch();
  end_bulk();
  if (scheduler_ != nullptr) scheduler_->engine().unregister_fd(operation::fd);
  return std::exchange(operation::fd, -1);
}

void descriptor::on_shutdown() noexcept {
  RINGLET_ASSERT(!has_callers(), "a read or write was in flight when the scheduler ended");
  if (is_receiving()) cancel_receiving();
}

template <direction Which>
void io_wait<Which>::retry(std::int32_t result) noexcept {
  detail::prepare_retry(*this, result, Which == direction::read ? opcode::read : opcode::write);
  if (this->restart()) return;
  this->answer = -ECANCELED;
  finish_transfer();
}

template <direction Which>
std::error_code io_wait<Which>::transfer_failure() {
  // A read that ends because its fiber is cancelled may also have received an error: keep that.
  const bool lost_error = Which == direction::read && this->reason_ == cancel_reason::interrupted &&
                          this->answer < 0 && this->answer != -ECANCELED && this->has_claim();
  if (lost_error) this->on().keep_error(this->answer);
  return this->refusal() == errc{} ? operation_wait::failure() : this->refusal();
}

template class io_wait<direction::read>;
template class io_wait<direction::write>;

}  // namespace ringlet::extend
