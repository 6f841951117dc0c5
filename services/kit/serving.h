// RpcServer without gRPC in the header: what mains and the embedded platform use.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace grpc {
class Service;
}

namespace swage {

class RpcServer;

class Serving {
 public:
  static StatusOr<std::unique_ptr<Serving>> Start(const std::vector<std::string>& addresses,
                                                  const std::vector<grpc::Service*>& services);
  ~Serving();
  const std::vector<std::string>& addresses() const;  // with chosen ports
  void SetServing(bool serving);                      // what health says
  void Drain(int deadline_ms);                        // see RpcServer::Drain

 private:
  explicit Serving(std::unique_ptr<RpcServer> server);
  std::unique_ptr<RpcServer> server_;
};

}  // namespace swage
