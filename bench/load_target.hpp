// Options of both load generators: the server, and where the result goes.
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace bench {

struct load_target {
  std::string host = "127.0.0.1";
  std::uint16_t port = 9090;
  pid_t server_pid = 0;   // The process whose CPU time to read; 0 for none.
  std::string json_path;  // File for the JSON result; "-" for standard output, empty for none.
};

}  // namespace bench
