// SPDX-License-Identifier: Apache-2.0
#include "rbd_handler/metrics/text_writer.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace tcmurbd::metrics {

namespace {

constexpr std::string_view kHex = "0123456789abcdef";

// The length of the UTF-8 sequence that `text` begins with (RFC 3629, table 3-7 of Unicode); 0: it
// is none.
size_t sequence_length(std::string_view text) {
  const auto byte = [text](size_t i) {
    return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0};
  };
  const auto between = [&](size_t i, uint8_t low, uint8_t high) {
    return byte(i) >= low && byte(i) <= high;
  };
  const auto continues = [&](size_t i) { return between(i, 0x80, 0xbf); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return continues(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const uint8_t low = lead == 0xe0 ? 0xa0 : 0x80;
    const uint8_t high = lead == 0xed ? 0x9f : 0xbf;  // No surrogates.
    return between(1, low, high) && continues(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const uint8_t low = lead == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = lead == 0xf4 ? 0x8f : 0xbf;
    return between(1, low, high) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

template <typename Number>
void append(std::string& out, Number value) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  out.append(text.data(), end);
}

}  // namespace

std::string_view type_name(Type type) {
  switch (type) {
    case Type::kCounter:
      return "counter";
    case Type::kGauge:
      return "gauge";
    case Type::kHistogram:
      return "histogram";
    case Type::kInfo:
      return "info";
  }
  return "";
}

std::string quoted_label(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    if (length == 0) {
      const auto byte = static_cast<uint8_t>(text.front());
      out.append("\\\\x").append({kHex[byte >> 4U], kHex[byte & 0xfU]});
    } else if (text.front() == '\n') {
      out += "\\n";
    } else if (text.front() == '"' || text.front() == '\\') {
      out.append("\\").append(text.substr(0, 1));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out + '"';
}

std::string bound_text(double bound) {
  std::string text = fmt::format("{:g}", bound);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

// The older format does not know infos, and its families of counters have the names of their
// samples.
void TextWriter::begin(std::string_view name, Type type, std::string_view help) {
  sample_name_ = name;
  if (type == Type::kCounter) sample_name_ += "_total";
  if (type == Type::kInfo) sample_name_ += "_info";
  const bool open_metrics = format_ == Format::kOpenMetrics;
  const std::string_view family = open_metrics ? name : std::string_view(sample_name_);
  if (type == Type::kInfo && !open_metrics) type = Type::kGauge;
  out_.append("# HELP ").append(family).append(" ").append(help).append("\n");
  out_.append("# TYPE ").append(family).append(" ").append(type_name(type)).append("\n");
}

template <typename Number>
void TextWriter::add_line(std::string_view suffix, std::string_view labels, std::string_view more,
                          Number value) {
  out_.append(sample_name_).append(suffix);
  if (!labels.empty() || !more.empty()) {
    out_ += '{';
    out_.append(labels);
    if (!labels.empty() && !more.empty()) out_ += ',';
    out_.append(more).append("}");
  }
  out_ += ' ';
  append(out_, value);
  out_ += '\n';
}

template void TextWriter::add_line(std::string_view, std::string_view, std::string_view, uint64_t);
template void TextWriter::add_line(std::string_view, std::string_view, std::string_view, double);

std::string TextWriter::finish() && {
  out_ += "# EOF\n";
  return std::move(out_);
}

}  // namespace tcmurbd::metrics
