// The features of io_uring that the engine may use: those of the kernel, minus those switched off.
// SPDX-License-Identifier: MIT
#pragma once

namespace ringlet::extend {

/// The features that the engine can do without; a ring refines them when it is made.
struct uring_features {
  bool multishot_receive = true;  // one request for many messages; else one per message
  bool limited_receive =
      true;  // one request for many buffers of a bulk transfer; else one per buffer
  bool registered_ring = true;  // saves the kernel a look-up at each enter
  bool no_iowait = true;        // a sleep is not charged as waiting for a disk
};

/// Tries what this kernel can do, once per process. See make_uring_engine().
uring_features find_uring_features();
/// The trial: what this kernel can do, as far as this process may try it.
uring_features try_uring_features();

}  // namespace ringlet::extend
