/*
 * One network: forward, backward and the optimizer, for one instruction set.
 *
 * A batch is cut into groups of LANES samples. A group runs through all layers and back while its tensors are warm, and
 * adds to the batch's weight gradients; lanes without a sample see zero pixels and a zero gradient, so they add exact
 * zeros. Then the lanes are summed, always in the same order, and the optimizer steps once.
 */
#pragma once
#include "backend.h"
#include "functions.h"
#include "tiles.h"

namespace WZ_NAMESPACE {

WZ_INLINE int round_up(int n, int unit) { return (n + unit - 1) / unit * unit; }

/* Hands out aligned pieces of one block; with no block it only adds up their sizes. */
struct Arena {
  char* block;
  size_t used;

  template <class T>
  T* take(size_t count) {
    T* piece = block ? reinterpret_cast<T*>(block + used) : nullptr;
    used += (count * sizeof(T) + 63) / 64 * 64;
    return piece;
  }
};

/* [y][x][channel][LANES], with a border of zeros as wide as the layer that reads it wants. */
struct Tensor {
  int h, w, c;
  int top, left, full_h, full_w;
  float *value, *gradient;

  int size() const { return full_h * full_w * c * LANES; }
  int at(int y, int x) const { return ((y + top) * full_w + x + left) * c * LANES; }
};

struct Layer {
  wz_layer spec;
  bool last, first; /* last: its activation belongs to the loss; first: no layer before it has parameters */
  Tensor *in, *out;

  int pixels, inputs, padded_outputs; /* of a layer with parameters: inputs = kernel height * width * channels */
  int32_t *taps, *windows, *places;   /* as in tiles.h; places: of output pixels in `out` */
  float *weights, *bias;              /* in the flat weights: [inputs][outputs], [outputs] */
  float* transposed;                  /* [outputs][inputs] */
  bool by_channel;                    /* gradient sums: [inputs][padded_outputs], else [inputs][outputs][LANES] */
  float *sums, *bias_sums;            /* bias_sums: [outputs][LANES] */
  float* samples;                     /* by channel, the outputs' gradient: [pixels][LANES][padded_outputs] */
};

struct Network : wz_trainer {
  wz_settings settings;
  void* block; /* all memory but this struct */
  int layer_count;
  Layer layers[WZ_MAX_LAYERS];
  Tensor tensors[WZ_MAX_LAYERS + 1];
  float* zeros; /* one image */
  float *gradient, *moment, *velocity;
  double beta1_power, beta2_power;
};

/* ---- layers with parameters ---- */

WZ_INLINE void activate(int activation, float* p, int count) {
  for (int i = 0; i < count; i += WIDTH) {
    V x = load(p + i);
    store(p + i, activation == WZ_TANH   ? tanh(x)
                 : activation == WZ_RELU ? maximum(V{}, x)
                 : activation == WZ_SIGMOID ? sigmoid(x)
                                            : x);
  }
}

static void activate_rows(const Layer& l) {
  const Tensor& t = *l.out;
  if (l.last || l.spec.activation == WZ_LINEAR) return;
  for (int y = 0; y < t.h; y++) {
    float* row = t.value + t.at(y, 0);
    int count = t.w * t.c * LANES;
    switch (l.spec.activation) {
      case WZ_TANH: activate(WZ_TANH, row, count); break;
      case WZ_RELU: activate(WZ_RELU, row, count); break;
      case WZ_SIGMOID: activate(WZ_SIGMOID, row, count); break;
    }
  }
}

/* The outputs' gradient to that before the activation, in place, from the activation's value. */
WZ_INLINE void deactivate(int activation, const float* value, float* gradient, int count) {
  for (int i = 0; i < count; i += WIDTH) {
    V y = load(value + i), g = load(gradient + i);
    store(gradient + i, activation == WZ_TANH   ? g * fma(-y, y, splat(1.0f))
                        : activation == WZ_RELU ? select((I)(y > V{}), g, V{})
                                                : g * fma(-y, y, y));
  }
}

static void deactivate_rows(const Layer& l) {
  const Tensor& t = *l.out;
  if (l.last || l.spec.activation == WZ_LINEAR) return;
  for (int y = 0; y < t.h; y++) {
    const float* value = t.value + t.at(y, 0);
    float* gradient = t.gradient + t.at(y, 0);
    int count = t.w * t.c * LANES;
    switch (l.spec.activation) {
      case WZ_TANH: deactivate(WZ_TANH, value, gradient, count); break;
      case WZ_RELU: deactivate(WZ_RELU, value, gradient, count); break;
      case WZ_SIGMOID: deactivate(WZ_SIGMOID, value, gradient, count); break;
    }
  }
}

static void forward_direct(const Layer& l) {
  int outputs = l.spec.out_c;
  weighted_sums(l.pixels, outputs, l.inputs, l.taps, l.in->value, l.windows, l.weights, outputs, l.bias, l.out->value,
                l.places);
}

static void input_gradient_direct(const Layer& l) {
  int outputs = l.spec.out_c, rows = l.spec.kind == WZ_CONV2D ? l.spec.kernel_h : 1, run = l.inputs / rows;
  __builtin_memset(l.in->gradient, 0, (size_t)l.in->size() * sizeof(float));
  for (int i = 0; i < l.pixels; i++)
    for (int ky = 0; ky < rows; ky++)
      spread(run, outputs, l.out->gradient + l.places[i], l.transposed + ky * run, l.inputs,
             l.in->gradient + l.windows[i] + l.taps[ky * run]);
}

/* [outputs][LANES] of every pixel to [LANES][padded_outputs]. */
static void gradient_by_sample(const Layer& l) {
  int outputs = l.spec.out_c;
  for (int i = 0; i < l.pixels; i++)
    for (int o = 0; o < outputs; o += LANES) {
      const float* rows[LANES];
      for (int r = 0; r < LANES; r++)
        rows[r] = l.out->gradient + l.places[i] + (o + r < outputs ? o + r : outputs - 1) * LANES;
      transpose_block(rows, l.samples + i * LANES * l.padded_outputs + o, l.padded_outputs);
    }
}

static void weight_gradient_direct(const Layer& l) {
  int outputs = l.spec.out_c;
  if (l.by_channel) {
    gradient_by_sample(l);
    channel_products(l.pixels, l.inputs, l.padded_outputs, l.in->value, l.windows, l.taps, l.samples, l.sums);
    return;
  }
  /* A row of output pixels at a time, which stays in the first-level cache while all taps pass over it. */
  int w = l.out->w;
  for (int i = 0; i < l.pixels; i += w)
    lane_products(w, l.inputs, outputs, l.in->value, l.windows + i, l.taps, l.out->gradient, l.places + i, l.sums);
}

static void bias_gradient(const Layer& l) {
  int count = l.spec.out_c * LANES;
  for (int i = 0; i < l.pixels; i++) {
    const float* g = l.out->gradient + l.places[i];
    for (int o = 0; o < count; o += WIDTH) store(l.bias_sums + o, load(l.bias_sums + o) + load(g + o));
  }
}

/* ---- pools ---- */

static void forward_pool(const Layer& l) {
  const Tensor &in = *l.in, &out = *l.out;
  int size_h = l.spec.kernel_h, size_w = l.spec.kernel_w, stride = l.spec.stride, count = in.c * LANES;
  bool average = l.spec.kind == WZ_AVERAGE_POOL;
  V share = splat(1.0f / (float)(size_h * size_w));
  for (int y = 0; y < out.h; y++)
    for (int x = 0; x < out.w; x++) {
      const float* from = in.value + in.at(y * stride, x * stride);
      float* to = out.value + out.at(y, x);
      for (int i = 0; i < count; i += WIDTH) {
        V r = load(from + i);
        for (int ky = 0; ky < size_h; ky++)
          for (int kx = ky == 0; kx < size_w; kx++) {
            V v = load(from + (ky * in.full_w + kx) * count + i);
            r = average ? r + v : maximum(v, r);
          }
        store(to + i, average ? r * share : r);
      }
    }
}

static void backward_pool(const Layer& l) {
  const Tensor &in = *l.in, &out = *l.out;
  int size_h = l.spec.kernel_h, size_w = l.spec.kernel_w, stride = l.spec.stride, count = in.c * LANES;
  bool average = l.spec.kind == WZ_AVERAGE_POOL;
  V share = splat(1.0f / (float)(size_h * size_w));
  __builtin_memset(in.gradient, 0, (size_t)in.size() * sizeof(float));
  for (int y = 0; y < out.h; y++)
    for (int x = 0; x < out.w; x++) {
      int corner = in.at(y * stride, x * stride), place = out.at(y, x);
      for (int i = 0; i < count; i += WIDTH) {
        V g = load(out.gradient + place + i), largest = load(out.value + place + i);
        if (average) g = g * share;
        I open = V{} == V{};
        for (int ky = 0; ky < size_h; ky++)
          for (int kx = 0; kx < size_w; kx++) {
            int at = corner + (ky * in.full_w + kx) * count + i;
            V part = g;
            if (!average) { /* the first of equal largest values gets it all */
              I here = open & (I)(load(in.value + at) == largest);
              part = select(here, g, V{});
              open &= ~here;
            }
            store(in.gradient + at, load(in.gradient + at) + part);
          }
      }
    }
}

/* ---- one group of samples through all layers ---- */

static void forward(const Network& n) {
  for (int i = 0; i < n.layer_count; i++) {
    const Layer& l = n.layers[i];
    switch (l.spec.kind) {
      case WZ_AVERAGE_POOL:
      case WZ_MAX_POOL: forward_pool(l); break;
      case WZ_CONV2D:
      case WZ_DENSE:
        forward_direct(l);
        activate_rows(l);
        break;
    }
  }
}

static void backward(const Network& n) {
  for (int i = n.layer_count - 1; i >= 0; i--) {
    const Layer& l = n.layers[i];
    switch (l.spec.kind) {
      case WZ_AVERAGE_POOL:
      case WZ_MAX_POOL:
        if (!l.first) backward_pool(l);
        break;
      case WZ_CONV2D:
      case WZ_DENSE:
        deactivate_rows(l);
        bias_gradient(l);
        weight_gradient_direct(l);
        if (!l.first) input_gradient_direct(l);
        break;
    }
    if (l.first) return;
  }
}

/* images: [LANES], each [h][w][c]. */
static void load_images(const Tensor& t, const float* const* images) {
  int run = t.w * t.c;
  for (int y = 0; y < t.h; y++) {
    float* row = t.value + t.at(y, 0);
    const float* rows[LANES];
    int i = 0;
    for (; i + LANES <= run; i += LANES) {
      for (int s = 0; s < LANES; s++) rows[s] = images[s] + y * run + i;
      transpose_block(rows, row + i * LANES, LANES);
    }
    for (; i < run; i++)
      for (int s = 0; s < LANES; s++) row[i * LANES + s] = images[s][y * run + i];
  }
}

/* The loss of the group's logits; their gradient, divided by `divisor`, replaces nothing else. */
struct Losses {
  double sum;
  int correct;
};

static Losses losses_of(const Network& n, const uint8_t* targets, int samples, int divisor, float* outputs) {
  const Tensor& t = n.tensors[n.layer_count];
  int units = t.h * t.w * t.c;
  Losses r = {0, 0};
  __builtin_memset(t.gradient, 0, (size_t)units * LANES * sizeof(float));
  for (int s = 0; s < samples; s++) {
    const float* logits = t.value + s;
    float* gradient = t.gradient + s;
    int target = targets[s];
    if (n.settings.loss == WZ_BINARY_CROSSENTROPY) {
      double a = logits[0], e = exp_negative(a > 0 ? -a : a);
      double p = (a > 0 ? 1 : e) / (1 + e);
      r.sum += (a > 0 ? a : 0) - a * target + log_positive(1 + e);
      r.correct += (p > 0.5) == (target == 1);
      gradient[0] = (float)((p - target) / divisor);
      if (outputs) outputs[s] = (float)p;
      continue;
    }
    int best = 0;
    for (int u = 1; u < units; u++)
      if (logits[u * LANES] > logits[best * LANES]) best = u;
    double largest = logits[best * LANES], sum = 0, chosen = 0;
    for (int u = 0; u < units; u++) sum += exp_negative(logits[u * LANES] - largest);
    for (int u = 0; u < units; u++) {
      double a = logits[u * LANES] - largest, p = exp_negative(a) / sum;
      if (u == target) chosen = a;
      gradient[u * LANES] = (float)((p - (u == target)) / divisor);
      if (outputs) outputs[s * units + u] = (float)p;
    }
    r.sum += log_positive(sum) - chosen;
    r.correct += best == target;
  }
  return r;
}

/* ---- a batch ---- */

/* Sum of a group's lanes: halves onto halves. */
WZ_INLINE float sum_lanes(const float* p) {
  float t[8];
  for (int i = 0; i < 8; i++) t[i] = p[i] + p[i + 8];
  for (int i = 0; i < 4; i++) t[i] += t[i + 4];
  return (t[0] + t[2]) + (t[1] + t[3]);
}

/* Rearranged copies of the weights, once per change. */
static void prepare_weights(Network& n) {
  if (!n.weights_changed) return;
  n.weights_changed = false;
  for (int i = 0; i < n.layer_count; i++) {
    const Layer& l = n.layers[i];
    if (!l.transposed) continue;
    int outputs = l.spec.out_c, k = 0;
    for (; k + LANES <= l.inputs; k += LANES) {
      int o = 0;
      for (; o + LANES <= outputs; o += LANES) {
        const float* rows[LANES];
        for (int r = 0; r < LANES; r++) rows[r] = l.weights + (k + r) * outputs + o;
        transpose_block(rows, l.transposed + o * l.inputs + k, l.inputs);
      }
      for (; o < outputs; o++)
        for (int r = 0; r < LANES; r++) l.transposed[o * l.inputs + k + r] = l.weights[(k + r) * outputs + o];
    }
    for (; k < l.inputs; k++)
      for (int o = 0; o < outputs; o++) l.transposed[o * l.inputs + k] = l.weights[k * outputs + o];
  }
}

static void clear_sums(const Network& n) {
  for (int i = 0; i < n.layer_count; i++) {
    const Layer& l = n.layers[i];
    if (!l.sums) continue;
    size_t columns = (size_t)(l.by_channel ? l.padded_outputs : l.spec.out_c * LANES);
    __builtin_memset(l.sums, 0, (size_t)l.inputs * columns * sizeof(float));
    __builtin_memset(l.bias_sums, 0, (size_t)l.spec.out_c * LANES * sizeof(float));
  }
}

static void collect_gradient(const Network& n) {
  for (int i = 0; i < n.layer_count; i++) {
    const Layer& l = n.layers[i];
    if (!l.sums) continue;
    int outputs = l.spec.out_c;
    float* kernel = n.gradient + l.spec.kernel_offset;
    for (int o = 0; o < outputs; o++) n.gradient[l.spec.bias_offset + o] = sum_lanes(l.bias_sums + o * LANES);
    if (l.by_channel)
      for (int k = 0; k < l.inputs; k++)
        __builtin_memcpy(kernel + k * outputs, l.sums + k * l.padded_outputs, (size_t)outputs * sizeof(float));
    else
      for (int j = 0; j < l.inputs * outputs; j++) kernel[j] = sum_lanes(l.sums + j * LANES);
  }
}

static int32_t run_batch(Network& n, const wz_batch& batch, bool train, float* outputs) {
  const Tensor &in = n.tensors[0], &out = n.tensors[n.layer_count];
  int image = in.h * in.w * in.c, units = out.h * out.w * out.c;
  Losses total = {0, 0};
  prepare_weights(n);
  if (train) clear_sums(n);
  for (int start = 0; start < batch.count; start += LANES) {
    int samples = batch.count - start < LANES ? batch.count - start : LANES;
    const float* images[LANES];
    uint8_t targets[LANES];
    for (int s = 0; s < LANES; s++) {
      size_t index = s >= samples ? 0 : batch.indices ? batch.indices[start + s] : (size_t)batch.first + start + s;
      images[s] = s < samples ? batch.pixels + index * image : n.zeros;
      targets[s] = s < samples ? batch.targets[index] : 0;
    }
    load_images(in, images);
    forward(n);
    Losses losses = losses_of(n, targets, samples, batch.count, outputs ? outputs + (size_t)start * units : nullptr);
    total.sum += losses.sum;
    total.correct += losses.correct;
    if (train) backward(n);
  }
  if (train) collect_gradient(n);
  *batch.loss_sum += total.sum;
  *batch.correct += total.correct;
  return total.sum - total.sum == 0 ? WZ_OK : WZ_NOT_FINITE;
}

static void adam(Network& n) {
  const wz_settings& s = n.settings;
  n.beta1_power *= s.beta1;
  n.beta2_power *= s.beta2;
  double step = s.learning_rate * __builtin_sqrt(1 - n.beta2_power) / (1 - n.beta1_power);
  V rate = splat((float)-step), new1 = splat((float)(1 - s.beta1)), new2 = splat((float)(1 - s.beta2));
  V epsilon = splat((float)s.epsilon);
  for (int i = 0; i < n.parameter_count; i += WIDTH) {
    V g = load(n.gradient + i), m = load(n.moment + i), v = load(n.velocity + i), w = load(n.weights + i);
    m = fma(g - m, new1, m);
    v = fma(fma(g, g, -v), new2, v);
    store(n.moment + i, m);
    store(n.velocity + i, v);
    store(n.weights + i, fma(rate, m / (square_root(v) + epsilon), w));
  }
}

static void sgd(Network& n) {
  V momentum = splat((float)n.settings.momentum), rate = splat((float)-n.settings.learning_rate);
  for (int i = 0; i < n.parameter_count; i += WIDTH) {
    V v = fma(rate, load(n.gradient + i), momentum * load(n.velocity + i));
    store(n.velocity + i, v);
    store(n.weights + i, load(n.weights + i) + v);
  }
}

/* ---- set-up ---- */

static void plan_tensors(Network& n, Arena& arena) {
  for (int i = 0; i <= n.layer_count; i++) {
    Tensor& t = n.tensors[i];
    const wz_layer& l = n.layers[i < n.layer_count ? i : i - 1].spec;
    bool end = i == n.layer_count;
    t = {end ? l.out_h : l.in_h, end ? l.out_w : l.in_w, end ? l.out_c : l.in_c, 0, 0, 0, 0, nullptr, nullptr};
    t.full_h = t.h;
    t.full_w = t.w;
    if (!end && l.kind == WZ_CONV2D) {
      int need_h = (l.out_h - 1) * l.stride + l.kernel_h, need_w = (l.out_w - 1) * l.stride + l.kernel_w;
      t.top = l.pad_top;
      t.left = l.pad_left;
      t.full_h = t.top + t.h > need_h ? t.top + t.h : need_h;
      t.full_w = t.left + t.w > need_w ? t.left + t.w : need_w;
    }
    if (i && n.layers[i - 1].spec.kind == WZ_FLATTEN) { /* the same numbers, seen as a row */
      t.value = n.tensors[i - 1].value;
      t.gradient = n.tensors[i - 1].gradient;
    } else {
      t.value = arena.take<float>((size_t)t.size());
      t.gradient = arena.take<float>((size_t)t.size());
    }
  }
}

static void plan_layer(Network& n, Layer& l, Arena& arena) {
  const wz_layer& s = l.spec;
  bool convolution = s.kind == WZ_CONV2D;
  int kernel_h = convolution ? s.kernel_h : 1, kernel_w = convolution ? s.kernel_w : 1;
  l.pixels = s.out_h * s.out_w;
  l.inputs = kernel_h * kernel_w * s.in_c;
  l.padded_outputs = round_up(s.out_c, LANES);
  l.taps = arena.take<int32_t>((size_t)l.inputs);
  l.windows = arena.take<int32_t>((size_t)l.pixels);
  l.places = arena.take<int32_t>((size_t)l.pixels);
  l.by_channel = l.pixels < LANES;
  l.transposed = l.first ? nullptr : arena.take<float>((size_t)l.inputs * s.out_c);
  l.sums = arena.take<float>((size_t)l.inputs * (l.by_channel ? l.padded_outputs : s.out_c * LANES));
  l.bias_sums = arena.take<float>((size_t)s.out_c * LANES);
  if (l.by_channel) l.samples = arena.take<float>((size_t)l.pixels * LANES * l.padded_outputs);
  if (!arena.block) return;

  l.weights = n.weights + s.kernel_offset;
  l.bias = n.weights + s.bias_offset;
  for (int k = 0; k < l.inputs; k++) {
    int c = k % s.in_c, x = k / s.in_c % kernel_w, y = k / s.in_c / kernel_w;
    l.taps[k] = ((y * l.in->full_w + x) * s.in_c + c) * LANES;
  }
  for (int i = 0; i < l.pixels; i++) {
    int y = i / s.out_w, x = i % s.out_w;
    l.windows[i] = (y * l.in->full_w + x) * s.stride * s.in_c * LANES;
    l.places[i] = l.out->at(y, x);
  }
}

/* Lays a network out in the arena. */
static void plan(Network& n, Arena& arena) {
  size_t padded = (size_t)round_up(n.parameter_count, LANES);
  n.weights = arena.take<float>(padded);
  n.gradient = arena.take<float>(padded);
  n.moment = arena.take<float>(padded);
  n.velocity = arena.take<float>(padded);
  const wz_layer& head = n.layers[0].spec;
  n.zeros = arena.take<float>((size_t)head.in_h * head.in_w * head.in_c);
  plan_tensors(n, arena);
  for (int i = 0; i < n.layer_count; i++) {
    Layer& l = n.layers[i];
    if (l.spec.kind == WZ_CONV2D || l.spec.kind == WZ_DENSE) plan_layer(n, l, arena);
  }
}

static void destroy(wz_trainer* trainer) {
  Network* n = static_cast<Network*>(trainer);
  __builtin_free(n->block);
  __builtin_free(n);
}

static wz_trainer* create(const wz_layer* layers, int32_t layer_count, const wz_settings* settings,
                          const float* weights) {
  Network* n = static_cast<Network*>(__builtin_malloc(sizeof(Network)));
  if (!n) return nullptr;
  __builtin_memset(static_cast<void*>(n), 0, sizeof *n);
  n->backend = &WZ_BACKEND;
  n->parameter_count = settings->parameter_count;
  n->max_batch = settings->max_batch;
  n->weights_changed = true;
  n->settings = *settings;
  n->beta1_power = n->beta2_power = 1;
  n->layer_count = layer_count;
  bool first = true;
  for (int i = 0; i < layer_count; i++) {
    Layer& l = n->layers[i];
    l.spec = layers[i];
    l.in = &n->tensors[i];
    l.out = &n->tensors[i + 1];
    l.last = i + 1 == layer_count;
    l.first = first;
    first = first && l.spec.kind != WZ_CONV2D && l.spec.kind != WZ_DENSE;
  }

  Arena arena = {nullptr, 0};
  plan(*n, arena);
  n->block = __builtin_malloc(arena.used + 63);
  if (!n->block) return destroy(n), nullptr;
  __builtin_memset(n->block, 0, arena.used + 63);
  arena = {reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(n->block) + 63) / 64 * 64), 0};
  plan(*n, arena);
  __builtin_memcpy(n->weights, weights, (size_t)n->parameter_count * sizeof(float));
  return n;
}

static int32_t step(wz_trainer* trainer, const wz_batch* batch) {
  FlushSubnormals mode;
  Network& n = *static_cast<Network*>(trainer);
  int32_t status = run_batch(n, *batch, true, nullptr);
  if (status != WZ_OK) return status;
  if (n.settings.optimizer == WZ_ADAM)
    adam(n);
  else
    sgd(n);
  n.weights_changed = true;
  return WZ_OK;
}

static int32_t gradient(wz_trainer* trainer, const wz_batch* batch, float* gradient) {
  FlushSubnormals mode;
  Network& n = *static_cast<Network*>(trainer);
  int32_t status = run_batch(n, *batch, true, nullptr);
  __builtin_memcpy(gradient, n.gradient, (size_t)n.parameter_count * sizeof(float));
  return status;
}

static int32_t evaluate(wz_trainer* trainer, const wz_batch* batch, float* outputs) {
  FlushSubnormals mode;
  return run_batch(*static_cast<Network*>(trainer), *batch, false, outputs);
}

}  // namespace WZ_NAMESPACE

extern const wz_backend WZ_BACKEND = {WZ_BACKEND_NAME,        WZ_NAMESPACE::create,   WZ_NAMESPACE::destroy,
                                      WZ_NAMESPACE::step, WZ_NAMESPACE::gradient, WZ_NAMESPACE::evaluate};
