// A decision whose figures add up.
#pragma once

#include "residency/v1/operator.pb.h"

namespace residency::ctl {

inline void AddTerm(v1::Score& score, const char* name, double weight, double activity,
                    double value) {
  v1::ScoreTerm* term = score.add_terms();
  term->set_name(name);
  term->set_weight(weight);
  term->set_activity(activity);
  term->set_value(value);
  term->set_contribution(weight * activity * value);
  score.set_numerator(score.numerator() + term->contribution());
}

inline v1::Score SampleScore() {
  v1::Score score;
  AddTerm(score, "rho", 0.4, 1, 0.5);
  AddTerm(score, "lambda", 0.3, 1, 0.25);
  AddTerm(score, "kappa", 0.2, 0.5, 0.8);
  AddTerm(score, "psi", 0.1, 0.5, 0.3);
  score.set_alpha(1);
  score.set_beta(1);
  score.set_tau_us(812.5);
  score.set_cost_unit_us(1000);
  score.set_cost_unfloored(0.8125);
  score.set_cost(1);
  score.set_cost_floored(true);
  score.set_r(score.numerator());
  score.set_restore_us(812.5);
  score.set_bytes(4096);
  score.set_k(score.numerator() * 812.5 / 4096);
  return score;
}

inline v1::ExplainBlockResponse SampleExplanation() {
  v1::ExplainBlockResponse explanation;
  v1::BlockInfo& block = *explanation.mutable_block();
  block.set_block_id(17);
  block.set_model("moe");
  block.set_name("layers.3.experts.5");
  block.set_bytes(4096);
  block.set_role(v1::ROLE_EXPERT);
  block.set_state(v1::RESIDENCY_STATE_S3_DRAM);
  v1::Decision& now = *explanation.mutable_now();
  now.set_tick(8123);
  *now.mutable_score() = SampleScore();
  now.set_threshold(0.05);
  now.set_k_victim(0.08);
  now.set_hysteresis(0.05);
  now.set_pool_pressure(0.93125);
  now.set_from(v1::RESIDENCY_STATE_S3_DRAM);
  now.set_to(v1::RESIDENCY_STATE_S3_DRAM);
  now.set_verdict("keep");
  now.set_reason("the victim is worth more");
  now.set_competing_block_id(4);
  now.set_competing_block("moe/layers.3.experts.1");
  v1::Decision& before = *explanation.add_decisions();
  before = now;
  before.set_tick(8000);
  before.set_age_us(6150000);
  before.set_from(v1::RESIDENCY_STATE_S0_FULL_HBM);
  before.set_verdict("demote");
  before.set_reason("room for a demand");
  return explanation;
}

}  // namespace residency::ctl
