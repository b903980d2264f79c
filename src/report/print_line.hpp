// LinePrinter (--print line): every line as soon as it is whole, with its slice's key before it ("17: "), never mixed
// within a line. A line that is long before its end has come waits in an unnamed file; a last line without a newline
// gets one.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "report/printer.hpp"
#include "report/spool.hpp"

namespace runner::report {

class LinePrinter final : public Printer {
 public:
  explicit LinePrinter(PrinterSetup setup) : setup_(std::move(setup)) {}

  void data(const core::AttemptId& id, const std::string& key, core::Stream stream, std::string_view piece) override;
  void closed(const core::AttemptId& id) override;
  [[nodiscard]] bool ready() const override { return setup_.out->ready() && setup_.err->ready(); }

 private:
  struct Partial {
    std::string prefix;
    Spool line;  ///< its beginning; the newline is still to come
  };
  using Source = std::pair<core::AttemptId, core::Stream>;

  [[nodiscard]] OutputPump& pump(core::Stream stream) const {
    return stream == core::Stream::out ? *setup_.out : *setup_.err;
  }
  void keep(const Source& source, const std::string& key, std::string_view piece);
  void print_partial(const Source& source, std::string_view rest);

  PrinterSetup setup_;
  std::map<Source, Partial> partials_;
};

}  // namespace runner::report
