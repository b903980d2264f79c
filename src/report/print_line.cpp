#include "report/print_line.hpp"

#include "util/text.hpp"

namespace runner::report {

namespace {

constexpr std::size_t kMemory = 64UL * 1024;  // of a partial line

std::string prefix_of(const std::string& key) {
  return util::escape_for_display(key, 200) + ": ";
}

}  // namespace

void LinePrinter::data(const core::AttemptId& id, const std::string& key, core::Stream stream, std::string_view piece) {
  const Source source{id, stream};
  // Whole lines of one piece go to the pump together.
  std::string lines;
  std::string prefix;
  while (!piece.empty()) {
    const std::size_t end = piece.find('\n');
    if (end == std::string_view::npos) {
      pump(stream).write(lines);
      keep(source, key, piece);
      return;
    }
    const std::string_view line = piece.substr(0, end + 1);
    piece.remove_prefix(end + 1);
    if (partials_.contains(source)) {  // only before the first newline of a piece
      print_partial(source, line);
      continue;
    }
    if (prefix.empty()) prefix = prefix_of(key);
    lines.append(prefix).append(line);
  }
  pump(stream).write(lines);
}

void LinePrinter::closed(const core::AttemptId& id) {
  for (const core::Stream stream : {core::Stream::out, core::Stream::err}) {
    if (partials_.contains({id, stream})) print_partial({id, stream}, "\n");
  }
}

void LinePrinter::keep(const Source& source, const std::string& key, std::string_view piece) {
  auto it = partials_.find(source);
  if (it == partials_.end()) {
    it = partials_.emplace(source, Partial{prefix_of(key), Spool(setup_.spool_dir, kMemory)}).first;
  }
  const auto kept = it->second.line.append(piece);
  if (!kept && setup_.notice) {
    setup_.notice("slice " + util::escape_for_display(key) +
                  ": a line is not printed in full: " + kept.error().message);
  }
}

/// Prefix, the kept beginning, and the rest with its newline: queued in one go, nothing can come between.
void LinePrinter::print_partial(const Source& source, std::string_view rest) {
  auto node = partials_.extract(source);
  Partial& partial = node.mapped();
  OutputPump& target = pump(source.second);
  target.write(partial.prefix);
  if (partial.line.in_memory()) {
    target.write(partial.line.text());
  } else {
    Spool::File file = partial.line.take_file();
    target.write_file(std::move(file.fd), file.size);
  }
  target.write(rest);
}

}  // namespace runner::report
