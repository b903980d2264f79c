#include "report/print_escaped.hpp"

namespace runner::report {

void EscapedPrinter::data(const core::AttemptId& id, const std::string& key, core::Stream stream,
                          std::string_view piece) {
  if (!(stream == core::Stream::out ? escape_out_ : escape_err_)) return printer_->data(id, key, stream, piece);
  Source& source = sources_.try_emplace({id, stream}, Source{key, {}}).first->second;
  if (const std::string safe = source.escape(piece); !safe.empty()) printer_->data(id, key, stream, safe);
}

void EscapedPrinter::closed(const core::AttemptId& id) {
  for (const core::Stream stream : {core::Stream::out, core::Stream::err}) {
    auto node = sources_.extract({id, stream});
    if (node.empty()) continue;
    const std::string rest = node.mapped().escape.finish();
    if (!rest.empty()) printer_->data(id, node.mapped().key, stream, rest);
  }
  printer_->closed(id);
}

}  // namespace runner::report
