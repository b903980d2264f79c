#include "report/printer.hpp"

#include <array>

#include "report/print_escaped.hpp"
#include "report/print_group.hpp"
#include "report/print_line.hpp"
#include "util/text.hpp"

namespace runner::report {

namespace {

struct Entry {
  std::string_view name;
  std::unique_ptr<Printer> (*make)(PrinterSetup setup);
};

template <class T>
std::unique_ptr<Printer> make(PrinterSetup setup) {
  return std::make_unique<T>(std::move(setup));
}

constexpr std::array kPrinters = {Entry{"group", make<GroupPrinter>}, Entry{"line", make<LinePrinter>}};

}  // namespace

util::Result<std::unique_ptr<Printer>> make_printer(std::string_view name, PrinterSetup setup) {
  std::string names;
  for (const Entry& entry : kPrinters) {
    if (entry.name == name) {
      const bool escape_out = setup.escape_out;
      const bool escape_err = setup.escape_err;
      auto printer = entry.make(std::move(setup));
      if (!escape_out && !escape_err) return printer;
      return std::unique_ptr<Printer>(std::make_unique<EscapedPrinter>(std::move(printer), escape_out, escape_err));
    }
    names += (names.empty() ? "" : ", ") + std::string(entry.name);
  }
  return util::Error{"cannot print '" + util::escape_for_display(name) + "'; there are: " + names};
}

std::vector<std::string> printer_names() {
  std::vector<std::string> names;
  names.reserve(kPrinters.size());
  for (const Entry& entry : kPrinters) names.emplace_back(entry.name);
  return names;
}

}  // namespace runner::report
