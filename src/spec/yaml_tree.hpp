// The spec's YAML as a tree of nodes that know where and how they were written. Wraps yaml-cpp's event parser, so that
// what runner does not accept (tags, anchors, duplicate keys, a second document) is seen and refused with its place.
// Nodes own their text and live as long as the load; yaml-cpp appears in no header.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spec/source.hpp"

namespace runner::spec {

struct Node {
  enum class Kind : std::uint8_t { null, scalar, list, map };
  enum class Style : std::uint8_t { plain, single_quoted, double_quoted, literal, folded };

  Kind kind = Kind::null;
  Style style = Style::plain;  ///< of a scalar
  bool is_flow = false;        ///< a list in [] or a map in {}
  bool is_empty = false;       ///< a null that is not written: `key:` and nothing behind it
  bool is_refused = false;     ///< already reported (tag, alias, unclosed quote): readers pass over it in silence
  std::size_t offset = 0;      ///< of its first byte in the source; of an empty value its key's
  std::string value;           ///< of a scalar
  std::vector<Node> items;     ///< of a list; of a map, items[i] is the value of keys[i]
  std::vector<Node> keys;      ///< of a map: scalars, each once

  [[nodiscard]] const Node* find(std::string_view key) const;
};

/// The root: a map. What is wrong is added to `problems`; after a syntax error there is no tree.
std::optional<Node> parse_yaml(const Source& source, Problems& problems);

/// Where byte `value_offset` of the scalar's value stands in the source: exact through quotes, escapes and folding,
/// if that byte is no blank.
std::size_t source_offset(std::string_view text, const Node& scalar, std::size_t value_offset);

/// The offset just behind a quoted scalar that begins at `offset`, or npos where it is never closed.
std::size_t end_of_quoted(std::string_view text, std::size_t offset);

}  // namespace runner::spec
