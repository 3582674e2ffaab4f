/*
 * Training speed of LeNet-5 per instruction set and algorithm, interleaved with the FMA peak.
 * bench [rounds] [seconds]: medians over rounds of that many seconds per variant; default 5 and 0.25.
 */
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "../test/networks.h"
#include "peak.h"

/* This thread's processor time: on a busy machine the clock on the wall also counts other people's work. */
static double now() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}
static double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

int main(int argc, char** argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 5;
  double seconds = argc > 2 ? atof(argv[2]) : 0.25;
  const double MFLOP = 5.31072; /* per sample and training step, counted as direct convolution */
  const int BATCH = 128;
  struct Variant {
    int instruction_set, algorithm;
    const char* name;
    peak_function peak;
    wz_trainer* trainer;
    std::vector<double> rates, peaks;
  };
  Variant variants[] = {{WZ_AVX512, WZ_DIRECT, "avx512 direct", peak_avx512, nullptr, {}, {}},
                        {WZ_AVX512, WZ_MINIMAL_FILTERING, "avx512 minimal", peak_avx512, nullptr, {}, {}},
                        {WZ_AVX2, WZ_DIRECT, "avx2 direct", peak_avx2, nullptr, {}, {}},
                        {WZ_AVX2, WZ_MINIMAL_FILTERING, "avx2 minimal", peak_avx2, nullptr, {}, {}}};
  Architecture a = lenet5();
  Data d = random_data(a, 1024, 7);
  for (Variant& v : variants) {
    if (!wz_available(v.instruction_set)) continue;
    wz_settings s = settings_of(a, v.algorithm, v.instruction_set, BATCH);
    v.trainer = wz_trainer_create(a.layers.data(), (int)a.layers.size(), &s, random_weights(a, 1).data(), nullptr, 0);
  }
  double loss = 0;
  int correct = 0;
  for (int round = 0; round < rounds; round++)
    for (Variant& v : variants) {
      if (!v.trainer) continue;
      double start = now(), flops = 0;
      while (now() - start < seconds / 5) flops += v.peak();
      double middle = now();
      int steps = 0;
      while (now() - middle < seconds) {
        wz_step(v.trainer, d.pixels.data(), d.targets.data(), &d.indices[steps++ % 8 * BATCH], BATCH, &loss, &correct);
      }
      double end = now();
      v.peaks.push_back(flops / (middle - start) * 1e-9);
      v.rates.push_back(steps * BATCH / (end - middle));
    }
  printf("%-16s %10s %9s %9s %8s\n", "", "samples/s", "GFLOP/s", "peak", "of peak");
  for (Variant& v : variants) {
    if (!v.trainer) continue;
    std::vector<double> shares;
    for (size_t i = 0; i < v.rates.size(); i++) shares.push_back(v.rates[i] * MFLOP * 1e-3 / v.peaks[i]);
    double rate = median(v.rates);
    printf("%-16s %10.0f %9.1f %9.1f %7.0f%%\n", v.name, rate, rate * MFLOP * 1e-3, median(v.peaks),
           100 * median(shares));
    wz_trainer_destroy(v.trainer);
  }
}
