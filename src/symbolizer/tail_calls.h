// Functions that end by jumping into another one. Whether one may come back to its own entry so:
// its argument registers then hold something else than what its caller, whose return address is
// still there, passed. And which ones are gone between a call and the function that runs.
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

  struct Step {
    LinkAddress function;  // its entry
    LinkAddress inside;    // of its last instruction, the jump; 0: one of several, or not told
  };
  // The functions that, called at their beginning `called`, ended by jumping on until `running`
  // began, the last one first. Empty when more than one way leads there, or none.
  std::vector<Step> Between(LinkAddress called, LinkAddress running, UnitIndex& units,
                            const SymbolTable& symbols);

 private:
  struct Jump {
    LinkAddress callee;
    LinkAddress inside;
  };
  struct Node {
    bool has_unknown = false;
    std::vector<Jump> jumps;
  };
  const Node& Read(LinkAddress entry, UnitIndex& units, const SymbolTable& symbols);

  std::map<LinkAddress, Node> nodes_;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_TAIL_CALLS_H_
