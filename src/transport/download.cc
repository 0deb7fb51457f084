#include "transport/download.h"

#include <curl/curl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "transport/curl_setup.h"

namespace stillframe::transport {
namespace {

constexpr long kBufferBytes = 256 << 10;
constexpr long kSilenceSeconds = 30;
constexpr long kLeastBytesPerSecond = 512;

class CurlDownload final : public Download {
 public:
  CurlDownload(std::string url, int fd, const DownloadLimits& limits)
      : url_(std::move(url)),
        fd_(fd),
        limits_(limits),
        multi_(curl_multi_init()),
        easy_(curl_easy_init()) {}
  ~CurlDownload() override {
    if (easy_ != nullptr) {
      if (multi_ != nullptr) curl_multi_remove_handle(multi_, easy_);
      curl_easy_cleanup(easy_);
    }
    if (multi_ != nullptr) curl_multi_cleanup(multi_);
  }
  CurlDownload(const CurlDownload&) = delete;
  CurlDownload& operator=(const CurlDownload&) = delete;

  Status Begin() {
    if (multi_ == nullptr || easy_ == nullptr) return Status(Code::kUnavailable, "no libcurl");
    curl_easy_setopt(easy_, CURLOPT_URL, url_.c_str());
    SetCommonOptions(easy_);
    curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, static_cast<long>(limits_.timeout_ms));
    curl_easy_setopt(easy_, CURLOPT_LOW_SPEED_TIME, kSilenceSeconds);
    curl_easy_setopt(easy_, CURLOPT_LOW_SPEED_LIMIT, kLeastBytesPerSecond);
    curl_easy_setopt(easy_, CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(limits_.max_bytes));
    curl_easy_setopt(easy_, CURLOPT_BUFFERSIZE, kBufferBytes);
    curl_easy_setopt(easy_, CURLOPT_FAILONERROR, 1L);  // no body of an error on the disk
    curl_easy_setopt(easy_, CURLOPT_USERAGENT, "stillframe");
    curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_);
    curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &CurlDownload::Receive);
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
    if (curl_multi_add_handle(multi_, easy_) != CURLM_OK) {
      return Status(Code::kUnavailable, "libcurl does not start");
    }
    return Status();
  }

  std::optional<Status> Step(uint32_t ms) override {
    using Clock = std::chrono::steady_clock;
    const auto deadline = Clock::now() + std::chrono::milliseconds(ms);
    for (;;) {
      int running = 0, left = 0;
      curl_multi_perform(multi_, &running);
      if (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
        return Outcome(message->data.result);
      }
      const auto now = Clock::now();
      if (now >= deadline) return std::nullopt;
      const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - now);
      curl_multi_poll(multi_, nullptr, 0, static_cast<int>(rest.count()), nullptr);
    }
  }

 private:
  Status Outcome(CURLcode code) const {
    long http = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &http);
    if (write_error_ != 0) return ErrnoStatus("write what " + url_ + " sends", write_error_);
    if (too_large_ || code == CURLE_FILESIZE_EXCEEDED) {
      return Status(Code::kOverLimit,
                    url_ + " sends more than " + std::to_string(limits_.max_bytes >> 20) + " MiB");
    }
    if (code == CURLE_HTTP_RETURNED_ERROR || (code == CURLE_OK && http != 200)) {
      return Status(http == 404 ? Code::kNotFound : Code::kUnavailable,
                    url_ + " answers " + std::to_string(http));
    }
    if (code == CURLE_OK) return Status();
    const char* const text = error_[0] != '\0' ? error_ : curl_easy_strerror(code);
    return Status(Code::kUnavailable, url_ + ": " + text);
  }

  static size_t Receive(char* data, size_t, size_t count, void* self) {
    return static_cast<CurlDownload*>(self)->Write(data, count) ? count : 0;
  }
  bool Write(const char* data, size_t count) {
    bytes_ += count;
    too_large_ = bytes_ > limits_.max_bytes;
    if (too_large_) return false;
    for (size_t done = 0; done < count;) {
      const ssize_t written = write(fd_, data + done, count - done);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) {
        write_error_ = errno;
        return false;
      }
      done += static_cast<size_t>(written);
    }
    return true;
  }

  const std::string url_;
  const int fd_;
  const DownloadLimits limits_;
  CURLM* multi_;
  CURL* easy_;
  uint64_t bytes_ = 0;
  bool too_large_ = false;
  int write_error_ = 0;
  char error_[CURL_ERROR_SIZE] = {};
};

}  // namespace

Result<std::unique_ptr<Download>> Download::Start(const std::string& url, int fd,
                                                  const DownloadLimits& limits) {
  InitializeCurl();
  auto download = std::make_unique<CurlDownload>(url, fd, limits);
  SF_RETURN_IF_ERROR(download->Begin());
  return std::unique_ptr<Download>(std::move(download));
}

}  // namespace stillframe::transport
