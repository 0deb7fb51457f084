// Whether a function may come back to its own entry by tail calls. Its argument registers then hold
// something else than what its caller, whose return address is still there, passed.
#ifndef STILLFRAME_SYMBOLIZER_TAIL_CALLS_H_
#define STILLFRAME_SYMBOLIZER_TAIL_CALLS_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "symbolizer/symbol_table.h"
#include "symbolizer/unit_index.h"

namespace stillframe {

class TailCallGraph {
 public:
  // Follows the tail calls of the function that begins at `entry`, and theirs. True also when one
  // of them goes through a pointer, or when there are too many to follow. What leaves the module
  // is taken not to return to it.
  bool MayReachItself(LinkAddress entry, UnitIndex& units, const SymbolTable& symbols);

 private:
  struct Node {
    bool has_unknown = false;
    std::vector<LinkAddress> callees;
  };
  const Node& Read(LinkAddress entry, UnitIndex& units, const SymbolTable& symbols);

  std::map<LinkAddress, Node> nodes_;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_TAIL_CALLS_H_
