#include "agent/line_copies.h"

#include <algorithm>
#include <iterator>

#include "agent/probe/plain_code.h"
#include "plan/line_part.h"

namespace stillframe::agent {
namespace {

constexpr size_t kMaxInstructions = 64;

uint32_t Number(const LinePart& site) { return site.part & LinePartBits::kNumber; }

// What the line's instructions do from the site on up to `end`, without those of other lines in
// between; sorted.
std::vector<uint64_t> OperationsOf(const FunctionCode& code, uint64_t address, uint64_t end) {
  std::vector<uint64_t> operations;
  const auto part = std::find_if(code.parts.begin(), code.parts.end(), [&](const CodePart& p) {
    return address >= p.address && address - p.address < p.text.size();
  });
  if (part == code.parts.end()) return operations;
  end = std::min(end, part->address + part->text.size());
  bool ours = true;
  while (address < end && operations.size() < kMaxInstructions) {
    const auto text = std::span(part->text).subspan(address - part->address);
    const probe::ControlFlow flow = probe::ReadControlFlow(text, address);
    if (flow.length == 0) break;
    if (ours) operations.push_back(flow.operation);
    address += flow.length;
    // The last row of an address is the instruction's.
    if (std::binary_search(code.other_rows.begin(), code.other_rows.end(), address)) ours = false;
    if (std::binary_search(code.own_rows.begin(), code.own_rows.end(), address)) ours = true;
  }
  std::sort(operations.begin(), operations.end());
  return operations;
}

// At least half of what they do is the same.
bool Alike(const std::vector<uint64_t>& a, const std::vector<uint64_t>& b) {
  std::vector<uint64_t> common;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(common));
  return common.size() * 4 >= a.size() + b.size();
}

}  // namespace

std::vector<uint64_t> FindCopies(const FunctionCode& code, std::span<const LinePart> sites) {
  std::vector<std::vector<uint64_t>> operations;
  for (const LinePart& site : sites) {
    uint64_t end = UINT64_MAX;
    for (const LinePart& other : sites) {
      const bool next = Number(other) == Number(site) && other.address > site.address;
      if (next) end = std::min(end, other.address);
    }
    operations.push_back(OperationsOf(code, site.address, end));
  }
  std::vector<uint64_t> copies(sites.size(), 0);
  for (size_t i = 0; i < sites.size(); ++i) {
    for (size_t k = 0; k < sites.size(); ++k) {
      if (Number(sites[i]) != Number(sites[k])) continue;
      const uint32_t both = sites[i].part & sites[k].part;
      const bool plain = (both & LinePartBits::kPlain) != 0;
      const bool exact = (both & LinePartBits::kExact) != 0 && code.marks_statements;
      if (i == k || (!plain && (exact || Alike(operations[i], operations[k])))) {
        copies[i] |= 1ull << k;
      }
    }
  }
  return copies;
}

}  // namespace stillframe::agent
