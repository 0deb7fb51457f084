// Address spaces as types, so that they cannot be mixed by accident.
#ifndef STILLFRAME_BASE_ADDRESS_H_
#define STILLFRAME_BASE_ADDRESS_H_

#include <compare>
#include <cstdint>

namespace stillframe {

template <typename Tag>
struct Address {
  uint64_t value = 0;
  constexpr Address() = default;
  constexpr explicit Address(uint64_t v) : value(v) {}
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the defaulted comparison for a 0
  friend constexpr auto operator<=>(Address, Address) = default;
  constexpr Address operator+(uint64_t bytes) const { return Address(value + bytes); }
  constexpr Address operator-(uint64_t bytes) const { return Address(value - bytes); }
  // Distance in bytes.
  constexpr int64_t operator-(Address other) const {
    return static_cast<int64_t>(value - other.value);
  }
};

// As in the ELF file (p_vaddr, DW_AT_low_pc): what `nm` prints. Independent of where it is loaded.
using LinkAddress = Address<struct LinkAddressTag>;
// In this process: LinkAddress + load bias.
using RuntimeAddress = Address<struct RuntimeAddressTag>;
// Offset in the ELF file.
using FileOffset = Address<struct FileOffsetTag>;

// RuntimeAddress = LinkAddress + bias, modulo 2^64.
struct LoadBias {
  uint64_t value = 0;
  constexpr RuntimeAddress ToRuntime(LinkAddress a) const {
    return RuntimeAddress(a.value + value);
  }
  constexpr LinkAddress ToLink(RuntimeAddress a) const { return LinkAddress(a.value - value); }
};

}  // namespace stillframe

#endif  // STILLFRAME_BASE_ADDRESS_H_
