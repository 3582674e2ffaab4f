/* What the kernel should compute, in float64 scalar loops, one sample at a time. */
#pragma once
#include "networks.h"

struct Reference {
  const Architecture& a;
  std::vector<double> weights, gradient;
  double loss = 0;
  int correct = 0;

  Reference(const Architecture& a, const std::vector<float>& w)
      : a(a), weights(w.begin(), w.end()), gradient(w.size(), 0.0) {}

  typedef std::vector<double> Values;

  /* Calls body(output index, input index, kernel index) for every product of a convolution or dense layer. */
  template <class Body>
  static void products(const wz_layer& l, Body body) {
    bool conv = l.kind == WZ_CONV2D;
    int kernel_h = conv ? l.kernel_h : 1, kernel_w = conv ? l.kernel_w : 1, stride = conv ? l.stride : 1;
    for (int y = 0; y < l.out_h; y++)
      for (int x = 0; x < l.out_w; x++)
        for (int ky = 0; ky < kernel_h; ky++)
          for (int kx = 0; kx < kernel_w; kx++) {
            int from_y = y * stride + ky - l.pad_top, from_x = x * stride + kx - l.pad_left;
            if (from_y < 0 || from_y >= l.in_h || from_x < 0 || from_x >= l.in_w) continue;
            for (int i = 0; i < l.in_c; i++)
              for (int o = 0; o < l.out_c; o++)
                body((y * l.out_w + x) * l.out_c + o, (from_y * l.in_w + from_x) * l.in_c + i,
                     ((ky * kernel_w + kx) * l.in_c + i) * l.out_c + o);
          }
  }

  /* Adds one sample's loss and, times share, gradient. */
  void sample(const float* pixels, int target, double share) {
    std::vector<Values> values = {Values(pixels, pixels + a.inputs())};
    for (const wz_layer& l : a.layers) {
      const Values& in = values.back();
      Values out((size_t)l.out_h * l.out_w * l.out_c, 0.0);
      if (l.kind == WZ_FLATTEN) out = in;
      if (l.kind == WZ_AVERAGE_POOL || l.kind == WZ_MAX_POOL)
        for (int o = 0; o < (int)out.size(); o++) {
          int c = o % l.out_c, x = o / l.out_c % l.out_w, y = o / l.out_c / l.out_w;
          double sum = 0, largest = -INFINITY;
          for (int ky = 0; ky < l.kernel_h; ky++)
            for (int kx = 0; kx < l.kernel_w; kx++) {
              double v = in[((y * l.stride + ky) * l.in_w + x * l.stride + kx) * l.in_c + c];
              sum += v;
              largest = std::max(largest, v);
            }
          out[o] = l.kind == WZ_MAX_POOL ? largest : sum / (l.kernel_h * l.kernel_w);
        }
      if (l.kind == WZ_CONV2D || l.kind == WZ_DENSE) {
        for (int o = 0; o < (int)out.size(); o++) out[o] = weights[l.bias_offset + o % l.out_c];
        products(l, [&](int o, int i, int k) { out[o] += in[i] * weights[l.kernel_offset + k]; });
        if (&l != &a.layers.back())
          for (double& v : out)
            v = l.activation == WZ_TANH      ? std::tanh(v)
                : l.activation == WZ_RELU    ? std::max(v, 0.0)
                : l.activation == WZ_SIGMOID ? 1 / (1 + std::exp(-v))
                                             : v;
      }
      values.push_back(out);
    }

    Values slope = values.back();
    if (a.loss == WZ_BINARY_CROSSENTROPY) {
      double z = slope[0], p = 1 / (1 + std::exp(-z));
      loss += std::max(z, 0.0) - z * target + std::log1p(std::exp(-std::abs(z)));
      correct += (p > 0.5) == (target == 1);
      slope[0] = p - target;
    } else {
      double largest = *std::max_element(slope.begin(), slope.end()), sum = 0;
      correct += slope[target] == largest;
      for (double& z : slope) sum += std::exp(z - largest);
      loss += largest + std::log(sum) - slope[target];
      for (double& z : slope) z = std::exp(z - largest) / sum;
      slope[target] -= 1;
    }

    for (int n = (int)a.layers.size() - 1; n >= 0; n--) {
      const wz_layer& l = a.layers[n];
      const Values &in = values[n], &out = values[n + 1];
      Values before(in.size(), 0.0);
      if (l.kind == WZ_FLATTEN) before = slope;
      if (l.kind == WZ_AVERAGE_POOL || l.kind == WZ_MAX_POOL)
        for (int o = 0; o < (int)out.size(); o++) {
          int c = o % l.out_c, x = o / l.out_c % l.out_w, y = o / l.out_c / l.out_w;
          bool given = false;
          for (int ky = 0; ky < l.kernel_h; ky++)
            for (int kx = 0; kx < l.kernel_w; kx++) {
              int i = ((y * l.stride + ky) * l.in_w + x * l.stride + kx) * l.in_c + c;
              if (l.kind == WZ_AVERAGE_POOL) before[i] += slope[o] / (l.kernel_h * l.kernel_w);
              if (l.kind == WZ_MAX_POOL && !given && in[i] == out[o]) before[i] += slope[o], given = true;
            }
        }
      if (l.kind == WZ_CONV2D || l.kind == WZ_DENSE) {
        if (n + 1 < (int)a.layers.size())
          for (int o = 0; o < (int)out.size(); o++)
            slope[o] *= l.activation == WZ_TANH      ? 1 - out[o] * out[o]
                        : l.activation == WZ_RELU    ? (out[o] > 0)
                        : l.activation == WZ_SIGMOID ? out[o] * (1 - out[o])
                                                     : 1;
        for (int o = 0; o < (int)out.size(); o++) gradient[l.bias_offset + o % l.out_c] += share * slope[o];
        products(l, [&](int o, int i, int k) {
          gradient[l.kernel_offset + k] += share * in[i] * slope[o];
          before[i] += weights[l.kernel_offset + k] * slope[o];
        });
      }
      slope = before;
    }
  }

  void batch(const Data& d, int count) {
    for (int i = 0; i < count; i++) {
      size_t index = d.indices[i];
      sample(&d.pixels[index * a.inputs()], d.targets[index], 1.0 / count);
    }
  }
};
