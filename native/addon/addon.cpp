// The kernel's C interface as a Node-API addon: synchronous functions for a worker thread to call.
//
// - No global state: the module may be loaded by any number of threads at once.
// - TypeScript checks the arguments (src/training/engines/compiled.ts); here only what would crash is looked at:
//   wrong types, and a trainer that is disposed.
// - Typed arrays are read and written in place, over shared memory too; none is kept beyond a call but by its trainer's
//   own copy.
#include <node_api.h>

#include <cstdlib>
#include <cstring>

#include "../kernel/kernel.h"

namespace {

constexpr size_t MAX_ARGUMENTS = 7;

/** What a trainer's external value points to; `trainer` is null once it is disposed. */
struct Handle {
  wz_trainer* trainer;
};

void Finalize(napi_env, void* data, void*) {
  auto* handle = static_cast<Handle*>(data);
  wz_trainer_destroy(handle->trainer);
  std::free(handle);
}

/** The arguments of one call. A getter that fails leaves a JavaScript exception pending and `ok` false. */
class Call {
 public:
  Call(napi_env env, napi_callback_info info, size_t expected) : env_(env) {
    size_t count = MAX_ARGUMENTS;
    ok = napi_get_cb_info(env, info, &count, arguments_, nullptr, nullptr) == napi_ok;
    if (ok && count < expected) Fail("too few arguments");
  }

  bool ok;

  template <typename T>
  T* Array(size_t index, napi_typedarray_type type) {
    return static_cast<T*>(Data(index, type));
  }
  float* Floats(size_t index) { return Array<float>(index, napi_float32_array); }
  uint8_t* Bytes(size_t index) { return Array<uint8_t>(index, napi_uint8_array); }
  double* Doubles(size_t index) { return Array<double>(index, napi_float64_array); }
  int32_t* Ints(size_t index) { return Array<int32_t>(index, napi_int32_array); }
  uint32_t* Indices(size_t index, int32_t* count) {
    auto* data = Array<uint32_t>(index, napi_uint32_array);
    *count = static_cast<int32_t>(length_);
    return data;
  }

  int32_t Int(size_t index) {
    int32_t value = 0;
    if (ok && napi_get_value_int32(env_, arguments_[index], &value) != napi_ok) Fail("expected a number");
    return value;
  }

  Handle* TrainerHandle(size_t index) {
    if (!ok) return nullptr;
    napi_valuetype type;
    void* data = nullptr;
    if (napi_typeof(env_, arguments_[index], &type) != napi_ok || type != napi_external ||
        napi_get_value_external(env_, arguments_[index], &data) != napi_ok) {
      Fail("expected a trainer");
    }
    return static_cast<Handle*>(data);
  }

  wz_trainer* Trainer(size_t index) {
    Handle* handle = TrainerHandle(index);
    if (ok && handle->trainer == nullptr) Fail("the trainer is disposed");
    return ok ? handle->trainer : nullptr;
  }

  bool IsNull(size_t index) {
    napi_valuetype type = napi_undefined;
    return ok && napi_typeof(env_, arguments_[index], &type) == napi_ok && type == napi_null;
  }

  void Fail(const char* message) {
    if (ok) napi_throw_error(env_, nullptr, message);
    ok = false;
  }

 private:
  void* Data(size_t index, napi_typedarray_type expected) {
    if (!ok) return nullptr;
    napi_typedarray_type type;
    void* data = nullptr;
    if (napi_get_typedarray_info(env_, arguments_[index], &type, &length_, &data, nullptr, nullptr) != napi_ok ||
        type != expected) {
      Fail("expected another type of array");
    }
    return data;
  }

  napi_env env_;
  napi_value arguments_[MAX_ARGUMENTS];
  size_t length_ = 0;
};

napi_value Status(napi_env env, int32_t status) {
  napi_value result = nullptr;
  napi_create_int32(env, status, &result);
  return result;
}

napi_value Text(napi_env env, const char* text) {
  napi_value result = nullptr;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &result);
  return result;
}

/** create(layers: Int32Array, integers: Int32Array, reals: Float64Array, weights: Float32Array): trainer */
napi_value Create(napi_env env, napi_callback_info info) {
  constexpr size_t INTEGERS = offsetof(wz_settings, learning_rate) / sizeof(int32_t);
  constexpr size_t REALS = (sizeof(wz_settings) - offsetof(wz_settings, learning_rate)) / sizeof(double);
  Call call(env, info, 5);
  const int32_t* layers = call.Ints(0);
  const int32_t layer_count = call.Int(1);
  const int32_t* integers = call.Ints(2);
  const double* reals = call.Doubles(3);
  const float* weights = call.Floats(4);
  if (!call.ok) return nullptr;

  wz_settings settings;
  std::memcpy(&settings, integers, INTEGERS * sizeof(int32_t));
  std::memcpy(&settings.learning_rate, reals, REALS * sizeof(double));
  char error[256] = "";
  auto* handle = static_cast<Handle*>(std::malloc(sizeof(Handle)));
  if (handle == nullptr) return call.Fail("out of memory"), nullptr;
  handle->trainer = wz_trainer_create(reinterpret_cast<const wz_layer*>(layers), layer_count, &settings, weights,
                                      error, sizeof error);
  napi_value result = nullptr;
  if (handle->trainer == nullptr) {
    call.Fail(error);
  } else if (napi_create_external(env, handle, Finalize, nullptr, &result) == napi_ok) {
    return result;
  } else {
    call.Fail("cannot create the trainer's handle");
  }
  Finalize(env, handle, nullptr);
  return nullptr;
}

/** destroy(trainer): frees its memory now; the handle stays, and other calls with it throw. */
napi_value Destroy(napi_env env, napi_callback_info info) {
  Call call(env, info, 1);
  Handle* handle = call.TrainerHandle(0);
  if (!call.ok) return nullptr;
  wz_trainer_destroy(handle->trainer);
  handle->trainer = nullptr;
  return nullptr;
}

/** step(trainer, pixels, targets, indices, score: Float64Array of [loss, correct], set by the call): status */
napi_value Step(napi_env env, napi_callback_info info) {
  Call call(env, info, 5);
  int32_t count = 0;
  int32_t correct = 0;
  wz_trainer* trainer = call.Trainer(0);
  const float* pixels = call.Floats(1);
  const uint8_t* targets = call.Bytes(2);
  const uint32_t* indices = call.Indices(3, &count);
  double* score = call.Doubles(4);
  if (!call.ok) return nullptr;
  score[0] = 0;
  const int32_t status = wz_step(trainer, pixels, targets, indices, count, &score[0], &correct);
  score[1] = correct;
  return Status(env, status);
}

/** gradient(trainer, pixels, targets, indices, gradient: Float32Array to fill, score): status */
napi_value Gradient(napi_env env, napi_callback_info info) {
  Call call(env, info, 6);
  int32_t count = 0;
  int32_t correct = 0;
  wz_trainer* trainer = call.Trainer(0);
  const float* pixels = call.Floats(1);
  const uint8_t* targets = call.Bytes(2);
  const uint32_t* indices = call.Indices(3, &count);
  float* gradient = call.Floats(4);
  double* score = call.Doubles(5);
  if (!call.ok) return nullptr;
  score[0] = 0;
  const int32_t status = wz_gradient(trainer, pixels, targets, indices, count, gradient, &score[0], &correct);
  score[1] = correct;
  return Status(env, status);
}

/** evaluate(trainer, pixels, targets, first, count, outputs: Float32Array to fill or null, score): status */
napi_value Evaluate(napi_env env, napi_callback_info info) {
  Call call(env, info, 7);
  int32_t correct = 0;
  wz_trainer* trainer = call.Trainer(0);
  const float* pixels = call.Floats(1);
  const uint8_t* targets = call.Bytes(2);
  const int32_t first = call.Int(3);
  const int32_t count = call.Int(4);
  float* outputs = call.IsNull(5) ? nullptr : call.Floats(5);
  double* score = call.Doubles(6);
  if (!call.ok) return nullptr;
  score[0] = 0;
  const int32_t status = wz_evaluate(trainer, pixels, targets, first, count, outputs, &score[0], &correct);
  score[1] = correct;
  return Status(env, status);
}

/** getWeights(trainer, weights: Float32Array to fill) */
napi_value GetWeights(napi_env env, napi_callback_info info) {
  Call call(env, info, 2);
  const wz_trainer* trainer = call.Trainer(0);
  float* weights = call.Floats(1);
  if (call.ok) wz_get_weights(trainer, weights);
  return nullptr;
}

/** setWeights(trainer, weights: Float32Array, copied) */
napi_value SetWeights(napi_env env, napi_callback_info info) {
  Call call(env, info, 2);
  wz_trainer* trainer = call.Trainer(0);
  const float* weights = call.Floats(1);
  if (call.ok) wz_set_weights(trainer, weights);
  return nullptr;
}

/** available(instructionSet): 1 where this processor has it, else 0 */
napi_value Available(napi_env env, napi_callback_info info) {
  Call call(env, info, 1);
  const int32_t instruction_set = call.Int(0);
  return call.ok ? Status(env, wz_available(instruction_set)) : nullptr;
}

/** instructionSetName(instructionSet): what it resolves to here */
napi_value InstructionSetName(napi_env env, napi_callback_info info) {
  Call call(env, info, 1);
  const int32_t instruction_set = call.Int(0);
  return call.ok ? Text(env, wz_instruction_set_name(instruction_set)) : nullptr;
}

/** arithmetic(algorithm): the arithmetic in words */
napi_value Arithmetic(napi_env env, napi_callback_info info) {
  Call call(env, info, 1);
  const int32_t algorithm = call.Int(0);
  return call.ok ? Text(env, wz_arithmetic(algorithm)) : nullptr;
}

}  // namespace

NAPI_MODULE_INIT() {
  const struct {
    const char* name;
    napi_callback function;
  } functions[] = {
      {"create", Create},
      {"destroy", Destroy},
      {"step", Step},
      {"gradient", Gradient},
      {"evaluate", Evaluate},
      {"getWeights", GetWeights},
      {"setWeights", SetWeights},
      {"available", Available},
      {"instructionSetName", InstructionSetName},
      {"arithmetic", Arithmetic},
  };
  for (const auto& [name, function] : functions) {
    napi_value value;
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &value) != napi_ok ||
        napi_set_named_property(env, exports, name, value) != napi_ok) {
      napi_throw_error(env, nullptr, "cannot fill the module");
      return nullptr;
    }
  }
  return exports;
}
