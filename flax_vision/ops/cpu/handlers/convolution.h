// Convolutions as oneDNN describes them.
//
// Images are [N, H, W, C] and kernels [height, width, C, K], float32 and dense, as JAX lays them
// out. oneDNN reads images like that, but is fast only with kernels in a layout of its own choice,
// so each call reorders the kernel; it is small beside the images.

#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <unordered_map>

#include "dnnl.hpp"
#include "parallel.h"

namespace {

using dnnl::memory;
using Array = ffi::Buffer<ffi::F32>;
using Result = ffi::Result<Array>;
using Dims = ffi::Span<const int64_t>;
using Arguments = std::unordered_map<int, memory>;

constexpr auto kAlgorithm = dnnl::algorithm::convolution_direct;
constexpr auto kFloat = memory::data_type::f32;
constexpr int64_t kMinKernelsPerReorder = 128;

dnnl::engine& CpuEngine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

void Run(const dnnl::primitive& primitive, const Arguments& arguments) {
  dnnl::stream stream(CpuEngine());
  primitive.execute(stream, arguments);
  stream.wait();
}

// Returns `count` of the kernels of an array, from `first` on.
memory KernelRange(const memory& kernels, int64_t first, int64_t count) {
  memory::desc desc = kernels.get_desc();
  memory::dims shape = desc.get_dims();
  shape[0] = count;
  return memory(desc.submemory_desc(shape, {first, 0, 0, 0}), CpuEngine(),
                kernels.get_data_handle());
}

// Tells whether `count` kernels of an array are whole blocks of its layout.
bool AreWholeBlocks(int64_t count, const memory::desc& kernels) {
  int64_t block = 1;
  memory::dims sizes = kernels.get_inner_blks(), axes = kernels.get_inner_idxs();
  for (size_t i = 0; i < sizes.size(); ++i) block *= axes[i] == 0 ? sizes[i] : 1;
  return count % block == 0 && kernels.get_padded_dims()[0] % count == 0;
}

// Copies kernels into another layout.
void Reorder(ffi::ThreadPool& threads, const memory& from, const memory& to) {
  int64_t kernels = from.get_desc().get_dims()[0];
  int64_t size = kernels >= kMinKernelsPerReorder ? kernels / NumThreads(threads) : kernels;
  if (!AreWholeBlocks(size, from.get_desc()) || !AreWholeBlocks(size, to.get_desc())) {
    size = kernels;
  }
  ParallelFor(threads, kernels / size, [&](int64_t i) {
    OmpThreads own(1);
    memory a = KernelRange(from, i * size, size), b = KernelRange(to, i * size, size);
    Run(dnnl::reorder(a, b), {{DNNL_ARG_FROM, a}, {DNNL_ARG_TO, b}});
  });
}

memory::desc Images(Dims shape, int64_t count) {
  return {{count, shape[3], shape[1], shape[2]}, kFloat, memory::format_tag::nhwc};
}

memory::desc Kernel(Dims shape, memory::format_tag layout) {
  return {{shape[3], shape[2], shape[0], shape[1]}, kFloat, layout};
}

// One value for each channel of images.
memory::desc Channels(int64_t count) {
  return {{1, count, 1, 1}, kFloat, memory::format_tag::nhwc};
}

memory KernelMemory(const Array& array) {
  auto desc = Kernel(array.dimensions(), memory::format_tag::hwio);
  return memory(desc, CpuEngine(), array.untyped_data());
}

// Returns `count` of the images of an array, from `first` on.
memory ImageRange(const Array& array, int64_t first, int64_t count) {
  int64_t image = array.element_count() / array.dimensions()[0];
  auto desc = Images(array.dimensions(), count);
  return memory(desc, CpuEngine(), array.typed_data() + first * image);
}

// A convolution of images x with a kernel to images y, and its two gradients.
struct Convolution {
  Dims x, kernel, y;
  int64_t stride;
  Dims padding;
  memory::desc bias = {};  // empty for none
  bool has_scale = false;     // multiplies each channel, before anything is added
  bool has_residual = false;  // of the shape of y
  bool relu = false;

  using Forwards = dnnl::convolution_forward::primitive_desc;
  using ToInput = dnnl::convolution_backward_data::primitive_desc;
  using ToKernel = dnnl::convolution_backward_weights::primitive_desc;

  Forwards Forward(int64_t n, const memory::desc& weights) const {
    return Cached<Forwards>(n, weights, [&] {
      return Forwards(CpuEngine(), dnnl::prop_kind::forward_training, kAlgorithm, Images(x, n),
                      weights, bias, Images(y, n), Strides(), Before(), After(), Epilogue(n));
    });
  }
  ToInput InputGradient(int64_t n, const memory::desc& weights) const {
    return Cached<ToInput>(n, weights, [&] {
      return ToInput(CpuEngine(), kAlgorithm, Images(x, n), weights, Images(y, n), Strides(),
                     Before(), After(), Forward(n, weights));
    });
  }
  ToKernel KernelGradient(int64_t n, const memory::desc& weights) const {
    return Cached<ToKernel>(n, weights, [&] {
      return ToKernel(CpuEngine(), kAlgorithm, Images(x, n), weights, Images(y, n), Strides(),
                      Before(), After(), Forward(n, weights));
    });
  }
  // Indices among oneDNN's operations after the convolution: scale and shift are the first.
  int ResidualIndex() const { return has_scale ? 2 : 0; }
  int ReluIndex() const { return ResidualIndex() + (has_residual ? 1 : 0); }
  memory::desc AnyLayout() const { return Kernel(kernel, memory::format_tag::any); }

 private:
  // Returns make(), computed once for equal calls: it takes as long as a small convolution.
  template <typename Description, typename Make>
  Description Cached(int64_t n, const memory::desc& weights, const Make& make) const {
    static std::mutex mutex;
    static std::map<memory::dims, Description> cache;
    memory::dims key = Key(n, weights);
    std::unique_lock<std::mutex> lock(mutex);
    auto found = cache.find(key);
    if (found != cache.end()) return found->second;
    lock.unlock();
    Description made = make();
    lock.lock();
    return cache.emplace(key, made).first->second;
  }

  // Returns everything that a description depends on.
  memory::dims Key(int64_t n, const memory::desc& weights) const {
    bool is_any = weights.get_format_kind() == memory::format_kind::any;
    memory::dims key{n,            stride, !bias.is_zero(), has_scale,
                     has_residual, relu,   is_any,          omp_get_max_threads()};
    auto add = [&](const auto& dims) { key.insert(key.end(), dims.begin(), dims.end()); };
    for (Dims dims : {x, kernel, y, padding}) add(dims);
    if (!is_any) {
      for (const memory::dims& dims :
           {weights.get_strides(), weights.get_inner_blks(), weights.get_inner_idxs()}) {
        add(dims);
      }
    }
    return key;
  }

  memory::dims Strides() const { return {stride, stride}; }
  memory::dims Before() const { return {padding[0], padding[2]}; }
  memory::dims After() const { return {padding[1], padding[3]}; }
  dnnl::primitive_attr Epilogue(int64_t n) const {
    dnnl::post_ops operations;
    if (has_scale) {
      operations.append_binary(dnnl::algorithm::binary_mul, Channels(y[3]));
      operations.append_binary(dnnl::algorithm::binary_add, Channels(y[3]));
    }
    if (has_residual) operations.append_binary(dnnl::algorithm::binary_add, Images(y, n));
    // A PReLU of slope 0. oneDNN's own ReLU turns NaN into 0, which would hide divergence.
    if (relu) operations.append_prelu(0);
    dnnl::primitive_attr attributes;
    attributes.set_post_ops(operations);
    return attributes;
  }
};

// Returns JAX's kernel in the layout that oneDNN has chosen.
memory Reordered(ffi::ThreadPool& threads, const Array& kernel, const memory::desc& chosen) {
  memory given = KernelMemory(kernel);
  if (given.get_desc() == chosen) return given;
  memory reordered(chosen, CpuEngine());
  Reorder(threads, given, reordered);
  return reordered;
}

}  // namespace
