// What every transfer of ours has in common: a libcurl that leaves the host alone, verified TLS, no
// redirects, no proxies.
#ifndef STILLFRAME_TRANSPORT_CURL_SETUP_H_
#define STILLFRAME_TRANSPORT_CURL_SETUP_H_

#include <curl/curl.h>

namespace stillframe::transport {

// Before any other call of libcurl. Any thread.
void InitializeCurl();
void SetCommonOptions(CURL* easy);

}  // namespace stillframe::transport

#endif  // STILLFRAME_TRANSPORT_CURL_SETUP_H_
