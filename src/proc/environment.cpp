#include "proc/environment.hpp"

#include <algorithm>
#include <cstring>

namespace runner::proc {
namespace {

std::string_view name_of(const char* variable) {
  const char* equals = std::strchr(variable, '=');
  return equals == nullptr ? std::string_view(variable)
                           : std::string_view(variable, static_cast<std::size_t>(equals - variable));
}

/// Room for them all, so that none moves that is there when the next is appended.
template <class... Strings>
void reserve(std::vector<char>& text, const Strings&... strings) {
  std::size_t size = 0;
  const auto add = [&](const auto& some) {
    for (const auto& one : some) size += one.size() + 1;
  };
  (add(strings), ...);
  text.reserve(size);
}

const char* append(std::vector<char>& text, const std::string& string) {
  const std::size_t begin = text.size();
  text.insert(text.end(), string.c_str(), string.c_str() + string.size() + 1);
  return text.data() + begin;
}

}  // namespace

Environment::Environment(const char* const* inherited, const std::vector<std::string>& more) {
  std::vector<std::string> all = more;
  for (; inherited != nullptr && *inherited != nullptr; ++inherited) all.emplace_back(*inherited);
  reserve(inherited_text_, all);
  for (const auto& variable : all) {
    const std::size_t equals = variable.find('=');
    const bool is_variable = equals != std::string::npos && equals != 0;
    if (is_variable && position_.contains(name_of(variable.c_str()))) continue;
    inherited_.push_back(append(inherited_text_, variable));
    if (is_variable) position_.emplace(name_of(inherited_.back()), inherited_.size() - 1);
  }
}

const char* const* Environment::with(const std::vector<std::string>& variables, std::span<const std::string> last) {
  built_ = inherited_;
  added_text_.clear();
  reserve(added_text_, variables, last);
  std::size_t number = 0;
  for (const auto& variable : variables) add(variable, number++);
  for (const auto& variable : last) add(variable, number++);
  built_.push_back(nullptr);
  return built_.data();
}

/// `number`: it is the how-manieth of its call. What went before it has the same places as in the call before, or its
/// place is forgotten.
void Environment::add(const std::string& variable, std::size_t number) {
  const bool is_known = number < places_.size() && variable.starts_with(places_[number].start);
  if (!is_known) {
    places_.resize(std::min(places_.size(), number));
    const std::string_view name = name_of(variable.c_str());
    places_.push_back({std::string(name) + '=', place_of(name)});
  }
  const char* copy = append(added_text_, variable);
  const std::size_t index = places_[number].index;
  if (index == built_.size()) {
    built_.push_back(copy);
  } else {
    built_[index] = copy;
  }
}

std::size_t Environment::place_of(std::string_view name) const {
  if (const auto known = position_.find(name); known != position_.end()) return known->second;
  std::size_t index = inherited_.size();
  while (index < built_.size() && built_[index] != nullptr && name_of(built_[index]) != name) ++index;
  return index;
}

const char* Environment::find(std::string_view name) const {
  const std::size_t index = built_.empty() ? 0 : place_of(name);
  if (index >= built_.size() || built_[index] == nullptr) return nullptr;
  return built_[index][name.size()] == '=' ? built_[index] + name.size() + 1 : nullptr;
}

}  // namespace runner::proc
