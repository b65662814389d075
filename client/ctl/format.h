// Figures and foreign text as people read them on a terminal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace residency::ctl {

// "1.50 GiB", "512 B": three significant digits, powers of 1024.
std::string FormatSize(uint64_t bytes);

// "3.21 GiB/s"; "-" for a link that nothing has moved on yet.
std::string FormatRate(double bytes_per_second);

// "180 us", "12.3 ms", "4.21 s", "3m 05s", "2h 03m", "5d 04h".
std::string FormatMicros(double us);

// "12.3", "1,234": a rate in units of 10^6 bytes per second; "0" below a tenth of one.
std::string FormatMegabytes(double bytes_per_second);

// "0", "0.42", "12.3", "1,234": three significant digits or all before the point.
std::string FormatShort(double value);

// "1,234,567".
std::string FormatCount(uint64_t count);

// A ratio as "62.5 %".
std::string FormatPercent(double ratio);

// A figure with so many significant digits, for readers who check sums.
std::string FormatFigure(double value, int digits);

// "3f2a09..." of raw bytes.
std::string FormatHex(std::string_view bytes);

// Names come from engines, which are not trusted: control characters (C0, DEL, C1) become \xNN so
// that no name can drive the terminal.
std::string Printable(std::string_view text);

// Columns that `text` takes up, one per code point. REQUIRES: printable UTF-8.
size_t DisplayWidth(std::string_view text);

// Cut to `width` columns, its last one "~" where something was lost.
std::string Truncate(std::string_view text, size_t width);
// The same with "~" in front: the last columns stay.
std::string TruncateFront(std::string_view text, size_t width);

}  // namespace residency::ctl
