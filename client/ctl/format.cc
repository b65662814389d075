#include "client/ctl/format.h"

#include <array>
#include <cmath>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace residency::ctl {
namespace {

constexpr double kMicrosPerMilli = 1e3;
constexpr double kMicrosPerSecond = 1e6;
constexpr uint64_t kSecondsPerMinute = 60;
constexpr uint64_t kSecondsPerHour = 60 * kSecondsPerMinute;
constexpr uint64_t kSecondsPerDay = 24 * kSecondsPerHour;

// "1.50", "15.0", "150". The limits are where rounding would add a digit.
std::string ThreeDigits(double value) {
  if (value < 9.995) return absl::StrFormat("%.2f", value);
  if (value < 99.95) return absl::StrFormat("%.1f", value);
  return absl::StrFormat("%.0f", value);
}

std::string FormatLongTime(uint64_t seconds) {
  if (seconds < kSecondsPerHour) {
    return absl::StrFormat("%dm %02ds", seconds / kSecondsPerMinute, seconds % kSecondsPerMinute);
  }
  if (seconds < kSecondsPerDay) {
    return absl::StrFormat("%dh %02dm", seconds / kSecondsPerHour,
                           seconds % kSecondsPerHour / kSecondsPerMinute);
  }
  return absl::StrFormat("%dd %02dh", seconds / kSecondsPerDay,
                         seconds % kSecondsPerDay / kSecondsPerHour);
}

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

std::string FormatSize(uint64_t bytes) {
  constexpr std::array<const char*, 6> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1023.5 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return absl::StrCat(ThreeDigits(value), " ", kUnits[unit]);
}

std::string FormatRate(double bytes_per_second) {
  if (!(bytes_per_second >= 1) || !std::isfinite(bytes_per_second)) return "-";
  return absl::StrCat(FormatSize(static_cast<uint64_t>(bytes_per_second)), "/s");
}

std::string FormatMicros(double us) {
  if (us < 999.5) return absl::StrFormat("%.0f us", us);
  if (us < 999.5 * kMicrosPerMilli) {
    return absl::StrCat(ThreeDigits(us / kMicrosPerMilli), " ms");
  }
  if (us < 59.95 * kMicrosPerSecond) {
    return absl::StrCat(ThreeDigits(us / kMicrosPerSecond), " s");
  }
  return FormatLongTime(static_cast<uint64_t>(std::llround(us / kMicrosPerSecond)));
}

std::string FormatShort(double value) {
  if (!(value >= 0.005) || !std::isfinite(value)) return "0";
  if (value < 99.95) return ThreeDigits(value);
  return FormatCount(static_cast<uint64_t>(std::llround(value)));
}

std::string FormatMegabytes(double bytes_per_second) {
  const double megabytes = bytes_per_second * 1e-6;
  if (!(megabytes >= 0.05)) return "0";
  if (megabytes >= 999.95) return FormatCount(static_cast<uint64_t>(std::llround(megabytes)));
  return absl::StrFormat("%.1f", megabytes);
}

std::string FormatCount(uint64_t count) {
  std::string digits = absl::StrCat(count);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

std::string FormatPercent(double ratio) { return absl::StrFormat("%.1f %%", ratio * 100); }

std::string FormatFigure(double value, int digits) {
  return absl::StrFormat("%.*g", digits, value);
}

std::string FormatHex(std::string_view bytes) {
  return absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size()));
}

std::string Printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    if (c < 0x20 || c == 0x7F) {
      absl::StrAppendFormat(&out, "\\x%02x", c);
    } else if (c == 0xC2 && next >= 0x80 && next < 0xA0) {
      absl::StrAppendFormat(&out, "\\x%02x", next);  // A C1 control, such as the 8-bit CSI.
      ++i;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

size_t DisplayWidth(std::string_view text) {
  size_t width = 0;
  for (char c : text) width += IsContinuation(c) ? 0 : 1;
  return width;
}

std::string Truncate(std::string_view text, size_t width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  if (width == 0) return "";
  size_t end = 0;
  for (size_t taken = 0; taken < width - 1; ++taken) {
    ++end;
    while (end < text.size() && IsContinuation(text[end])) ++end;
  }
  return absl::StrCat(std::string(text.substr(0, end)), "~");
}

std::string TruncateFront(std::string_view text, size_t width) {
  const size_t whole = DisplayWidth(text);
  if (whole <= width) return std::string(text);
  if (width == 0) return "";
  size_t begin = 0;
  for (size_t lost = 0; lost < whole - (width - 1); ++lost) {
    ++begin;
    while (begin < text.size() && IsContinuation(text[begin])) ++begin;
  }
  return absl::StrCat("~", std::string(text.substr(begin)));
}

}  // namespace residency::ctl
