// Connection over libcurl's multi interface: both transfers run on the caller's thread, inside
// Wait(). In the agent libcurl is a private static copy (cmake/PrivateCurl.cmake).
#include <curl/curl.h>
#include <zstd.h>

#include <algorithm>

#include "transport/curl_setup.h"
#include "transport/transport.h"

namespace stillframe::transport {
namespace {

constexpr size_t kMaxAnswerBytes = 8u << 20;
constexpr size_t kCompressFromBytes = 1024;
constexpr long kPublishTimeoutMs = 15'000;
constexpr long kPollGraceMs = 10'000;  // over the time that the server may hold a poll
constexpr uint32_t kMaxRetryAfterMs = 300'000;
constexpr char kPlain[] = "Content-Type: application/x-protobuf";
constexpr char kTables[] = "Content-Type: application/x-protobuf-tables";

// zstd; "" when it fails, and the body then goes as it is. Level 1: what the tables leave is small
// enough, and its memory (some 600 KB, for the moment) is, too.
std::string Compress(const std::string& body) {
  constexpr int kLevel = 1;
  std::string out(ZSTD_compressBound(body.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), body.data(), body.size(), kLevel);
  out.resize(ZSTD_isError(size) != 0 ? 0 : size);
  return out;
}

// One request at a time on an easy handle that keeps its connection.
class Transfer {
 public:
  Transfer() : easy_(curl_easy_init()) {}
  ~Transfer() {
    curl_slist_free_all(headers_);
    if (easy_ != nullptr) curl_easy_cleanup(easy_);
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  bool ok() const { return easy_ != nullptr; }
  CURL* easy() const { return easy_; }
  bool running() const { return running_; }

  void Start(CURLM* multi, const Endpoint& endpoint, const char* path, const std::string& body,
             long timeout_ms, const char* content_type = kPlain) {
    answer_.clear();
    error_[0] = '\0';
    result_.reset();
    body_ = body.size() >= kCompressFromBytes ? Compress(body) : "";
    const bool compressed = !body_.empty();
    if (!compressed) body_ = body;
    SetOptions(endpoint, path, timeout_ms);
    SetHeaders(endpoint, compressed, content_type);
    running_ = curl_multi_add_handle(multi, easy_) == CURLM_OK;
    if (!running_) result_ = CURLE_FAILED_INIT;
  }
  void Cancel(CURLM* multi) {
    if (running_) curl_multi_remove_handle(multi, easy_);
    running_ = false;
    result_.reset();
  }
  bool has_outcome() const { return result_.has_value(); }
  void Done(CURLM* multi, CURLcode result) {
    curl_multi_remove_handle(multi, easy_);
    running_ = false;
    result_ = result;
  }

  // The finished answer's body, once.
  std::optional<Result<std::string>> Take(uint32_t& retry_after_ms) {
    if (!result_) return std::nullopt;
    const CURLcode code = *result_;
    result_.reset();
    retry_after_ms = 0;
    if (code == CURLE_WRITE_ERROR) {
      return Result<std::string>(Status(Code::kCorrupt, "the server's answer is too large"));
    }
    if (code != CURLE_OK) {
      const char* text = error_[0] != '\0' ? error_ : curl_easy_strerror(code);
      return Result<std::string>(Status(Code::kUnavailable, text));
    }
    long http = 0;
    curl_off_t retry_after_s = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &http);
    curl_easy_getinfo(easy_, CURLINFO_RETRY_AFTER, &retry_after_s);
    retry_after_ms =
        static_cast<uint32_t>(std::clamp<curl_off_t>(retry_after_s * 1000, 0, kMaxRetryAfterMs));
    if (http == 200) return Result<std::string>(std::move(answer_));
    return Result<std::string>(HttpStatus(http));
  }

 private:
  Status HttpStatus(long http) const {
    std::string message = "the server answers " + std::to_string(http);
    if (!answer_.empty()) message += ": " + answer_.substr(0, 300);
    if (http == 401 || http == 403) return Status(Code::kUnauthorized, message);
    if (http == 415) return Status(Code::kUnsupported, message);
    if (http == 408 || http == 429 || http >= 500 || http < 400)
      return Status(Code::kUnavailable, message);
    return Status(Code::kInvalidArgument, message);
  }

  static size_t Receive(char* data, size_t, size_t count, void* self) {
    std::string& answer = static_cast<Transfer*>(self)->answer_;
    if (answer.size() + count > kMaxAnswerBytes) return 0;
    answer.append(data, count);
    return count;
  }

  void SetOptions(const Endpoint& endpoint, const char* path, long timeout_ms) {
    std::string url = endpoint.server;
    if (url.ends_with('/')) url.pop_back();
    url += path;
    curl_easy_setopt(easy_, CURLOPT_URL, url.c_str());
    SetCommonOptions(easy_);
    curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_);
    curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &Transfer::Receive);
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(easy_, CURLOPT_PRIVATE, this);
    curl_easy_setopt(easy_, CURLOPT_POST, 1L);
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, body_.data());
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body_.size()));
  }

  void SetHeaders(const Endpoint& endpoint, bool compressed, const char* content_type) {
    curl_slist_free_all(headers_);
    headers_ = curl_slist_append(nullptr, content_type);
    headers_ = curl_slist_append(headers_, "Expect:");
    headers_ = curl_slist_append(headers_, "Accept: application/x-protobuf");
    if (compressed) headers_ = curl_slist_append(headers_, "Content-Encoding: zstd");
    if (!endpoint.api_key.empty()) {
      headers_ = curl_slist_append(headers_, ("Authorization: Bearer " + endpoint.api_key).c_str());
    }
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers_);
  }

  CURL* easy_;
  curl_slist* headers_ = nullptr;
  std::string body_, answer_;
  char error_[CURL_ERROR_SIZE] = {};
  bool running_ = false;
  std::optional<CURLcode> result_;
};

class CurlConnection final : public Connection {
 public:
  CurlConnection(const Endpoint& endpoint, CURLM* multi) : endpoint_(endpoint), multi_(multi) {}
  ~CurlConnection() override {
    poll_.Cancel(multi_);
    publish_.Cancel(multi_);
    curl_multi_cleanup(multi_);
  }
  bool ok() const { return poll_.ok() && publish_.ok(); }

  void StartPoll(const model::PollRequest& request) override {
    if (poll_.running()) return;
    poll_.Start(multi_, endpoint_, "/v1/agent/poll", EncodePollRequest(request),
                static_cast<long>(request.hold_ms) + kPollGraceMs);
    Progress();
  }
  void CancelPoll() override { poll_.Cancel(multi_); }
  bool poll_running() const override { return poll_.running(); }
  std::optional<Result<model::PollResponse>> TakePoll() override {
    auto body = poll_.Take(retry_after_ms_);
    if (!body) return std::nullopt;
    if (!body->ok()) return Result<model::PollResponse>(body->status());
    return DecodePollResponse(**body);
  }

  void StartPublish(const std::string& body, bool tables) override {
    if (publish_.running()) return;
    publish_.Start(multi_, endpoint_, "/v1/agent/publish", body, kPublishTimeoutMs,
                   tables ? kTables : kPlain);
    Progress();
  }
  bool publish_running() const override { return publish_.running(); }
  std::optional<Result<model::PublishResponse>> TakePublish() override {
    auto body = publish_.Take(retry_after_ms_);
    if (!body) return std::nullopt;
    if (!body->ok()) return Result<model::PublishResponse>(body->status());
    return DecodePublishResponse(**body);
  }
  uint32_t retry_after_ms() const override { return retry_after_ms_; }

  void Wait(uint32_t timeout_ms) override {
    // An outcome that is there already (a request that failed at once) is not waited for.
    const bool outcome = poll_.has_outcome() || publish_.has_outcome();
    curl_multi_poll(multi_, nullptr, 0, outcome ? 0 : static_cast<int>(timeout_ms), nullptr);
    Progress();
  }
  void Wake() override { curl_multi_wakeup(multi_); }

 private:
  void Progress() {
    int running = 0;
    curl_multi_perform(multi_, &running);
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode result = message->data.result;  // the message dies with the removal
      Transfer& done = message->easy_handle == poll_.easy() ? poll_ : publish_;
      done.Done(multi_, result);
    }
  }

  const Endpoint endpoint_;
  CURLM* multi_;
  Transfer poll_, publish_;
  uint32_t retry_after_ms_ = 0;
};

}  // namespace

Result<std::unique_ptr<Connection>> Connection::Create(const Endpoint& endpoint) {
  InitializeCurl();
  CURLM* multi = curl_multi_init();
  if (multi == nullptr) return Status(Code::kUnavailable, "libcurl does not start");
  auto connection = std::make_unique<CurlConnection>(endpoint, multi);
  if (!connection->ok()) return Status(Code::kUnavailable, "libcurl has no memory");
  return std::unique_ptr<Connection>(std::move(connection));
}

}  // namespace stillframe::transport
