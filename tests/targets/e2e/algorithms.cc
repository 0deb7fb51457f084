// Ordinary code with loops, inlining, templates, lambdas and recursion, for comparing every line
// with GDB. Single-threaded and deterministic.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "truth.h"

namespace geo {

struct Point {
  double x, y;
  Point operator+(const Point& other) const { return {x + other.x, y + other.y}; }
  double Norm() const { return std::sqrt(x * x + y * y); }
};

enum class Shade : int8_t { kDark = -2, kMid = 0, kLight = 3 };

template <typename T>
T Clamp(T value, T low, T high) {
  T result = value;
  if (result < low) result = low;
  if (result > high) result = high;
  return result;
}

struct Node {
  int key;
  Shade shade;
  std::unique_ptr<Node> left, right;
};

__attribute__((noinline)) void Insert(std::unique_ptr<Node>& root, int key) {
  if (!root) {
    root = std::make_unique<Node>();
    root->key = key;
    root->shade = key % 2 == 0 ? Shade::kDark : Shade::kLight;
    return;
  }
  Insert(key < root->key ? root->left : root->right, key);
}

__attribute__((noinline)) int Height(const Node* node) {
  if (node == nullptr) return 0;
  const int left = Height(node->left.get());
  const int right = Height(node->right.get());
  TELL(left, right);
  return 1 + std::max(left, right);
}

class Accumulator {
 public:
  explicit Accumulator(int64_t start) : total_(start) {}
  __attribute__((noinline)) void Add(int value, const char* what) {
    const int64_t before = total_;
    total_ += value;
    ++count_;
    TELL(value, before, what);
    if (total_ < before) {
      std::printf("down %s\n", what);
    }
  }
  int64_t total() const { return total_; }

 private:
  int64_t total_;
  unsigned count_ = 0;
};

__attribute__((noinline)) Point Centroid(const std::vector<Point>& points) {
  Point sum{0, 0};
  for (const Point& point : points) {
    sum = sum + point;
  }
  const double scale = 1.0 / static_cast<double>(points.size());
  Point center{sum.x * scale, sum.y * scale};
  TELL(scale, sum.x, sum.y, center.x, center.y);
  std::printf("center %g %g norm %g\n", center.x, center.y, center.Norm());
  return center;
}

__attribute__((noinline)) uint32_t Crc(const std::string& text) {
  uint32_t crc = 0xffffffffu;
  for (unsigned char byte : text) {
    TELL(byte, crc);
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) {
      const bool low = (crc & 1) != 0;
      crc >>= 1;
      if (low) crc ^= 0xedb88320u;
    }
  }
  return ~crc;
}

__attribute__((noinline)) int Apply(const std::function<int(int)>& function, int argument) {
  const int first = function(argument);
  const int second = function(first);
  TELL(argument, first, second);
  return first + second;
}

__attribute__((noinline)) long Matrix(int size) {
  int cells[8][8] = {};
  long trace = 0;
  for (int row = 0; row < size; ++row) {
    for (int column = 0; column < size; ++column) {
      cells[row][column] = row * 10 + column;
      trace += row == column ? cells[row][column] : 0;
    }
  }
  TELL(size, trace);
  return trace;
}

}  // namespace geo

int main() {
  using namespace geo;
  std::unique_ptr<Node> root;
  for (int key : {50, 20, 70, 10, 30, 60, 90, 5}) Insert(root, key);
  const int height = Height(root.get());
  Accumulator accumulator(100);
  accumulator.Add(7, "seven");
  accumulator.Add(-50, "minus fifty");
  std::vector<Point> points;
  for (int i = 0; i < 10; ++i) {
    points.push_back({i * 1.5, 10.0 - i});
  }
  const Point center = Centroid(points);
  const uint32_t crc = Crc("stillframe");
  int offset = 3;
  const int applied = Apply([&offset](int x) { return x * 2 + offset; }, 4);
  const int clamped = Clamp(applied, 0, 20) + Clamp<int>(-5, -3, 3);
  std::vector<int> numbers(20);
  std::iota(numbers.begin(), numbers.end(), 1);
  const int sum = std::accumulate(numbers.begin(), numbers.end(), 0);
  std::sort(numbers.begin(), numbers.end(), [](int a, int b) { return a > b; });
  const long trace = Matrix(8);
  TELL(height, crc, offset, applied, clamped, sum, trace);
  std::printf("%d %lld %g %u %d %d %d %ld %d\n", height,
              static_cast<long long>(accumulator.total()), center.x, crc, applied, clamped, sum,
              trace, numbers[0]);
  return 0;
}
