// int4 has 16 levels, so where they lie matters. Q4_0 lays the greatest weight on -8 and takes the
// scale from that; here some scales about that one are tried, the best is refitted by least
// squares, and what it gives is kept if it beats the plain one.
#include <algorithm>
#include <bit>
#include <cmath>

#include "movers/float_bits.h"
#include "movers/lowbit_group.h"

namespace residency {
namespace {

constexpr float kLowest = -8;
constexpr float kHighest = 7;
// Steps from 0 to the greatest magnitude, for each scale tried. Fewer than 8 widen the range, for
// groups whose other side is about as wide; more narrow it and clip.
constexpr std::array<float, 5> kStepsTried = {7.0f, 7.5f, 8.0f, 8.5f, 9.0f};
// What may be clipped without an element being more than one step off; a little less than 9 and 8,
// so that rounding does not take it further.
constexpr float kStepsBelow = 8.9995f;
constexpr float kStepsAbove = 7.9995f;
constexpr float kRounder = 0x1.8p23f;

// To an integer in the range; to_nearest_even as the addition does it.
inline float Level(float steps) {
  const float above = steps < kLowest ? kLowest : steps;
  const float within = above > kHighest ? kHighest : above;
  return (within + kRounder) - kRounder;
}

struct Fit {
  float cross = 0;     // sum of level · weight
  float level_sq = 0;  // sum of level²

  // How much of the weights' energy these levels take at their best scale.
  float Explained() const { return level_sq > 0 ? cross * cross / level_sq : 0; }
};

Fit FitOf(const Group& group, float scale) {
  const float inverse = 1 / scale;
  Group levels;
  for (size_t i = 0; i < kLowbitGroup; ++i) levels[i] = Level(group[i] * inverse);
  std::array<float, 4> cross{};
  std::array<float, 4> level_sq{};
  for (size_t i = 0; i < kLowbitGroup; i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) {
      cross[lane] += levels[i + lane] * group[i + lane];
      level_sq[lane] += levels[i + lane] * levels[i + lane];
    }
  }
  return {(cross[0] + cross[1]) + (cross[2] + cross[3]),
          (level_sq[0] + level_sq[1]) + (level_sq[2] + level_sq[3])};
}

float ErrorAt(const Group& group, float scale) {
  const float inverse = 1 / scale;
  Group error;
  for (size_t i = 0; i < kLowbitGroup; ++i) {
    error[i] = group[i] - Level(group[i] * inverse) * scale;
  }
  return SumOfSquares(error);
}

// The scale that least squares gives for the levels of the best scale tried.
float Search(const Group& group, float greatest) {
  Fit best;
  for (const float steps : kStepsTried) {
    const Fit fit = FitOf(group, greatest / steps);
    if (fit.Explained() > best.Explained()) best = fit;
  }
  return best.level_sq > 0 ? best.cross / best.level_sq : greatest / -kLowest;
}

}  // namespace

Quantised QuantiseInt4(const Group& group, float greatest) {
  float most = 0;
  for (const float x : group) most = x > most ? x : most;
  // The greatest magnitude goes to the lower end, which reaches one step further.
  const bool turned = most == greatest;
  const float orientation = turned ? -1.0f : 1.0f;
  Group oriented;
  for (size_t i = 0; i < kLowbitGroup; ++i) oriented[i] = group[i] * orientation;
  float above = 0;
  for (const float x : oriented) above = x > above ? x : above;

  const float least = std::max(greatest / kStepsBelow, above / kStepsAbove);
  const uint16_t plain = RoundScale(std::max(greatest / -kLowest, least), least);
  const uint16_t fitted = RoundScale(std::max(Search(oriented, greatest), least), least);
  const bool keep_plain =
      ErrorAt(oriented, HalfToFloat(plain)) <= ErrorAt(oriented, HalfToFloat(fitted));

  Quantised result;
  result.scale = keep_plain ? plain : fitted;
  const float inverse = 1 / HalfToFloat(result.scale);
  for (size_t i = 0; i < kLowbitGroup; ++i) {
    result.values[i] = static_cast<int8_t>(Level(oriented[i] * inverse));
  }
  if (turned) result.scale |= 0x8000;
  return result;
}

}  // namespace residency
