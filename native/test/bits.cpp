/* Prints a hash of LeNet-5's weights after a few steps, for every algorithm and instruction set: equal on all machines. */
#include <cstdio>

#include "networks.h"

static uint64_t hash_of(const std::vector<float>& weights) {
  uint64_t hash = 14695981039346656037ull; /* FNV-1a */
  const auto* bytes = reinterpret_cast<const unsigned char*>(weights.data());
  for (size_t i = 0; i < weights.size() * sizeof(float); i++) hash = (hash ^ bytes[i]) * 1099511628211ull;
  return hash;
}

int main() {
  Architecture architecture = lenet5();
  Data data = random_data(architecture, 512, 7);
  const int COUNTS[] = {64, 33, 1};
  for (int algorithm : {WZ_DIRECT, WZ_MINIMAL_FILTERING}) {
    for (int instruction_set : {WZ_BASELINE, WZ_AVX2, WZ_AVX512}) {
      if (!wz_available(instruction_set)) continue;
      if (instruction_set == WZ_BASELINE && wz_available(WZ_AVX2)) continue; /* slow, and test.cpp compares it */
      wz_settings settings = settings_of(architecture, algorithm, instruction_set, 64);
      wz_trainer* trainer = wz_trainer_create(architecture.layers.data(), (int)architecture.layers.size(), &settings,
                                              random_weights(architecture, 1).data(), nullptr, 0);
      double loss = 0;
      int correct = 0;
      const uint32_t* indices = data.indices.data();
      for (int count : COUNTS) {
        wz_step(trainer, data.pixels.data(), data.targets.data(), indices, count, &loss, &correct);
        indices += count;
      }
      std::vector<float> weights(settings.parameter_count);
      wz_get_weights(trainer, weights.data());
      wz_trainer_destroy(trainer);
      std::printf("%s %016llx %.17g %s\n", algorithm == WZ_DIRECT ? "direct" : "minimal", (unsigned long long)hash_of(weights),
                  loss, wz_instruction_set_name(instruction_set));
    }
  }
}
