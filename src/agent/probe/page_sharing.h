// Many sparse pages of code as private views of a few physical ones. Agent thread only.
#ifndef STILLFRAME_AGENT_PROBE_PAGE_SHARING_H_
#define STILLFRAME_AGENT_PROBE_PAGE_SHARING_H_

#include <array>
#include <bitset>
#include <cstdint>
#include <utility>
#include <vector>

namespace stillframe::probe {

struct SharedPage {
  uint64_t address = 0;
  std::vector<std::pair<uint32_t, const std::vector<uint8_t>*>> code;  // offset in the page, bytes
};

class PageSharing {
 public:
  void Add(SharedPage page);
  // Maps the file over the pages that were added, all of which are mapped already and run by
  // nobody. Returns the addresses of those that are views now; none when the system gives no
  // executable memory file.
  std::vector<uint64_t> Map();
  uint32_t physical_pages() const { return static_cast<uint32_t>(images_.size()); }

 private:
  static constexpr uint32_t kPageBytes = 4096;
  struct Image {
    std::array<uint8_t, kPageBytes> bytes;
    std::bitset<kPageBytes> used;
  };
  static bool Fits(const Image& image, const SharedPage& page);

  std::vector<Image> images_;
  std::vector<std::pair<uint64_t, size_t>> views_;  // address, image
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_PAGE_SHARING_H_
