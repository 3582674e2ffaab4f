/*
 * The training kernel's C interface: one small convolutional network, trained on one thread.
 *
 * A trainer owns a network's weights, optimizer state and scratch memory. Trainers share nothing but the caller's
 * read-only pixels, so any number of them may run on as many threads; one trainer is used by one thread at a time.
 * The kernel validates shapes, draws no random number, keeps no global state, and never throws or prints.
 *
 * Numbers
 * - Everything between pixels and gradient is float32; losses are summed in float64 over samples in batch order.
 * - Every reduction has a fixed order that does not depend on the vector width, and every multiply-add is fused
 *   explicitly, so AVX-512, AVX2, NEON and the plain C++ baseline give equal bits for equal input. WebAssembly without
 *   fused multiply-add rounds twice and gives other bits; wz_arithmetic() words the difference.
 * - tanh: at most 4e-7 from the true value; sigmoid, exp and log are the kernel's own, so no libm reaches a result.
 * - Gradients, as a share of the largest gradient of the same parameter array: at most 2e-5 from a float64 reference
 *   with direct convolutions, 5e-5 with minimal filtering.
 * - Subnormal numbers are flushed to zero inside a call (the caller's mode is restored), except in WebAssembly.
 */
#ifndef WEIGHTZOO_KERNEL_H
#define WEIGHTZOO_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { WZ_CONV2D = 0, WZ_AVERAGE_POOL = 1, WZ_MAX_POOL = 2, WZ_FLATTEN = 3, WZ_DENSE = 4 };
enum { WZ_LINEAR = 0, WZ_TANH = 1, WZ_RELU = 2, WZ_SIGMOID = 3, WZ_SOFTMAX = 4 };
enum { WZ_BINARY_CROSSENTROPY = 0, WZ_SOFTMAX_CROSSENTROPY = 1 };
enum { WZ_ADAM = 0, WZ_SGD = 1 };
/* Minimal filtering (Winograd, Toom-Cook) is used for the layers that it fits; the others stay direct. */
enum { WZ_DIRECT = 0, WZ_MINIMAL_FILTERING = 1 };
/* BASELINE is NEON on arm64, SIMD128 in WebAssembly, and elsewhere plain C++ (same bits, slow, for old processors). */
enum { WZ_AUTO = 0, WZ_BASELINE = 1, WZ_AVX2 = 2, WZ_AVX512 = 3 };
enum { WZ_OK = 0, WZ_NOT_FINITE = 1, WZ_BAD_CALL = 2 };

/* 15 int32, in this order. A flat tensor of n units has h = w = 1 and c = n. Unused fields are 0. */
typedef struct {
  int32_t kind;
  int32_t activation; /* SOFTMAX, or SIGMOID with binary cross-entropy, in the last layer only: taken into the loss */
  int32_t in_h, in_w, in_c;
  int32_t out_h, out_w, out_c;
  int32_t kernel_h, kernel_w; /* of a pool: its size */
  int32_t stride;
  int32_t pad_top, pad_left; /* zeros; those at the bottom and right follow from the shapes */
  int32_t bias_offset, kernel_offset; /* into the flat weights; kernels are [h][w][in][out] or [in][out] */
} wz_layer;

/* 8 int32, then 5 float64. */
typedef struct {
  int32_t loss;
  int32_t optimizer;
  int32_t algorithm;
  int32_t instruction_set;
  int32_t max_batch;       /* largest count that wz_step and wz_gradient will get */
  int32_t parameter_count; /* length of the flat weights */
  int32_t reserved[2];     /* 0 */
  double learning_rate;
  double momentum;              /* SGD: velocity = momentum * velocity - learning_rate * gradient */
  double beta1, beta2, epsilon; /* Adam: w -= lr * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + epsilon) */
} wz_settings;

typedef struct wz_trainer wz_trainer;

/*
 * weights: [parameter_count], copied. Returns null and writes a message ("layer 3: ...") to error when the kernel
 * cannot do a layer, a shape does not follow from the one before it, or memory is short.
 */
wz_trainer* wz_trainer_create(const wz_layer* layers, int32_t layer_count, const wz_settings* settings,
                              const float* weights, char* error, int32_t error_size);
void wz_trainer_destroy(wz_trainer* trainer);

/*
 * One optimizer step on the batch pixels[indices[0..count)], 1 <= count <= max_batch.
 * pixels: [n][h][w][c]; targets: [n], 0 or 1 for binary cross-entropy, else the class.
 * Adds the samples' losses to *loss_sum and the number of correct ones to *correct.
 * WZ_NOT_FINITE: the batch's loss is not finite; the weights are as before the call.
 */
int32_t wz_step(wz_trainer* trainer, const float* pixels, const uint8_t* targets, const uint32_t* indices,
                int32_t count, double* loss_sum, int32_t* correct);

/* The mean gradient of a batch, flat, [parameter_count]; the weights stay as they are. */
int32_t wz_gradient(wz_trainer* trainer, const float* pixels, const uint8_t* targets, const uint32_t* indices,
                    int32_t count, float* gradient, double* loss_sum, int32_t* correct);

/*
 * Forward pass over samples first to first + count (any count >= 0).
 * outputs: [count][units] probabilities, or null. Adds to *loss_sum and *correct; WZ_NOT_FINITE as in wz_step.
 */
int32_t wz_evaluate(wz_trainer* trainer, const float* pixels, const uint8_t* targets, int32_t first, int32_t count,
                    float* outputs, double* loss_sum, int32_t* correct);

/* Copies the flat weights out or in; setting them leaves the optimizer's state as it is. */
void wz_get_weights(const wz_trainer* trainer, float* weights);
void wz_set_weights(wz_trainer* trainer, const float* weights);

/* Whether this machine can run an instruction set (AUTO and BASELINE: always). */
int32_t wz_available(int32_t instruction_set);
/* The name of what an instruction set resolves to here: "avx512", "avx2", "neon", "simd128", "baseline". */
const char* wz_instruction_set_name(int32_t instruction_set);
/* The arithmetic in words: equal words promise equal bits for equal input. */
const char* wz_arithmetic(int32_t algorithm);

#ifdef __cplusplus
}
#endif
#endif
