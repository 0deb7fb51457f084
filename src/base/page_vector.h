// Containers whose large buffers are mappings of their own.
//
// Read from a large program, a section or table is megabytes that live for a moment. Allocated with
// malloc they would stay: glibc gives back neither the end of a thread's arena nor, once a large
// block was freed, anything below twice that block's size, and that threshold is the host's as
// well.
#ifndef STILLFRAME_BASE_PAGE_VECTOR_H_
#define STILLFRAME_BASE_PAGE_VECTOR_H_

#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace stillframe {

// Throw std::bad_alloc: for a size that there cannot be, and where the system has no memory.
void* MapPages(size_t bytes);
[[noreturn]] void RefuseSize();
void UnmapPages(void* pages, size_t bytes) noexcept;

// As std::allocator below kMappedBytes. Throws std::bad_alloc.
template <typename T>
class PageAllocator {
 public:
  using value_type = T;

  PageAllocator() = default;
  template <typename U>
  PageAllocator(const PageAllocator<U>&) {}  // NOLINT(google-explicit-constructor): rebinding

  T* allocate(size_t count) {
    if (count > std::numeric_limits<size_t>::max() / sizeof(T)) RefuseSize();
    const size_t bytes = count * sizeof(T);
    if (bytes < kMappedBytes) return std::allocator<T>().allocate(count);
    return static_cast<T*>(MapPages(bytes));
  }
  void deallocate(T* memory, size_t count) noexcept {
    if (count * sizeof(T) < kMappedBytes) {
      std::allocator<T>().deallocate(memory, count);
    } else {
      UnmapPages(memory, count * sizeof(T));
    }
  }
  template <typename U>
  bool operator==(const PageAllocator<U>&) const {
    return true;
  }

 private:
  static constexpr size_t kMappedBytes = size_t{64} << 10;
};

template <typename T>
using PageVector = std::vector<T, PageAllocator<T>>;
using PageString = std::basic_string<char, std::char_traits<char>, PageAllocator<char>>;

}  // namespace stillframe

#endif  // STILLFRAME_BASE_PAGE_VECTOR_H_
