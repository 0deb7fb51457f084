#include "server/compress.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

namespace stillframe::server {
namespace {

constexpr size_t kStep = 64u << 10;
constexpr uint64_t kRatioFreeBytes = 1u << 20;

Status CheckSize(uint64_t in, uint64_t out, uint64_t max_bytes) {
  if (out > max_bytes) {
    return {Code::kOverLimit,
            "the body decompresses to more than " + std::to_string(max_bytes) + " bytes"};
  }
  if (out > kRatioFreeBytes && out / kMaxInflateRatio > in) {
    return {Code::kOverLimit, "the body decompresses to more than " +
                                  std::to_string(kMaxInflateRatio) + " times its size"};
  }
  return {};
}

Result<std::string> Gunzip(std::string& body, uint64_t max_bytes) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) return Status(Code::kInternal, "inflateInit2");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, inflateEnd);
  stream.next_in = reinterpret_cast<Bytef*>(body.data());
  stream.avail_in = static_cast<uInt>(body.size());
  std::string out;
  int result = Z_OK;
  while (result != Z_STREAM_END) {
    const size_t before = out.size();
    out.resize(before + kStep);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    stream.avail_out = kStep;
    result = inflate(&stream, Z_NO_FLUSH);
    out.resize(before + kStep - stream.avail_out);
    if (result != Z_OK && result != Z_STREAM_END) {
      return Status(Code::kCorrupt, "the body is not valid gzip, or is cut off");
    }
    SF_RETURN_IF_ERROR(CheckSize(body.size(), out.size(), max_bytes));
  }
  if (stream.avail_in != 0) return Status(Code::kCorrupt, "bytes follow the gzip data");
  return out;
}

Result<std::string> Unzstd(const std::string& body, uint64_t max_bytes) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(),
                                                                   ZSTD_freeDCtx);
  if (!context) return Status(Code::kInternal, "ZSTD_createDCtx");
  // A frame may ask for a window of gigabytes; 8 MiB is what levels up to 19 use.
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, 23);
  ZSTD_inBuffer in{body.data(), body.size(), 0};
  std::string out;
  while (true) {
    const size_t before = out.size();
    out.resize(before + kStep);
    ZSTD_outBuffer target{out.data() + before, kStep, 0};
    const size_t left = ZSTD_decompressStream(context.get(), &target, &in);
    out.resize(before + target.pos);
    if (ZSTD_isError(left)) return Status(Code::kCorrupt, "the body is not valid zstd");
    SF_RETURN_IF_ERROR(CheckSize(body.size(), out.size(), max_bytes));
    if (left == 0 && in.pos == in.size) return out;
    if (in.pos == in.size && target.pos < kStep) {
      return Status(Code::kCorrupt, "the zstd body is cut off");
    }
  }
}

}  // namespace

Result<std::string> DecodeBody(std::string_view encoding, std::string body, uint64_t max_bytes) {
  if (encoding.empty() || encoding == "identity") {
    SF_RETURN_IF_ERROR(CheckSize(body.size(), body.size(), max_bytes));
    return body;
  }
  if (encoding == "gzip") return Gunzip(body, max_bytes);
  if (encoding == "zstd") return Unzstd(body, max_bytes);
  return Status(Code::kUnsupported,
                "Content-Encoding must be identity, gzip or zstd, not " + std::string(encoding));
}

}  // namespace stillframe::server
