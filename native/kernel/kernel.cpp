/* The C interface: checks what it is given, picks an instruction set and hands the work to it. */
#include "backend.h"

static const char* const KINDS[] = {"conv2d", "average pool", "max pool", "flatten", "dense"};

/* Null when this machine or build has not got it. */
static const wz_backend* backend_of(int32_t instruction_set) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (avx512 && (instruction_set == WZ_AVX512 || instruction_set == WZ_AUTO)) return &wz_backend_avx512;
  if (avx2 && (instruction_set == WZ_AVX2 || instruction_set == WZ_AUTO)) return &wz_backend_avx2;
#endif
  return instruction_set == WZ_BASELINE || instruction_set == WZ_AUTO ? &wz_backend_baseline : nullptr;
}

/* A message put together without the C library. */
struct Message {
  char* text;
  int32_t size, length;

  Message& operator<<(const char* part) {
    for (; *part && length + 1 < size; part++) text[length++] = *part;
    if (size > 0) text[length] = 0;
    return *this;
  }
  Message& operator<<(int32_t number) {
    char digits[12];
    int at = 11;
    bool negative = number < 0;
    uint32_t rest = negative ? 0u - (uint32_t)number : (uint32_t)number;
    digits[at] = 0;
    do digits[--at] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (negative) digits[--at] = '-';
    return *this << digits + at;
  }
};

static bool fits(int32_t in, int32_t kernel, int32_t stride, int32_t before, int32_t out) {
  /* Zeros after the last input, which follow from the output's size. */
  int64_t after = (int64_t)(out - 1) * stride + kernel - before - in;
  return after < kernel && after > -stride;
}

/* What keeps the kernel from doing a layer, or null. */
static const char* problem_of(const wz_layer& l, const wz_layer* before, bool last, const wz_settings& s) {
  if (l.kind < WZ_CONV2D || l.kind > WZ_DENSE) return "unknown kind";
  const int32_t sizes[] = {l.in_h, l.in_w, l.in_c, l.out_h, l.out_w, l.out_c};
  for (int32_t size : sizes)
    if (size < 1) return "a size is not positive";
  if (before && (l.in_h != before->out_h || l.in_w != before->out_w || l.in_c != before->out_c))
    return "its input is not the output of the layer before";
  if ((int64_t)l.in_h * l.in_w * l.in_c > 1 << 22 || (int64_t)l.out_h * l.out_w * l.out_c > 1 << 22)
    return "a tensor has more than 2^22 values";

  bool weighted = l.kind == WZ_CONV2D || l.kind == WZ_DENSE;
  if (l.activation < WZ_LINEAR || l.activation > WZ_SOFTMAX) return "unknown activation";
  if (!weighted && l.activation != WZ_LINEAR) return "only conv2d and dense have an activation";
  if (l.activation == WZ_SOFTMAX && !(last && s.loss == WZ_SOFTMAX_CROSSENTROPY))
    return "softmax is for the last layer with softmax cross-entropy only";
  if (last && l.activation != WZ_LINEAR &&
      l.activation != (s.loss == WZ_BINARY_CROSSENTROPY ? WZ_SIGMOID : WZ_SOFTMAX))
    return "the last activation does not go with the loss";
  if (last && s.loss == WZ_BINARY_CROSSENTROPY && (int64_t)l.out_h * l.out_w * l.out_c != 1)
    return "binary cross-entropy needs one output";
  if (last && s.loss == WZ_SOFTMAX_CROSSENTROPY && (int64_t)l.out_h * l.out_w * l.out_c > 256)
    return "softmax cross-entropy has at most 256 classes";

  if (l.kind == WZ_FLATTEN || l.kind == WZ_DENSE) {
    if (l.out_h != 1 || l.out_w != 1) return "its output is not flat";
    if (l.kind == WZ_FLATTEN && l.out_c != l.in_h * l.in_w * l.in_c) return "its output has another size than its input";
    if (l.kind == WZ_DENSE && (l.in_h != 1 || l.in_w != 1)) return "its input is not flat";
  } else {
    if (before && (before->kind == WZ_FLATTEN || before->kind == WZ_DENSE)) return "its input is flat";
    if (l.kernel_h < 1 || l.kernel_w < 1 || l.kernel_h > 1024 || l.kernel_w > 1024) return "kernel size is not in 1 to 1024";
    if (l.stride < 1 || l.stride > 1024) return "stride is not in 1 to 1024";
    if (l.pad_top < 0 || l.pad_top >= l.kernel_h || l.pad_left < 0 || l.pad_left >= l.kernel_w)
      return "padding is not smaller than the kernel";
    if (!fits(l.in_h, l.kernel_h, l.stride, l.pad_top, l.out_h) || !fits(l.in_w, l.kernel_w, l.stride, l.pad_left, l.out_w))
      return "output size does not follow from input, kernel, stride and padding";
    if (l.kind != WZ_CONV2D) {
      if (l.in_c != l.out_c) return "a pool keeps the number of channels";
      if (l.pad_top || l.pad_left || (l.out_h - 1) * l.stride + l.kernel_h > l.in_h ||
          (l.out_w - 1) * l.stride + l.kernel_w > l.in_w)
        return "pools cannot be padded";
    }
  }
  if (weighted) {
    int64_t kernel = (int64_t)l.in_c * l.out_c * (l.kind == WZ_CONV2D ? (int64_t)l.kernel_h * l.kernel_w : 1);
    if (l.bias_offset < 0 || (int64_t)l.bias_offset + l.out_c > s.parameter_count || l.kernel_offset < 0 ||
        l.kernel_offset + kernel > s.parameter_count)
      return "its parameters lie outside the weights";
  }
  return nullptr;
}

static const char* problem_of(const wz_settings& s) {
  if (s.loss != WZ_BINARY_CROSSENTROPY && s.loss != WZ_SOFTMAX_CROSSENTROPY) return "unknown loss";
  if (s.optimizer != WZ_ADAM && s.optimizer != WZ_SGD) return "unknown optimizer";
  if (s.algorithm != WZ_DIRECT && s.algorithm != WZ_MINIMAL_FILTERING) return "unknown algorithm";
  if (s.max_batch < 1 || s.max_batch > 1 << 20) return "max_batch is not in 1 to 2^20";
  if (s.parameter_count < 1) return "no parameters";
  if (!backend_of(s.instruction_set)) return "this machine or build has not got the instruction set";
  return nullptr;
}

extern "C" {

wz_trainer* wz_trainer_create(const wz_layer* layers, int32_t layer_count, const wz_settings* settings,
                              const float* weights, char* error, int32_t error_size) {
  Message message = {error, error_size, 0};
  if (const char* problem = problem_of(*settings)) return message << problem, nullptr;
  if (layer_count < 1 || layer_count > WZ_MAX_LAYERS)
    return message << "number of layers is not in 1 to " << WZ_MAX_LAYERS, nullptr;
  bool weighted = false;
  for (int32_t i = 0; i < layer_count; i++) {
    const wz_layer& layer = layers[i];
    weighted |= layer.kind == WZ_CONV2D || layer.kind == WZ_DENSE;
    if (const char* problem = problem_of(layer, i ? &layers[i - 1] : nullptr, i + 1 == layer_count, *settings)) {
      message << "layer " << i;
      if (layer.kind >= WZ_CONV2D && layer.kind <= WZ_DENSE) message << " (" << KINDS[layer.kind] << ")";
      return message << ": " << problem, nullptr;
    }
  }
  if (!weighted) return message << "no layer has parameters", nullptr;
  wz_trainer* trainer = backend_of(settings->instruction_set)->create(layers, layer_count, settings, weights);
  if (!trainer) message << "out of memory";
  return trainer;
}

void wz_trainer_destroy(wz_trainer* trainer) {
  if (trainer) trainer->backend->destroy(trainer);
}

int32_t wz_step(wz_trainer* trainer, const float* pixels, const uint8_t* targets, const uint32_t* indices,
                int32_t count, double* loss_sum, int32_t* correct) {
  wz_batch batch = {pixels, targets, indices, 0, count, loss_sum, correct};
  if (count < 1 || count > trainer->max_batch || !indices) return WZ_BAD_CALL;
  return trainer->backend->step(trainer, &batch);
}

int32_t wz_gradient(wz_trainer* trainer, const float* pixels, const uint8_t* targets, const uint32_t* indices,
                    int32_t count, float* gradient, double* loss_sum, int32_t* correct) {
  wz_batch batch = {pixels, targets, indices, 0, count, loss_sum, correct};
  if (count < 1 || count > trainer->max_batch || !indices) return WZ_BAD_CALL;
  return trainer->backend->gradient(trainer, &batch, gradient);
}

int32_t wz_evaluate(wz_trainer* trainer, const float* pixels, const uint8_t* targets, int32_t first, int32_t count,
                    float* outputs, double* loss_sum, int32_t* correct) {
  wz_batch batch = {pixels, targets, nullptr, first, count, loss_sum, correct};
  if (first < 0 || count < 0) return WZ_BAD_CALL;
  return trainer->backend->evaluate(trainer, &batch, outputs);
}

void wz_get_weights(const wz_trainer* trainer, float* weights) {
  __builtin_memcpy(weights, trainer->weights, (size_t)trainer->parameter_count * sizeof(float));
}

void wz_set_weights(wz_trainer* trainer, const float* weights) {
  __builtin_memcpy(trainer->weights, weights, (size_t)trainer->parameter_count * sizeof(float));
  trainer->weights_changed = true;
}

int32_t wz_available(int32_t instruction_set) { return backend_of(instruction_set) != nullptr; }

const char* wz_instruction_set_name(int32_t instruction_set) {
  const wz_backend* backend = backend_of(instruction_set);
  return backend ? backend->name : nullptr;
}

const char* wz_arithmetic(int32_t algorithm) {
#if defined(__wasm_simd128__) && !defined(__wasm_relaxed_simd__)
#define WZ_ROUNDING "separate multiply and add, subnormals kept"
#elif defined(__wasm_simd128__)
#define WZ_ROUNDING "relaxed multiply-add, subnormals kept"
#else
#define WZ_ROUNDING "fused multiply-add, subnormals flushed"
#endif
  return algorithm == WZ_MINIMAL_FILTERING
             ? "kernel 1, float32, 16 lanes, " WZ_ROUNDING ", minimal filtering F(4,5), F(2x2,5x5)"
             : "kernel 1, float32, 16 lanes, " WZ_ROUNDING ", direct convolution";
}
}
