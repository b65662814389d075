// fuzz_seeds DIRECTORY: writes DIRECTORY/TARGET/seed-NAME for every target. Run it after a change
// of a format: build/release/bin/fuzz_seeds tests/fuzz/corpus
#include "tests/fuzz/seeds.h"

#include <cstdio>
#include <filesystem>
#include <fstream>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_seeds DIRECTORY\n");
    return 2;
  }
  std::vector<residency::fuzz::Seed> seeds;
  residency::fuzz::AddFileSeeds(&seeds);
  residency::fuzz::AddRequestSeeds(&seeds);
  for (const residency::fuzz::Seed& seed : seeds) {
    const std::filesystem::path folder = std::filesystem::path(argv[1]) / seed.target;
    std::filesystem::create_directories(folder);
    std::ofstream file(folder / ("seed-" + seed.name), std::ios::binary);
    file << seed.bytes;
    if (!file.flush()) {
      std::fprintf(stderr, "cannot write %s\n", (folder / seed.name).c_str());
      return 1;
    }
  }
  std::printf("%zu inputs\n", seeds.size());
  return 0;
}
