// Lines of a screen that may hold colours: measured, cut and set side by side by what is seen.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace residency::ctl {

std::vector<std::string> SplitLines(std::string_view text);

// Columns taken up, without the escapes that colour it.
size_t VisibleWidth(std::string_view line);

// At most `width` columns of it; colours end with it.
std::string CutLine(std::string_view line, size_t width);

// The right lines begin at column `offset`. REQUIRES: left lines are shorter.
std::vector<std::string> SideBySide(const std::vector<std::string>& left,
                                    const std::vector<std::string>& right, size_t offset);

}  // namespace residency::ctl
