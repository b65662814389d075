// The TOML configuration, on a host that has little and on one that has much.
#include <string>

#include "absl/strings/match.h"
#include "daemon/config.h"
#include "tests/fuzz/fuzz_input.h"

namespace residency {
namespace {

class FuzzHost final : public HostFacts {
 public:
  explicit FuzzHost(Bytes has) : has_(has) {}
  absl::StatusOr<Bytes> MemAvailable() const override { return has_; }
  absl::StatusOr<DiskFacts> Disk(const std::string& file) const override {
    if (file.find("absent") != std::string::npos) return absl::NotFoundError(file);
    return DiskFacts{.file_system = file.size() % 2, .free = has_, .held = Bytes(0)};
  }
  bool HasGpu() const override { return false; }

 private:
  const Bytes has_;
};

void TryOn(std::string_view text, Bytes has) {
  const absl::StatusOr<Config> config = ParseConfig(text, "f.toml", FuzzHost(has));
  if (config.ok()) {
    fuzz::Check(ValidatePolicy(config->policy).ok(), "an accepted policy is valid");
    fuzz::Check(config->limits.blocks > 0, "an accepted limit is positive");
    return;
  }
  fuzz::Check(absl::StrContains(config.status().message(), "f.toml:"), "an error names the file");
}

}  // namespace
}  // namespace residency

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = residency::fuzz::TextOf(data, size);
  residency::TryOn(text, residency::MiB(64));
  residency::TryOn(text, residency::GiB(1 << 20));
  return 0;
}
