// The HTTP face of the platform for people and scripts: a page with the queue and live progress, and the same as JSON.
//
//   GET /                      the page
//   GET /healthz               200 "ok" when control answers, else 503
//   GET /api/v1/jobs           swage.v1.ListJobsResponse as JSON; ?page_size= and ?page_token=
//   GET /api/v1/jobs/<id>      swage.v1.Job
//   GET /api/v1/artifacts      swage.v1.ListArtifactsResponse
// ?tenant=NAME on each, "default" when absent. Read-only. No gRPC in this header.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"

namespace swage {

struct GatewayOptions {
  std::string http_address;  // "127.0.0.1:8080"
  std::string control_address;
  std::string store_address;
};

class Gateway {
 public:
  static StatusOr<std::unique_ptr<Gateway>> Start(const GatewayOptions& options);
  virtual ~Gateway() = default;
  virtual std::string address() const = 0;
};

}  // namespace swage
