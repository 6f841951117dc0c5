// The one HTTP server of the product (hub, gateway, metrics): Boost.Beast, asynchronous. A slow reader holds no thread:
// a body is pulled chunk by chunk, the next only when the last one is in the socket.
//
//   auto server = HttpServer::Start("127.0.0.1:0", [](const HttpRequest& r) { return HttpResponse::Text(200, "ok"); });
//
// HTTP/1.1 with keep-alive; GET, HEAD, POST. Limits: header 16 KiB, request body 1 MiB, 30 s without a byte ends a
// connection. The handler runs on one of `threads` threads and must not block for long. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace swage {

struct HttpRequest {
  std::string method;                          // "GET"
  std::string path;                            // percent-decoded, without the query
  std::map<std::string, std::string> query;    // decoded
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

struct HttpResponse {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;  // Content-Length is set by the server
  std::string body;
  // When set, `body` is ignored: returns the next bytes (at most a few hundred KiB), "" at the end. An error ends the
  // connection, so that the client sees a short body, never a wrong one.
  std::function<StatusOr<std::string>()> next_chunk;
  uint64_t content_length = 0;                 // of next_chunk's bytes in all

  static HttpResponse Text(int status, std::string text, std::string content_type = "text/plain; charset=utf-8");
  static HttpResponse Json(int status, std::string json);
};

using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;

class HttpServer {
 public:
  // `address` is "host:port" (host an IP address or "localhost"; port 0 is chosen).
  static StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& address, HttpHandler handler, int threads = 2);
  virtual ~HttpServer() = default;  // ends all connections
  virtual std::string address() const = 0;  // with the chosen port
};

}  // namespace swage
