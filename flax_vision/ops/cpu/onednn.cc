// Convolutions for XLA's CPU backend, computed by oneDNN; and pooling.
//
// Images are [N, H, W, C] and kernels [height, width, C, K], float32 and dense, as JAX lays them
// out. oneDNN reads images like that, but is fast only with kernels in a layout of its own choice,
// so each call reorders the kernel; it is small beside the images.
//
// The images of a batch are divided among XLA's own threads, each of which calls oneDNN for its
// share. Threads of oneDNN's own would compete with XLA's for the cores between two convolutions.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <string>
#include <vector>

#include "dnnl.hpp"
#include "xla/ffi/api/ffi.h"

// Of the OpenMP that oneDNN is linked with: for the calling thread.
extern "C" int omp_get_max_threads();
extern "C" void omp_set_num_threads(int);

namespace {

namespace ffi = xla::ffi;
using dnnl::memory;
using Array = ffi::Buffer<ffi::F32>;
using Result = ffi::Result<Array>;
using Numbers = ffi::Span<const int64_t>;
using Arguments = std::unordered_map<int, memory>;

constexpr auto kAlgorithm = dnnl::algorithm::convolution_direct;
constexpr auto kFloat = memory::data_type::f32;
constexpr int64_t kFewKernels = 128;
constexpr int64_t kChannelsAtOnce = 64;  // whose places in a window are on the stack

// ---- Threads

// Has oneDNN use some threads of its own for what the calling thread asks of it.
class OwnThreads {
 public:
  explicit OwnThreads(int count) : before_(omp_get_max_threads()) { omp_set_num_threads(count); }
  ~OwnThreads() { omp_set_num_threads(before_); }

 private:
  int before_;
};

// Calls task(0) to task(count - 1) on XLA's threads, and returns when all are done. The calling
// thread takes part, so it waits for none that has not begun: there is no deadlock when others wait
// in the same way on every thread.
void InParallel(ffi::ThreadPool& threads, int64_t count, std::function<void(int64_t)> task) {
  struct State {
    std::function<void(int64_t)> task;
    int64_t count;
    std::atomic<int64_t> next{0};
    int64_t done = 0;
    std::exception_ptr error;
    std::mutex mutex;
    std::condition_variable all_done;
  };
  auto state = std::make_shared<State>();
  state->task = std::move(task);
  state->count = count;
  auto work = [state] {
    for (int64_t i; (i = state->next++) < state->count;) {
      std::exception_ptr error;
      try {
        state->task(i);
      } catch (...) {
        error = std::current_exception();
      }
      std::lock_guard<std::mutex> lock(state->mutex);
      if (error) state->error = error;
      if (++state->done == state->count) state->all_done.notify_all();
    }
  };
  for (int64_t i = 1; i < count; ++i) threads.Schedule(decltype(work)(work));
  work();
  std::unique_lock<std::mutex> lock(state->mutex);
  state->all_done.wait(lock, [&] { return state->done == state->count; });
  if (state->error) std::rethrow_exception(state->error);
}

// A division of a batch into shares of equal size, but for the last.
struct Shares {
  int64_t images, size, count;
  int own_threads;  // where there are fewer images than threads, oneDNN divides them further

  Shares(int64_t images, int64_t threads, bool divide)
      : images(images),
        size(std::max<int64_t>(1, divide ? (images + threads - 1) / threads : images)),
        count((images + size - 1) / size),
        own_threads(static_cast<int>(std::max<int64_t>(1, threads / std::max<int64_t>(1, count)))) {}

  // Calls share(index, first image, number of images) for each.
  template <typename Share>
  void ForEach(ffi::ThreadPool& threads, const Share& share) const {
    InParallel(threads, count, [=](int64_t i) {
      OwnThreads own(own_threads);
      share(i, i * size, std::min(size, images - i * size));
    });
  }
};

int64_t ThreadsOf(const ffi::ThreadPool& pool) { return std::max<int64_t>(1, pool.num_threads()); }

// ---- oneDNN's view of the arrays

dnnl::engine& Cpu() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

void Run(const dnnl::primitive& primitive, const Arguments& arguments) {
  dnnl::stream stream(Cpu());
  primitive.execute(stream, arguments);
  stream.wait();
}

// Some of the kernels of an array of kernels.
memory SomeKernels(const memory& kernels, int64_t first, int64_t count) {
  memory::desc desc = kernels.get_desc();
  memory::dims shape = desc.get_dims();
  shape[0] = count;
  return memory(desc.submemory_desc(shape, {first, 0, 0, 0}), Cpu(), kernels.get_data_handle());
}

// Whether so many kernels of an array are whole blocks of its layout.
bool AreWhole(int64_t count, const memory::desc& kernels) {
  int64_t block = 1;
  memory::dims sizes = kernels.get_inner_blks(), axes = kernels.get_inner_idxs();
  for (size_t i = 0; i < sizes.size(); ++i) block *= axes[i] == 0 ? sizes[i] : 1;
  return count % block == 0 && kernels.get_padded_dims()[0] % count == 0;
}

// Copies kernels into another layout.
void Reorder(ffi::ThreadPool& threads, const memory& from, const memory& to) {
  int64_t kernels = from.get_desc().get_dims()[0];
  int64_t size = kernels >= kFewKernels ? kernels / ThreadsOf(threads) : kernels;
  if (!AreWhole(size, from.get_desc()) || !AreWhole(size, to.get_desc())) size = kernels;
  InParallel(threads, kernels / size, [&](int64_t i) {
    OwnThreads own(1);
    memory a = SomeKernels(from, i * size, size), b = SomeKernels(to, i * size, size);
    Run(dnnl::reorder(a, b), {{DNNL_ARG_FROM, a}, {DNNL_ARG_TO, b}});
  });
}

memory::desc Images(Numbers shape, int64_t count) {
  return {{count, shape[3], shape[1], shape[2]}, kFloat, memory::format_tag::nhwc};
}

memory::desc Kernel(Numbers shape, memory::format_tag layout) {
  return {{shape[3], shape[2], shape[0], shape[1]}, kFloat, layout};
}

// A number for each channel of images.
memory::desc Channels(int64_t count) { return {{1, count, 1, 1}, kFloat, memory::format_tag::nhwc}; }

memory KernelOf(const Array& array) {
  auto desc = Kernel(array.dimensions(), memory::format_tag::hwio);
  return memory(desc, Cpu(), array.untyped_data());
}

// Some images of an array, from the first given.
memory Some(const Array& array, int64_t first, int64_t count) {
  int64_t image = array.element_count() / array.dimensions()[0];
  auto desc = Images(array.dimensions(), count);
  return memory(desc, Cpu(), array.typed_data() + first * image);
}

// What the three computations share: the shapes of images x and y, of the kernel, and how it moves.
struct Convolution {
  Numbers x, kernel, y;
  int64_t stride;
  Numbers padding;
  memory::desc bias = {};  // empty for none
  bool scales = false;     // each channel, before anything is added
  bool adds_maps = false;  // of the shape of y
  bool rectifies = false;

  using Forwards = dnnl::convolution_forward::primitive_desc;
  using ToInput = dnnl::convolution_backward_data::primitive_desc;
  using ToKernel = dnnl::convolution_backward_weights::primitive_desc;

  Forwards Forward(int64_t n, const memory::desc& weights) const {
    return Kept<Forwards>(n, weights, [&] {
      return Forwards(Cpu(), dnnl::prop_kind::forward_training, kAlgorithm, Images(x, n), weights,
                      bias, Images(y, n), Strides(), Before(), After(), Afterwards(n));
    });
  }
  ToInput InputGradient(int64_t n, const memory::desc& weights) const {
    return Kept<ToInput>(n, weights, [&] {
      return ToInput(Cpu(), kAlgorithm, Images(x, n), weights, Images(y, n), Strides(), Before(),
                     After(), Forward(n, weights));
    });
  }
  ToKernel KernelGradient(int64_t n, const memory::desc& weights) const {
    return Kept<ToKernel>(n, weights, [&] {
      return ToKernel(Cpu(), kAlgorithm, Images(x, n), weights, Images(y, n), Strides(), Before(),
                      After(), Forward(n, weights));
    });
  }
  // Numbers of oneDNN's operations after the convolution: factors and what is added are the first.
  int Adding() const { return scales ? 2 : 0; }
  int Rectifying() const { return Adding() + (adds_maps ? 1 : 0); }
  memory::desc AnyLayout() const { return Kernel(kernel, memory::format_tag::any); }

 private:
  // Returns what `make` does. It is made once for all calls that are alike, for that takes as long
  // as a small convolution does.
  template <typename Description, typename Make>
  Description Kept(int64_t n, const memory::desc& weights, const Make& make) const {
    static std::mutex mutex;
    static std::map<memory::dims, Description> kept;
    memory::dims key = Key(n, weights);
    std::unique_lock<std::mutex> lock(mutex);
    auto found = kept.find(key);
    if (found != kept.end()) return found->second;
    lock.unlock();
    Description made = make();
    lock.lock();
    return kept.emplace(key, made).first->second;
  }

  // Returns all that a description depends on.
  memory::dims Key(int64_t n, const memory::desc& weights) const {
    bool is_any = weights.get_format_kind() == memory::format_kind::any;
    memory::dims key{n,         stride,    !bias.is_zero(), scales,
                     adds_maps, rectifies, is_any,          omp_get_max_threads()};
    auto add = [&](const auto& numbers) { key.insert(key.end(), numbers.begin(), numbers.end()); };
    for (Numbers numbers : {x, kernel, y, padding}) add(numbers);
    if (!is_any) {
      for (const memory::dims& numbers :
           {weights.get_strides(), weights.get_inner_blks(), weights.get_inner_idxs()}) {
        add(numbers);
      }
    }
    return key;
  }

  memory::dims Strides() const { return {stride, stride}; }
  memory::dims Before() const { return {padding[0], padding[2]}; }
  memory::dims After() const { return {padding[1], padding[3]}; }
  dnnl::primitive_attr Afterwards(int64_t n) const {
    dnnl::post_ops operations;
    if (scales) {
      operations.append_binary(dnnl::algorithm::binary_mul, Channels(y[3]));
      operations.append_binary(dnnl::algorithm::binary_add, Channels(y[3]));
    }
    if (adds_maps) operations.append_binary(dnnl::algorithm::binary_add, Images(y, n));
    // Of slope 0. oneDNN's own ReLU makes 0 of what is not a number, which would hide that a
    // network has diverged.
    if (rectifies) operations.append_prelu(0);
    dnnl::primitive_attr attributes;
    attributes.set_post_ops(operations);
    return attributes;
  }
};

// The kernel of JAX in the layout that oneDNN has chosen.
memory Reordered(ffi::ThreadPool& threads, const Array& kernel, const memory::desc& chosen) {
  memory given = KernelOf(kernel);
  if (given.get_desc() == chosen) return given;
  memory reordered(chosen, Cpu());
  Reorder(threads, given, reordered);
  return reordered;
}

// ---- The three computations

// Sets what follows a convolution, and returns its arguments but for maps. What may be given: [K]
// that is added, or [2, K], by what each channel is multiplied and what is added; then maps.
Arguments After(Convolution& c, ffi::RemainingArgs& given, bool relu, float* slope) {
  Arguments arguments;
  c.adds_maps = given.size() > 1;
  c.rectifies = relu;
  if (given.size() > 0) {
    Array numbers = given.get<Array>(0).value();
    int64_t channels = c.y[3];
    c.scales = numbers.dimensions().size() == 2;
    if (!c.scales) {
      c.bias = {{channels}, kFloat, memory::format_tag::x};
      arguments[DNNL_ARG_BIAS] = memory(c.bias, Cpu(), numbers.untyped_data());
    }
    for (int i = 0; i < c.Adding(); ++i) {
      arguments[DNNL_ARG_ATTR_MULTIPLE_POST_OP(i) | DNNL_ARG_SRC_1] =
          memory(Channels(channels), Cpu(), numbers.typed_data() + i * channels);
    }
  }
  if (relu) {
    arguments[DNNL_ARG_ATTR_MULTIPLE_POST_OP(c.Rectifying()) | DNNL_ARG_WEIGHTS] =
        memory({{1}, kFloat, memory::format_tag::x}, Cpu(), slope);
  }
  return arguments;
}

ffi::Error Forward(ffi::ThreadPool threads, Array x, Array kernel, ffi::RemainingArgs after,
                   Result y, int64_t stride, Numbers padding, bool relu) {
  Convolution c{x.dimensions(), kernel.dimensions(), y->dimensions(), stride, padding};
  float slope = 0;
  Arguments others = After(c, after, relu, &slope);
  Shares shares(c.x[0], ThreadsOf(threads), true);
  OwnThreads own(shares.own_threads);
  auto chosen = c.Forward(shares.size, c.AnyLayout());
  memory weights = Reordered(threads, kernel, chosen.weights_desc());
  shares.ForEach(threads, [&](int64_t, int64_t first, int64_t count) {
    Arguments arguments = others;
    arguments[DNNL_ARG_SRC] = Some(x, first, count);
    arguments[DNNL_ARG_WEIGHTS] = weights;
    arguments[DNNL_ARG_DST] = Some(*y, first, count);
    if (c.adds_maps) {
      arguments[DNNL_ARG_ATTR_MULTIPLE_POST_OP(c.Adding()) | DNNL_ARG_SRC_1] =
          Some(after.get<Array>(1).value(), first, count);
    }
    Run(dnnl::convolution_forward(c.Forward(count, weights.get_desc())), arguments);
  });
  return ffi::Error::Success();
}

ffi::Error InputGradient(ffi::ThreadPool threads, Array y, Array kernel, Result x, int64_t stride,
                         Numbers padding) {
  Convolution c{x->dimensions(), kernel.dimensions(), y.dimensions(), stride, padding};
  Shares shares(c.x[0], ThreadsOf(threads), true);
  OwnThreads own(shares.own_threads);
  auto chosen = c.InputGradient(shares.size, c.AnyLayout());
  memory weights = Reordered(threads, kernel, chosen.weights_desc());
  shares.ForEach(threads, [&](int64_t, int64_t first, int64_t count) {
    Run(dnnl::convolution_backward_data(c.InputGradient(count, weights.get_desc())),
        {{DNNL_ARG_DIFF_DST, Some(y, first, count)},
         {DNNL_ARG_WEIGHTS, weights},
         {DNNL_ARG_DIFF_SRC, Some(*x, first, count)}});
  });
  return ffi::Error::Success();
}

// Adds the others to the first.
void Sum(ffi::ThreadPool& threads, const std::vector<memory>& gradients) {
  int64_t size = gradients[0].get_desc().get_size() / sizeof(float);
  Shares shares(size, ThreadsOf(threads), true);
  shares.ForEach(threads, [&](int64_t, int64_t first, int64_t count) {
    float* sum = static_cast<float*>(gradients[0].get_data_handle()) + first;
    for (size_t i = 1; i < gradients.size(); ++i) {
      const float* term = static_cast<const float*>(gradients[i].get_data_handle()) + first;
      for (int64_t j = 0; j < count; ++j) sum[j] += term[j];
    }
  });
}

ffi::Error KernelGradient(ffi::ThreadPool threads, Array x, Array y, Result kernel, int64_t stride,
                          Numbers padding) {
  Convolution c{x.dimensions(), kernel->dimensions(), y.dimensions(), stride, padding};
  // Each share has a sum of its own, which is no gain where the kernel is larger than the images.
  bool divide = kernel->element_count() < x.element_count();
  Shares shares(c.x[0], ThreadsOf(threads), divide);
  OwnThreads own(shares.own_threads);
  auto layout = c.KernelGradient(shares.size, c.AnyLayout()).diff_weights_desc();
  memory wanted = KernelOf(*kernel);
  std::vector<memory> gradients;
  for (int64_t i = 0; i < shares.count; ++i) {
    gradients.push_back(i == 0 && layout == wanted.get_desc() ? wanted : memory(layout, Cpu()));
  }
  shares.ForEach(threads, [&](int64_t i, int64_t first, int64_t count) {
    Run(dnnl::convolution_backward_weights(c.KernelGradient(count, layout)),
        {{DNNL_ARG_SRC, Some(x, first, count)},
         {DNNL_ARG_DIFF_DST, Some(y, first, count)},
         {DNNL_ARG_DIFF_WEIGHTS, gradients[i]}});
  });
  if (shares.count > 1) Sum(threads, gradients);
  if (layout != wanted.get_desc()) Reorder(threads, gradients[0], wanted);
  return ffi::Error::Success();
}

// ---- The largest number of each window, which is no work of oneDNN's: it loses what is no number

#if defined(__clang__)
#define FOR_EACH_PROCESSOR
#else
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#endif

// Makes each number of y the larger of the two; not a number, where one of them is none.
FOR_EACH_PROCESSOR void TakeLarger(const float* x, float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] = x[i] > y[i] || x[i] != x[i] ? x[i] : y[i];
}

// The part of a window, from `first` on, that lies within `length`.
struct Window {
  int64_t begin, end;
  Window(int64_t first, int64_t size, int64_t length)
      : begin(std::max<int64_t>(first, 0)), end(std::min(first + size, length)) {}
};

// Makes y the largest of some vectors of numbers, one after the other in x.
void Largest(const float* x, Window which, int64_t numbers, float* y) {
  if (which.begin >= which.end) {  // all of it is padding
    std::fill_n(y, numbers, -std::numeric_limits<float>::infinity());
    return;
  }
  std::copy_n(x + which.begin * numbers, numbers, y);
  for (int64_t i = which.begin + 1; i < which.end; ++i) TakeLarger(x + i * numbers, y, numbers);
}

ffi::Error MaxPool(ffi::ThreadPool threads, Array x, Result y, int64_t stride, Numbers padding,
                   int64_t size) {
  Numbers from = x.dimensions(), to = y->dimensions();
  int64_t channels = from[3], row = from[2] * channels, lines = to[0] * to[1];
  Shares(lines, ThreadsOf(threads), true).ForEach(threads, [&](int64_t, int64_t first, int64_t n) {
    std::vector<float> columns(row);  // the largest of each column of the windows in a line
    for (int64_t line = first; line < first + n; ++line) {
      const float* image = x.typed_data() + line / to[1] * from[1] * row;
      Largest(image, {line % to[1] * stride - padding[0], size, from[1]}, row, columns.data());
      for (int64_t i = 0; i < to[2]; ++i) {
        float* pixel = y->typed_data() + (line * to[2] + i) * channels;
        Largest(columns.data(), {i * stride - padding[2], size, from[2]}, channels, pixel);
      }
    }
  });
  return ffi::Error::Success();
}

// Adds dy, the gradient of the largest number of a window, to dx where that is: the first of equals,
// row by row, or the last that is no number. For at most kChannelsAtOnce channels.
FOR_EACH_PROCESSOR void AddToLargest(const float* x, float* dx, const float* dy, Window rows,
                                     Window columns, int64_t row, int64_t pixel, int64_t channels) {
  float largest[kChannelsAtOnce];
  int32_t place[kChannelsAtOnce];
  int32_t places = 0;
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    for (int64_t j = columns.begin; j < columns.end; ++j, ++places) {
      const float* at = x + i * row + j * pixel;
      for (int64_t c = 0; c < channels; ++c) {
        bool is_larger = places == 0 || at[c] > largest[c] || at[c] != at[c];
        largest[c] = is_larger ? at[c] : largest[c];
        place[c] = is_larger ? places : place[c];
      }
    }
  }
  places = 0;
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    for (int64_t j = columns.begin; j < columns.end; ++j, ++places) {
      float* at = dx + i * row + j * pixel;
      for (int64_t c = 0; c < channels; ++c) at[c] += place[c] == places ? dy[c] : 0;
    }
  }
}

// Windows overlap, so that what may be divided are images and channels.
ffi::Error MaxPoolGradient(ffi::ThreadPool threads, Array dy, Array x, Result dx, int64_t stride,
                           Numbers padding, int64_t size) {
  Numbers from = x.dimensions(), to = dy.dimensions();
  int64_t channels = from[3], row = from[2] * channels, pixels = from[1] * from[2];
  int64_t windows = to[1] * to[2], blocks = (channels + kChannelsAtOnce - 1) / kChannelsAtOnce;
  auto of_block = [=](const float* x, const float* dy, float* dx, int64_t count) {
    for (int64_t i = 0; i < pixels; ++i) std::fill_n(dx + i * channels, count, 0.0f);
    for (int64_t i = 0; i < windows; ++i) {
      Window rows{i / to[2] * stride - padding[0], size, from[1]};
      Window columns{i % to[2] * stride - padding[2], size, from[2]};
      AddToLargest(x, dx, dy + i * channels, rows, columns, row, channels, count);
    }
  };
  Shares shares(from[0] * blocks, ThreadsOf(threads), true);
  shares.ForEach(threads, [&](int64_t, int64_t first, int64_t n) {
    for (int64_t i = first; i < first + n; ++i) {
      int64_t image = i / blocks * channels, channel = i % blocks * kChannelsAtOnce;
      of_block(x.typed_data() + image * pixels + channel, dy.typed_data() + image * windows + channel,
               dx->typed_data() + image * pixels + channel,
               std::min(kChannelsAtOnce, channels - channel));
    }
  });
  return ffi::Error::Success();
}

// oneDNN reports by exceptions, which must not reach XLA.
template <auto kCompute>
struct Guarded;

template <typename... Parameters, ffi::Error (*kCompute)(Parameters...)>
struct Guarded<kCompute> {
  static ffi::Error Call(Parameters... parameters) {
    try {
      return kCompute(parameters...);
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
      .template Attr<Numbers>("padding");
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
