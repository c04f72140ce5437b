// Why io_uring was refused, in a sentence that says what to do.
#pragma once

#include <string>

namespace ringlet {

/// `call` is the system call that failed and `error` its errno.
std::string explain_uring_refusal(const char* call, int error);

}  // namespace ringlet
