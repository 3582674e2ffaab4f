/* What each instruction set's translation unit offers to kernel.cpp. */
#pragma once
#include "kernel.h"

enum { WZ_MAX_LAYERS = 64 };

/* One call's work: a batch picked by indices, or (indices null) the samples from first on. */
struct wz_batch {
  const float* pixels;
  const uint8_t* targets;
  const uint32_t* indices;
  int32_t first, count;
  double* loss_sum;
  int32_t* correct;
};

struct wz_backend {
  const char* name;
  /* Layers are valid and weights are complete; null when memory is short. */
  wz_trainer* (*create)(const wz_layer* layers, int32_t layer_count, const wz_settings* settings, const float* weights);
  void (*destroy)(wz_trainer* trainer);
  int32_t (*step)(wz_trainer* trainer, const wz_batch* batch);
  int32_t (*gradient)(wz_trainer* trainer, const wz_batch* batch, float* gradient);
  int32_t (*evaluate)(wz_trainer* trainer, const wz_batch* batch, float* outputs);
};

/* The part of a trainer that no instruction set changes. */
struct wz_trainer {
  const wz_backend* backend;
  float* weights;
  int32_t parameter_count;
  int32_t max_batch;
  bool weights_changed; /* since copies of them were last rearranged */
};

extern const wz_backend wz_backend_baseline;
#if defined(__x86_64__)
extern const wz_backend wz_backend_avx2, wz_backend_avx512;
#endif
