// int4 has 16 levels, so where they lie matters. Q4_0 lays the greatest weight on -8 and takes the
// scale from that; here some scales about that one are tried, the best is refitted by least
// squares, and what it gives is kept if it beats the plain one.
#include "movers/lowbit_group.h"
#include "movers/lowbit_lanes.h"

namespace residency {
namespace {

constexpr float kLowest = -8;
constexpr float kHighest = 7;
// Steps from 0 to the greatest magnitude, for each scale tried. Fewer than 8 widen the range, for
// groups whose other side is about as wide; more narrow it and clip.
constexpr std::array<float, 4> kStepsTried = {7.25f, 7.75f, 8.25f, 8.75f};
// What may be clipped without an element being more than one step off; a little less than 9 and 8,
// so that rounding does not take it further.
constexpr float kStepsBelow = 8.9995f;
constexpr float kStepsAbove = 7.9995f;

inline Lanes Clip(Lanes steps) {
  const Lanes lowest = Lanes{} + kLowest;
  const Lanes highest = Lanes{} + kHighest;
  steps = steps > lowest ? steps : lowest;
  return steps < highest ? steps : highest;
}

struct Fit {
  float scale = 0;      // that is best for the levels tried, by least squares
  float explained = 0;  // how much of the weights' energy those levels take at that scale
};

// With the levels that `scale` leads to.
inline Fit FitOf(const Group& group, float scale) {
  const float inverse = 1 / scale;
  Lanes cross{};
  Lanes level_sq{};
  for (size_t i = 0; i < kLowbitGroup; i += kLanes) {
    const Lanes weights = LanesAt(group, i);
    const Lanes levels = (Clip(weights * inverse) + kRounder) - kRounder;
    cross += levels * weights;
    level_sq += levels * levels;
  }
  const float fitted = Sum(cross) / Sum(level_sq);  // the greatest weight's level is not 0
  return {fitted, fitted * Sum(cross)};
}

// The best of the fits, chosen without branches: no processor could foresee them.
float Search(const Group& group, float greatest) {
  std::array<Fit, kStepsTried.size()> fits;
  for (size_t i = 0; i < fits.size(); ++i) fits[i] = FitOf(group, greatest / kStepsTried[i]);
  size_t best = 0;
  for (size_t i = 1; i < fits.size(); ++i) {
    best = fits[i].explained > fits[best].explained ? i : best;
  }
  return fits[best].scale;
}

float GreatestAbove(const Group& group) {
  Lanes above{};
  for (size_t i = 0; i < kLowbitGroup; i += kLanes) {
    const Lanes weights = LanesAt(group, i);
    above = weights > above ? weights : above;
  }
  return Greatest(above);
}

GroupError At(const Group& group, uint16_t scale, Quantised& result) {
  result.scale = scale;
  return Quantise(
      group, HalfToFloat(scale), [](Lanes steps) { return Clip(steps); }, result);
}

}  // namespace

GroupError QuantiseInt4(const Group& group, float greatest, Quantised& result) {
  // The greatest magnitude goes to the lower end, which reaches one step further.
  const bool turned = GreatestAbove(group) == greatest;
  const float orientation = turned ? -1.0f : 1.0f;
  Group oriented;
  for (size_t i = 0; i < kLowbitGroup; ++i) oriented.weights[i] = group.weights[i] * orientation;
  const float least = std::max(greatest / kStepsBelow, GreatestAbove(oriented) / kStepsAbove);
  const uint16_t plain = RoundScale(greatest / -kLowest, least);
  const uint16_t fitted = RoundScale(std::max(Search(oriented, greatest), least), least);
  GroupError error = At(oriented, plain, result);
  if (fitted != plain) {
    Quantised other;
    const GroupError other_error = At(oriented, fitted, other);
    if (other_error.error_sq < error.error_sq) {
      result = other;
      error = other_error;
    }
  }
  result.scale |= static_cast<uint16_t>(turned ? 0x8000 : 0);
  return error;
}

}  // namespace residency
