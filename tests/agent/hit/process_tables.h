// For the unwinder's test and benchmark.
#ifndef STILLFRAME_TESTS_AGENT_HIT_PROCESS_TABLES_H_
#define STILLFRAME_TESTS_AGENT_HIT_PROCESS_TABLES_H_

#include <link.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "agent/hit/unwinder.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::hit {

// The unwind tables of every module of this process.
class ProcessTables {
 public:
  ProcessTables() : symbolizer_(Symbolizer::Create({})) {
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* self) {
          static_cast<ProcessTables*>(self)->Add(*info);
          return 0;
        },
        this);
    std::sort(modules_.begin(), modules_.end(),
              [](const UnwindModule& a, const UnwindModule& b) { return a.start < b.start; });
    head_ = {static_cast<uint32_t>(modules_.size()), modules_.data()};
  }
  const UnwindModules* get() const { return &head_; }

 private:
  void Add(const dl_phdr_info& info) {
    std::string path = info.dlpi_name;
    if (path.empty()) path = "/proc/self/exe";
    auto module = symbolizer_->OpenModule(path, "");
    if (!module.ok()) return;
    auto table = (*module)->BuildUnwindTable();
    if (!table.ok()) return;
    tables_.push_back(std::make_unique<UnwindTable>(std::move(*table)));
    const UnwindTable& t = *tables_.back();
    for (int i = 0; i < info.dlpi_phnum; ++i) {
      const ElfW(Phdr)& segment = info.dlpi_phdr[i];
      if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
      const uint64_t start = info.dlpi_addr + segment.p_vaddr;
      modules_.push_back(ViewOf(t, info.dlpi_addr, start, start + segment.p_memsz));
    }
  }

  std::unique_ptr<Symbolizer> symbolizer_;
  std::vector<std::unique_ptr<UnwindTable>> tables_;
  std::vector<UnwindModule> modules_;
  UnwindModules head_{};
};

}  // namespace stillframe::hit

#endif  // STILLFRAME_TESTS_AGENT_HIT_PROCESS_TABLES_H_
