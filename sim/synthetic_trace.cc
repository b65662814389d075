#include "sim/synthetic_trace.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/recipe.h"
#include "sim/rtrace.h"

namespace residency {
namespace {

constexpr uint64_t kMaxSyntheticValues = uint64_t{1} << 30;  // tokens * layers * top_k

class Random {
 public:
  explicit Random(uint64_t seed) : seed_(seed) {}
  uint64_t Word() { return SyntheticWord(seed_, next_++); }
  double Uniform() { return static_cast<double>(Word() >> 11) * 0x1p-53; }  // [0, 1)

  template <class T>
  void Shuffle(std::vector<T>* values) {
    for (size_t i = values->size(); i > 1; --i) std::swap((*values)[i - 1], (*values)[Word() % i]);
  }

 private:
  const uint64_t seed_;
  uint64_t next_ = 0;
};

// One group of a layer's experts, of which every token uses one.
struct Group {
  std::vector<uint16_t> experts;
  std::vector<double> cumulative;  // probability up to and including each; the last is 1

  uint16_t Draw(double uniform) const {
    const auto at = std::upper_bound(cumulative.begin(), cumulative.end() - 1, uniform);
    return experts[static_cast<size_t>(at - cumulative.begin())];
  }
};

struct Layer {
  std::vector<Group> groups;
  double keep = 0;  // q: probability that a group's expert stays for the next token
};

absl::Status Invalid(const std::string& problem) {
  return absl::InvalidArgumentError(absl::StrCat("synthetic trace: ", problem));
}

absl::Status CheckShape(const SyntheticTraceOptions& options) {
  if (options.layers == 0 || options.layers > kMaxTraceLayers) {
    return Invalid(absl::StrCat("layers must be 1 to ", kMaxTraceLayers, ", is ", options.layers));
  }
  if (options.experts == 0 || options.experts > kMaxTraceExperts || options.top_k == 0 ||
      options.top_k > options.experts) {
    return Invalid(absl::StrCat("1 <= top_k <= experts <= ", kMaxTraceExperts, " must hold; top_k ",
                                options.top_k, ", experts ", options.experts));
  }
  if (options.requests == 0 || options.tokens < options.requests) {
    return Invalid(absl::StrCat("every request needs a token: ", options.requests, " requests, ",
                                options.tokens, " tokens"));
  }
  const uint64_t per_token = uint64_t{options.layers} * options.top_k;
  if (options.tokens > kMaxSyntheticValues / per_token) {
    return Invalid(absl::StrCat(options.tokens, " tokens of ", per_token, " choices are above ",
                                kMaxSyntheticValues, " choices in all"));
  }
  return absl::OkStatus();
}

absl::Status CheckStatistics(const SyntheticTraceOptions& options) {
  if (options.overlap_by_layer.empty()) return Invalid("overlap_by_layer is empty");
  for (double overlap : options.overlap_by_layer) {
    if (!(overlap >= 0 && overlap <= 1)) {
      return Invalid(absl::StrCat("overlap must be 0 to 1, is ", overlap));
    }
  }
  PopularityPoint before = {0, 0};
  for (const PopularityPoint& point : options.popularity) {
    if (!(point.fraction > before.fraction && point.fraction < 1 && point.share >= before.share &&
          point.share <= 1)) {
      return Invalid(absl::StrCat("popularity must rise within (0, 1): fraction ", point.fraction,
                                  ", share ", point.share));
    }
    before = point;
  }
  const auto& gates = options.mean_gate_by_rank;
  if (!std::is_sorted(gates.rbegin(), gates.rend()) || (!gates.empty() && !(gates.back() >= 0)) ||
      std::accumulate(gates.begin(), gates.end(), 0.0) > 1.01) {
    return Invalid("mean_gate_by_rank must not increase, be below 0 or sum above 1");
  }
  return absl::OkStatus();
}

// Share of accesses that go to the `fraction` most used experts.
double CumulativeShare(const std::vector<PopularityPoint>& points, double fraction) {
  PopularityPoint low = {0, 0};
  for (size_t i = 0; i <= points.size(); ++i) {
    const PopularityPoint high = i < points.size() ? points[i] : PopularityPoint{1, 1};
    if (fraction <= high.fraction) {
      return low.share +
             (high.share - low.share) * (fraction - low.fraction) / (high.fraction - low.fraction);
    }
    low = high;
  }
  return 1;
}

// Weights by popularity, most used first; none is 0, so that every expert can occur.
std::vector<double> PopularityWeights(const SyntheticTraceOptions& options) {
  std::vector<double> weights(options.experts);
  for (uint32_t i = 0; i < options.experts; ++i) {
    const double before = CumulativeShare(options.popularity, double(i) / options.experts);
    const double after = CumulativeShare(options.popularity, double(i + 1) / options.experts);
    weights[i] = std::max(after - before, 1e-9);
  }
  return weights;
}

Layer MakeLayer(const SyntheticTraceOptions& options, const std::vector<double>& weights,
                double wanted_overlap, Random* random) {
  std::vector<uint16_t> by_popularity(options.experts);
  std::iota(by_popularity.begin(), by_popularity.end(), uint16_t{0});
  random->Shuffle(&by_popularity);
  Layer layer;
  layer.groups.resize(options.top_k);
  double chance_overlap = 0;
  for (uint32_t g = 0; g < options.top_k; ++g) {
    Group& group = layer.groups[g];
    double sum = 0, squares = 0;
    for (uint32_t i = g; i < options.experts; i += options.top_k) {
      sum += weights[i];
      squares += weights[i] * weights[i];
      group.experts.push_back(by_popularity[i]);
      group.cumulative.push_back(sum);
    }
    for (double& value : group.cumulative) value /= sum;
    chance_overlap += squares / (sum * sum) / options.top_k;
  }
  if (chance_overlap < 1) {
    layer.keep = std::clamp((wanted_overlap - chance_overlap) / (1 - chance_overlap), 0.0, 1.0);
  }
  return layer;
}

std::vector<double> MeanGates(const SyntheticTraceOptions& options) {
  if (options.mean_gate_by_rank.size() == options.top_k) return options.mean_gate_by_rank;
  std::vector<double> gates(options.top_k);
  double sum = 0;
  for (uint32_t rank = 0; rank < options.top_k; ++rank) sum += gates[rank] = 1 / (2.98 + rank);
  for (double& gate : gates) gate /= sum;
  return gates;
}

// Draws one choice's gates: the means, made steeper or flatter by a factor whose mean is 1.
// Order and sum are kept, and no gate falls below 0.
void AppendGates(const std::vector<double>& means, Random* random, std::vector<uint16_t>* out) {
  const double sum = std::accumulate(means.begin(), means.end(), 0.0);
  const double flat = sum / static_cast<double>(means.size());
  const double below = flat - means.back();
  const double spread = below > 0 ? std::min(0.8, flat / below - 1) : 0.8;
  const double steepness = 1 + spread * (2 * random->Uniform() - 1);
  for (double mean : means) {
    const double gate = std::clamp(flat + steepness * (mean - flat), 0.0, 1.0);
    out->push_back(static_cast<uint16_t>(gate * kGateOne));
  }
}

// Splits the tokens: one each, the rest in proportion to seeded weights from 0.25 to 1.75.
std::vector<uint32_t> RequestLengths(const SyntheticTraceOptions& options, Random* random) {
  std::vector<double> weights(options.requests);
  for (double& weight : weights) weight = 0.25 + 1.5 * random->Uniform();
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  const uint64_t spread = options.tokens - options.requests;
  std::vector<uint32_t> lengths(options.requests);
  uint64_t given = 0;
  double wanted = 0;
  for (uint32_t i = 0; i < options.requests; ++i) {
    wanted += weights[i] / sum * static_cast<double>(spread);
    const uint64_t upto =
        i + 1 == options.requests ? spread : std::min(spread, static_cast<uint64_t>(wanted));
    lengths[i] = static_cast<uint32_t>(1 + upto - given);
    given = upto;
  }
  return lengths;
}

void AppendRequest(const std::vector<Layer>& layers, const std::vector<double>& gates,
                   Random* random, TraceRequest* request) {
  // The expert of every group, by layer.
  std::vector<std::vector<uint16_t>> current(layers.size());
  std::vector<uint16_t> ranked;
  for (uint32_t token = 0; token < request->tokens; ++token) {
    for (size_t l = 0; l < layers.size(); ++l) {
      const Layer& layer = layers[l];
      current[l].resize(layer.groups.size());
      for (size_t g = 0; g < layer.groups.size(); ++g) {
        if (token > 0 && random->Uniform() < layer.keep) continue;
        current[l][g] = layer.groups[g].Draw(random->Uniform());
      }
      ranked = current[l];
      random->Shuffle(&ranked);
      request->experts.insert(request->experts.end(), ranked.begin(), ranked.end());
      AppendGates(gates, random, &request->gates);
    }
  }
}

}  // namespace

absl::StatusOr<Trace> MakeSyntheticTrace(const SyntheticTraceOptions& options) {
  if (auto status = CheckShape(options); !status.ok()) return status;
  if (auto status = CheckStatistics(options); !status.ok()) return status;
  Random random(options.seed);
  const std::vector<double> weights = PopularityWeights(options);
  const std::vector<double> gates = MeanGates(options);
  std::vector<Layer> layers;
  for (uint32_t l = 0; l < options.layers; ++l) {
    const size_t from = size_t{l} * options.overlap_by_layer.size() / options.layers;
    layers.push_back(MakeLayer(options, weights, options.overlap_by_layer[from], &random));
  }
  Trace trace;
  TraceHeader& header = trace.header;
  header.model = "synthetic";
  header.layers = options.layers;
  header.experts = options.experts;
  header.top_k = options.top_k;
  header.expert_bytes.assign(options.layers, options.expert_bytes);
  header.phase = "decode only";
  header.gates = "synthetic";
  header.source = absl::StrCat("synthetic, seed ", options.seed);
  header.licence = "Apache-2.0";
  const std::vector<uint32_t> lengths = RequestLengths(options, &random);
  for (uint32_t i = 0; i < options.requests; ++i) {
    TraceRequest& request = trace.requests.emplace_back();
    request.id = i;
    request.tokens = lengths[i];
    request.layers = options.layers;
    request.top_k = options.top_k;
    AppendRequest(layers, gates, &random, &request);
  }
  return trace;
}

}  // namespace residency
