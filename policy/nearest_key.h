// The key that somebody who mistyped one probably meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace residency {

// The known key with the fewest edits to `wanted`; empty where none is near enough to be a likely
// slip (more than a third of its letters differ). The earliest of equals.
std::string_view NearestKey(std::string_view wanted, const std::vector<std::string_view>& known);

// "; did you mean \"x\"?", or nothing. For the end of an error message.
std::string DidYouMean(std::string_view wanted, const std::vector<std::string_view>& known);

}  // namespace residency
