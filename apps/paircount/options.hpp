// Options: "--name value" pairs from the command line, taken out by name. What is left over is a mistake. Made in
// main's frame, gone with it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace paircount {

/// A command line that cannot be meant; exit code 2.
class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Options {
 public:
  /// "--name value", "--name=value"; a name in `flags` has no value; the rest are arguments.
  Options(const std::vector<std::string>& words, const std::vector<std::string>& flags);

  [[nodiscard]] bool has(const std::string& name) const { return values_.contains(name); }
  bool flag(const std::string& name);
  std::optional<std::string> text(const std::string& name);
  std::string required_text(const std::string& name);
  double number(const std::string& name, double fallback);
  std::uint64_t count(const std::string& name, std::optional<std::uint64_t> fallback = std::nullopt);
  std::string required_argument(const std::string& what);

  /// Throws UsageError if anything given was not asked for.
  void finish() const;

 private:
  std::map<std::string, std::string> values_;
  std::vector<std::string> arguments_;
};

}  // namespace paircount
