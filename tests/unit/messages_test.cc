// SPDX-License-Identifier: Apache-2.0
// The journal's catalog and the table of OPERATING.md match the messages. Writes both if
// TCMU_RBD_WRITE_PAGES is set.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "common/log.h"
#include "rbd_handler/messages/all.h"

namespace tcmurbd::messages {
namespace {

constexpr const char* kHowTo =
    "update it: TCMU_RBD_WRITE_PAGES=1 build/messages_test --gtest_filter='MessagesPage.*'";
constexpr std::string_view kBegin = "<!-- begin -->\n";
constexpr std::string_view kEnd = "<!-- end -->";

std::vector<const LogMessage*> all() {
  std::vector<const LogMessage*> found;
  for (const Group& group : kAll)
    found.insert(found.end(), group.messages.begin(), group.messages.end());
  return found;
}

std::string content(const char* path) {
  std::ifstream file(path);
  std::stringstream stream;
  stream << file.rdbuf();
  return stream.str();
}

bool writes_pages() { return std::getenv("TCMU_RBD_WRITE_PAGES") != nullptr; }

std::string_view action_of(const LogMessage& message) {
  return message.action.empty() ? "nothing" : message.action;
}

std::string table() {
  std::string out;
  for (const Group& group : kAll) {
    out += fmt::format(
        "### {}\n\n| the log says | level | meaning | what to do |\n|---|---|---|---|\n",
        group.title);
    for (const LogMessage* message : group.messages) {
      const auto level = spdlog::level::to_string_view(message->level);
      out += fmt::format("| `{}` | {} | {} | {} |\n", outline(message->text),
                         std::string(level.data(), level.size()), message->meaning,
                         action_of(*message));
    }
    out += "\n";
  }
  return out;
}

// See `man catalog` in systemd's sources: an entry is "-- ID", headers, an empty line, the text.
std::string catalog() {
  std::string out =
      "# SPDX-License-Identifier: Apache-2.0\n"
      "# Made from rbd_handler/messages, like the table in OPERATING.md.\n";
  for (const LogMessage* message : all())
    out += fmt::format(
        "\n-- {}\nSubject: {}\nDefined-By: tcmu-rbd\nDocumentation: man:tcmu-rbd(8)\n\n{}.\n\nWhat "
        "to do: {}.\n",
        message->id, outline(message->text), message->meaning, action_of(*message));
  return out;
}

TEST(Messages, HaveIdsOfTheirOwn) {
  std::set<std::string_view> ids;
  for (const LogMessage* message : all()) {
    EXPECT_EQ(message->id.size(), 32U) << message->text;
    EXPECT_EQ(message->id.find_first_not_of("0123456789abcdef"), message->id.npos) << message->text;
    EXPECT_TRUE(ids.insert(message->id).second) << message->text;
  }
}

TEST(Messages, SayWhatTheyMean) {
  for (const LogMessage* message : all()) {
    EXPECT_GT(message->meaning.size(), 3U) << message->text;
    for (const std::string_view words : {message->text, message->meaning, message->action}) {
      EXPECT_FALSE(words.ends_with('.')) << words;
      EXPECT_EQ(words.find_first_of("|\n@"), words.npos) << words;
    }
  }
}

TEST(MessagesPage, OperatingIsMadeOfThem) {
  const std::string page = content(OPERATING_PAGE);
  const size_t begin = page.find(kBegin);
  const size_t end = page.find(kEnd);
  ASSERT_NE(begin, page.npos);
  ASSERT_NE(end, page.npos);
  const size_t from = begin + kBegin.size();
  if (writes_pages()) {
    std::ofstream(OPERATING_PAGE) << page.substr(0, from) << table() << page.substr(end);
    return;
  }
  EXPECT_EQ(page.substr(from, end - from), table()) << kHowTo;
}

TEST(MessagesPage, TheCatalogIsMadeOfThem) {
  if (writes_pages()) {
    std::ofstream(CATALOG) << catalog();
    return;
  }
  EXPECT_EQ(content(CATALOG), catalog()) << kHowTo;
}

}  // namespace
}  // namespace tcmurbd::messages
