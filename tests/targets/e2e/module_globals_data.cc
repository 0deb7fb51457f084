#include "module_globals.h"

namespace data {
int g_number = 41;
Config g_config{3, "data"};
extern const long g_fixed = 1234567;
long Registry::count = 7;
}  // namespace data

int g_shared = 100;
