// One file fetched by HTTP into a descriptor, a little at a time.
#ifndef STILLFRAME_TRANSPORT_DOWNLOAD_H_
#define STILLFRAME_TRANSPORT_DOWNLOAD_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"

namespace stillframe::transport {

struct DownloadLimits {
  uint64_t max_bytes = 0;
  uint32_t timeout_ms = 0;  // for all of it; a silence of 30 s ends it, too
};

// One thread.
class Download {
 public:
  // `fd` must outlive the result and is written from its position on. Errors: kUnavailable.
  static Result<std::unique_ptr<Download>> Start(const std::string& url, int fd,
                                                 const DownloadLimits& limits);
  virtual ~Download() = default;
  // Makes progress for at most about `ms`. nullopt: there is more to come. Then, once, OK (the
  // answer was 200 and is written whole), kNotFound (404), kUnavailable (any other answer; no
  // connection; a limit of time), kOverLimit, kIoError. Messages name the URL.
  virtual std::optional<Status> Step(uint32_t ms) = 0;
};

}  // namespace stillframe::transport

#endif  // STILLFRAME_TRANSPORT_DOWNLOAD_H_
