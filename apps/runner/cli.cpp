#include "cli.hpp"

#include <algorithm>
#include <boost/program_options.hpp>
#include <filesystem>
#include <runner/counter.hpp>
#include <sstream>

#include "shared/semaphore.hpp"
#include "util/text.hpp"

namespace runner::app {

namespace po = boost::program_options;

namespace {

constexpr std::string_view kOverview =
    R"(runner - run one command over many slices of a data set, N at a time

usage:
  runner SPEC [options]                start a run (= runner run SPEC)
  runner SPEC --resume                 finish the last run: what has not run, failed or was lost (= runner resume SPEC)
  runner SPEC -n                       print the exact commands, start nothing
  runner status [SPEC] [--json]        what runs, what is done, what failed and why, what to type next
  runner logs SPEC SLICE [-f]          the output of a slice
  runner check SPEC                    validate the spec and show the plan
  runner help [run|status|logs|check]  options of a subcommand; runner --version

a run that is live:
  runner suspend SPEC [--slices ...]   stop what runs where it is, and start nothing; go on: runner resume SPEC
  runner cancel SPEC [--slices ...]    end it without a retry
  runner retry SPEC [--slices ...]     run again now what has failed for good
  runner disable SPEC [--slices ...]   leave out what has not begun; the opposite: runner enable SPEC
  runner scale SPEC N                  so many at a time

in a slice:
  runner sem NAME [--slots N] -- COMMAND    run it while at most N at once, on this machine, are in NAME
  runner count NAME [N]                     add N (or 1) to a counter of the run, if this attempt succeeds

exit status:
  0  every slice succeeded             4    the record or stdout could not be written (disk full, I/O error)
  1  some slices did not               70   a bug in runner
  2  wrong usage or spec               75   another run of this spec is live
  3  stopped by max_failed or cancel   128+n  ended by signal n
)";

/// The subcommands; the first word of the command line, or a spec for `run`.
enum class Verb : std::uint8_t {
  run,
  resume,
  status,
  logs,
  check,
  sem,
  count,
  suspend,
  cancel,
  retry,
  disable,
  enable,
  scale
};
constexpr std::array<std::pair<std::string_view, Verb>, 13> kVerbs = {{{"run", Verb::run},
                                                                       {"resume", Verb::resume},
                                                                       {"status", Verb::status},
                                                                       {"logs", Verb::logs},
                                                                       {"check", Verb::check},
                                                                       {"sem", Verb::sem},
                                                                       {"count", Verb::count},
                                                                       {"suspend", Verb::suspend},
                                                                       {"cancel", Verb::cancel},
                                                                       {"retry", Verb::retry},
                                                                       {"disable", Verb::disable},
                                                                       {"enable", Verb::enable},
                                                                       {"scale", Verb::scale}}};

std::optional<Verb> verb_from(std::string_view word) {
  const auto* it = std::ranges::find(kVerbs, word, &std::pair<std::string_view, Verb>::first);
  if (it == kVerbs.end()) return std::nullopt;
  return it->second;
}

po::options_description options_in_a_slice(Verb verb) {
  po::options_description options("options");
  auto add = options.add_options();
  if (verb == Verb::sem) {
    add("slots", po::value<std::string>()->value_name("N"),
        "how many may be in it at once (default: 1; the same for all who use it)");
    add("timeout", po::value<std::string>()->value_name("TIME"),
        "wait no longer than that, such as 90s or 2h: then exit 75");
    add("dir", po::value<std::string>()->value_name("DIR"), "where its file is (default: in the directory of the run)");
  }
  add("help,h", po::bool_switch(), "this text");
  return options;
}

bool is_control(Verb verb) {
  return verb >= Verb::suspend;
}

std::string_view name_of(Verb verb) {
  return std::ranges::find(kVerbs, verb, &std::pair<std::string_view, Verb>::second)->first;
}

bool is_for_slices(Verb verb) {
  return verb == Verb::sem || verb == Verb::count;
}

po::options_description options_of(Verb verb) {
  if (is_for_slices(verb)) return options_in_a_slice(verb);
  po::options_description options("options");
  auto add = options.add_options();
  const bool runs = verb == Verb::run || verb == Verb::resume;
  if (verb == Verb::run) add("resume", po::bool_switch(), "finish the last run instead of starting a new one");
  if (runs) {
    add("dry-run,n", po::bool_switch(), "print the exact commands on stdout, start nothing");
    add("accept-changes", po::bool_switch(),
        verb == Verb::run ? "with --resume: go on although the spec changed; slices match by key"
                          : "go on although the spec changed; slices match by key");
    add("slices", po::value<std::vector<std::string>>()->composing()->value_name("LIST"),
        "only these, as `runner status` prints them: 3,7-9; of several jobs: JOB/3,7-9, may be repeated");
    add("survivors", po::value<std::string>()->value_name("WHAT"),
        "processes that outlived a runner that was killed: kill or refuse to start");
    add("no-guard", po::bool_switch(), "no second process that watches over the run: for debuggers");
    add("print", po::value<std::string>()->value_name("HOW"),
        "also write the slices' output to stdout and stderr: group, line or none");
  }
  if (is_control(verb) && verb != Verb::scale) {
    add("slices", po::value<std::vector<std::string>>()->composing()->value_name("LIST"),
        "only these: 3,7-9; of several jobs: JOB/3,7-9, or JOB for all of it; may be repeated");
  }
  if (runs || verb == Verb::check) {
    add("n-procs,j", po::value<std::string>()->value_name("N"), "slices at a time: a number, auto or 50%");
    add("set", po::value<std::vector<std::string>>()->composing()->value_name("VAR=VALUE"),
        "set a variable of the spec's `vars`");
  }
  if (verb == Verb::status) {
    add("format", po::value<std::string>()->value_name("FORMAT"), "table, json or joblog (as GNU parallel writes it)");
    add("json", po::bool_switch(), "the same as --format json");
  }
  if (verb == Verb::logs) {
    add("follow,f", po::bool_switch(), "go on as the log grows, until the attempt ends");
    add("attempt", po::value<std::int64_t>()->value_name("N"), "of this attempt (default: the last)");
  }
  if (verb == Verb::status || verb == Verb::logs) {
    add("run", po::value<std::string>()->value_name("ID"), "of the run with this id (default: the newest)");
  }
  add("state-dir", po::value<std::string>()->value_name("DIR"),
      "where the record is kept (default: .runner/NAME beside the spec)");
  add("color", po::value<std::string>()->value_name("WHEN"), "always, never or auto");
  add("quiet,q", po::bool_switch(), "say nothing but errors");
  add("verbose,v", po::bool_switch(), "say more; -vv for everything");
  add("help,h", po::bool_switch(), "this text");
  return options;
}

std::string usage_of(Verb verb) {
  switch (verb) {
    case Verb::run:
      return "usage: runner [run] SPEC [options]";
    case Verb::resume:
      return "usage: runner resume SPEC [options]";
    case Verb::status:
      return "usage: runner status [SPEC] [options]";
    case Verb::logs:
      return "usage: runner logs SPEC SLICE [options]";
    case Verb::check:
      return "usage: runner check SPEC [options]";
    case Verb::sem:
      return "usage: runner sem NAME [options] -- COMMAND [ARGUMENT...]";
    case Verb::count:
      return "usage: runner count NAME [N]";
    case Verb::scale:
      return "usage: runner scale SPEC N [options]";
    case Verb::suspend:
    case Verb::cancel:
    case Verb::retry:
    case Verb::disable:
    case Verb::enable:
      return "usage: runner " + std::string(name_of(verb)) + " SPEC [--slices ...] [options]";
  }
  return {};
}

Help help_of(Verb verb) {
  std::ostringstream text;
  text << usage_of(verb) << "\n";
  if (verb == Verb::resume) text << "finish the last run; of a run that is live: let what was suspended go on\n";
  text << options_of(verb);
  return {text.str()};
}

UsageError mistake(std::string message) {
  return {std::move(message) + "; see: runner --help"};
}

/// An unknown option with the one that it begins, or the nearest that exists.
UsageError unknown_option(const std::string& option, Verb verb, const po::options_description& options) {
  const auto meant = option.starts_with("--") ? verb_from(option.substr(2)) : std::nullopt;
  if (verb == Verb::run && meant && meant != verb) {
    return mistake("unknown option '" + option + "', did you mean `runner " + option.substr(2) + "`?");
  }
  std::vector<std::string> known;
  for (const auto& one : options.options()) known.push_back("--" + one->long_name());
  const auto begun = std::ranges::find_if(known, [&](const auto& name) { return name.starts_with(option); });
  const auto guess = option.size() > 2 && begun != known.end() ? std::optional(*begun) : util::closest(option, known);
  return mistake("unknown option '" + util::escape_for_display(option) + "'" +
                 (guess ? ", did you mean '" + *guess + "'?" : ""));
}

using Values = po::variables_map;

bool has(const Values& values, const char* name) {
  const auto it = values.find(name);
  return it != values.end() && it->second.as<bool>();
}

std::optional<std::string> text_of(const Values& values, const char* name) {
  const auto it = values.find(name);
  if (it == values.end()) return std::nullopt;
  return it->second.as<std::string>();
}

std::optional<UsageError> read_common(const Values& values, bool very_verbose, Common& common) {
  common.overrides.n_procs = text_of(values, "n-procs");
  common.overrides.state_dir = text_of(values, "state-dir");
  if (const auto it = values.find("set"); it != values.end()) {
    for (const auto& assignment : it->second.as<std::vector<std::string>>()) {
      const auto equals = assignment.find('=');
      if (equals == std::string::npos || equals == 0) {
        return mistake("--set wants var=value, not '" + util::escape_for_display(assignment) + "'");
      }
      common.overrides.set.emplace_back(assignment.substr(0, equals), assignment.substr(equals + 1));
    }
  }
  const std::string color = text_of(values, "color").value_or("auto");
  if (color == "always") {
    common.color = report::ColorMode::always;
  } else if (color == "never") {
    common.color = report::ColorMode::never;
  } else if (color != "auto") {
    return mistake("--color is always, never or auto, not '" + util::escape_for_display(color) + "'");
  }
  if (has(values, "quiet")) common.verbosity = -1;
  if (has(values, "verbose")) common.verbosity = 1;
  if (very_verbose) common.verbosity = 2;
  return std::nullopt;
}

Command run_command(Common common, const Values& values, bool resume) {
  RunCommand command;
  command.common = std::move(common);
  command.resume = resume || has(values, "resume");
  command.may_steer = resume;
  command.accept_changes = has(values, "accept-changes");
  command.dry_run = has(values, "dry-run");
  if (const auto it = values.find("slices"); it != values.end())
    command.slices = it->second.as<std::vector<std::string>>();
  if (const auto print = text_of(values, "print")) {
    if (*print == "group") {
      command.print = core::Print::group;
    } else if (*print == "line") {
      command.print = core::Print::line;
    } else if (*print == "none") {
      command.print = core::Print::none;
    } else {
      return mistake("--print is group, line or none, not '" + util::escape_for_display(*print) + "'");
    }
  }
  if (const auto survivors = text_of(values, "survivors")) {
    if (*survivors == "refuse") {
      command.survivors = Survivors::refuse;
    } else if (*survivors != "kill") {
      return mistake("--survivors is kill or refuse, not '" + util::escape_for_display(*survivors) + "'");
    }
  }
  command.guard = !has(values, "no-guard");
  if (command.accept_changes && !command.resume) return mistake("--accept-changes goes with --resume");
  return command;
}

Command status_command(Common common, const Values& values) {
  StatusCommand command;
  command.common = std::move(common);
  command.run_id = text_of(values, "run");
  if (has(values, "json")) command.format = "json";
  if (const auto format = text_of(values, "format")) command.format = *format;
  return command;
}

Command logs_command(Common common, const Values& values, std::string slice) {
  LogsCommand command;
  command.common = std::move(common);
  command.slice = std::move(slice);
  command.run_id = text_of(values, "run");
  command.follow = has(values, "follow");
  if (const auto it = values.find("attempt"); it != values.end()) {
    const auto number = it->second.as<std::int64_t>();
    if (number < 1 || number > UINT32_MAX) return mistake("--attempt is a number from 1");
    command.attempt = static_cast<std::uint32_t>(number);
  }
  return command;
}

Command sem_command(const Values& values, const std::vector<std::string>& words, std::vector<std::string> program) {
  SemCommand command;
  if (words.empty()) return UsageError{"which semaphore? " + usage_of(Verb::sem)};
  if (words.size() > 1) return mistake("unexpected '" + util::escape_for_display(words[1]) + "' before --");
  if (program.empty()) return UsageError{"which command? " + usage_of(Verb::sem)};
  command.name = words[0];
  command.command = std::move(program);
  command.directory = text_of(values, "dir").value_or("");
  if (!shared::is_semaphore_name(command.name)) {
    return mistake("'" + util::escape_for_display(command.name) +
                   "' is no name for a semaphore: letters, digits, _, - and . only, 64 at most, no - or . first");
  }
  if (const auto slots = text_of(values, "slots")) {
    const auto number = util::parse_int(*slots);
    if (!number || *number < 1 || *number > shared::kMaxSlots) {
      return mistake("--slots is a number from 1 to " + std::to_string(shared::kMaxSlots) + ", not '" +
                     util::escape_for_display(*slots) + "'");
    }
    command.slots = static_cast<std::uint32_t>(*number);
  }
  if (const auto timeout = text_of(values, "timeout")) {
    const auto duration = util::parse_duration(*timeout);
    if (!duration) return mistake("--timeout: " + duration.error().message);
    command.timeout = *duration;
  }
  return command;
}

/// Read by hand: -5 is a number here.
Command count_command(const std::vector<std::string>& args) {
  if (std::ranges::any_of(args, [](const auto& arg) { return arg == "-h" || arg == "--help"; })) {
    return help_of(Verb::count);
  }
  if (args.empty()) return UsageError{"which counter? " + usage_of(Verb::count)};
  if (args.size() > 2) return mistake("unexpected '" + util::escape_for_display(args[2]) + "'");
  if (!counter_file::is_name(args[0])) {
    return mistake("'" + util::escape_for_display(args[0]) +
                   "' is no name for a counter: letters, digits and _ . - / : only, 47 at most, a word first");
  }
  CountCommand command{.name = args[0]};
  if (args.size() == 2) {
    const auto number = util::parse_int(args[1]);
    if (!number)
      return mistake("count wants a whole number of 64 bits, not '" + util::escape_for_display(args[1]) + "'");
    command.number = *number;
  }
  return command;
}

Command control_command(Common common, const Values& values, Verb verb, const std::vector<std::string>& words) {
  ControlCommand command{.common = std::move(common), .what = std::string(name_of(verb)), .slices = {}, .n_procs = {}};
  if (const auto it = values.find("slices"); it != values.end())
    command.slices = it->second.as<std::vector<std::string>>();
  if (verb != Verb::scale) return command;
  const auto number = util::parse_int(words[1]);
  if (!number || *number < 1 || *number > UINT32_MAX) {
    return mistake("N is a number from 1, not '" + util::escape_for_display(words[1]) + "'");
  }
  command.n_procs = static_cast<std::uint32_t>(*number);
  return command;
}

/// What stands behind the first "--", which goes.
std::vector<std::string> take_program(std::vector<std::string>& args) {
  const auto dashes = std::ranges::find(args, "--");
  if (dashes == args.end()) return {};
  std::vector<std::string> program(dashes + 1, args.end());
  args.erase(dashes, args.end());
  return program;
}

Command parse_verb(Verb verb, std::vector<std::string> args) {
  if (verb == Verb::count) return count_command(args);
  std::vector<std::string> program;
  if (verb == Verb::sem) program = take_program(args);
  const bool very_verbose = std::erase(args, "-vv") > 0;

  const po::options_description visible = options_of(verb);
  po::options_description all;
  all.add(visible).add_options()("words", po::value<std::vector<std::string>>());
  po::positional_options_description positions;
  positions.add("words", -1);
  Values values;
  try {
    const int style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
    po::store(po::command_line_parser(args).options(all).positional(positions).style(style).run(), values);
    po::notify(values);
  } catch (const po::unknown_option& error) {
    const std::string option = error.get_option_name();
    return unknown_option(option.substr(0, option.find('=')), verb, visible);
  } catch (const po::error& error) {
    return mistake(util::escape_for_display(error.what()));
  }
  if (has(values, "help")) return help_of(verb);

  std::vector<std::string> words;
  if (const auto it = values.find("words"); it != values.end()) words = it->second.as<std::vector<std::string>>();
  if (verb == Verb::sem) return sem_command(values, words, std::move(program));
  const std::size_t wanted = verb == Verb::logs || verb == Verb::scale ? 2 : 1;
  if (words.empty() && verb == Verb::status) words.emplace_back();
  if (words.empty()) return UsageError{"which spec? " + usage_of(verb)};
  if (words[0].empty() && verb != Verb::status) return UsageError{"which spec? its name is empty; " + usage_of(verb)};
  if (words.size() < wanted) {
    return UsageError{(verb == Verb::scale ? "how many at a time? " : "the log of which slice? ") + usage_of(verb)};
  }
  if (words.size() > wanted) {
    const bool is_a_word =
        verb == Verb::run && !verb_from(words[0]) && words[0].find_first_of("./") == std::string::npos;
    return mistake("unexpected '" + util::escape_for_display(words[wanted]) + "'" +
                   (is_a_word ? ", and there is no subcommand '" + util::escape_for_display(words[0]) + "'" : ""));
  }

  Common common;
  common.spec_path = words[0];
  if (auto error = read_common(values, very_verbose, common)) return *error;
  switch (verb) {
    case Verb::run:
    case Verb::resume:
      return run_command(std::move(common), values, verb == Verb::resume);
    case Verb::status:
      return status_command(std::move(common), values);
    case Verb::logs:
      return logs_command(std::move(common), values, words[1]);
    case Verb::check:
      return CheckCommand{std::move(common)};
    case Verb::scale:
    case Verb::suspend:
    case Verb::cancel:
    case Verb::retry:
    case Verb::disable:
    case Verb::enable:
      return control_command(std::move(common), values, verb, words);
    case Verb::sem:
    case Verb::count:
      break;
  }
  return mistake("nothing to do");
}

/// A word that is nearly a subcommand, where there is no spec of that name; --resume is none.
std::optional<UsageError> misspelt_verb(const std::string& word) {
  if (word.starts_with('-')) return std::nullopt;
  constexpr std::size_t kShort = 4;  // two edits make a word of that length any other
  std::vector<std::string> known = {"help"};
  for (const auto& [name, verb] : kVerbs) known.emplace_back(name);
  const auto guess = util::closest(word, known, word.size() <= kShort ? 1 : 2);
  if (!guess) return std::nullopt;
  for (const char* extension : {"", ".yaml", ".yml"}) {
    std::error_code error;
    if (std::filesystem::exists(word + extension, error) || error) return std::nullopt;
  }
  return UsageError{util::escape_for_display(word) + ": no such file; did you mean `runner " + *guess + "`?"};
}

}  // namespace

Command parse_command_line(const std::vector<std::string>& args) {
  if (args.empty()) return UsageError{"which spec? usage: runner SPEC; see: runner --help"};
  const std::string& first = args.front();
  const std::vector<std::string> rest(args.begin() + 1, args.end());
  if (first == "--version" || first == "-V") return Help{"runner " RUNNER_VERSION "\n"};
  if (first == "-h" || first == "--help" || first == "help") {
    if (rest.empty()) return Help{std::string(kOverview)};
    if (const auto verb = verb_from(rest.front())) return help_of(*verb);
    return mistake("no subcommand '" + util::escape_for_display(rest.front()) + "'");
  }
  if (const auto verb = verb_from(first)) return parse_verb(*verb, rest);
  if (auto error = misspelt_verb(first)) return *error;
  return parse_verb(Verb::run, args);
}

}  // namespace runner::app
