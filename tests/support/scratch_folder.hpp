// A folder for the files of a test, removed with everything in it.
// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>

#include <stdlib.h>

#include <filesystem>
#include <string>
#include <system_error>

namespace ringlet::test {

class scratch_folder {
 public:
  scratch_folder() {
    path_ = (std::filesystem::temp_directory_path() / "ringlet-XXXXXX").string();
    REQUIRE(::mkdtemp(path_.data()) != nullptr);
  }
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;
  ~scratch_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string operator/(const char* name) const { return path_ + '/' + name; }

 private:
  std::string path_;
};

}  // namespace ringlet::test
