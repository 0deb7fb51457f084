#include "agent/probe/page_sharing.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/unique_fd.h"

namespace stillframe::probe {
namespace {

constexpr unsigned kMfdExec = 0x10;  // Linux 6.3; EINVAL before
// How many of the last images are tried for a page: offsets are random, so the first mostly fits.
constexpr size_t kTried = 64;
constexpr uint8_t kFiller = 0xCC;

UniqueFd MakeFile() {
  int fd = memfd_create("stillframe", MFD_CLOEXEC | kMfdExec);
  if (fd < 0) fd = memfd_create("stillframe", MFD_CLOEXEC);
  return UniqueFd(fd);
}

}  // namespace

bool PageSharing::Fits(const Image& image, const SharedPage& page) {
  return std::all_of(page.code.begin(), page.code.end(), [&](const auto& piece) {
    for (uint32_t i = 0; i < piece.second->size(); ++i) {
      if (image.used[piece.first + i]) return false;
    }
    return true;
  });
}

void PageSharing::Add(SharedPage page) {
  const size_t first = images_.size() > kTried ? images_.size() - kTried : 0;
  size_t chosen = first;
  while (chosen < images_.size() && !Fits(images_[chosen], page)) ++chosen;
  if (chosen == images_.size()) {
    images_.emplace_back();
    images_.back().bytes.fill(kFiller);
  }
  Image& image = images_[chosen];
  for (const auto& [offset, code] : page.code) {
    std::copy(code->begin(), code->end(), image.bytes.begin() + offset);
    for (uint32_t i = 0; i < code->size(); ++i) image.used.set(offset + i);
  }
  views_.emplace_back(page.address, chosen);
}

std::vector<uint64_t> PageSharing::Map() {
  std::vector<uint64_t> done;
  const UniqueFd file = MakeFile();
  if (!file.valid()) return done;
  for (size_t i = 0; i < images_.size(); ++i) {
    const auto at = static_cast<off_t>(i * kPageBytes);
    if (pwrite(file.get(), images_[i].bytes.data(), kPageBytes, at) != kPageBytes) return done;
  }
  // The first one shows whether the system maps such a file executable.
  void* const trial = mmap(nullptr, kPageBytes, PROT_READ | PROT_EXEC, MAP_PRIVATE, file.get(), 0);
  if (trial == MAP_FAILED) return done;
  munmap(trial, kPageBytes);
  for (const auto& [address, image] : views_) {
    void* const wanted = reinterpret_cast<void*>(address);
    if (mmap(wanted, kPageBytes, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, file.get(),
             static_cast<off_t>(image * kPageBytes)) == wanted) {
      done.push_back(address);
    } else {
      LogDebug("a trampoline page could not be shared");
    }
  }
  return done;
}

}  // namespace stillframe::probe
