// Environment: the children's envp. The inherited part is prepared once; each launch adds its own variables, which
// replace inherited ones of the same name. Owned by an executor. Never prints a value.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace runner::proc {

class Environment {
 public:
  /// `inherited`: null-terminated "NAME=value" strings, copied. `more` is as if it was inherited before them: of
  /// several with one name only the first is left, which is what getenv(3) finds.
  explicit Environment(const char* const* inherited, const std::vector<std::string>& more = {});
  ~Environment() = default;
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  /// The inherited variables, then `variables` ("NAME=value"; a later one of the same name wins), then `last`.
  /// Valid until the next call.
  const char* const* with(const std::vector<std::string>& variables, std::span<const std::string> last = {});

  /// A variable's value in the environment that with() made last; nullptr: not set.
  [[nodiscard]] const char* find(std::string_view name) const;

 private:
  std::size_t place_of(std::string_view name) const;
  void add(const std::string& variable, std::size_t number);

  // In as few pages as can be: the kernel reads every string at exec, one at a time.
  std::vector<char> inherited_text_;
  std::vector<const char*> inherited_;                          ///< into inherited_text_
  std::unordered_map<std::string_view, std::size_t> position_;  ///< name -> index in inherited_
  std::vector<char> added_text_;                                ///< by the last call
  std::vector<const char*> built_;
  /// Of the variables of the call before, and where they went: one launch sets the same as the next, as a rule.
  struct Place {
    std::string start;  ///< "NAME="
    std::size_t index = 0;
  };
  std::vector<Place> places_;
};

}  // namespace runner::proc
