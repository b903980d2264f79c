#include "spec/yaml_tree.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <limits>
#include <sstream>
#include <unordered_map>
#include <utility>

#include "spec/limits.hpp"
#include "spec/syntax_error.hpp"
#include "util/text.hpp"

namespace runner::spec {
namespace {

constexpr std::size_t kMaxShown = 60;

/// Thrown by the handler to end parsing early, when what there is to say has been said.
struct Stop {};

std::string shown(std::string_view text) {
  return "`" + util::escape_for_display(text, kMaxShown) + "`";
}

std::size_t offset_of(const YAML::Mark& mark) {
  return static_cast<std::size_t>(mark.pos);
}

bool is_written_null(std::string_view rest) {
  for (const std::string_view word : {"~", "null", "Null", "NULL"}) {
    if (rest.starts_with(word) && rest.substr(word.size(), 1) != ":") return true;
  }
  return false;
}

Node::Style style_of(char first) {
  switch (first) {
    case '"':
      return Node::Style::double_quoted;
    case '\'':
      return Node::Style::single_quoted;
    case '|':
      return Node::Style::literal;
    case '>':
      return Node::Style::folded;
    default:
      return Node::Style::plain;
  }
}

/// Builds the tree from yaml-cpp's events and refuses what a spec may not contain.
class Builder final : public YAML::EventHandler {
 public:
  Builder(const Source& source, Problems& problems) : source_(source), problems_(problems) {}

  [[nodiscard]] std::optional<Node> take_root() { return std::move(root_); }

  /// What a syntax error needs to be explained.
  [[nodiscard]] ParserState state(const YAML::Exception& e) const {
    ParserState state{offset_of(e.mark), e.msg, std::nullopt, closed_value_};
    for (const Node& node : open_) {
      if (node.is_flow) state.open_flow = node.offset;
    }
    return state;
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (!std::exchange(started_, true)) return;
    const std::size_t offset = offset_of(mark);
    const bool is_separated = source_.text().substr(0, offset + 3).find("\n---") != std::string_view::npos ||
                              source_.text().substr(0, offset).find("\n...") != std::string_view::npos;
    problems_.at(offset, is_separated ? "a second document: a spec is one YAML document"
                                      : "this does not fit the lines above: check its indentation");
    if (!is_separated) root_.reset();  // half a spec: what it lacks may well be in the other half
    throw Stop{};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node node = make(Node::Kind::null, mark, "?", anchor);
    node.is_empty = !is_written_null(source_.text().substr(node.offset));
    if (node.is_empty && is_value_expected()) {
      node.offset = open_.back().keys.back().offset;
      check_colon(open_.back().keys.back(), node);
    }
    attach(std::move(node));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    Node node = make(Node::Kind::null, mark, "?", YAML::NullAnchor);
    refuse(node, "aliases (`*name`) are not supported: write the value again (a text that begins with `*` in quotes)");
    attach(std::move(node));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node node = make(Node::Kind::scalar, mark, tag, anchor);
    node.value = value;
    node.style = style_of(source_.text()[node.offset]);
    if (node.style == Node::Style::single_quoted || node.style == Node::Style::double_quoted) {
      closed_value_ = node.offset;
      const bool is_closed = end_of_quoted(source_.text(), node.offset) != std::string_view::npos;
      if (!is_closed) refuse(node, "this quote is never closed");
      if (!util::is_valid_utf8(value)) {  // yaml-cpp 0.7 makes single bytes of these two
        refuse(node, "write \\u00A0 instead of \\_, and \\u0085 instead of \\N");
      }
    }
    attach(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(make(Node::Kind::list, mark, tag, anchor));
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(make(Node::Kind::map, mark, tag, anchor));
  }
  void OnMapEnd() override {
    drop_wrong_entries(open_.back());
    close();
  }

 private:
  Node make(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    Node node;
    node.kind = kind;
    node.offset = offset_of(mark);
    const std::string_view rest = source_.text().substr(node.offset);
    if (tag.size() > 1 || rest.starts_with('!')) {  // yaml-cpp gives "?" to plain and "!" to quoted text
      refuse(node, "tags (`!`) are not supported: leave it out (a text that begins with `!` in quotes)");
    } else if (anchor != YAML::NullAnchor) {
      refuse(node, "anchors (`&name`) are not supported: leave it out (a text that begins with `&` in quotes)");
    }
    check_indentation(node.offset);
    return node;
  }

  /// Of each line once, as its first node is made.
  void check_indentation(std::size_t offset) {
    const std::size_t line = source_.line_start(offset);
    if (std::exchange(checked_line_, line) == line) return;
    const auto tab = tab_in_indentation(source_, offset);
    if (tab && source_.text().find_first_not_of(" \t", *tab) == offset) {
      problems_.at(*tab, "tab in the indentation: YAML wants blanks");
    }
  }

  void refuse(Node& node, std::string message) {
    problems_.at(node.offset, std::move(message));
    node.is_refused = true;
  }

  /// `cpus` alone on a line is a key without a value to yaml-cpp.
  void check_colon(const Node& key, Node& value) {
    if (key.style != Node::Style::plain || open_.back().is_flow) return;
    const std::string_view text = source_.text();
    const std::size_t end = text.find_first_not_of(" \t", key.offset + key.value.size());
    if (end != std::string_view::npos && text[end] == ':') return;
    refuse(value, shown(key.value) + " has no colon behind it: a key is written `" +
                      util::escape_for_display(key.value, kMaxShown) + ": value`");
  }

  [[nodiscard]] bool is_value_expected() const {
    return !open_.empty() && open_.back().kind == Node::Kind::map &&
           open_.back().keys.size() > open_.back().items.size();
  }

  void open(Node node) {
    if (open_.size() >= kMaxDepth) {
      problems_.at(node.offset, "nested more than " + std::to_string(kMaxDepth) + " levels deep");
      throw Stop{};
    }
    const char first = source_.text()[node.offset];
    node.is_flow = first == (node.kind == Node::Kind::map ? '{' : '[');
    open_.push_back(std::move(node));
  }

  void close() {
    Node node = std::move(open_.back());
    open_.pop_back();
    if (node.is_flow) closed_value_ = node.offset;
    attach(std::move(node));
  }

  void attach(Node node) {
    if (open_.empty()) {
      root_ = std::move(node);
    } else if (open_.back().kind == Node::Kind::list || is_value_expected()) {
      open_.back().items.push_back(std::move(node));
    } else {
      open_.back().keys.push_back(std::move(node));
    }
  }

  /// Why the entry with this key cannot stay; nothing where it can.
  std::optional<std::string> wrong_key(const Node& key, std::unordered_map<std::string_view, std::size_t>& seen) const {
    if (key.kind != Node::Kind::scalar) {
      return key.kind == Node::Kind::null ? "a key cannot be empty or null: put it in quotes if it is a name"
                                          : "a key must be a word, not a list or a map (a text with `{` in quotes)";
    }
    if (key.style == Node::Style::plain && key.value == "<<") {
      return "merge keys (`<<`) are not supported: write the keys out";
    }
    const auto [first, is_new] = seen.emplace(key.value, key.offset);
    if (is_new) return std::nullopt;
    if (problems_.is_full()) return "";  // only counted
    const Position where = source_.position(first->second);
    return shown(key.value) + " is here for the second time: the first is at " + std::to_string(where.line) + ":" +
           std::to_string(where.column);
  }

  void drop_wrong_entries(Node& map) {
    std::unordered_map<std::string_view, std::size_t> seen;
    std::vector<bool> is_wrong;
    for (const Node& key : map.keys) {
      const auto message = key.is_refused ? std::nullopt : wrong_key(key, seen);
      if (message) problems_.at(key.offset, *message);
      is_wrong.push_back(message || key.is_refused);
    }
    seen.clear();  // it borrows the keys that move now
    std::size_t kept = 0;
    for (std::size_t i = 0; i < map.keys.size(); ++i) {
      if (is_wrong[i]) continue;
      if (kept != i) {
        map.keys[kept] = std::move(map.keys[i]);
        map.items[kept] = std::move(map.items[i]);
      }
      ++kept;
    }
    map.keys.resize(kept);
    map.items.resize(kept);
  }

  const Source& source_;
  Problems& problems_;
  bool started_ = false;
  std::vector<Node> open_;  ///< the lists and maps around the current place, outermost first
  std::optional<Node> root_;
  std::optional<std::size_t> closed_value_;
  std::optional<std::size_t> checked_line_;  ///< where it starts
};

}  // namespace

const Node* Node::find(std::string_view key) const {
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].value == key) return &items[i];
  }
  return nullptr;
}

std::optional<Node> parse_yaml(const Source& source, Problems& problems) {
  Problems found(source);
  Builder builder(source, found);
  std::istringstream in{std::string(source.text())};
  int last_line = std::numeric_limits<int>::max();
  try {
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {}
  } catch (const YAML::Exception& e) {
    const SyntaxError error = explain(source, builder.state(e));
    problems.at(error.offset, error.message);
    last_line = source.position(error.offset).line - 1;  // from that line on the parser saw what nobody wrote
  } catch (const Stop&) {                                // reported; what came before is still worth checking
  }
  problems.add(found, last_line);
  if (last_line != std::numeric_limits<int>::max()) return std::nullopt;

  auto root = builder.take_root();
  if (root && root->kind == Node::Kind::map) return root;
  if (root && root->kind != Node::Kind::null) {
    problems.at(root->offset, "a spec is a map of keys and values, such as `slices: 0-9`");
  } else if (problems.empty()) {
    problems.at(0, "the spec is empty: it needs at least `slices` and `command`");
  }
  return std::nullopt;
}

}  // namespace runner::spec
