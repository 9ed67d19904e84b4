// SPDX-License-Identifier: Apache-2.0
// COMMANDS.md matches the opcode table and the pages. Regenerates it if TCMU_RBD_WRITE_PAGES is
// set.
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "rbd_handler/scsi/opcode_table.h"
#include "tests/unit/scsi_fixture.h"

namespace tcmurbd::scsi {
namespace {

constexpr const char* kEnd = "<!-- end -->";

std::string hex(std::span<const uint8_t> bytes) {
  std::string out;
  for (const uint8_t byte : bytes) {
    if (!out.empty()) out += ' ';
    out += fmt::format("{:02X}", byte);
  }
  return out;
}

std::string table() {
  std::string out =
      "| operation code | command | bytes | CDB usage bitmap | |\n|---|---|---|---|---|\n";
  for (const OpcodeRow& row : opcode_table()) {
    const std::string action =
        row.service_action ? fmt::format("/{:02X}", *row.service_action) : "";
    const auto usage = cdb_usage(row);
    out += fmt::format("| {:02X}{} | {} | {} | `{}` | {} |\n", row.opcode, action, row.name,
                       row.cdb_length, hex(std::span(usage).first(row.cdb_length)), row.remark);
  }
  return out;
}

class ScsiCommandsPage : public ScsiTest {
 protected:
  // As the disk itself lists them.
  std::string pages() const {
    const Bytes vpd = cut(ask({0x12, 0x01, 0x00, 0x01, 0x00, 0}).data_in, 4, 256);
    const Bytes logs = cut(ask({0x4d, 0, 0x40, 0, 0, 0, 0, 0x01, 0x00, 0}).data_in, 4, 256);
    const Bytes all_modes = cut(ask({0x5a, 0x08, 0x3f, 0, 0, 0, 0, 0x01, 0x00, 0}).data_in, 8, 256);
    Bytes modes;
    for (size_t at = 0; at + 1 < all_modes.size(); at += 2u + all_modes[at + 1])
      modes.push_back(all_modes[at]);
    return fmt::format("| pages | |\n|---|---|\n| VPD | {} |\n| mode | {} |\n| log | {} |\n",
                       hex(vpd), hex(modes), hex(logs));
  }
};

TEST_F(ScsiCommandsPage, IsMadeFromTheTable) {
  std::ifstream file(COMMANDS_PAGE);
  std::stringstream stream;
  stream << file.rdbuf();
  const std::string page = stream.str();
  const size_t end = page.find(kEnd);
  ASSERT_NE(end, std::string::npos) << COMMANDS_PAGE << " has no end mark";
  const size_t mark = page.rfind("-->\n", end - 1);
  ASSERT_NE(mark, std::string::npos) << COMMANDS_PAGE << " has no mark of the made part";
  const std::string made =
      fmt::format("{}\n{}\n{}\n{}", page.substr(0, mark + 4), table(), pages(), page.substr(end));
  if (made == page) return;
  if (std::getenv("TCMU_RBD_WRITE_PAGES")) {
    file.close();
    std::ofstream(COMMANDS_PAGE) << made;
    return;
  }
  FAIL() << COMMANDS_PAGE << " is not what the table says. Look at the difference after\n"
         << "  TCMU_RBD_WRITE_PAGES=1 build/scsi_test --gtest_filter='ScsiCommandsPage.*'";
}

}  // namespace
}  // namespace tcmurbd::scsi
