#include "types.h"

namespace shop {

struct Hidden {
  int depth;
  long treasure;
};
int only_elsewhere = 55;
enum class Elsewhere { kThere = 31 };
Elsewhere where = Elsewhere::kThere;

Hidden* MakeHidden() {
  static Hidden hidden{1, 2};
  return &hidden;
}

static int Helper(int by, const Hidden& hidden) {
  int result = by + hidden.depth;
  return result;  // helper
}

int Catalogue::Count(int by) {
  int sum = by + visits + open_count + kPages;
  return sum + Helper(by, *MakeHidden());  // count
}

}  // namespace shop
