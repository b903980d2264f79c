#include "report/terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

namespace runner::report {

namespace {

constexpr unsigned kDefaultColumns = 80;

unsigned columns_of(int fd) {
  const pid_t foreground = ::tcgetpgrp(fd);
  if (foreground >= 0 && foreground != ::getpgrp()) return 0;
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return kDefaultColumns;
}

}  // namespace

Terminal detect_terminal(int fd, ColorMode mode) {
  const char* term = std::getenv("TERM");
  const char* no_color = std::getenv("NO_COLOR");
  Terminal terminal;
  terminal.live = ::isatty(fd) == 1 && term != nullptr && *term != '\0' && std::string_view(term) != "dumb";
  switch (mode) {
    case ColorMode::automatic:
      terminal.color = terminal.live && (no_color == nullptr || *no_color == '\0');
      break;
    case ColorMode::always:
      terminal.color = true;
      break;
    case ColorMode::never:
      break;
  }
  if (terminal.live) terminal.columns = [fd] { return columns_of(fd); };
  return terminal;
}

std::string Style::operator()(Tone tone, std::string_view word) const {
  if (!color_) return std::string(word);
  std::string_view start;
  switch (tone) {
    case Tone::good:
      start = "\x1b[32m";
      break;
    case Tone::bad:
      start = "\x1b[31m";
      break;
    case Tone::caution:
      start = "\x1b[33m";
      break;
  }
  return std::string(start) + std::string(word) + "\x1b[0m";
}

std::string Style::operator()(core::State state) const {
  switch (state) {
    case core::State::completed:
    case core::State::running:
      return (*this)(Tone::good, core::name(state));
    case core::State::terminated:
    case core::State::disabled:
      return (*this)(Tone::bad, core::name(state));
    case core::State::initial:
    case core::State::ready:
    case core::State::suspended:
      break;
  }
  return (*this)(Tone::caution, core::name(state));
}

}  // namespace runner::report
