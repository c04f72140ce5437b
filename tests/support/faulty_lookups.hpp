// faulty_lookups: getaddrinfo(3) and getnameinfo(3) fail as the test says.
//
// The test program has its own functions of these names, which the linker takes instead of the C
// library's. They reproduce on command what name servers and a lack of resources cause.
// SPDX-License-Identifier: MIT
#pragma once

namespace ringlet::test {

/// During its lifetime the calls of all threads return `refusal`, an EAI_ number, with this errno.
class faulty_lookups {
 public:
  explicit faulty_lookups(int refusal, int error = 0) noexcept;
  faulty_lookups(const faulty_lookups&) = delete;
  faulty_lookups& operator=(const faulty_lookups&) = delete;
  ~faulty_lookups();
};

}  // namespace ringlet::test
