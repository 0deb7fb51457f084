// Types of every kind, for the type table and for names in scope.
#include <array>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "types.h"

namespace shop {

int Catalogue::open_count = 4;
int visits = 9;
thread_local int per_thread = 1;
static long secret_offset = 77;

enum class Tier : unsigned char { kBasic, kGold = 200 };
enum Level { kLow = -5, kHigh };

struct alignas(32) Wide {
  double lanes[4];
};
struct Bits {
  unsigned first : 3;
  int second : 7;
  unsigned long third : 40;
  bool fourth : 1;
};
struct Shape {
  virtual ~Shape() = default;
  int sides = 3;
};
struct Named : virtual Shape {
  std::string label;
};
struct Square : Shape {
  union {
    int as_int;
    float as_float;
  };
  struct {
    short low;
    short high;
  } halves;
  std::string password;
};

int Show(Hidden* hidden, const std::string& title) {
  std::vector<Square> squares(1);
  std::map<int, std::string> by_number{{1, "one"}};
  std::multimap<std::string, Wide> wides;
  std::set<long double> exact{1.5L};
  std::unordered_map<std::string, long> counts{{"a", 1}};
  std::unordered_set<Level> levels;
  std::unordered_map<int, Wide> wide_counts;
  std::list<int> sequence{1, 2};
  std::optional<std::string> maybe = "x";
  std::variant<int, std::string, Wide> either = 3;
  std::unique_ptr<Square> owner = std::make_unique<Square>();
  std::shared_ptr<const Square> shared = std::make_shared<Square>();
  std::weak_ptr<const Square> weak = shared;
  std::tuple<int, std::string, double> three{1, "b", 2.0};
  std::pair<char, long> two{'c', 2};
  std::array<int, 3> fixed{1, 2, 3};
  std::array<int, 0> none;
  std::string_view text = title;
  std::vector<bool> flags{true};
  Bits bits{1, -2, 3, true};
  Named named;
  int grid[2][3] = {};
  int (*function)(char, const Square&) = nullptr;
  int Bits::*unused = nullptr;
  int (Catalogue::*method)(int) = nullptr;
  const char* const* strings = nullptr;
  volatile int changing = 3;
  Tier tier = Tier::kGold;
  Level level = kHigh;
  std::string api_key = "k";
  unsigned long long big = 1;
  char16_t wide_char = u'w';
  auto closure = [&](int by) { return by + grid[0][0]; };
  int lengths = static_cast<int>(squares.size());
  int runtime[lengths + 1];
  runtime[0] = closure(1);
  const bool empty = function == nullptr && unused == nullptr && method == nullptr &&
                     strings == nullptr && none.empty();
  return runtime[0] + changing + static_cast<int>(text.size()) + (hidden != nullptr) +  // shown
         static_cast<int>(level) + static_cast<int>(tier) + static_cast<int>(bits.first) +
         per_thread + static_cast<int>(secret_offset) + empty + static_cast<int>(big) + wide_char;
}

}  // namespace shop

int main() {
  shop::Catalogue catalogue;
  return catalogue.Count(2) + shop::Show(shop::MakeHidden(), "t");
}
