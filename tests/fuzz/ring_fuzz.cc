// The ring's and the streams' readers over hostile contents: a host that writes wildly may change
// every word of them at any time. Input: commands of 3 bytes (what, where, value), each followed by
// a look at the stream and the ring.
#include <sys/mman.h>

#include "agent/decode/record_view.h"
#include "agent/ring/ring.h"
#include "agent/ring/stream.h"
#include "tests/fuzz/fuzz.h"

namespace stillframe {
namespace {

class HostileStream {
 public:
  HostileStream() : bytes_(ring::MapStreams(1)) {
    SF_FUZZ_CHECK(bytes_ != nullptr);
    stream_.bytes = bytes_;
  }
  ~HostileStream() { munmap(bytes_, ring::kStreamStride); }

  void Apply(uint8_t what, uint8_t where, uint8_t value) {
    switch (what % 8) {
      case 0:
        stream_.head.store(stream_.head.load() + value * uint64_t{where});
        return;
      case 1:
        stream_.tail.store(uint64_t{value} << (where % 64));
        return;
      case 2:
        stream_.head.store(uint64_t{value} << (where % 64));
        return;
      case 3:
        bytes_[(stream_.tail.load() + where % 32) % ring::kStreamBytes] = value;
        return;
      case 4:
        writing_.store(value % 2);
        return;
      default:
        Write(8u * where, what % 2 == 0);
    }
  }

  // Every call ends, and what it hands out is a whole record.
  void Look() {
    uint8_t out[kMaxLightBytes];
    uint32_t size_bytes = 0;
    for (int i = 0; i < 4; ++i) {
      const auto result = ring::Take(stream_, writing_, out, size_bytes);
      if (result == ring::TakeResult::kNothing) return;
      if (result != ring::TakeResult::kRecord) continue;
      SF_FUZZ_CHECK(size_bytes >= sizeof(LightHeader) && size_bytes <= kMaxLightBytes);
    }
  }

 private:
  // As a hit does it.
  void Write(uint32_t size_bytes, bool commit) {
    if (size_bytes < sizeof(LightHeader) || size_bytes > kMaxLightBytes) return;
    // On a position that was overwritten with an odd one a hit writes unaligned, which x86-64
    // allows.
    if (stream_.head.load() % 8 != 0) return;
    uint8_t* const record = ring::Reserve(stream_, size_bytes);
    if (record == nullptr) return;
    SF_FUZZ_CHECK(record >= bytes_ && record + size_bytes <= bytes_ + ring::kStreamStride);
    std::memcpy(record, &size_bytes, sizeof size_bytes);
    if (commit) ring::CommitLight(record);
  }

  uint8_t* bytes_;
  ring::Stream stream_{};
  std::atomic<uint32_t> writing_{0};
};

// A slot's contents are whatever the input says; its size is checked as the collector does.
void ReadSlot(std::span<const uint8_t> contents) {
  SF_FUZZ_CHECK(ring::Initialize().ok());
  ring::Slot slot;
  SF_FUZZ_CHECK(ring::Acquire(slot));
  std::memcpy(slot.data, contents.data(), std::min<size_t>(contents.size(), ring::kSlotBytes));
  ring::Commit(slot);
  ring::Slot taken;
  SF_FUZZ_CHECK(ring::Take(taken) && taken.index == slot.index);
  RecordHeader header;
  std::memcpy(&header, taken.data, sizeof header);
  const uint32_t size_bytes = std::min(header.size_bytes, ring::kSlotBytes);
  const auto view = decode::RecordView::Parse({taken.data, size_bytes});
  if (view.ok()) {
    uint8_t out[64];
    for (const uint64_t address : {uint64_t{0}, header.registers.gpr[7], ~uint64_t{0} - 8}) {
      (void)view->Read(address, out, sizeof out);
      SF_FUZZ_CHECK(view->Available(address, 1000) <= 1000);
    }
  }
  ring::Release(taken);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size % 2 == 1) {
    ReadSlot({data, size});
    return 0;
  }
  HostileStream stream;
  fuzz::Input input(data, std::min<size_t>(size, 1024));
  while (!input.empty()) {
    const uint8_t what = input.Byte();
    const uint8_t where = input.Byte();
    stream.Apply(what, where, input.Byte());
    stream.Look();
  }
  return 0;
}

}  // namespace stillframe
