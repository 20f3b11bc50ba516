// Work on XLA's threads.
//
// The images of a batch are divided among XLA's own threads, each of which calls oneDNN for its
// chunk. Threads of oneDNN's own would compete with XLA's for the cores between two convolutions.

#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "xla/ffi/api/ffi.h"

// OpenMP, which oneDNN is linked with: the number of threads for calls from this thread.
extern "C" int omp_get_max_threads();
extern "C" void omp_set_num_threads(int);

namespace {

namespace ffi = xla::ffi;

int64_t NumThreads(const ffi::ThreadPool& pool) { return std::max<int64_t>(1, pool.num_threads()); }

// Sets the number of oneDNN's own threads for calls from this thread.
class OmpThreads {
 public:
  explicit OmpThreads(int count) : before_(omp_get_max_threads()) { omp_set_num_threads(count); }
  ~OmpThreads() { omp_set_num_threads(before_); }

 private:
  int before_;
};

// Calls task(0) to task(count - 1) on XLA's threads, and returns when all are done. The calling
// thread takes part, so it never waits for a task that has not begun. This avoids a deadlock when
// every thread waits here.
void ParallelFor(ffi::ThreadPool& threads, int64_t count, std::function<void(int64_t)> task) {
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

// A division of a batch into chunks of equal size, except the last.
struct BatchSplit {
  int64_t images, size, count;
  int omp_threads;  // more than 1 where there are fewer images than threads

  BatchSplit(int64_t images, int64_t threads, bool divide)
      : images(images),
        size(std::max<int64_t>(1, divide ? (images + threads - 1) / threads : images)),
        count((images + size - 1) / size),
        omp_threads(std::max<int64_t>(1, threads / std::max<int64_t>(1, count))) {}

  // Calls chunk(index, first image, number of images) for each.
  template <typename Chunk>
  void ForEach(ffi::ThreadPool& threads, const Chunk& chunk) const {
    ParallelFor(threads, count, [=](int64_t i) {
      OmpThreads own(omp_threads);
      chunk(i, i * size, std::min(size, images - i * size));
    });
  }
};

}  // namespace
