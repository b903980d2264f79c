// TapGate: the tap as the captures see it. Passes everything on, and notes when it is found to take no more and when it
// takes output again. Owned by the local executor; the tap and the notes outlive it.
#pragma once

#include <string>
#include <string_view>

#include "exec/notes.hpp"

namespace runner::exec {

class TapGate final : public core::OutputTap {
 public:
  TapGate(core::OutputTap& tap, Notes& notes) : tap_(tap), notes_(notes) {}

  void data(const core::AttemptId& id, const std::string& key, core::Stream stream, std::string_view piece) override {
    tap_.data(id, key, stream, piece);
  }
  void closed(const core::AttemptId& id) override { tap_.closed(id); }
  /// Captures ask before each read: an attempt that waits for us has made its capture ask.
  [[nodiscard]] bool ready() const override {
    const bool ready = tap_.ready();
    if (ready == held_) {
      held_ = !ready;
      notes_.add(HeldNote{held_});
    }
    return ready;
  }

 private:
  core::OutputTap& tap_;
  Notes& notes_;
  mutable bool held_ = false;
};

}  // namespace runner::exec
