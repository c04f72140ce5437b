// elements_of: what a generator yields when it yields all of another one.
//
//     generator<int> in_order(const tree* from) {
//       if (from == nullptr) co_return;
//       co_yield elements_of(in_order(from->left));
//       co_yield from->value;
//       co_yield elements_of(in_order(from->right));
//     }
// SPDX-License-Identifier: MIT
#pragma once

namespace ringlet {

/// In a generator, `co_yield elements_of(other)` yields everything that `other` yields; its value
/// is what `other` returned. In a two_way_generator, sent values and thrown exceptions go to
/// `other`.
///
/// Each element costs the same at every depth of nesting, so recursion over a tree is fine. The
/// co_yield throws the exception of `other`. `other` must be of the same kind and yield the same
/// type; it is empty afterwards. A generator continues after its current element; a
/// two_way_generator must not have been started.
///
/// Lifetime  Borrows `other`; yield from it in the same expression.
template <class G>
class [[nodiscard]] elements_of {
 public:
  /// All elements of `whole`.
  explicit elements_of(G&& whole) noexcept : whole_(&whole) {}
  explicit elements_of(G& whole) noexcept : whole_(&whole) {}

  /// For the promise of the coroutine that yields from `other`.
  G& whole() const noexcept { return *whole_; }

 private:
  G* whole_;
};

}  // namespace ringlet
