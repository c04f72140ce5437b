// What of io_uring the engine may use: what the kernel can do, less what was switched off.
#pragma once

namespace ringlet::extend {

/// The features that the engine can do without; a ring refines them when it is made.
struct uring_features {
  bool multishot_receive = true;  // one request for many messages; else one request each
  bool limited_receive = true;    // one request for a number of bytes in bulk; else one each
  bool registered_ring = true;    // saves the kernel a look-up at each enter
  bool no_iowait = true;          // a sleep is not charged as waiting for a disk
};

/// Finds out what this kernel can do, by doing it, once per process. See make_uring_engine().
uring_features find_uring_features();

}  // namespace ringlet::extend
