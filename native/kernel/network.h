/*
 * One network: forward, backward and the optimizer, for one instruction set.
 *
 * A batch is cut into groups of LANES samples. A group runs through all layers and back while its tensors are warm, and
 * adds to the batch's weight gradients; lanes without a sample see zero pixels and a zero gradient, so they add exact
 * zeros. Then the lanes are summed, always in the same order, and the optimizer steps once.
 */
#pragma once
#include "direct.h"
#include "minimal.h"
#include "pool.h"

namespace WZ_NAMESPACE {

struct Network : wz_trainer {
  wz_settings settings;
  void* block; /* all memory but this struct */
  int layer_count, first_layer; /* first_layer: the first that has parameters */
  Layer layers[WZ_MAX_LAYERS];
  Tensor tensors[WZ_MAX_LAYERS + 1];
  int slots;    /* groups whose transforms a layer of method SQUARES keeps until it uses them */
  float* zeros; /* one image */
  float *gradient, *moment, *velocity;
  double beta1_power, beta2_power;
};

/* ---- one group of samples through one layer ---- */

/* images: for the first layer. slot: where a layer of method SQUARES keeps its transforms. */
static void forward(const Network& n, int i, const Images& images, int slot) {
  const Layer& l = n.layers[i];
  if (i == 0 && l.method != ROWS)
    for (int y = 0; y < l.in->h; y++) load_image_row(*l.in, images, y);
  switch (l.spec.kind) {
    case WZ_AVERAGE_POOL:
    case WZ_MAX_POOL:
      if (!i || !n.layers[i - 1].pool) forward_pool(l, all_of(*l.out));
      break;
    case WZ_CONV2D:
    case WZ_DENSE:
      switch (l.method) {
        case DIRECT: forward_direct(l); break;
        case ROWS: forward_rows(l, i == 0 ? &images : nullptr); break;
        case SQUARES: forward_squares(l, slot); break;
      }
      break;
  }
}

/* flush: no further slot will be filled before the slots are used. */
static void backward(const Network& n, int i, int slot, bool flush) {
  const Layer& l = n.layers[i];
  switch (l.spec.kind) {
    case WZ_AVERAGE_POOL:
    case WZ_MAX_POOL:
      if (!n.layers[i - 1].pool) backward_pool(l);
      break;
    case WZ_CONV2D:
    case WZ_DENSE:
      switch (l.method) {
        case DIRECT: backward_direct(l); break;
        case ROWS: backward_rows(l); break;
        case SQUARES: backward_squares(l, slot, flush); break;
      }
      break;
  }
}

/* Rearranged copies of a layer's weights. */
static void prepare_layer(const Layer& l) {
  if (l.transposed) prepare_transposed(l);
  if (l.method == ROWS) prepare_rows(l);
  if (l.method == SQUARES) prepare_squares(l);
}

struct Losses {
  double sum;
  int correct;
};

/* The losses of a group's logits; writes the logits' gradient, divided by `divisor`. */
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

static int32_t run_batch(Network& n, const wz_batch& batch, bool train, float* outputs) {
  const Tensor &in = n.tensors[0], &out = n.tensors[n.layer_count];
  int image = in.h * in.w * in.c, units = out.h * out.w * out.c;
  Losses total = {0, 0};
  for (int i = 0; i < n.layer_count; i++) {
    const Layer& l = n.layers[i];
    if (!l.sums) continue;
    if (n.weights_changed) prepare_layer(l);
    if (!train) continue;
    __builtin_memset(l.sums, 0, l.sum_count * sizeof(float));
    __builtin_memset(l.bias_sums, 0, (size_t)l.spec.out_c * LANES * sizeof(float));
  }
  n.weights_changed = false;
  auto index_of = [&](int s) { return batch.indices ? (size_t)batch.indices[s] : (size_t)batch.first + s; };
  auto image_of = [&](int s) { return s < batch.count ? batch.pixels + index_of(s) * image : n.zeros; };
  for (int start = 0; start < batch.count; start += LANES) {
    int samples = batch.count - start < LANES ? batch.count - start : LANES;
    int slot = train ? start / LANES % n.slots : 0;
    Images images;
    uint8_t targets[LANES];
    for (int s = 0; s < LANES; s++) {
      images.now[s] = image_of(start + s);
      images.next[s] = image_of(start + LANES + s);
      if (s < samples) targets[s] = batch.targets[index_of(start + s)];
    }
    for (int i = 0; i < n.layer_count; i++) forward(n, i, images, slot);
    Losses losses = losses_of(n, targets, samples, batch.count, outputs ? outputs + (size_t)start * units : nullptr);
    total.sum += losses.sum;
    total.correct += losses.correct;
    for (int i = n.layer_count - 1; train && i >= n.first_layer; i--)
      backward(n, i, slot, slot + 1 == n.slots || start + LANES >= batch.count);
  }
  for (int i = 0; train && i < n.layer_count; i++) {
    const Layer& l = n.layers[i];
    if (!l.sums) continue;
    float* kernel = n.gradient + l.spec.kernel_offset;
    sum_lanes(l.bias_sums, l.spec.out_c, n.gradient + l.spec.bias_offset);
    switch (l.method) {
      case DIRECT: collect_direct(l, kernel); break;
      case ROWS: collect_rows(l, kernel); break;
      case SQUARES: collect_squares(l, kernel); break;
    }
  }
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
    const wz_layer& l = n.layers[i < n.layer_count ? i : i - 1].spec; /* that reads it, or at the end wrote it */
    bool end = i == n.layer_count;
    t.h = end ? l.out_h : l.in_h;
    t.w = end ? l.out_w : l.in_w;
    t.c = end ? l.out_c : l.in_c;
    t.full_h = t.h;
    t.full_w = t.w;
    if (!end && l.kind == WZ_CONV2D) {
      int need_h = (l.out_h - 1) * l.stride + l.kernel_h, need_w = (l.out_w - 1) * l.stride + l.kernel_w;
      t.top = l.pad_top;
      t.left = l.pad_left;
      t.full_h = t.top + t.h > need_h ? t.top + t.h : need_h;
      t.full_w = t.left + t.w > need_w ? t.left + t.w : need_w;
    }
    t.row = i == 0 && n.layers[0].method == ROWS ? 0 : t.full_w * t.c * LANES;
    if (i && n.layers[i - 1].spec.kind == WZ_FLATTEN) { /* the same numbers, seen as a row */
      t.value = n.tensors[i - 1].value;
      t.gradient = n.tensors[i - 1].gradient;
    } else {
      t.value = arena.take<float>((size_t)t.size());
      t.gradient = arena.take<float>((size_t)t.size());
    }
  }
}

static void plan_layer(const Network& n, Layer& l, Arena& arena) {
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
  l.transposed = l.first ? nullptr : arena.take<float>((size_t)l.inputs * s.out_c + LANES);
  l.bias_sums = arena.take<float>((size_t)s.out_c * LANES);
  l.sum_count = sums_of(l);
  l.sums = arena.take<float>(l.sum_count);
  if (l.by_channel)
    l.samples = arena.take<float>((size_t)l.pixels * (l.method == SQUARES ? n.slots : 1) * LANES * l.padded_outputs);
  if (l.method != DIRECT) plan_minimal(l, n.slots, arena);
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
  n->slots = round_up(n->max_batch < 8 * LANES ? n->max_batch : 8 * LANES, LANES) / LANES;
  bool first = true;
  for (int i = 0; i < layer_count; i++) {
    Layer& l = n->layers[i];
    l.spec = layers[i];
    l.method = settings->algorithm == WZ_DIRECT ? DIRECT : method_of(l.spec);
    l.in = &n->tensors[i];
    l.out = &n->tensors[i + 1];
    l.activation = i + 1 < layer_count ? l.spec.activation : (int)WZ_LINEAR;
    l.first = first;
    if (first) n->first_layer = i;
    first = first && l.spec.kind != WZ_CONV2D && l.spec.kind != WZ_DENSE;
  }

  for (int i = 1; i < layer_count; i++) {
    const wz_layer &l = n->layers[i].spec, &before = n->layers[i - 1].spec;
    if (l.kind == WZ_AVERAGE_POOL && before.kind == WZ_CONV2D && l.kernel_h == l.stride && l.kernel_w == l.stride &&
        l.in_h % l.stride == 0 && l.in_w % l.stride == 0)
      n->layers[i - 1].pool = &n->layers[i];
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
