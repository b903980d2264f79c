// OutputTap: takes the output of attempts while they run, when it is to be shown as well as logged (--print). What
// executors feed and report/ implements; here so that neither has to know the other. Called from the loop's thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/attempt.hpp"

namespace runner::core {

enum class Stream : std::uint8_t { out, err };

class OutputTap {
 public:
  /// Pieces come in the order in which they were read; a piece may end anywhere.
  virtual void data(const AttemptId& id, const std::string& key, Stream stream, std::string_view piece) = 0;
  /// Both streams of the attempt are at their end; called before finished().
  virtual void closed(const AttemptId& id) = 0;
  /// False while it cannot take more: the executor then stops reading (the slices' pipes fill and they wait).
  [[nodiscard]] virtual bool ready() const = 0;

 protected:
  ~OutputTap() = default;
};

}  // namespace runner::core
