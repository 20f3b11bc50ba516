// Large blocks of freed memory, kept for the next that is as large.
//
// A program that starts with this library in LD_PRELOAD has these functions in place of glibc's,
// which still take care of all that is smaller. Told to, glibc keeps what the first thread frees;
// what another thread frees it keeps in heaps of at most 64 MiB, and gives a heap back when it is
// empty. XLA's steps run in other threads, and each takes its temporary arrays as one block, all
// pages of which the kernel would have to clear again.
//
// A block serves again if at most half of it is left over. Where none does, those that are free
// are given back before there is a new one, so that little more is kept than is used at once.

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

extern "C" {
void* __libc_memalign(size_t alignment, size_t size);
void* __libc_realloc(void* start, size_t size);
void __libc_free(void* start);
}

namespace {

constexpr size_t kHugePage = 2 << 20;
constexpr size_t kLeast = 32 << 20;
constexpr int64_t kPatience = 20'000'000;  // nanoseconds
constexpr int64_t kSecond = 1'000'000'000;

struct Block {
  char* start;  // nullptr where there is none
  size_t size;
  bool is_used;
  bool was_free;    // once at least
  bool is_lasting;  // was waited for in vain since it was taken
  int64_t taken;    // when, in nanoseconds

  bool Serves(size_t wanted) const { return start && size >= wanted && size / 2 <= wanted; }
};

Block blocks[256];
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t one_is_free = PTHREAD_COND_INITIALIZER;

void Acquire() { pthread_mutex_lock(&mutex); }
void Release() { pthread_mutex_unlock(&mutex); }

void BeginChild() {
  one_is_free = PTHREAD_COND_INITIALIZER;  // for which no thread of the child waits
  Release();
}

// A child must not begin with a mutex that a thread of its parent holds.
const int is_set_up = pthread_atfork(Acquire, Release, BeginChild);

// Returns the smallest free block that serves; nullptr for none.
Block* Smallest(size_t size) {
  Block* best = nullptr;
  for (Block& block : blocks) {
    if (block.is_used || !block.Serves(size)) continue;
    if (!best || block.size < best->size) best = &block;
  }
  return best;
}

int64_t Now() {
  timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return time.tv_sec * kSecond + time.tv_nsec;
}

// Returns a block of about that size that may soon be free, to serve or to be given back; nullptr
// for none. What was never free may be of a step that is about to end, or of arrays that are taken
// one after the other, to stay.
Block* Awaited(size_t size) {
  const int64_t before = Now() - kPatience;
  for (Block& block : blocks) {
    if (!block.is_used || block.is_lasting) continue;
    if (block.size < size / 2 || block.size / 2 > size) continue;
    if (block.was_free || block.taken < before) return &block;
  }
  return nullptr;
}

// Returns a free block that serves; nullptr for none, also after a moment. XLA says that a program
// has ended before it frees the program's block, and the next one asks for its own at once.
Block* Kept(size_t size) {
  const int64_t end = Now() + kPatience;
  const timespec time = {end / kSecond, end % kSecond};
  Block* block = Smallest(size);
  while (Block* awaited = block ? nullptr : Awaited(size)) {
    if (pthread_cond_timedwait(&one_is_free, &mutex, &time)) awaited->is_lasting = true;
    block = Smallest(size);
  }
  return block;
}

// Gives back all blocks that are free; returns a place for another, nullptr if all are in use.
Block* Place() {
  Block* place = nullptr;
  for (Block& block : blocks) {
    if (block.is_used) continue;
    if (block.start) munmap(block.start, block.size);
    block.start = nullptr;
    place = &block;
  }
  return place;
}

// Returns a new block, of whole huge pages; nullptr if it cannot be had.
Block* Mapped(size_t size) {
  Block* block = Place();
  if (!block) return nullptr;
  const int access = PROT_READ | PROT_WRITE, kind = MAP_PRIVATE | MAP_ANONYMOUS;
  void* mapped = mmap(nullptr, size + kHugePage, access, kind, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  const size_t before = -reinterpret_cast<uintptr_t>(mapped) % kHugePage;
  char* start = static_cast<char*>(mapped) + before;
  if (before) munmap(mapped, before);
  munmap(start + size, kHugePage - before);
  madvise(start, size, MADV_HUGEPAGE);
  *block = {start, size};
  return block;
}

void* Take(size_t size) {
  size = (size + kHugePage - 1) / kHugePage * kHugePage;
  Acquire();
  Block* block = Kept(size);
  if (!block) block = Mapped(size);
  if (block) block->is_used = true, block->is_lasting = false, block->taken = Now();
  Release();
  return block ? block->start : nullptr;
}

// Returns the block in use that begins there; nullptr for none, and where `start` is not of ours.
Block* BlockAt(void* start) {
  if (!start || reinterpret_cast<uintptr_t>(start) % kHugePage) return nullptr;
  Block* found = nullptr;
  Acquire();
  for (Block& block : blocks) {
    if (block.is_used && block.start == start) found = &block;
  }
  Release();
  return found;
}

}  // namespace

extern "C" {

int posix_memalign(void** start, size_t alignment, size_t size) noexcept {
  if (!alignment || alignment % sizeof(void*) || alignment & (alignment - 1)) return EINVAL;
  const bool is_large = size >= kLeast && size <= PTRDIFF_MAX && alignment <= kHugePage;
  void* taken = is_large ? Take(size) : nullptr;
  if (!taken) taken = __libc_memalign(alignment, size);
  if (!taken) return ENOMEM;
  *start = taken;
  return 0;
}

void free(void* start) noexcept {
  Block* block = BlockAt(start);
  if (!block) return __libc_free(start);
  Acquire();
  block->is_used = false;
  block->was_free = true;
  pthread_cond_broadcast(&one_is_free);
  Release();
}

void* realloc(void* start, size_t size) noexcept {
  Block* block = BlockAt(start);
  if (!block) return __libc_realloc(start, size);
  void* moved = size ? malloc(size) : nullptr;
  if (moved) memcpy(moved, start, block->size < size ? block->size : size);
  if (moved || !size) free(start);
  return moved;
}

size_t malloc_usable_size(void* start) noexcept {
  if (Block* block = BlockAt(start)) return block->size;
  const auto other = reinterpret_cast<size_t (*)(void*)>(dlsym(RTLD_NEXT, "malloc_usable_size"));
  return other ? other(start) : 0;
}
}
