// Where the load generators write their results as JSON.
// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>

#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>

namespace bench {

/// Writes to the file `path`, to standard output if it is "-", or nowhere if it is empty. Throws
/// std::runtime_error if that fails.
inline void write_result(const std::string& path, const nlohmann::json& result) {
  if (path.empty()) return;
  const std::string text = result.dump(2) + "\n";
  if (path == "-") {
    std::cout << text << std::flush;
    return;
  }
  std::ofstream file(path);
  file << text << std::flush;
  if (!file) throw std::runtime_error("cannot write " + path);
}

}  // namespace bench
