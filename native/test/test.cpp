/* Tests of the kernel against float64 loops (reference.h) and of every instruction set against the others. */
#include <cstdio>
#include <cstring>
#include <initializer_list>

#include "reference.h"

static bool quick = false; /* under sanitizers, which make everything many times slower */
static int failures = 0;
static void check(bool fine, const std::string& what) {
  printf("%s %s\n", fine ? "ok" : "FAILED", what.c_str());
  failures += !fine;
}
static std::string number(double x) {
  char text[32];
  snprintf(text, sizeof text, "%.2g", x);
  return text;
}

static const int SETS[] = {WZ_AVX512, WZ_AVX2, WZ_BASELINE};
static const char* const ALGORITHMS[] = {"direct", "minimal filtering"};

struct Trainer {
  char error[200] = "";
  wz_trainer* t;
  Trainer(const Architecture& a, const wz_settings& s, const std::vector<float>& weights)
      : t(wz_trainer_create(a.layers.data(), (int)a.layers.size(), &s, weights.data(), error, sizeof error)) {}
  Trainer(const Trainer&) = delete;
  ~Trainer() { wz_trainer_destroy(t); }
};

static std::vector<Architecture> architectures() {
  std::vector<Architecture> all = {lenet5()};
  all.push_back(Architecture("mnist", 28, 28, 1)
                    .conv(8, 3, 3, 2, true, WZ_RELU)
                    .pool(WZ_MAX_POOL, 2, 2)
                    .conv(12, 5, 5, 1, true, WZ_SIGMOID)
                    .flatten()
                    .dense(10, WZ_SOFTMAX));
  all.push_back(Architecture("oblong", 9, 14, 2)
                    .conv(5, 1, 1, 1, false, WZ_LINEAR)
                    .conv(7, 7, 7, 1, true, WZ_TANH)
                    .pool(WZ_AVERAGE_POOL, 3, 2)
                    .conv(3, 3, 1, 1, false, WZ_RELU)
                    .conv(25, 1, 5, 2, true, WZ_TANH)
                    .flatten()
                    .dense(33, WZ_SIGMOID)
                    .dense(1, WZ_SIGMOID));
  all.push_back(Architecture("overlapping", 15, 11, 3)
                    .pool(WZ_AVERAGE_POOL, 2, 1)
                    .conv(18, 5, 5, 1, true, WZ_TANH)
                    .pool(WZ_MAX_POOL, 3, 2)
                    .conv(19, 3, 3, 2, false, WZ_TANH)
                    .flatten()
                    .dense(3, WZ_SOFTMAX));
  all.push_back(Architecture("fives", 16, 20, 4)
                    .conv(9, 5, 5, 1, true, WZ_RELU)
                    .conv(17, 5, 5, 1, false, WZ_TANH)
                    .pool(WZ_MAX_POOL, 2, 2)
                    .conv(20, 5, 5, 1, true, WZ_SIGMOID)
                    .conv(33, 5, 5, 1, false, WZ_TANH)
                    .flatten()
                    .dense(1, WZ_SIGMOID));
  all.push_back(Architecture("logistic", 6, 5, 1).flatten().dense(1, WZ_SIGMOID));
  all.push_back(Architecture("convolution last", 7, 7, 2).conv(4, 3, 3, 2, false, WZ_RELU).conv(1, 3, 3, 1, false, WZ_LINEAR));
  return all;
}

/* Largest error of a parameter array as a share of its largest gradient, over all arrays. */
static double gradient_error(const Architecture& a, const std::vector<float>& got, const std::vector<double>& want) {
  double worst = 0;
  for (const wz_layer& l : a.layers) {
    if (l.kind != WZ_CONV2D && l.kind != WZ_DENSE) continue;
    int kernel = l.in_c * l.out_c * (l.kind == WZ_CONV2D ? l.kernel_h * l.kernel_w : 1);
    for (auto [start, size] : {std::pair<int, int>(l.bias_offset, l.out_c), {l.kernel_offset, kernel}}) {
      double error = 0, largest = 0;
      for (int i = start; i < start + size; i++) {
        error = std::max(error, std::abs(got[i] - want[i]));
        largest = std::max(largest, std::abs(want[i]));
      }
      worst = std::max(worst, error / largest);
      if (!(error < INFINITY)) worst = INFINITY;
    }
  }
  return worst;
}

static void test_gradients() {
  for (const Architecture& a : architectures()) {
    std::vector<float> weights = random_weights(a, 11);
    Data d = random_data(a, 150, 12);
    for (int count : {1, 17, 125, 128}) {
      if (quick && count > 17) continue;
      Reference reference(a, weights);
      reference.batch(d, count);
      for (int algorithm : {WZ_DIRECT, WZ_MINIMAL_FILTERING}) {
        std::vector<float> first;
        bool equal = true;
        for (int set : SETS) {
          if (!wz_available(set) || (set == WZ_BASELINE && wz_available(WZ_AVX2) && count > 17)) continue;
          wz_settings s = settings_of(a, algorithm, set, 128);
          Trainer trainer(a, s, weights);
          std::vector<float> gradient((size_t)a.parameters);
          double loss = 0;
          int correct = 0, status = WZ_BAD_CALL;
          if (!trainer.t) {
            check(false, a.name + ": " + trainer.error);
            return;
          }
          for (int pass = 0; pass < 2; pass++) { /* the second finds what the first left behind */
            loss = correct = 0;
            status = wz_gradient(trainer.t, d.pixels.data(), d.targets.data(), d.indices.data(), count,
                                 gradient.data(), &loss, &correct);
          }
          if (first.empty()) {
            first = gradient;
            double error = gradient_error(a, gradient, reference.gradient);
            double loss_error = std::abs(loss - reference.loss) / reference.loss;
            bool fine = status == WZ_OK && error <= (algorithm == WZ_DIRECT ? 2e-5 : 5e-5) && loss_error < 2e-6 &&
                        correct == reference.correct;
            check(fine, a.name + ", batch " + std::to_string(count) + ", " + ALGORITHMS[algorithm] + ": gradient within " +
                            number(error) + ", loss within " + number(loss_error));
          }
          equal = equal && !memcmp(first.data(), gradient.data(), first.size() * sizeof(float));
        }
        check(equal, "  equal bits from every instruction set");
      }
    }
  }
}

/* The reference's own gradient, by differences of its loss. */
static void test_reference() {
  for (const Architecture& a : architectures()) {
    std::vector<float> weights = random_weights(a, 21);
    Data d = random_data(a, 3, 22);
    Reference reference(a, weights);
    reference.batch(d, 3);
    Random random = {23};
    double worst = 0, largest = 0;
    for (double g : reference.gradient) largest = std::max(largest, std::abs(g));
    for (int i = 0; i < (quick ? 3 : 12); i++) {
      int at = (int)(random.next() * a.parameters);
      double losses[2];
      for (int side = 0; side < 2; side++) {
        Reference moved(a, weights);
        moved.weights[at] += side ? 1e-6 : -1e-6;
        moved.batch(d, 3);
        losses[side] = moved.loss / 3;
      }
      worst = std::max(worst, std::abs((losses[1] - losses[0]) / 2e-6 - reference.gradient[at]) / largest);
    }
    check(worst < 1e-6, a.name + ": reference within " + number(worst) + " of central differences");
  }
}

static void test_trajectories() {
  int steps = quick ? 3 : 50;
  for (const Architecture& a : {architectures()[0], architectures()[4], architectures()[1]})
    for (int algorithm : {WZ_DIRECT, WZ_MINIMAL_FILTERING})
      for (int optimizer : {WZ_ADAM, WZ_SGD}) {
        Data d = random_data(a, 300, 32);
        std::vector<float> weights = random_weights(a, 31), first;
        bool equal = true;
        for (int set : {WZ_AVX512, WZ_AVX2}) {
          if (!wz_available(set)) continue;
          wz_settings s = settings_of(a, algorithm, set, 128);
          s.optimizer = optimizer;
          if (optimizer == WZ_SGD) s.learning_rate = 0.05;
          Trainer trainer(a, s, weights);
          double loss = 0;
          int correct = 0;
          for (int step = 0; step < steps; step++)
            wz_step(trainer.t, d.pixels.data(), d.targets.data(), &d.indices[step % 5 * 40], step % 7 ? 90 : 128 - step,
                    &loss, &correct);
          std::vector<float> now((size_t)a.parameters);
          wz_get_weights(trainer.t, now.data());
          if (first.empty()) first = now;
          equal = equal && !memcmp(first.data(), now.data(), now.size() * sizeof(float)) && loss < INFINITY;
        }
        check(equal, a.name + ", " + std::to_string(steps) + " steps, " + (optimizer == WZ_ADAM ? "Adam" : "SGD") + ", " + ALGORITHMS[algorithm] +
                         ": avx2 gives the bytes of avx512");
      }
}

/* Ten steps of each optimizer against the same in float64. */
static void test_optimizers() {
  Architecture a = architectures()[1];
  Data d = random_data(a, 40, 42);
  for (int optimizer : {WZ_ADAM, WZ_SGD}) {
    std::vector<float> weights = random_weights(a, 41);
    wz_settings s = settings_of(a, WZ_DIRECT, WZ_AUTO, 40);
    s.optimizer = optimizer;
    s.learning_rate = 0.01;
    Trainer trainer(a, s, weights);
    std::vector<double> want(weights.begin(), weights.end()), m(want.size()), v(want.size());
    for (int t = 1; t <= 10; t++) {
      double loss = 0;
      int correct = 0;
      wz_step(trainer.t, d.pixels.data(), d.targets.data(), d.indices.data(), 40, &loss, &correct);
      Reference reference(a, weights);
      reference.weights = want;
      reference.batch(d, 40);
      for (size_t i = 0; i < want.size(); i++) {
        double g = reference.gradient[i];
        if (optimizer == WZ_SGD) {
          v[i] = s.momentum * v[i] - s.learning_rate * g;
          want[i] += v[i];
          continue;
        }
        m[i] = s.beta1 * m[i] + (1 - s.beta1) * g;
        v[i] = s.beta2 * v[i] + (1 - s.beta2) * g * g;
        double rate = s.learning_rate * std::sqrt(1 - std::pow(s.beta2, t)) / (1 - std::pow(s.beta1, t));
        want[i] -= rate * m[i] / (std::sqrt(v[i]) + s.epsilon);
      }
    }
    std::vector<float> got(want.size());
    wz_get_weights(trainer.t, got.data());
    double distance = 0, moved = 0;
    for (size_t i = 0; i < want.size(); i++) {
      distance += (got[i] - want[i]) * (got[i] - want[i]);
      moved += (weights[i] - want[i]) * (weights[i] - want[i]);
    }
    double error = std::sqrt(distance / moved);
    check(error < 1e-3, std::string(optimizer == WZ_ADAM ? "Adam" : "SGD") + ": ten steps within " + number(error) +
                            " of the distance moved in float64");
  }
}

static void test_evaluate() {
  for (const Architecture& a : {architectures()[0], architectures()[1]})
    for (int algorithm : {WZ_DIRECT, WZ_MINIMAL_FILTERING}) {
      std::vector<float> weights = random_weights(a, 51);
      Data d = random_data(a, 61, 52);
      wz_settings s = settings_of(a, algorithm, WZ_AUTO, 1);
      Trainer trainer(a, s, weights);
      int units = a.outputs(), correct = 0, correct_parts = 0;
      double loss = 0, loss_parts = 0;
      std::vector<float> outputs((size_t)units * 61), parts(outputs.size());
      wz_evaluate(trainer.t, d.pixels.data(), d.targets.data(), 0, 61, outputs.data(), &loss, &correct);
      for (int first = 0; first < 61; first += 7)
        wz_evaluate(trainer.t, d.pixels.data(), d.targets.data(), first, std::min(7, 61 - first), &parts[first * units],
                    &loss_parts, &correct_parts);
      Reference reference(a, weights);
      for (int i = 0; i < 61; i++) reference.sample(&d.pixels[i * a.inputs()], d.targets[i], 1);
      bool fine = outputs == parts && correct == correct_parts && std::abs(loss - loss_parts) < 1e-12 * loss &&
                  std::abs(loss - reference.loss) < 2e-6 * loss && correct == reference.correct;
      double sum = 0;
      for (float p : outputs) sum += p;
      if (units > 1) fine = fine && std::abs(sum - 61) < 1e-4;
      check(fine, a.name + ", " + ALGORITHMS[algorithm] + ": evaluation, whole and in parts, equals the reference");
    }
}

static void test_errors() {
  auto message = [](Architecture a, const wz_settings& s) {
    Trainer trainer(a, s, random_weights(a, 61));
    return trainer.t ? std::string("created") : std::string(trainer.error);
  };
  Architecture a = lenet5();
  wz_settings s = settings_of(a, WZ_DIRECT, WZ_AUTO, 8);
  check(message(a, s) == "created", "lenet5 is accepted");
  Architecture unknown = a;
  unknown.layers[1].kind = 9;
  check(message(unknown, s) == "layer 1: unknown kind", "an unknown layer is named");
  Architecture activation = a;
  activation.layers[2].activation = WZ_SOFTMAX;
  check(message(activation, s) == "layer 2 (conv2d): softmax is for the last layer with softmax cross-entropy only",
        "a softmax in the middle is named");
  Architecture shape = a;
  shape.layers[3].out_h = 7;
  check(message(shape, s) == "layer 3 (average pool): output size does not follow from input, kernel, stride and padding",
        "a wrong shape is named");
  Architecture last = a;
  last.layers[7].activation = WZ_TANH;
  check(message(last, s) == "layer 7 (dense): the last activation does not go with the loss", "a last tanh is named");
  wz_settings short_weights = s;
  short_weights.parameter_count -= 1;
  check(message(a, short_weights) == "layer 7 (dense): its parameters lie outside the weights", "short weights are named");

  Trainer trainer(a, s, random_weights(a, 62));
  Data d = random_data(a, 8, 63);
  std::vector<float> before((size_t)a.parameters), after(before);
  double loss = 0;
  int correct = 0;
  auto step = [&](int count) {
    return wz_step(trainer.t, d.pixels.data(), d.targets.data(), d.indices.data(), count, &loss, &correct);
  };
  check(step(9) == WZ_BAD_CALL && step(0) == WZ_BAD_CALL, "a batch larger than agreed, or empty, is refused");
  for (float bad : {NAN, INFINITY}) {
    d.pixels[100] = bad;
    for (int algorithm : {WZ_DIRECT, WZ_MINIMAL_FILTERING}) {
      wz_settings other = s;
      other.algorithm = algorithm;
      Trainer fresh(a, other, random_weights(a, 62));
      wz_get_weights(fresh.t, before.data());
      std::vector<float> broken = before;
      broken[a.parameters - 1] = bad;
      wz_set_weights(fresh.t, broken.data());
      loss = 0;
      int status = wz_step(fresh.t, d.pixels.data(), d.targets.data(), d.indices.data(), 8, &loss, &correct);
      wz_get_weights(fresh.t, after.data());
      check(status == WZ_NOT_FINITE && !memcmp(after.data(), broken.data(), after.size() * sizeof(float)),
            std::string("a weight of ") + number(bad) + " is reported and no step is taken, " + ALGORITHMS[algorithm]);
    }
  }
}

int main(int argc, char** argv) {
  quick = argc > 1 && !strcmp(argv[1], "--quick");
  setvbuf(stdout, nullptr, _IOLBF, 0);
  printf("auto is %s: %s\n", wz_instruction_set_name(WZ_AUTO), wz_arithmetic(WZ_DIRECT));
  test_errors();
  test_reference();
  test_evaluate();
  test_gradients();
  test_optimizers();
  test_trajectories();
  printf(failures ? "%d FAILED\n" : "all fine\n", failures);
  return failures != 0;
}
