#include "spec/source.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>
#include <tuple>

#include "util/text.hpp"

namespace runner::spec {
namespace {

constexpr std::string_view kUtf8Mark = "\xEF\xBB\xBF";

/// Length of the valid UTF-8 sequence at the start of `text`, 0 if there is none.
std::size_t utf8_length(std::string_view text) {
  for (std::size_t n = 1; n <= std::min<std::size_t>(4, text.size()); ++n) {
    if (util::is_valid_utf8(text.substr(0, n))) return n;
  }
  return 0;
}

std::string hex_byte(char c) {
  std::array<char, 8> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "\\x%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
  return buffer.data();
}

std::string invalid_utf8_message(std::string_view text, std::size_t offset) {
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    return "the file is UTF-16: save it as UTF-8";
  }
  return "byte " + hex_byte(text[offset]) + " is not valid UTF-8: save the file as UTF-8";
}

bool is_forbidden_control(std::string_view text, std::size_t i) {
  const auto c = static_cast<unsigned char>(text[i]);
  if (c == '\r') return i + 1 >= text.size() || text[i + 1] != '\n';
  return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F;
}

std::string control_message(char c) {
  if (c == '\0') return "NUL byte: a spec is plain text";
  if (c == '\r') return "carriage return without a line feed: end lines with \\n (or \\r\\n)";
  return "control character " + hex_byte(c) + ": write it as an escape in double quotes, or leave it out";
}

}  // namespace

std::string to_string(const Problem& problem) {
  std::string text = util::escape_for_display(problem.file, 4096);
  if (problem.line > 0) text += ":" + std::to_string(problem.line) + ":" + std::to_string(problem.column);
  return text + ": " + util::escape_for_display(problem.message, 10'000);
}

Source::Source(std::string file, std::string_view text)
    : file_(std::move(file)), text_(text.substr(text.starts_with(kUtf8Mark) ? kUtf8Mark.size() : 0)), line_starts_{0} {
  for (std::size_t i = 0; i < text_.size(); ++i) {
    if (text_[i] == '\n') line_starts_.push_back(i + 1);
  }
}

std::size_t Source::line_start(std::size_t offset) const {
  return *std::prev(std::upper_bound(line_starts_.begin(), line_starts_.end(), offset));
}

Position Source::position(std::size_t offset) const {
  offset = std::min(offset, text_.size());
  const auto next = std::upper_bound(line_starts_.begin(), line_starts_.end(), offset);
  const auto is_character_start = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; };
  const std::string_view before = std::string_view(text_).substr(*std::prev(next), offset - *std::prev(next));
  return {static_cast<int>(next - line_starts_.begin()),
          static_cast<int>(std::count_if(before.begin(), before.end(), is_character_start)) + 1};
}

void Problems::at(std::size_t offset, std::string message) {
  if (is_full()) {
    ++more_;
    return;
  }
  const Position where = source_.position(offset);
  elsewhere(source_.file(), where.line, where.column, std::move(message));
}

void Problems::elsewhere(std::string file, int line, int column, std::string message) {
  if (is_full()) {
    ++more_;
  } else {
    problems_.push_back({std::move(file), line, column, std::move(message)});
  }
}

void Problems::add(const Problems& other, int last_line) {
  for (const Problem& p : other.problems_) {
    if (p.line <= last_line) elsewhere(p.file, p.line, p.column, p.message);
  }
  more_ += other.more_;
}

std::vector<Problem> Problems::sorted() const {
  std::vector<Problem> sorted = problems_;
  const auto rank = [this](const Problem& p) {
    return std::make_tuple(p.file != source_.file(), std::string_view(p.file), p.line, p.column);
  };
  std::stable_sort(sorted.begin(), sorted.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  // What several jobs take from the top of the spec is read for each of them.
  std::set<std::tuple<std::string, int, int, std::string>> seen;
  std::erase_if(sorted, [&](const Problem& p) { return !seen.emplace(p.file, p.line, p.column, p.message).second; });
  if (more_ > 0) sorted.push_back({source_.file(), 0, 0, "and " + util::format_count(more_) + " more mistakes"});
  return sorted;
}

void check_characters(const Source& source, Problems& problems) {
  const std::string_view text = source.text();
  bool invalid_seen = false;
  std::string controls_seen;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = static_cast<unsigned char>(text[i]) < 0x80 ? 1 : utf8_length(text.substr(i, 4));
    if (length == 0 && !invalid_seen) {
      invalid_seen = true;
      problems.at(i, invalid_utf8_message(text, i));
    }
    if (is_forbidden_control(text, i) && controls_seen.find(text[i]) == std::string::npos) {
      controls_seen += text[i];
      if (!invalid_seen || text[i] != '\0') problems.at(i, control_message(text[i]));
    }
    i += std::max<std::size_t>(length, 1);
  }
}

}  // namespace runner::spec
