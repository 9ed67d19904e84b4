// SPDX-License-Identifier: Apache-2.0
// A directory that replaces "/": a test creates sysfs and configfs files in it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

namespace tcmurbd::kernel {

class FakeRoot {
 public:
  FakeRoot() {
    std::string name = (std::filesystem::temp_directory_path() / "tcmurbd-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~FakeRoot() { std::filesystem::remove_all(path_); }
  FakeRoot(const FakeRoot&) = delete;
  FakeRoot& operator=(const FakeRoot&) = delete;

  const std::string& path() const { return path_; }

  // Creates missing directories.
  void write(std::string_view file, std::string_view content) {
    const auto path = std::filesystem::path(path_ + std::string(file));
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
  }
  std::string read(std::string_view file) const {
    std::ifstream stream(path_ + std::string(file), std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  void remove(std::string_view file) { std::filesystem::remove_all(path_ + std::string(file)); }

 private:
  std::string path_;
};

}  // namespace tcmurbd::kernel
