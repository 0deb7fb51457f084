#include "transport/curl_setup.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>

// OpenSSL's start, without its exit handler: it would tear OpenSSL down before our last flush.
// Declared here so that this room does not depend on OpenSSL's headers.
extern "C" int OPENSSL_init_crypto(uint64_t options, const void* settings) __attribute__((weak));

// What libcurl's calls of socketpair become (cmake/PrivateCurl.cmake): a child that the host starts
// must not inherit the pair.
extern "C" int __wrap_socketpair(int domain, int type, int protocol, int fds[2]) {
  return static_cast<int>(syscall(SYS_socketpair, domain, type | SOCK_CLOEXEC, protocol, fds));
}

namespace stillframe::transport {
namespace {

constexpr long kConnectTimeoutMs = 5'000;

// The first bundle that is there; nullptr: libcurl's own default. A missing bundle fails closed.
const char* FindCaBundle() {
  for (const char* variable : {"STILLFRAME_CA_FILE", "SSL_CERT_FILE"}) {
    const char* path = getenv(variable);
    if (path != nullptr && *path != '\0') return path;
  }
  for (const char* path : {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                           "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}) {
    if (access(path, R_OK) == 0) return path;
  }
  return nullptr;
}

// A child that the host starts must not inherit our connection.
curl_socket_t OpenSocket(void*, curlsocktype, curl_sockaddr* address) {
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

}  // namespace

void InitializeCurl() {
  static std::once_flag once;
  std::call_once(once, [] {
    constexpr uint64_t kNoAtExit = 0x00080000;      // OPENSSL_INIT_NO_ATEXIT
    constexpr uint64_t kNoLoadConfig = 0x00000080;  // the host's OpenSSL configuration is its own
    if (OPENSSL_init_crypto != nullptr) OPENSSL_init_crypto(kNoAtExit | kNoLoadConfig, nullptr);
    curl_global_init(CURL_GLOBAL_NOTHING);
  });
}

void SetCommonOptions(CURL* easy) {
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);  // no SIGALRM, and SIGPIPE is not touched
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &OpenSocket);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  if (const char* bundle = FindCaBundle()) curl_easy_setopt(easy, CURLOPT_CAINFO, bundle);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, nullptr);
  curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
}

}  // namespace stillframe::transport
