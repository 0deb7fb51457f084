#include "symbolizer/source_names.h"

#include <algorithm>
#include <functional>

#include "symbolizer/dwarf_file.h"
#include "symbolizer/path_match.h"

namespace stillframe {
namespace {

constexpr size_t kMaxNames = 1u << 20;
constexpr size_t kMaxModules = 4096;

uint32_t HashOf(std::string_view path) {
  return static_cast<uint32_t>(std::hash<std::string_view>()(Basename(path)));
}

}  // namespace

SourceNames SourceNames::Read(const ElfFile& file) {
  SourceNames names;
  const auto opened = LineTables::Open(file);
  if (!opened.ok()) return names;
  std::vector<uint32_t>& hashes = names.hashes_;
  const Status status = ForEachLineHeader((*opened)->sections(), [&](const LineHeader& header) {
    for (const LineFile& entry : header.files) hashes.push_back(HashOf(entry.name));
    return hashes.size() < kMaxNames;
  });
  std::sort(hashes.begin(), hashes.end());
  hashes.erase(std::unique(hashes.begin(), hashes.end()), hashes.end());
  hashes.shrink_to_fit();
  names.known_ = status.ok() && hashes.size() < kMaxNames;
  if (!names.known_) hashes = {};
  return names;
}

bool SourceNames::MayHave(std::string_view path) const {
  return !known_ || std::binary_search(hashes_.begin(), hashes_.end(), HashOf(NormalizePath(path)));
}

const SourceNames& SourceNamesCache::Get(const ElfFile& module, const ElfFile& file) {
  const std::string& key = module.build_id();
  const auto known = by_build_id_.find(key);
  if (!key.empty() && known != by_build_id_.end()) return known->second;
  if (by_build_id_.size() >= kMaxModules) by_build_id_.clear();
  return by_build_id_.insert_or_assign(key, SourceNames::Read(file)).first->second;
}

}  // namespace stillframe
