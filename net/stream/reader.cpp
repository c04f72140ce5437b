// Cutting the bytes of a stream into pieces.
//
// Received bytes stay in `fresh_`, the buffer lent by the stream, while pieces lie within it.
// Before a call waits for more, they move to `begun_` and the buffer goes back to the pool: it
// would otherwise be held until the peer finishes its line. A piece that begins in begun_ and ends
// in fresh_ is joined in begun_. So the unconsumed bytes are always those stored() in begun_,
// followed by fresh_.
//
// No byte is searched twice: begun_ also keeps the delimiter and the progress of the search for it,
// even between calls.
// SPDX-License-Identifier: MIT
#include <ringlet/detail/retry.hpp>
#include <ringlet/pipe.hpp>
#include <ringlet/reader.hpp>
#include <ringlet/standard_streams.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace ringlet {
using namespace extend;

namespace {

constexpr std::size_t nowhere = std::string_view::npos;
// The smallest allocation for an incomplete piece.
constexpr std::size_t stored_min = 64;

}  // namespace

/// Reads from a stream that does not lend buffers, into memory of its own. It outlives every wait:
/// the reader that owns it must not be destroyed while a call waits.
class extend::file_request final : private operation {
 public:
  explicit file_request(std::size_t size)
      : operation(opcode::read, &file_request::on_completion), memory_(size) {
    data = memory_.data();
    length = static_cast<std::uint32_t>(size);
  }

  void start(reader_wait& waiter) noexcept {
    waiter_ = &waiter;
    fd = waiter.on().fd();
    const detail::on_behalf_of named(*waiter.fiber_);
    waiter.fiber_->scheduler().engine().start(*this);
  }
  void cancel() noexcept { waiter_->fiber_->scheduler().engine().cancel(*this); }

 private:
  static void on_completion(operation& op, const completion& done) noexcept;

  std::vector<char> memory_;
  reader_wait* waiter_ = nullptr;
};

void file_request::on_completion(operation& op, const completion& done) noexcept {
  auto& self = static_cast<file_request&>(op);
  reader_wait& waiter = *self.waiter_;
  reader& in = waiter.in_;
  if (detail::asks_to_retry(self, done.result)) {
    detail::prepare_retry(self, done.result, opcode::read);
    return waiter.go_on(false);
  }
  if (done.result > 0) {
    in.fresh_ = {self.memory_.data(), static_cast<std::size_t>(done.result)};
    in.from_->count(direction::read) += in.fresh_.size();
    in.from_->note_progress(direction::read);
  } else if (done.result == 0) {
    in.ended_ = true;
  } else if (done.result != -ECANCELED || waiter.reason_ == cancel_reason::none) {
    waiter.answer_ = done.result;
    waiter.state_ = reader_wait::state::failed;
    return waiter.go_on(true);
  }
  waiter.go_on(waiter.progress());
}

// The reader

reader::reader(descriptor& from, std::size_t limit) : from_(&from), limit_(limit) {
  RINGLET_ASSERT(limit != 0, "the limit of a reader is at least 1 byte");
}

reader::reader(descriptor& file, std::size_t buffer_size, std::size_t limit) : reader(file, limit) {
  file_ = std::make_unique<file_request>(buffer_size);
}

reader::reader(standard_stream& stream, std::size_t limit)
    : reader(*stream.state_, stream.state_->buffers().size(), limit) {}

reader::reader(pipe_reader& stream, std::size_t limit)
    : reader(stream.checked(), stream.checked().buffers().size(), limit) {}

reader::reader(std::unique_ptr<byte_feed> feed, std::size_t limit)
    : from_(nullptr), feed_(std::move(feed)), limit_(limit) {
  RINGLET_ASSERT(limit != 0, "the limit of a reader is at least 1 byte");
}

reader::~reader() {
  RINGLET_ASSERT(!waiting_, "a reader was destroyed while one of its calls waited");
}

void reader::check_unused() const noexcept {
  RINGLET_ASSERT(!waiting_, "a call on a reader was begun while another one waited");
}

// Called at the beginning of every call: frees what views of earlier calls referred to.
void reader::let_go() noexcept {
  if (begun_ != nullptr && stored().empty()) {
    if (begun_->skipping || begun_->scanned != 0) {
      std::vector<char>().swap(begun_->bytes);
      begun_->taken = 0;
    } else {
      begun_.reset();
    }
  }
  if (fresh_.empty()) lent_.reset();
}

// Consumes bytes. Views stay valid.
void reader::drop(std::size_t bytes) noexcept {
  const std::size_t older = std::min(bytes, stored().size());
  fresh_.remove_prefix(bytes - older);
  if (begun_ == nullptr) return;
  begun_->taken += older;
  begun_->scanned -= std::min(begun_->scanned, bytes);
}

// False if there is no memory; then nothing has changed.
bool reader::store(std::string_view bytes) noexcept {
  try {
    unfinished& piece = begun();
    std::vector<char>& kept = piece.bytes;
    if (piece.taken == kept.size()) {
      kept.clear();
      piece.taken = 0;
    }
    if (kept.capacity() - kept.size() < bytes.size()) {
      kept.erase(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(piece.taken));
      piece.taken = 0;
      const std::size_t needed = kept.size() + bytes.size();
      const std::size_t doubled = std::max(2 * kept.capacity(), stored_min);
      kept.reserve(std::max(needed, std::min(doubled, limit_)));
    }
    kept.insert(kept.end(), bytes.begin(), bytes.end());
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

bool reader::store_fresh() noexcept {
  if (!fresh_.empty() && !store(fresh_)) return false;
  fresh_ = {};
  lent_.reset();
  return true;
}

// Makes the first `bytes` bytes contiguous, for front(). False if there is no memory.
bool reader::join(std::size_t bytes) noexcept {
  const std::size_t older = stored().size();
  if (older == 0 || bytes <= older) return true;
  if (!store(fresh_.substr(0, bytes - older))) return false;
  fresh_.remove_prefix(bytes - older);
  return true;
}

std::string_view reader::front(std::size_t bytes) const noexcept {
  return stored().empty() ? fresh_.substr(0, bytes) : stored().substr(0, bytes);
}

// Takes a buffer that has arrived. Precondition: fresh_ is empty.
bool reader::pull() noexcept {
  std::int32_t id = 0;
  std::int32_t size = 0;
  if (!from_->take_buffer(id, size)) return false;
  hold(from_->buffers().lend_filled(id));
  return true;
}

void reader::hold(buffer lent) noexcept {
  lent_ = std::move(lent);
  fresh_ = lent_.text();
  if (from_ == nullptr) return;
  from_->count(direction::read) += fresh_.size();
  from_->note_progress(direction::read);
}

// Searching

std::size_t reader::find(std::string_view delimiter) const noexcept {
  const std::string_view older = stored();
  std::size_t from = scanned();
  if (older.empty() && delimiter.size() == 1) return fresh_.find(delimiter.front(), from);
  if (from < older.size()) {
    const std::size_t at = older.find(delimiter, from);
    if (at != nowhere) return at;
    // The delimiter may begin in begun_ and end in fresh_.
    std::size_t begun = std::min(delimiter.size() - 1, older.size() - from);
    for (; begun != 0; --begun) {
      if (older.ends_with(delimiter.substr(0, begun)) &&
          fresh_.starts_with(delimiter.substr(begun))) {
        return older.size() - begun;
      }
    }
    from = older.size();
  }
  const std::size_t at = fresh_.find(delimiter, from - older.size());
  return at == nowhere ? nowhere : older.size() + at;
}

// Where the delimiter begins, or nowhere.
std::size_t reader::search(std::string_view delimiter) noexcept {
  if (scanned() != 0 && begun_->searched != delimiter) begun_->scanned = 0;
  const std::size_t at = find(delimiter);
  if (at != nowhere || buffered() < delimiter.size()) return at;
  try {
    unfinished& piece = begun();
    if (piece.searched != delimiter) piece.searched = delimiter;
    piece.scanned = buffered() - (delimiter.size() - 1);
  } catch (const std::bad_alloc&) {
    if (begun_ != nullptr) begun_->scanned = 0;  // the next search starts from the beginning
  }
  return nowhere;
}

// Starts discarding bytes through the next delimiter. False if there is no memory.
bool reader::skip_through(std::string_view delimiter) noexcept {
  try {
    begun().searched = delimiter;
  } catch (const std::bad_alloc&) {
    return false;
  }
  begun_->skipping = true;
  finish_skipping();
  let_go();
  return true;
}

// Discards the bytes of an overlong piece that have arrived. True if nothing is left to discard.
bool reader::finish_skipping() noexcept {
  if (begun_ == nullptr || !begun_->skipping) return true;
  const std::string& delimiter = begun_->searched;
  const std::size_t at = search(delimiter);
  if (at != nowhere || ended_) {
    drop(at == nowhere ? buffered() : at + delimiter.size());
    begun_->skipping = false;
    return true;
  }
  // The last bytes may be the beginning of the delimiter.
  drop(buffered() - std::min(buffered(), delimiter.size() - 1));
  return false;
}

// Calls that never wait

std::optional<std::string_view> reader::try_read_line() noexcept {
  check_unused();
  let_go();
  for (;;) {
    if (finish_skipping()) {
      const std::size_t at = search("\n");
      if (at <= limit_) {
        if (!join(at)) return std::nullopt;
        std::string_view line = front(at);
        drop(at + 1);
        if (line.ends_with('\r')) line.remove_suffix(1);
        return line;
      }
      if (buffered() > limit_) return std::nullopt;
    }
    if (!has_requests() || !store_fresh() || !pull()) return std::nullopt;
  }
}

std::string_view reader::peek() noexcept {
  check_unused();
  let_go();
  while (!finish_skipping() || buffered() == 0) {
    if (!has_requests() || !store_fresh() || !pull()) return {};
  }
  return front(nowhere);
}

void reader::consume(std::size_t count) noexcept {
  check_unused();
  RINGLET_ASSERT(count <= buffered(), "more bytes were consumed than the reader has buffered");
  drop(count);
}

// Waiting

const wait_type read_line_wait::type = make_type<read_line_wait>("read_line");
const wait_type read_until_wait::type = make_type<read_until_wait>("read_until");
template <bool Consumes>
const wait_type view_wait<Consumes>::type = make_type<view_wait>(Consumes ? "read_exact" : "peek");
const wait_type read_copy_wait::type = make_type<read_copy_wait>("read_some");

std::coroutine_handle<> reader_wait::begin(frame_record& at) noexcept {
  if (in_.feed_ != nullptr) [[unlikely]]
    return begin_feeding(at);
  return begin_waiting(at) ? std::noop_coroutine() : transfer(at);
}

bool reader_wait::begin_waiting(frame_record& at) noexcept {
  in_.check_unused();
  if (!enter(at)) return continue_or_yield(at);
  in_.waiting_ = true;
  in_.let_go();
  if (look() || !may_claim()) return continue_or_yield(at);
  claim(*this);
  if (progress()) return continue_or_yield(at);
  suspend_external(kind(), at);
  wait_on();
  return true;
}

// Lets a call of its own receive for it: the receive() of a source may be any wait or task.
std::coroutine_handle<> reader_wait::begin_feeding(frame_record& at) noexcept {
  in_.check_unused();
  const auto go_back = [&] {
    return continue_or_yield(at) ? std::coroutine_handle<>(std::noop_coroutine()) : transfer(at);
  };
  if (!enter(at)) return go_back();
  in_.waiting_ = true;
  in_.let_go();
  if (look()) return go_back();
  try {
    in_.feed_->running.emplace(feed());
  } catch (const std::bad_alloc&) {
    in_.feed_->error = std::make_error_code(std::errc::not_enough_memory);
    state_ = state::failed;
    return go_back();
  }
  frame_record& callee = *in_.feed_->running->promise_to_start();
  callee.parent = &at;
  callee.chain = at.chain;
  return transfer(callee);
}

task<> reader_wait::feed() {
  const time_limit limit = time_limit::at(limit_.resolve(fiber_->scheduler().now()));
  std::error_code& error = in_.feed_->error;
  error = {};
  while (!look()) {
    if (!in_.store_fresh()) error = std::make_error_code(std::errc::not_enough_memory);
    try {
      if (!error) {
        buffer got = co_await in_.feed_->receive(limit);
        in_.ended_ = got.empty();
        if (!got.empty()) in_.hold(std::move(got));
      }
    } catch (const std::bad_alloc&) {
      error = std::make_error_code(std::errc::not_enough_memory);
    } catch (const std::system_error& thrown) {
      error = thrown.code();
    }
    if (error) {
      state_ = state::failed;
      co_return;
    }
  }
}

void reader_wait::end_feeding() noexcept { in_.feed_->running.reset(); }

// Takes bytes that have arrived. True if the call is complete, also if it failed.
bool reader_wait::progress() noexcept {
  while (!look()) {
    if (!in_.store_fresh()) {
      answer_ = -ENOMEM;
      state_ = state::failed;
      return true;
    }
    if (in_.file_ != nullptr) return false;
    if (in_.pull()) continue;
    if (!on().take_end(answer_)) return false;
    if (answer_ < 0) {
      state_ = state::failed;
      return true;
    }
    in_.ended_ = true;
  }
  return true;
}

bool reader_wait::look() noexcept {
  if (!in_.finish_skipping()) return false;
  state_ = delimiter_ == nullptr ? look_for_count() : look_for_delimiter();
  return state_ != state::missing;
}

reader_wait::state reader_wait::look_for_delimiter() noexcept {
  const std::size_t at = in_.search(delimiter());
  if (at <= in_.limit_) {
    count_ = at;
    return state::whole;
  }
  // A delimiter that has not fully arrived may begin after that many bytes.
  const std::size_t most = in_.limit_ + (in_.ended_ ? 0 : count_ - 1);
  if (at != nowhere || in_.buffered() > most) return state::too_long;
  return in_.ended_ ? state::ended : state::missing;
}

reader_wait::state reader_wait::look_for_count() noexcept {
  return count_ > in_.limit_ ? state::too_long : look_for(count_);
}

reader_wait::state reader_wait::look_for(std::size_t count) const noexcept {
  if (in_.buffered() >= count) return state::whole;
  return in_.ended_ ? state::ended : state::missing;
}

std::string_view reader_wait::copy_front(std::span<char> memory) const noexcept {
  const std::string_view older = in_.stored().substr(0, memory.size());
  const std::string_view newer = in_.fresh_.substr(0, memory.size() - older.size());
  std::copy(newer.begin(), newer.end(), std::copy(older.begin(), older.end(), memory.begin()));
  return {memory.data(), older.size() + newer.size()};
}

void reader_wait::wait_on() noexcept {
  if (in_.file_ != nullptr) {
    in_.file_->start(*this);
  } else {
    on().await_arrival();
  }
}

void reader_wait::on_arrival() noexcept {
  descriptor& from = on();
  bool done = progress();
  std::byte* memory = nullptr;
  if (!done && from.found_no_buffer() && from.receive_privately(memory, answer_)) {
    if (memory != nullptr) {
      in_.hold(from.buffers().lend_private(memory, static_cast<std::uint32_t>(answer_)));
    } else if (answer_ == 0) {
      in_.ended_ = true;
    }
    state_ = answer_ < 0 ? state::failed : state::missing;
    done = answer_ < 0 || progress();
  }
  go_on(done);
}

void reader_wait::go_on(bool done) noexcept {
  if (!done && reason_ == cancel_reason::none) return wait_on();
  wake_external();
}

void reader_wait::on_cancel(cancel_reason reason) noexcept {
  remember(reason);
  if (in_.file_ != nullptr) return in_.file_->cancel();
  on().cancel_receiving();
}

std::error_code reader_wait::failure() {
  if (in_.feed_ != nullptr && in_.feed_->running) in_.feed_->running->promise().take();
  // Nothing was consumed: see operation_wait::failure().
  if (reason_ == cancel_reason::interrupted && (has_ended() || state_ == state::failed)) {
    const bool lost = state_ == state::failed && in_.file_ == nullptr && answer_ != -ENOMEM;
    if (lost) on().keep_error(answer_);
    return cancellation_error();
  }
  switch (state_) {
    case state::whole:
    case state::ended:
      return {};
    case state::too_long:
      if (delimiter_ != nullptr && !in_.skip_through(delimiter())) {
        return system_error_code(-ENOMEM);
      }
      return errc::too_long;
    case state::malformed:
      return std::make_error_code(std::errc::bad_message);
    case state::failed:
      return in_.feed_ != nullptr ? in_.feed_->error : system_error_code(answer_);
    case state::missing:
      break;
  }
  if (refusal() != errc{}) return refusal();
  return cancellation_error();
}

result<std::string_view> reader_wait::view(std::size_t bytes) noexcept {
  if (!in_.join(bytes)) return system_error_code(-ENOMEM);
  return in_.front(bytes);
}

result<std::string_view> reader_wait::take_view() noexcept {
  const auto piece = view(count_);
  if (piece) in_.drop(count_);
  return piece;
}

// The results of the calls

std::error_code read_line_wait::take_into(std::optional<std::string_view>& line) {
  const ending last(*this);
  if (!is_whole()) [[unlikely]] {
    if (const std::error_code error = failure()) return error;
    if (in_.buffered() == 0) {
      tell_end();
      return {};
    }
  }
  const std::size_t size = is_whole() ? count() : in_.buffered();
  if (!in_.join(size)) return system_error_code(-ENOMEM);
  line = in_.front(size);
  in_.drop(is_whole() ? size + 1 : size);
  if (is_whole() && line->ends_with('\r')) line->remove_suffix(1);
  return {};
}

// Most calls find their line, so neither function builds a result that it does not return.
result<std::optional<std::string_view>> read_line_wait::take() {
  std::optional<std::string_view> line;
  if (const std::error_code error = take_into(line)) return error;
  return line;
}

std::optional<std::string_view> read_line_wait::await_resume() {
  std::optional<std::string_view> line;
  if (const std::error_code error = take_into(line)) throw_error(error, type.name);
  return line;
}

read_until_wait::read_until_wait(reader& in, std::string_view delimiter,
                                 const time_limit& timeout) noexcept
    : reader_wait(in, timeout), delimiter_size_(delimiter.size()) {
  RINGLET_ASSERT(!delimiter.empty(), "read_until() needs a delimiter of at least one byte");
  want(delimiter);
}

result<std::optional<std::string_view>> read_until_wait::take() {
  const ending last(*this);
  if (const std::error_code error = failure()) return error;
  if (has_ended()) {
    if (in_.buffered() != 0) return make_error_code(errc::end_of_stream);
    tell_end();
    return std::optional<std::string_view>();
  }
  const auto piece = view(count());
  if (!piece) return piece.error();
  in_.drop(count() + delimiter_size_);
  return std::optional(*piece);
}

template <bool Consumes>
result<std::string_view> view_wait<Consumes>::take() {
  const ending last(*this);
  if (const std::error_code error = failure()) return error;
  if (Consumes && has_ended()) {
    if (in_.buffered() == 0) tell_end();
    return make_error_code(errc::end_of_stream);
  }
  const auto piece = view(std::min(count(), in_.buffered()));
  if (!piece) return piece;
  if (!Consumes) return in_.front(nowhere);
  in_.drop(count());
  return piece;
}

template class extend::view_wait<true>;
template class extend::view_wait<false>;

read_copy_wait::read_copy_wait(reader& in, std::span<std::byte> memory,
                               const time_limit& timeout) noexcept
    : reader_wait(in, timeout), memory_(memory) {
  RINGLET_ASSERT(!memory.empty(), "read_some() needs room for at least one byte");
  want(1);
}

result<std::size_t> read_copy_wait::take() {
  const ending last(*this);
  if (const std::error_code error = failure()) return error;
  if (has_ended()) tell_end();
  std::size_t copied = 0;
  while (copied < memory_.size() && in_.buffered() != 0) {
    const std::string_view piece = in_.front(memory_.size() - copied);
    std::memcpy(memory_.data() + copied, piece.data(), piece.size());
    in_.drop(piece.size());
    copied += piece.size();
  }
  return copied;
}

}  // namespace ringlet
