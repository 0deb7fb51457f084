#include "agent/probe/text_view.h"

#include <algorithm>

namespace stillframe::probe {

Result<TextView::Page*> TextView::PageAt(uint64_t address) {
  const uint64_t start = address & ~(kPageBytes - 1);
  const auto [it, is_new] = pages_.try_emplace(start);
  if (is_new) {
    if (Status status = system_.Read(start, it->second); !status.ok()) {
      pages_.erase(it);
      return status;
    }
  }
  return &it->second;
}

Status TextView::Read(uint64_t address, std::span<uint8_t> out) {
  for (size_t done = 0; done < out.size();) {
    SF_ASSIGN_OR_RETURN(const Page* page, PageAt(address + done));
    const uint64_t offset = (address + done) & (kPageBytes - 1);
    const size_t count = std::min<size_t>(out.size() - done, kPageBytes - offset);
    std::copy_n(page->begin() + offset, count, out.begin() + done);
    done += count;
  }
  return Status();
}

Status TextView::Overlay(uint64_t address, std::span<const uint8_t> bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    SF_ASSIGN_OR_RETURN(Page * page, PageAt(address + i));
    (*page)[(address + i) & (kPageBytes - 1)] = bytes[i];
  }
  return Status();
}

}  // namespace stillframe::probe
