// Colour, or its absence. Plain text comes back unchanged when colour is off.
#pragma once

#include <string>
#include <string_view>

namespace residency::ctl {

enum class Paint { kPlain, kHeading, kGood, kWarning, kBad, kFaint };

class Style {
 public:
  Style() = default;
  explicit Style(bool colour) : colour_(colour) {}

  bool colour() const { return colour_; }
  std::string Apply(Paint paint, std::string_view text) const;

 private:
  bool colour_ = false;
};

}  // namespace residency::ctl
