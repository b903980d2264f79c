#include "process.hpp"

#include <boost/system/system_error.hpp>
#include <cerrno>
#include <new>
#include <string>
#include <system_error>

#include "common.hpp"
#include "proc/child.hpp"
#include "proc/inherited.hpp"
#include "util/trust.hpp"

namespace runner::app {

namespace {

/// The machine, or a limit, denies what nobody can work without.
bool is_shortage(const std::exception& error) {
  int code = 0;
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) code = ENOMEM;
  if (const auto* refused = dynamic_cast<const std::system_error*>(&error)) code = refused->code().value();
  if (const auto* refused = dynamic_cast<const boost::system::system_error*>(&error)) code = refused->code().value();
  // ENOSPC: epoll_ctl(2) at the limit of watches.
  return code == ENOMEM || code == EAGAIN || code == EMFILE || code == ENFILE || code == ENOSPC;
}

}  // namespace

bool begin_process() {
  proc::unblock_signals();
  proc::open_standard_descriptors();  // else files of ours would be 0, 1 and 2, and written to as such
  std::string problem = proc::stack_problem();
  if (util::has_borrowed_rights()) problem = "is not made to be setuid or setgid: commands would run with those rights";
  if (!problem.empty()) complain(problem);
  return problem.empty();
}

ExitCode report(const std::exception& error) {
  if (is_shortage(error)) {
    complain(std::string("not enough memory, processes or open files to go on: ") + error.what() +
             "; what the limits are: ulimit -a");
    return kRecordFailed;
  }
  complain(std::string("a bug in runner: ") + error.what() + "; please report it with what you typed");
  return kBug;
}

}  // namespace runner::app
