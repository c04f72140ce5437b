// Why io_uring was refused, in a sentence that says what to do.
#pragma once

#include <stdexcept>
#include <string>
#include <system_error>

namespace ringlet {

/// Its what() is the sentence alone: that of a plain std::system_error would end with the text of
/// the errno, behind what to do.
class uring_refused : public std::system_error {
 public:
  uring_refused(int error, const std::string& sentence)
      : std::system_error(error, std::system_category()), sentence_(sentence) {}
  const char* what() const noexcept override { return sentence_.what(); }

 private:
  std::runtime_error sentence_;  // copied without throwing
};

/// `call` is the system call that failed and `error` its errno.
std::string explain_uring_refusal(const char* call, int error);

}  // namespace ringlet
