/* Networks for the tests and the bench: layers as kernel.h has them, built one by one. */
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "../kernel/kernel.h"

struct Architecture {
  std::string name;
  std::vector<wz_layer> layers;
  int loss = WZ_BINARY_CROSSENTROPY, parameters = 0;
  int h, w, c; /* of what the next layer gets */

  Architecture(std::string name, int h, int w, int c) : name(std::move(name)), h(h), w(w), c(c) {}

  void add(wz_layer l, int out_h, int out_w, int out_c) {
    l.in_h = h, l.in_w = w, l.in_c = c;
    l.out_h = h = out_h, l.out_w = w = out_w, l.out_c = c = out_c;
    layers.push_back(l);
  }
  void weigh(wz_layer& l, int outputs, int kernel) {
    l.bias_offset = parameters;
    l.kernel_offset = parameters + outputs;
    parameters += outputs + kernel;
  }
  Architecture& conv(int filters, int kernel_h, int kernel_w, int stride, bool same, int activation) {
    wz_layer l = {};
    l.kind = WZ_CONV2D, l.activation = activation, l.kernel_h = kernel_h, l.kernel_w = kernel_w, l.stride = stride;
    auto pad = [&](int size, int kernel) {
      return same ? std::max(0, ((size + stride - 1) / stride - 1) * stride + kernel - size) : 0;
    };
    int pad_h = pad(h, kernel_h), pad_w = pad(w, kernel_w);
    l.pad_top = pad_h / 2, l.pad_left = pad_w / 2;
    weigh(l, filters, kernel_h * kernel_w * c * filters);
    add(l, (h + pad_h - kernel_h) / stride + 1, (w + pad_w - kernel_w) / stride + 1, filters);
    return *this;
  }
  Architecture& pool(int kind, int size, int stride) {
    wz_layer l = {};
    l.kind = kind, l.kernel_h = l.kernel_w = size, l.stride = stride;
    add(l, (h - size) / stride + 1, (w - size) / stride + 1, c);
    return *this;
  }
  Architecture& flatten() {
    wz_layer l = {};
    l.kind = WZ_FLATTEN;
    add(l, 1, 1, h * w * c);
    return *this;
  }
  Architecture& dense(int units, int activation) {
    wz_layer l = {};
    l.kind = WZ_DENSE, l.activation = activation;
    weigh(l, units, c * units);
    add(l, 1, 1, units);
    if (activation == WZ_SOFTMAX) loss = WZ_SOFTMAX_CROSSENTROPY;
    return *this;
  }
  int inputs() const { return layers[0].in_h * layers[0].in_w * layers[0].in_c; }
  int outputs() const { return h * w * c; }
};

inline Architecture lenet5() {
  Architecture a("lenet5", 32, 32, 3);
  a.conv(6, 5, 5, 1, true, WZ_TANH).pool(WZ_AVERAGE_POOL, 2, 2).conv(16, 5, 5, 1, false, WZ_TANH);
  a.pool(WZ_AVERAGE_POOL, 2, 2).conv(120, 5, 5, 1, false, WZ_TANH).flatten().dense(84, WZ_TANH).dense(1, WZ_SIGMOID);
  return a;
}

/* Uniform in [0, 1); the same numbers everywhere. */
struct Random {
  uint64_t state;
  double next() {
    uint64_t z = state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
  }
};

/* Glorot-uniform kernels and small biases. */
inline std::vector<float> random_weights(const Architecture& a, uint64_t seed) {
  Random random = {seed};
  std::vector<float> weights((size_t)a.parameters);
  for (const wz_layer& l : a.layers) {
    if (l.kind != WZ_CONV2D && l.kind != WZ_DENSE) continue;
    int area = l.kind == WZ_CONV2D ? l.kernel_h * l.kernel_w : 1;
    double limit = std::sqrt(6.0 / (area * (l.in_c + l.out_c)));
    for (int i = 0; i < l.out_c; i++) weights[l.bias_offset + i] = (float)(0.2 * random.next() - 0.1);
    for (int i = 0; i < area * l.in_c * l.out_c; i++)
      weights[l.kernel_offset + i] = (float)(limit * (2 * random.next() - 1));
  }
  return weights;
}

struct Data {
  int count;
  std::vector<float> pixels;
  std::vector<uint8_t> targets;
  std::vector<uint32_t> indices; /* all samples, shuffled */
};

inline Data random_data(const Architecture& a, int count, uint64_t seed) {
  Random random = {seed};
  Data d = {count, {}, {}, {}};
  int classes = a.loss == WZ_BINARY_CROSSENTROPY ? 2 : a.outputs();
  for (int i = 0; i < count * a.inputs(); i++) d.pixels.push_back((float)random.next());
  for (int i = 0; i < count; i++) d.targets.push_back((uint8_t)(random.next() * classes));
  for (int i = 0; i < count; i++) d.indices.push_back((uint32_t)i);
  for (int i = count - 1; i > 0; i--) std::swap(d.indices[i], d.indices[(int)(random.next() * (i + 1))]);
  return d;
}

inline wz_settings settings_of(const Architecture& a, int algorithm, int instruction_set, int max_batch) {
  wz_settings s = {};
  s.loss = a.loss, s.optimizer = WZ_ADAM, s.algorithm = algorithm, s.instruction_set = instruction_set;
  s.max_batch = max_batch, s.parameter_count = a.parameters;
  s.learning_rate = 1e-3, s.momentum = 0.9, s.beta1 = 0.9, s.beta2 = 0.999, s.epsilon = 1e-7;
  return s;
}
