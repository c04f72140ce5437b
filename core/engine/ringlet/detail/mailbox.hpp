// mailbox: work that any thread posts to one thread, and how that thread sleeps without missing
// any.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

namespace ringlet::detail {

/// What a mailbox is made of in programs. A model checker puts its own in its place.
struct real_atomics {
  template <class T>
  using atomic = std::atomic<T>;
  static void yield() noexcept;
};

/// Posted work, newest first, and the words by which posters and the owner agree about its sleep.
/// `Node` has a member `next`, which points to a Node. tests/model/mailbox_model_test.cpp runs this
/// code in all orders up to two preemptions, on a memory that reorders whatever C++ lets it
/// reorder, and shows that each memory order and each read-modify-write below is needed.
///
/// Why no wake-up is lost: the owner stores sleeping_ and then loads posted_; a poster pushes work
/// and then exchanges sleeping_. All four are sequentially consistent, so either the owner sees the
/// work, or the poster sees the sleeper. And woken_ is only exchanged: either the owner sees that
/// it was woken, or the thread that wakes it sees all that the owner did before, also sleeping_.
template <class Node, class Threads = real_atomics>
class mailbox {
 public:
  // For any thread. `notify` ends the owner's sleep; it is called once for each announced sleep at
  // most.

  /// The node may have been taken and destroyed, and the mailbox may be waiting in
  /// wait_for_posters(), before this returns.
  template <class F>
  void post(Node& node, F&& notify) noexcept {
    posting_.fetch_add(1, std::memory_order_relaxed);  // published by the push
    Node* newest = posted_.load(std::memory_order_relaxed);
    do {
      node.next = newest;
    } while (!posted_.compare_exchange_weak(newest, &node, std::memory_order_seq_cst,
                                            std::memory_order_relaxed));
    if (sleeping_.exchange(false, std::memory_order_seq_cst)) notify();
    posting_.fetch_sub(1, std::memory_order_release);
  }
  /// Ends the owner's sleep, or the next one. Safe in a signal handler.
  template <class F>
  void wake(F&& notify) noexcept {
    posting_.fetch_add(1, std::memory_order_relaxed);  // published by woken_
    // Not a store: it would hide what the thread that woke the owner before has published.
    woken_.exchange(true, std::memory_order_acq_rel);
    if (sleeping_.exchange(false, std::memory_order_relaxed)) notify();
    posting_.fetch_sub(1, std::memory_order_release);
  }

  // For the owner.

  bool has_posted() const noexcept { return posted_.load(std::memory_order_relaxed) != nullptr; }
  /// Takes everything that was posted, oldest first.
  Node* take() noexcept {
    Node* newest = posted_.exchange(nullptr, std::memory_order_acquire);
    Node* oldest = nullptr;
    while (newest != nullptr) {
      Node* const before = newest->next;
      newest->next = oldest;
      oldest = newest;
      newest = before;
    }
    return oldest;
  }
  /// False if the owner must not sleep, because there is work, or it was woken. Otherwise it may
  /// sleep until it is notified, and then calls announce_awake().
  bool announce_sleep() noexcept {
    sleeping_.store(true, std::memory_order_seq_cst);
    const bool woken = woken_.exchange(false, std::memory_order_acq_rel);
    if (!woken && posted_.load(std::memory_order_seq_cst) == nullptr) return true;
    announce_awake();
    return false;
  }
  void announce_awake() noexcept { sleeping_.store(false, std::memory_order_relaxed); }
  /// Before the mailbox is destroyed: waits until no other thread is inside post() or wake().
  void wait_for_posters() const noexcept {
    while (posting_.load(std::memory_order_acquire) != 0) Threads::yield();
  }

 private:
  template <class T>
  using atomic = typename Threads::template atomic<T>;

  atomic<Node*> posted_ = nullptr;
  atomic<bool> woken_ = false;
  atomic<bool> sleeping_ = false;
  atomic<int> posting_ = 0;  // threads inside post() or wake()
};

}  // namespace ringlet::detail
