// Which server a load generator talks to, and where its result goes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace bench {

struct load_target {
  std::string host = "127.0.0.1";
  std::uint16_t port = 9090;
  pid_t server_pid = 0;   // Whose CPU time to read; 0 for none.
  std::string json_path;  // Where the result goes as JSON; "-" is standard output, empty nowhere.
};

}  // namespace bench
