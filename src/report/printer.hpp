// Printers: what `--print NAME` can do with the slices' own output, and the one table of their names. A printer is an
// OutputTap; it queues what is due to two pumps and never blocks. Owned by apps/; the pumps outlive it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/output_tap.hpp"
#include "report/output_pump.hpp"
#include "util/result.hpp"

namespace runner::report {

class Printer : public core::OutputTap {
 public:
  virtual ~Printer() = default;
};

struct PrinterSetup {
  OutputPump* out = nullptr;  ///< both may be the same pump
  OutputPump* err = nullptr;
  std::string spool_dir;                           ///< for output that has to wait; files there have no name
  std::function<void(const std::string&)> notice;  ///< output that could not be kept (disk full): it is in its log
  bool escape_out = false;                         ///< `out` writes to a terminal
  bool escape_err = false;                         ///< `err` does
};

/// The error lists the names there are.
util::Result<std::unique_ptr<Printer>> make_printer(std::string_view name, PrinterSetup setup);
std::vector<std::string> printer_names();

}  // namespace runner::report
