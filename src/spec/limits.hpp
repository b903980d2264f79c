// How much of anything a spec and the files it names may hold. A load is then over within seconds, and what is refused
// is said by name and number: in the spec, not by the kernel in each slice. README.md lists them for users.
#pragma once

#include <cstddef>
#include <cstdint>

namespace runner::spec {

inline constexpr std::size_t kMaxSpecBytes = 16U << 20U;
inline constexpr std::size_t kMaxDataBytes = 1U << 30U;  ///< of a file of lines or a table
inline constexpr std::size_t kMaxDepth = 32;             ///< of lists and maps in each other

/// Lines, cells, or files that a pattern matches.
inline constexpr std::size_t kMaxEntries = 50'000'000;
/// Variables, axes, columns: each is in the environment of each slice, and looked for in each template.
inline constexpr std::size_t kMaxNames = 1'000;
inline constexpr std::size_t kMaxNameBytes = 100;
inline constexpr std::size_t kMaxJobs = 1'000;
inline constexpr std::int64_t kMaxProcs = 100'000;

/// Mistakes that are shown; the rest is only counted: nobody reads more, and finding their places takes time.
inline constexpr std::size_t kMaxProblems = 100;
inline constexpr std::size_t kMaxDataProblems = 10;  ///< of one data file

}  // namespace runner::spec
