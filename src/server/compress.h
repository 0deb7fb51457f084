// Request bodies: gzip and zstd, with the output capped so that a bomb costs no more than the cap.
#ifndef STILLFRAME_SERVER_COMPRESS_H_
#define STILLFRAME_SERVER_COMPRESS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace stillframe::server {

// Output may be at most this many times the input once it is larger than 1 MiB.
inline constexpr uint64_t kMaxInflateRatio = 500;

// `encoding` is the Content-Encoding: "", "identity", "gzip" or "zstd" (any other: kUnsupported).
// kCorrupt: not that format, or cut off. kOverLimit: more than max_bytes or kMaxInflateRatio.
Result<std::string> DecodeBody(std::string_view encoding, std::string body, uint64_t max_bytes);

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_COMPRESS_H_
