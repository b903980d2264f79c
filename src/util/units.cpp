#include "util/units.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>

namespace runner::util {
namespace {

__extension__ using Wide = __int128;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kMinute = 60 * kSecond;
constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kDay = 24 * kHour;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

std::string quoted(std::string_view text) {
  return '"' + std::string(text) + '"';
}

/// digits / 10^decimals: a decimal number without rounding.
struct Decimal {
  std::int64_t digits = 0;
  int decimals = 0;

  /// In whole units of 1/`scale`, rounded to nearest; may exceed 64 bits.
  [[nodiscard]] Wide times(std::int64_t scale) const {
    Wide divisor = 1;
    for (int i = 0; i < decimals; ++i) divisor *= 10;
    return (Wide{digits} * scale + divisor / 2) / divisor;
  }
};

/// Takes "12" or "12.5" from the front of `text`; nothing when there is none or it has more than 18 digits.
std::optional<Decimal> take_decimal(std::string_view& text) {
  constexpr std::size_t kMaxDigits = 18;  // fits std::int64_t, and times() any unit fits Wide
  Decimal number;
  std::size_t digits = 0;
  std::size_t i = 0;
  bool has_point = false;
  for (; i < text.size() && (is_digit(text[i]) || (text[i] == '.' && !has_point)); ++i) {
    if (text[i] == '.') {
      has_point = true;
      continue;
    }
    if (++digits > kMaxDigits) return std::nullopt;
    number.digits = number.digits * 10 + (text[i] - '0');
    if (has_point) ++number.decimals;
  }
  if (i == 0 || text[0] == '.' || text[i - 1] == '.') return std::nullopt;
  text.remove_prefix(i);
  return number;
}

std::string_view take_letters(std::string_view& text) {
  std::size_t n = 0;
  while (n < text.size() && is_letter(text[n])) ++n;
  const std::string_view letters = text.substr(0, n);
  text.remove_prefix(n);
  return letters;
}

/// Nanoseconds in a unit, 0 for none that is known.
std::int64_t duration_unit(std::string_view name) {
  if (name == "d") return kDay;
  if (name == "h") return kHour;
  if (name == "m") return kMinute;
  if (name == "s") return kSecond;
  if (name == "ms") return kSecond / 1000;
  return 0;
}

/// 2^0 for "" and "B", 2^10 for "K", "KB", "KiB", ...; 0 for none that is known.
std::int64_t size_unit(std::string_view name) {
  if (name.empty() || name == "B" || name == "b") return 1;
  constexpr std::string_view kPrefixes = "KMGTP";
  const char prefix = name[0] >= 'a' ? static_cast<char>(name[0] - 'a' + 'A') : name[0];
  const auto power = kPrefixes.find(prefix);
  const std::string_view rest = name.substr(1);
  const bool is_bytes = rest.empty() || rest == "B" || rest == "b" || rest == "iB" || rest == "ib";
  if (power == std::string_view::npos || !is_bytes) return 0;
  return std::int64_t{1} << (10 * (power + 1));
}

/// `value` with up to `decimals` decimals and no trailing zeros: 1500000, 6 -> "1.5".
std::string fixed_point(std::int64_t value, int decimals) {
  std::string digits = std::to_string(value);
  const auto wanted = static_cast<std::size_t>(decimals) + 1;
  if (digits.size() < wanted) digits.insert(0, wanted - digits.size(), '0');
  digits.insert(digits.size() - static_cast<std::size_t>(decimals), ".");
  digits.erase(digits.find_last_not_of('0') + 1);
  if (digits.back() == '.') digits.pop_back();
  return digits;
}

template <class... Args>
std::string print(const char* format, Args... args) {
  std::array<char, 64> text{};
  const int n = std::snprintf(text.data(), text.size(), format, args...);
  return {text.data(), static_cast<std::size_t>(n)};
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  const auto fail = [&](std::string_view why) {
    return Error{quoted(text) + " is not a duration" + std::string(why) + "; write 90s, 15m, 1h30m or 1d"};
  };
  if (text.empty()) return fail("");
  if (text[0] == '-') return fail(": it cannot be negative");
  Wide total = 0;
  std::int64_t smallest_so_far = std::numeric_limits<std::int64_t>::max();
  for (std::string_view rest = text; !rest.empty();) {
    const bool is_first = rest.size() == text.size();
    const auto number = take_decimal(rest);
    if (!number) return fail("");
    const std::string_view unit_name = take_letters(rest);
    if (unit_name.empty() && !(is_first && rest.empty())) return fail(": a number has no unit");
    const std::int64_t unit = unit_name.empty() ? kSecond : duration_unit(unit_name);
    if (unit == 0) return fail(": there is no unit " + quoted(unit_name) + ", only d, h, m, s and ms");
    if (unit >= smallest_so_far) return fail(": units go from large to small, each once");
    if (number->decimals > 0 && !rest.empty()) return fail(": only the last number may have a fraction");
    smallest_so_far = unit;
    total += number->times(unit);
  }
  if (total > std::numeric_limits<std::int64_t>::max()) return Error{quoted(text) + " is longer than 292 years"};
  return Duration(static_cast<std::int64_t>(total));
}

std::string format_duration(Duration d) {
  if (d.count() < 0) {
    if (d == Duration::min()) return "-" + format_duration(Duration::max());
    return "-" + format_duration(-d);
  }
  std::int64_t rest = d.count();
  std::string text;
  const auto take = [&](std::int64_t unit, char name) {
    if (rest >= unit) text += std::to_string(rest / unit) + name;
    rest %= unit;
  };
  take(kDay, 'd');
  take(kHour, 'h');
  take(kMinute, 'm');
  if (rest >= kSecond || (rest > 0 && !text.empty())) {
    text += fixed_point(rest, 9) + "s";
  } else if (rest > 0) {
    text = fixed_point(rest, 6) + "ms";
  }
  return text.empty() ? "0s" : text;
}

std::string format_duration_short(Duration d) {
  if (d.count() < 0) return "-" + format_duration_short(d == Duration::min() ? Duration::max() : -d);
  const std::int64_t ns = d.count();
  // Round first and choose the units then, so that 59.96 s becomes 1m00s and not 60.0s.
  const auto rounded = [&](std::int64_t unit) { return ns / unit + (ns % unit >= unit / 2 ? 1 : 0); };
  if (ns == 0) return "0s";
  if (ns < kSecond / 1000) return "<1ms";
  if (const auto ms = rounded(kSecond / 1000); ms < 1000) return std::to_string(ms) + "ms";
  if (const auto tenths = rounded(kSecond / 10); tenths < 600) {
    return print("%d.%ds", static_cast<int>(tenths / 10), static_cast<int>(tenths % 10));
  }
  const auto pair = [](std::int64_t small_units, int per_large, const char* format) {
    return print(format, static_cast<long long>(small_units / per_large), static_cast<int>(small_units % per_large));
  };
  if (const auto s = rounded(kSecond); s < 3600) return pair(s, 60, "%lldm%02ds");
  if (const auto m = rounded(kMinute); m < std::int64_t{24} * 60) return pair(m, 60, "%lldh%02dm");
  return pair(rounded(kHour), 24, "%lldd%02dh");
}

Result<std::uint64_t> parse_size(std::string_view text) {
  const auto fail = [&](std::string_view why) {
    return Error{quoted(text) + " is not a size" + std::string(why) + "; write 1048576, 100K, 2G or 1.5GiB"};
  };
  std::string_view rest = text;
  if (!rest.empty() && rest[0] == '-') return fail(": it cannot be negative");
  if (rest.find_first_not_of("0123456789") == std::string_view::npos) {
    std::uint64_t bytes = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), bytes);
    if (error == std::errc::result_out_of_range) return Error{quoted(text) + " is more than 16 EiB"};
    if (error != std::errc()) return fail("");
    return bytes;
  }
  const auto number = take_decimal(rest);
  if (!number) return fail("");
  if (rest.starts_with(' ')) rest.remove_prefix(1);  // as format_size() writes it
  const std::string_view unit_name = take_letters(rest);
  if (!rest.empty()) return fail("");
  const std::int64_t unit = size_unit(unit_name);
  if (unit == 0) return fail(": there is no unit " + quoted(unit_name) + ", only K, M, G, T and P");
  if (unit == 1 && number->decimals > 0) return fail(": half bytes do not exist");
  const Wide bytes = number->times(unit);
  if (bytes > std::numeric_limits<std::uint64_t>::max()) return Error{quoted(text) + " is more than 16 EiB"};
  return static_cast<std::uint64_t>(bytes);
}

std::string format_size(std::uint64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  constexpr std::array<const char*, 6> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; value >= 1023.95 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  const auto tenths = std::llround(value * 10);
  return fixed_point(tenths, 1) + " " + kUnits[unit];
}

std::string format_count(std::uint64_t n) {
  std::string text = std::to_string(n);
  for (std::size_t i = text.size(); i > 3;) {
    i -= 3;
    text.insert(i, ",");
  }
  return text;
}

std::string format_milli(std::int64_t milli) {
  std::string text = std::to_string(milli / 1000);
  if (milli % 1000 == 0) return text;
  text += "." + std::to_string(1000 + milli % 1000).substr(1);
  text.erase(text.find_last_not_of('0') + 1);
  return text;
}

}  // namespace runner::util
