// EscapedPrinter: hands slices' output to another printer, made safe for a terminal (util/display.hpp): a slice cannot
// clear the screen, rename the window, or write over the lines of another. Made by make_printer() where it is needed.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "report/printer.hpp"
#include "util/display.hpp"

namespace runner::report {

class EscapedPrinter final : public Printer {
 public:
  /// Escapes what comes from a stream whose pump writes to a terminal.
  EscapedPrinter(std::unique_ptr<Printer> printer, bool escape_out, bool escape_err)
      : printer_(std::move(printer)), escape_out_(escape_out), escape_err_(escape_err) {}

  void data(const core::AttemptId& id, const std::string& key, core::Stream stream, std::string_view piece) override;
  void closed(const core::AttemptId& id) override;
  [[nodiscard]] bool ready() const override { return printer_->ready(); }

 private:
  struct Source {
    std::string key;
    util::StreamEscaper escape;
  };

  std::unique_ptr<Printer> printer_;
  bool escape_out_;
  bool escape_err_;
  std::map<std::pair<core::AttemptId, core::Stream>, Source> sources_;
};

}  // namespace runner::report
