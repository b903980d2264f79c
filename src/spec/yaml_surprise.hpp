// Plain words that YAML versions read differently: `no`, `010`, `12:30`. Where a spec wants text they are refused until
// they are quoted, so that an editor, Python and runner agree on what a spec says. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace runner::spec {

/// What some YAML version makes of this plain (unquoted) word, e.g. "a truth value", where that is another thing than
/// its text; nothing for every other word. `1.10`, `1e3`, `true` and dates are kept as they are written: no surprise.
std::optional<std::string> yaml_surprise(std::string_view word);

}  // namespace runner::spec
