// Just enough HTTP/1.1 for the example: keep-alive, Content-Length bodies, a thread pool.
#ifndef STILLFRAME_EXAMPLES_ORDERS_HTTP_H_
#define STILLFRAME_EXAMPLES_ORDERS_HTTP_H_

#include <functional>
#include <map>
#include <string>

namespace shop {

struct Request {
  std::string method, path, body;
  std::map<std::string, std::string> headers;  // names in lower case
};
struct Response {
  int status = 200;
  std::string body;
};
using Handler = std::function<Response(const Request&)>;

// Listens on 127.0.0.1:port (0: any free one), prints "listening on PORT" and serves with `threads`
// threads until SIGTERM or SIGINT. Returns the exit code.
int Serve(int port, int threads, const Handler& handler);

}  // namespace shop

#endif  // STILLFRAME_EXAMPLES_ORDERS_HTTP_H_
