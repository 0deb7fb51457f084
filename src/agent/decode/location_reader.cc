#include "agent/decode/location_reader.h"

#include <algorithm>

namespace stillframe::decode {
namespace {

constexpr uint8_t kRsp = 7;
constexpr uint64_t kMaxPieceBytes = 65536;

bool ReadRecord(void* record, uint64_t address, void* out, uint32_t size_bytes) {
  return static_cast<const RecordView*>(record)->Read(address, out, size_bytes) == Code::kOk;
}

Status Because(Code code) { return Status(code, ""); }

}  // namespace

LocationReader::LocationReader(const RecordView& record, uint32_t frame_index, const PlanUnit& unit,
                               uint64_t load_bias, uint64_t tls_module,
                               const hit::EntryValues* entry)
    : record_(record), unit_(unit) {
  const FrameRecord& frame = record.frames()[frame_index];
  if (frame_index == 0) {
    std::copy_n(record.header().registers.gpr, kRegisterCount, registers_);
    context_.valid_registers = (1u << kRegisterCount) - 1;
    context_.xmm = record.header().xmm;
    SetFacts();
  } else {
    for (int i = 0; i < kSavedRegisterCount; ++i) {
      if ((frame.valid >> i & 1) == 0) continue;
      registers_[kSavedRegisters[i]] = frame.saved[i];
      context_.valid_registers |= 1u << kSavedRegisters[i];
    }
    registers_[kRsp] = frame.rsp;
    if (frame.rsp != 0) context_.valid_registers |= 1u << kRsp;
  }
  context_.registers = registers_;
  context_.cfa = frame.cfa;
  context_.cfa_known = frame.cfa != 0;
  context_.load_bias = load_bias;
  context_.thread_pointer = record.header().thread_pointer;
  context_.tls_module = tls_module;
  context_.tls_modules = &record.header().tls_modules;
  context_.entry = entry;
  for (const std::string& text : unit.strings) strings_.push_back({text.data(), text.size()});
}

void LocationReader::SetFacts() {
  const RecordHeader& header = record_.header();
  facts_.thread_id = header.thread_id;
  facts_.hits = header.hits;
  facts_.duration_ns = header.duration_ns;
  facts_.has_duration = header.span_ticks != 0 ? 1 : 0;
  facts_.trace = &header.trace;
  context_.facts = &facts_;
}

Result<uint64_t> LocationReader::Run(const Program& program) const {
  if (program.count == 0 || uint64_t{program.first} + program.count > unit_.code.size()) {
    return Because(Code::kCorrupt);
  }
  const hit::MemoryReader memory{ReadRecord, const_cast<RecordView*>(&record_)};
  const hit::EvalResult result = hit::Evaluate(unit_.code.data() + program.first, program.count,
                                               context_, memory, strings_.data());
  if (result.error != Code::kOk) return Because(result.error);
  return result.value;
}

Result<uint64_t> LocationReader::RunFilter(const Program& filter, uint64_t address) const {
  if (filter.count == 0 || uint64_t{filter.first} + filter.count > unit_.code.size()) {
    return Because(Code::kCorrupt);
  }
  const hit::MemoryReader memory{ReadRecord, const_cast<RecordView*>(&record_)};
  uint64_t cells[kMaxStack + hit::kSideCells];
  cells[kMaxStack] = address;
  const hit::EvalResult result = hit::EvaluateWithStack(
      cells, unit_.code.data() + filter.first, filter.count, context_, memory, strings_.data());
  if (result.error != Code::kOk) return Because(result.error);
  return result.value;
}

Status LocationReader::ReadPiece(const Piece& piece, uint64_t size_bytes, uint8_t* out) const {
  switch (piece.kind) {
    case LocationKind::kMemory: {
      SF_ASSIGN_OR_RETURN(const uint64_t address, Run(piece.program));
      const Code code = record_.Read(address, out, size_bytes);
      return code == Code::kOk ? Status() : Because(code);
    }
    case LocationKind::kValue: {
      SF_ASSIGN_OR_RETURN(const uint64_t value, Run(piece.program));
      if (size_bytes > sizeof value) return Because(Code::kUnsupportedLocation);
      std::memcpy(out, &value, size_bytes);
      return Status();
    }
    case LocationKind::kXmm:
      if (context_.xmm == nullptr) return Because(Code::kNotSaved);
      if (piece.reg >= kVectorCount || size_bytes > 16) return Because(Code::kUnsupportedLocation);
      std::memcpy(out, context_.xmm[piece.reg], size_bytes);
      return Status();
    case LocationKind::kBytes: {
      if (piece.bytes >= unit_.strings.size()) return Because(Code::kCorrupt);
      const std::string& bytes = unit_.strings[piece.bytes];
      if (bytes.size() < size_bytes) return Because(Code::kUnsupportedLocation);
      std::memcpy(out, bytes.data(), size_bytes);
      return Status();
    }
    default:
      return Because(piece.reason == Code::kOk ? Code::kOptimizedOut : piece.reason);
  }
}

Result<Object> LocationReader::Resolve(const Location& location, uint32_t size_bytes) const {
  if (location.kind == LocationKind::kUnavailable) return Because(location.reason);
  if (location.kind == LocationKind::kMemory) {
    SF_ASSIGN_OR_RETURN(const uint64_t address, Run(location.program));
    return Object::InMemory(record_, address);
  }
  if (size_bytes > kMaxPieceBytes) return Because(Code::kUnsupportedLocation);
  std::vector<uint8_t> bytes(size_bytes);
  std::vector<Code> reasons(size_bytes, Code::kOptimizedOut);
  if (location.kind != LocationKind::kPieces) {
    Piece whole;
    whole.kind = location.kind;
    whole.reg = location.reg;
    whole.bytes = location.bytes;
    whole.program = location.program;
    SF_RETURN_IF_ERROR(ReadPiece(whole, size_bytes, bytes.data()));
    reasons.assign(size_bytes, Code::kOk);
    return Object::FromBytes(std::move(bytes), std::move(reasons));
  }
  uint64_t at = 0;
  for (uint32_t i = 0; i < location.piece_count; ++i) {
    const size_t index = size_t{location.first_piece} + i;
    if (index >= unit_.pieces.size()) return Because(Code::kCorrupt);
    const Piece& piece = unit_.pieces[index];
    if (piece.size_bytes > size_bytes - at) break;
    const Status status = ReadPiece(piece, piece.size_bytes, bytes.data() + at);
    std::fill_n(reasons.begin() + static_cast<std::ptrdiff_t>(at), piece.size_bytes, status.code());
    at += piece.size_bytes;
  }
  return Object::FromBytes(std::move(bytes), std::move(reasons));
}

}  // namespace stillframe::decode
