// Reader: takes typed values out of YAML nodes. Every getter reports what is wrong where it stands and returns nothing
// then, so that reading goes on and all mistakes come out at once. Borrows the source and the problems for one load.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/spec.hpp"
#include "spec/source.hpp"
#include "spec/yaml_tree.hpp"
#include "util/clock.hpp"

namespace runner::spec {

/// What the value is for, in messages: "timeout", "retry_on[2]", "vars.seed".
using Label = std::string_view;

struct IntLimits {
  std::int64_t min = 0;
  std::int64_t max = 0;
};

class Reader {
 public:
  Reader(const Source& source, Problems& problems) : source_(source), problems_(problems) {}

  /// Any scalar as the text that is written: `1.10` stays 1.10. Refuses words that YAML versions read differently.
  std::optional<std::string> text(const Node& node, Label label);
  /// text(), but not empty.
  std::optional<std::string> nonempty_text(const Node& node, Label label);
  /// One of `words`.
  std::optional<std::string> word(const Node& node, Label label, const std::vector<std::string>& words);
  std::optional<std::int64_t> integer(const Node& node, Label label, IntLimits limits);
  /// A decimal number such as 0.5, above zero and at most `max`.
  std::optional<double> positive_number(const Node& node, Label label, double max);
  std::optional<bool> boolean(const Node& node, Label label);
  /// `may_be_zero`: whether 0 is allowed.
  std::optional<util::Duration> duration(const Node& node, Label label, bool may_be_zero);
  std::optional<std::uint64_t> size(const Node& node, Label label, bool may_be_zero);
  /// A path, made absolute from `base`.
  std::optional<std::string> path(const Node& node, Label label, const std::string& base);
  std::optional<core::TextTemplate> text_template(const Node& node, Label label, const std::vector<std::string>& names);

  /// Whether `node` has at most `max` entries; reports it where not.
  bool is_within(const Node& node, Label label, std::size_t max);
  /// Whether a text of at least `bytes` can be an argument or a variable; reports it where not.
  bool fits_argument(const Node& node, Label label, std::size_t bytes);
  /// Whether the node is a list / a map; reports it where not. `example`: how it would be right.
  bool is_list(const Node& node, Label label, std::string_view example);
  bool is_map(const Node& node, Label label, std::string_view example);
  /// Reports keys of `map` that are not in `known`. `label` is "" for the top level.
  void check_keys(const Node& map, Label label, const std::vector<std::string>& known);

  /// A problem at the node's place; silent where the node was refused before.
  void error(const Node& node, std::string message);
  /// A template's error, placed at the very character within the scalar.
  void template_error(const Node& scalar, const core::TemplateError& error);
  [[nodiscard]] const Source& source() const { return source_; }
  [[nodiscard]] Problems& problems() { return problems_; }

 private:
  bool is_scalar(const Node& node, Label label, std::string_view wanted);
  bool is_plain_number(const Node& node, Label label, std::string_view wanted);

  const Source& source_;
  Problems& problems_;
};

/// `50%` or `2.5%` -> 50, 2.5; nothing if it is no percentage.
std::optional<double> parse_percent(std::string_view text);
/// Plain decimal digits, with at most one point: 1, 0.5.
std::optional<double> parse_decimal(std::string_view text);
/// "`label`"
std::string quoted(std::string_view label);

}  // namespace runner::spec
