// What people call things elsewhere, and what runner calls them. Pure; one table.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace runner::spec {

/// The rest of an "unknown key" message: "; did you mean `slices`?", or "" where nothing comes near.
std::string suggestion(std::string_view unknown, const std::vector<std::string>& known);

}  // namespace runner::spec
