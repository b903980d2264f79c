// A TCP port of this machine that nobody listens on at the moment. Plain function, keeps nothing.
#pragma once

#include <cstdint>

namespace runner::host {

/// 0 where there is none to be had. Somebody else may take it before it is used; the kernel gives other ones first.
[[nodiscard]] std::uint16_t free_port();

}  // namespace runner::host
