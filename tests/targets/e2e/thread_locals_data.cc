#include "thread_locals.h"

namespace data {
thread_local int t_number = 41;
thread_local long t_config[2] = {3, 4};
}  // namespace data

long DataBy(int summand) {
  data::t_number += summand;
  data::t_config[1] *= 2;
  return data::t_config[1];
}
