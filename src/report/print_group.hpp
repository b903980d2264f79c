// GroupPrinter (--print group): each slice's output in one piece once it has ended, in the order of completion - its
// stdout to stdout, then its stderr to stderr. What is long waits in unnamed files, so that memory stays flat.
#pragma once

#include <map>
#include <string>

#include "report/printer.hpp"
#include "report/spool.hpp"

namespace runner::report {

class GroupPrinter final : public Printer {
 public:
  explicit GroupPrinter(PrinterSetup setup) : setup_(std::move(setup)) {}

  void data(const core::AttemptId& id, const std::string& key, core::Stream stream, std::string_view piece) override;
  void closed(const core::AttemptId& id) override;
  [[nodiscard]] bool ready() const override { return setup_.out->ready() && setup_.err->ready(); }

 private:
  struct Output {
    Spool out;
    Spool err;
  };

  PrinterSetup setup_;
  std::map<core::AttemptId, Output> outputs_;
};

}  // namespace runner::report
