#include "report/print_group.hpp"

#include "util/text.hpp"

namespace runner::report {

namespace {

constexpr std::size_t kMemory = 16UL * 1024;  // per slice and stream; most slices write less

void print(Spool& spool, OutputPump& pump) {
  if (spool.in_memory()) {
    pump.write(spool.text());
  } else {
    Spool::File file = spool.take_file();
    pump.write_file(std::move(file.fd), file.size);
  }
}

}  // namespace

void GroupPrinter::data(const core::AttemptId& id, const std::string& key, core::Stream stream,
                        std::string_view piece) {
  auto it = outputs_.find(id);
  if (it == outputs_.end()) {
    it = outputs_.emplace(id, Output{Spool(setup_.spool_dir, kMemory), Spool(setup_.spool_dir, kMemory)}).first;
  }
  Spool& spool = stream == core::Stream::out ? it->second.out : it->second.err;
  const auto kept = spool.append(piece);
  if (!kept && setup_.notice) {
    setup_.notice("slice " + util::escape_for_display(key) +
                  ": its output is not printed in full: " + kept.error().message);
  }
}

void GroupPrinter::closed(const core::AttemptId& id) {
  const auto it = outputs_.find(id);
  if (it == outputs_.end()) return;  // it wrote nothing
  print(it->second.out, *setup_.out);
  print(it->second.err, *setup_.err);
  outputs_.erase(it);
}

}  // namespace runner::report
