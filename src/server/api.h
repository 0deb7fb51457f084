// The routes: who may call what, and what it does.
#ifndef STILLFRAME_SERVER_API_H_
#define STILLFRAME_SERVER_API_H_

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "server/http.h"
#include "server/hub.h"
#include "server/key_cache.h"
#include "server/sources.h"
#include "server/url.h"

namespace stillframe::server {

// An error as every route gives it: {"error": {code, message, field}}. Any thread.
Response Error(int status, const std::string& code, const std::string& message,
               const std::string& field = "");
// Of a body that was read: 413 when it is over a limit, else 400.
Response Error(const model::FieldError& error);

struct RouteContext {
  Request& request;
  Target target;
  std::vector<std::string> parameters;  // what stood for {…}
  Principal principal;
  std::shared_ptr<Exchange> exchange;
};

struct Route {
  const char* method;
  const char* pattern;  // "/v1/tracepoints/{id}"
  Access access;
  const char* query;  // allowed parameters, space-separated
  bool blocks;        // runs on a worker, because it may wait for the store
};

// Refuses a body that is not JSON by its type and bytes.
std::optional<Response> CheckBody(const Request& request);

// Every route there is; the authorization test walks it.
const std::vector<Route>& Routes();

class Api final : public HttpHandler {
 public:
  // `no_auth`: everyone is admin (loopback only).
  Api(Store& store, Hub& hub, bool no_auth, Sources sources);
  ~Api() override;
  // Finishes what runs, takes no more work. Before the HTTP server goes.
  void Stop();

  HeaderVerdict OnHeader(const Request& request) override;
  void OnRequest(Request request, std::shared_ptr<Exchange> exchange) override;
  Response OnBroken(int status, std::string_view message) override;

  KeyCache& keys() { return keys_; }
  void set_http(const HttpServer* http) { http_ = http; }

 private:
  struct Match {
    const Route* route = nullptr;
    std::vector<std::string> parameters;
    bool path_known = false;
    std::string allowed;  // methods of the path
  };
  static Match FindRoute(const Request& request, const Target& target);
  std::optional<Response> CheckHost(const Request& request) const;
  std::optional<Response> Authorize(const Request& request, const Route& route,
                                    Principal& principal);
  void Dispatch(const Route& route, RouteContext& context);
  void Finish(const Route& route, RouteContext& context, Response response);

  // One per route.
  Response Create(RouteContext& context);
  Response List(RouteContext& context);
  Response Read(RouteContext& context);
  Response Patch(RouteContext& context);
  Response Delete(RouteContext& context);
  Response AddStop(RouteContext& context);
  Response Stops(RouteContext& context);
  Response RemoveStop(RouteContext& context);
  Response Services(RouteContext& context);
  Response Agents(RouteContext& context);
  Response Snapshots(RouteContext& context);
  Response OneSnapshot(RouteContext& context);
  Response Ready();
  Response Metrics();
  void Events(RouteContext& context);
  void Ask(RouteContext& context, const char* kind);
  void Poll(RouteContext& context);
  void Publish(RouteContext& context);

  void Work();
  void Count(const char* route, int status);

  Store& store_;
  Hub& hub_;
  KeyCache keys_;
  const bool no_auth_;
  const Sources sources_;
  const HttpServer* http_ = nullptr;

  std::mutex work_mutex_;  // guards the two below
  std::deque<std::function<void()>> work_;
  bool stopping_ = false;
  std::condition_variable work_ready_;
  std::vector<std::thread> workers_;

  std::mutex counts_mutex_;  // guards requests_
  std::map<std::pair<std::string, int>, uint64_t> requests_;
  std::atomic<uint64_t> stored_{0}, duplicates_{0};
};

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_API_H_
