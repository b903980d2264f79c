// What slices say of themselves, as text.
#include <doctest/doctest.h>

#include "exec/notify_socket.hpp"

using namespace runner;
using namespace runner::exec;

TEST_CASE("a notification's status and progress are read, and everything else is passed over") {
  const core::Report both = parse_notification("READY=1\nSTATUS=reading\nX_PROGRESS=0.35\nMAINPID=7\n");
  CHECK(both.status == "reading");
  CHECK(both.progress == 0.35);
  CHECK(parse_notification("X_PROGRESS=1").progress == 1.0);
  CHECK(parse_notification("STATUS=").status == "");
  for (const char* nothing : {"", "\n\n", "READY=1", "X_PROGRESS=", "X_PROGRESS=half", "X_PROGRESS=1.01",
                              "X_PROGRESS=-0.1", "X_PROGRESS=nan", "X_PROGRESS=0.5 ", "x_progress=0.5", "BARRIER=1"}) {
    CAPTURE(nothing);
    CHECK(parse_notification(nothing).empty());
  }
  CHECK(parse_notification("STATUS=" + std::string(5000, 'x')).status->size() == 200);
}
