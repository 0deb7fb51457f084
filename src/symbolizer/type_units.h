// Type units that are not in the file that refers to them: a package of split units (.dwp) keeps
// each once, with one of the files that had it, and libdw looks for a signature in the referring
// file alone.
//
// Threads: any; a source is asked by the thread that reads the referring Dwarf.
#ifndef STILLFRAME_SYMBOLIZER_TYPE_UNITS_H_
#define STILLFRAME_SYMBOLIZER_TYPE_UNITS_H_

#include <elfutils/libdw.h>

#include <cstdint>
#include <optional>

namespace stillframe::dwarf {

class TypeUnitSource {
 public:
  virtual ~TypeUnitSource() = default;
  // The type that the unit with this signature describes; nullopt when it is not to be had.
  virtual std::optional<Dwarf_Die> TypeUnit(uint64_t signature) = 0;
};

// `source` knows what `dwarf` refers to and does not have, until RemoveTypeUnitSource.
void AddTypeUnitSource(const Dwarf* dwarf, TypeUnitSource* source);
void RemoveTypeUnitSource(const TypeUnitSource* source);
// What a reference that libdw could not follow leads to; nullopt: it is no signature, or nobody
// knows it.
std::optional<Dwarf_Die> FindTypeUnit(const Dwarf_Attribute& reference);

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_TYPE_UNITS_H_
