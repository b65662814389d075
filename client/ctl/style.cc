#include "client/ctl/style.h"

namespace residency::ctl {
namespace {

const char* Escape(Paint paint) {
  switch (paint) {
    case Paint::kHeading:
      return "\x1b[1m";
    case Paint::kGood:
      return "\x1b[32m";
    case Paint::kWarning:
      return "\x1b[33m";
    case Paint::kBad:
      return "\x1b[31m";
    case Paint::kFaint:
      return "\x1b[2m";
    case Paint::kPlain:
      return "";
  }
  return "";
}

}  // namespace

std::string Style::Apply(Paint paint, std::string_view text) const {
  std::string out(text);
  if (!colour_ || paint == Paint::kPlain || text.empty()) return out;
  return Escape(paint) + out + "\x1b[0m";
}

}  // namespace residency::ctl
