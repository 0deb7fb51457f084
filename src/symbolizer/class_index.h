// Which classes of a module derive from which, read from what the compiler left for dynamic_cast:
// the std::type_info objects of the Itanium C++ ABI 2.9.5. Not from the debug information, where a
// derived class may stand in any of thousands of units.
#ifndef STILLFRAME_SYMBOLIZER_CLASS_INDEX_H_
#define STILLFRAME_SYMBOLIZER_CLASS_INDEX_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "symbolizer/elf_file.h"

namespace stillframe {

// A named range of addresses: a class's vtables, or a function.
struct ClassRange {
  std::string class_name;  // "shop::Circle"
  LinkAddress start;
  LinkAddress end;
};

class ClassIndex {
 public:
  // `module` is what runs, `file` holds the symbols (the same, or its separate debug file). Both
  // must outlive this. Everything is read at the first question; broken tables give empty answers.
  ClassIndex(const ElfFile& module, const ElfFile& file) : module_(module), file_(file) {}

  // The classes with a vtable in this module that derive from the class, however far, and the class
  // itself; at most `max`, nearest first.
  std::vector<ClassRange> Family(std::string_view class_name, size_t max);
  // The functions by which std::any manages what it holds, with the class template instance that
  // each belongs to: "std::any::_Manager_internal<int>".
  const std::vector<ClassRange>& AnyManagers();

 private:
  struct TypeInfo {
    std::string class_name;
    uint64_t address;
    uint64_t size_bytes;
  };
  void Read();
  void ReadSymbols(const ElfFile& file, const ElfSection& table);
  void AddSymbol(std::string_view name, uint64_t address, uint64_t size_bytes);
  void ReadBases();
  void DropFoldedManagers();
  void ReadRelocations();
  const TypeInfo* InfoAt(uint64_t address) const;
  // The name of the class whose std::type_info the pointer at `address` names; "" when unknown.
  std::string PointedClass(uint64_t address) const;
  uint64_t WordInFile(uint64_t address) const;

  const ElfFile& module_;
  const ElfFile& file_;
  bool read_ = false;
  std::vector<TypeInfo> infos_;  // by address
  std::unordered_map<std::string, ClassRange> vtables_;
  std::unordered_map<uint64_t, uint64_t> relocated_;           // pointers in infos_, by address
  std::unordered_map<uint64_t, std::string> imported_;         // the same, to other modules
  std::unordered_multimap<std::string, std::string> derived_;  // by base
  std::vector<ClassRange> any_managers_;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_CLASS_INDEX_H_
