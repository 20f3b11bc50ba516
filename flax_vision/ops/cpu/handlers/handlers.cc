// The handlers of XLA's custom calls: convolution, its two gradients, max pooling and its gradient.

#include <algorithm>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "convolution.h"
#include "max_pool.h"
#include "parallel.h"

namespace {

// Sets the epilogue of a convolution, and returns its arguments except the residual. The operands
// are the summands [K] of the channels, or their factors and summands [2, K]; then the residual.
Arguments SetEpilogue(Convolution& c, ffi::RemainingArgs& given, bool relu, float* slope) {
  Arguments arguments;
  c.has_residual = given.size() > 1;
  c.relu = relu;
  if (given.size() > 0) {
    Array affine = given.get<Array>(0).value();
    int64_t channels = c.y[3];
    c.has_scale = affine.dimensions().size() == 2;
    if (!c.has_scale) {
      c.bias = {{channels}, kFloat, memory::format_tag::x};
      arguments[DNNL_ARG_BIAS] = memory(c.bias, CpuEngine(), affine.untyped_data());
    }
    for (int i = 0; i < c.ResidualIndex(); ++i) {
      arguments[DNNL_ARG_ATTR_MULTIPLE_POST_OP(i) | DNNL_ARG_SRC_1] =
          memory(Channels(channels), CpuEngine(), affine.typed_data() + i * channels);
    }
  }
  if (relu) {
    arguments[DNNL_ARG_ATTR_MULTIPLE_POST_OP(c.ReluIndex()) | DNNL_ARG_WEIGHTS] =
        memory({{1}, kFloat, memory::format_tag::x}, CpuEngine(), slope);
  }
  return arguments;
}

ffi::Error Forward(ffi::ThreadPool threads, Array x, Array kernel, ffi::RemainingArgs operands,
                   Result y, int64_t stride, Dims padding, bool relu) {
  Convolution c{x.dimensions(), kernel.dimensions(), y->dimensions(), stride, padding};
  float slope = 0;
  Arguments epilogue = SetEpilogue(c, operands, relu, &slope);
  BatchSplit split(c.x[0], NumThreads(threads), true);
  OmpThreads own(split.omp_threads);
  auto chosen = c.Forward(split.size, c.AnyLayout());
  memory weights = Reordered(threads, kernel, chosen.weights_desc());
  split.ForEach(threads, [&](int64_t, int64_t first, int64_t count) {
    Arguments arguments = epilogue;
    arguments[DNNL_ARG_SRC] = ImageRange(x, first, count);
    arguments[DNNL_ARG_WEIGHTS] = weights;
    arguments[DNNL_ARG_DST] = ImageRange(*y, first, count);
    if (c.has_residual) {
      arguments[DNNL_ARG_ATTR_MULTIPLE_POST_OP(c.ResidualIndex()) | DNNL_ARG_SRC_1] =
          ImageRange(operands.get<Array>(1).value(), first, count);
    }
    Run(dnnl::convolution_forward(c.Forward(count, weights.get_desc())), arguments);
  });
  return ffi::Error::Success();
}

ffi::Error InputGradient(ffi::ThreadPool threads, Array y, Array kernel, Result x, int64_t stride,
                         Dims padding) {
  Convolution c{x->dimensions(), kernel.dimensions(), y.dimensions(), stride, padding};
  BatchSplit split(c.x[0], NumThreads(threads), true);
  OmpThreads own(split.omp_threads);
  auto chosen = c.InputGradient(split.size, c.AnyLayout());
  memory weights = Reordered(threads, kernel, chosen.weights_desc());
  split.ForEach(threads, [&](int64_t, int64_t first, int64_t count) {
    Run(dnnl::convolution_backward_data(c.InputGradient(count, weights.get_desc())),
        {{DNNL_ARG_DIFF_DST, ImageRange(y, first, count)},
         {DNNL_ARG_WEIGHTS, weights},
         {DNNL_ARG_DIFF_SRC, ImageRange(*x, first, count)}});
  });
  return ffi::Error::Success();
}

// Adds the other gradients to the first.
void Sum(ffi::ThreadPool& threads, const std::vector<memory>& gradients) {
  int64_t size = gradients[0].get_desc().get_size() / sizeof(float);
  BatchSplit split(size, NumThreads(threads), true);
  split.ForEach(threads, [&](int64_t, int64_t first, int64_t count) {
    float* sum = static_cast<float*>(gradients[0].get_data_handle()) + first;
    for (size_t i = 1; i < gradients.size(); ++i) {
      const float* term = static_cast<const float*>(gradients[i].get_data_handle()) + first;
      for (int64_t j = 0; j < count; ++j) sum[j] += term[j];
    }
  });
}

ffi::Error KernelGradient(ffi::ThreadPool threads, Array x, Array y, Result kernel, int64_t stride,
                          Dims padding) {
  Convolution c{x.dimensions(), kernel->dimensions(), y.dimensions(), stride, padding};
  // Each chunk has a sum of its own, which does not pay for a kernel larger than the images.
  bool divide = kernel->element_count() < x.element_count();
  BatchSplit split(c.x[0], NumThreads(threads), divide);
  OmpThreads own(split.omp_threads);
  auto layout = c.KernelGradient(split.size, c.AnyLayout()).diff_weights_desc();
  memory wanted = KernelMemory(*kernel);
  std::vector<memory> gradients;
  for (int64_t i = 0; i < split.count; ++i) {
    bool in_place = i == 0 && layout == wanted.get_desc();
    gradients.push_back(in_place ? wanted : memory(layout, CpuEngine()));
  }
  split.ForEach(threads, [&](int64_t i, int64_t first, int64_t count) {
    Run(dnnl::convolution_backward_weights(c.KernelGradient(count, layout)),
        {{DNNL_ARG_SRC, ImageRange(x, first, count)},
         {DNNL_ARG_DIFF_DST, ImageRange(y, first, count)},
         {DNNL_ARG_DIFF_WEIGHTS, gradients[i]}});
  });
  if (split.count > 1) Sum(threads, gradients);
  if (layout != wanted.get_desc()) Reorder(threads, gradients[0], wanted);
  return ffi::Error::Success();
}

// Turns oneDNN's exceptions into XLA's errors.
template <auto kHandler>
struct Guarded;

template <typename... Parameters, ffi::Error (*kHandler)(Parameters...)>
struct Guarded<kHandler> {
  static ffi::Error Call(Parameters... parameters) {
    try {
      return kHandler(parameters...);
    } catch (const std::exception& error) {
      return ffi::Error::Internal(std::string("oneDNN: ") + error.what());
    }
  }
};

auto OneArray() { return ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Array>(); }

auto TwoArrays() { return ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Array>().Arg<Array>(); }

template <typename Binding>
auto WithResult(Binding binding) {
  return std::move(binding)
      .template Ret<Array>()
      .template Attr<int64_t>("stride")
      .template Attr<Dims>("padding");
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(flax_vision_convolution, Guarded<Forward>::Call,
                              WithResult(TwoArrays().RemainingArgs()).Attr<bool>("relu"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(flax_vision_convolution_input_gradient, Guarded<InputGradient>::Call,
                              WithResult(TwoArrays()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(flax_vision_convolution_kernel_gradient,
                              Guarded<KernelGradient>::Call, WithResult(TwoArrays()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(flax_vision_max_pool, Guarded<MaxPool>::Call,
                              WithResult(OneArray()).Attr<int64_t>("size"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(flax_vision_max_pool_gradient, Guarded<MaxPoolGradient>::Call,
                              WithResult(TwoArrays()).Attr<int64_t>("size"));
