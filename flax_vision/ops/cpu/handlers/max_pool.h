// Max pooling and its gradient. oneDNN's own pooling loses NaN.

#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "convolution.h"
#include "parallel.h"

#if defined(__clang__)
#define CLONE_FOR_EACH_CPU
#else
#define CLONE_FOR_EACH_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#endif

namespace {

constexpr int64_t kChannelBlock = 64;  // channels whose argmax fits on the stack

// Sets each y to the larger of x and y, and to NaN where one of them is NaN.
CLONE_FOR_EACH_CPU void TakeMax(const float* x, float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] = x[i] > y[i] || x[i] != x[i] ? x[i] : y[i];
}

// The part of a window from `first` on that lies within `length`.
struct Window {
  int64_t begin, end;
  Window(int64_t first, int64_t size, int64_t length)
      : begin(std::max<int64_t>(first, 0)), end(std::min(first + size, length)) {}
};

// Sets y to the maximum of the vectors of x in a range, each of the given size.
void MaxOfWindow(const float* x, Window range, int64_t size, float* y) {
  if (range.begin >= range.end) {  // only padding
    std::fill_n(y, size, -std::numeric_limits<float>::infinity());
    return;
  }
  std::copy_n(x + range.begin * size, size, y);
  for (int64_t i = range.begin + 1; i < range.end; ++i) TakeMax(x + i * size, y, size);
}

ffi::Error MaxPool(ffi::ThreadPool threads, Array x, Result y, int64_t stride, Dims padding,
                   int64_t size) {
  Dims from = x.dimensions(), to = y->dimensions();
  int64_t channels = from[3], row = from[2] * channels, lines = to[0] * to[1];
  BatchSplit split(lines, NumThreads(threads), true);
  split.ForEach(threads, [&](int64_t, int64_t first, int64_t n) {
    std::vector<float> columns(row);  // maximum of each column of the windows in a line
    for (int64_t line = first; line < first + n; ++line) {
      const float* image = x.typed_data() + line / to[1] * from[1] * row;
      MaxOfWindow(image, {line % to[1] * stride - padding[0], size, from[1]}, row, columns.data());
      for (int64_t i = 0; i < to[2]; ++i) {
        float* pixel = y->typed_data() + (line * to[2] + i) * channels;
        MaxOfWindow(columns.data(), {i * stride - padding[2], size, from[2]}, channels, pixel);
      }
    }
  });
  return ffi::Error::Success();
}

// Adds dy, the gradient of a window's maximum, to dx at its argmax: the first of equals, row by
// row, or the last NaN. Takes at most kChannelBlock channels.
CLONE_FOR_EACH_CPU void AddToArgmax(const float* x, float* dx, const float* dy, Window rows,
                                    Window columns, int64_t row, int64_t pixel, int64_t channels) {
  float max[kChannelBlock];
  int32_t argmax[kChannelBlock];
  int32_t index = 0;
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    for (int64_t j = columns.begin; j < columns.end; ++j, ++index) {
      const float* at = x + i * row + j * pixel;
      for (int64_t c = 0; c < channels; ++c) {
        bool is_larger = index == 0 || at[c] > max[c] || at[c] != at[c];
        max[c] = is_larger ? at[c] : max[c];
        argmax[c] = is_larger ? index : argmax[c];
      }
    }
  }
  index = 0;
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    for (int64_t j = columns.begin; j < columns.end; ++j, ++index) {
      float* at = dx + i * row + j * pixel;
      for (int64_t c = 0; c < channels; ++c) at[c] += argmax[c] == index ? dy[c] : 0;
    }
  }
}

// Windows overlap, so the work is divided by images and channels.
ffi::Error MaxPoolGradient(ffi::ThreadPool threads, Array dy, Array x, Result dx, int64_t stride,
                           Dims padding, int64_t size) {
  Dims from = x.dimensions(), to = dy.dimensions();
  int64_t channels = from[3], row = from[2] * channels, pixels = from[1] * from[2];
  int64_t windows = to[1] * to[2], blocks = (channels + kChannelBlock - 1) / kChannelBlock;
  auto pool_block = [=](const float* x, const float* dy, float* dx, int64_t count) {
    for (int64_t i = 0; i < pixels; ++i) std::fill_n(dx + i * channels, count, 0.0f);
    for (int64_t i = 0; i < windows; ++i) {
      Window rows{i / to[2] * stride - padding[0], size, from[1]};
      Window columns{i % to[2] * stride - padding[2], size, from[2]};
      AddToArgmax(x, dx, dy + i * channels, rows, columns, row, channels, count);
    }
  };
  BatchSplit split(from[0] * blocks, NumThreads(threads), true);
  split.ForEach(threads, [&](int64_t, int64_t first, int64_t n) {
    for (int64_t i = first; i < first + n; ++i) {
      int64_t image = i / blocks * channels, channel = i % blocks * kChannelBlock;
      pool_block(x.typed_data() + image * pixels + channel,
                 dy.typed_data() + image * windows + channel,
                 dx->typed_data() + image * pixels + channel,
                 std::min(kChannelBlock, channels - channel));
    }
  });
  return ffi::Error::Success();
}

}  // namespace
