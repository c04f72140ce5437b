// Opening the listeners of a group.
// SPDX-License-Identifier: MIT
#include <ringlet/fiber.hpp>
#include <ringlet/tcp_listener_group.hpp>

#include <mutex>
#include <utility>

#include "listener_share.hpp"
#include "listener_state.hpp"

namespace ringlet {
using namespace extend;
using namespace detail;

tcp_listener_group::tcp_listener_group(std::string_view host_and_port,
                                       const listen_options& options)
    : tcp_listener_group(address::parse(host_and_port), options) {}

tcp_listener_group::tcp_listener_group(const address& where, const listen_options& options)
    : shares_(std::make_shared<listener_shares>(where, options)) {}

tcp_listener tcp_listener_group::listen() const { return shares_->listen(); }

address tcp_listener_group::local_address() const { return shares_->where(); }

std::vector<listener_share_statistics> tcp_listener_group::statistics() const {
  return shares_->statistics();
}

// The mutex is held, so that the first listener picks the port for all.
tcp_listener detail::listener_shares::listen() {
  const std::lock_guard lock(mutex_);
  tcp_listener made = tcp_listener::bind(where_, options_);
  where_ = made.local_address();
  auto share = std::make_shared<listener_share>(*this, *made.state_,
                                                current_scheduler().shared_handle_state());
  open_.push_back(share);
  made.state_->join(std::move(share));
  return made;
}

}  // namespace ringlet
