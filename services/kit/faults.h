// Faults on the wire, for tests of the real binaries: the environment variable SWAGE_RPC_FAULTS makes the calls of this
// process's channels misbehave. Unset, channels carry no interceptor at all.
//
//   SWAGE_RPC_FAULTS="Synchronize:lose:0.1,Publish:drop:0.5,*:delay:0.2:100"
//
//   method:drop:p        with probability p the request is never sent; the caller sees UNAVAILABLE
//   method:lose:p        the server does the work, the answer is lost; the caller sees UNAVAILABLE
//   method:delay:p:ms    the request waits so long before it is sent
// `method` is the RPC's bare name, or "*". The three points are those of Ray's testing_rpc_failure.
#pragma once

#include <grpcpp/support/client_interceptor.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace swage {

struct RpcFault {
  enum class Kind { kDrop, kLose, kDelay } kind = Kind::kDrop;
  std::string method;  // or "*"
  double probability = 0;
  int delay_ms = 0;
};

StatusOr<std::vector<RpcFault>> ParseRpcFaults(std::string_view text);  // INVALID_ARGUMENT/BAD_FAULTS

using ClientInterceptors = std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>;
ClientInterceptors MakeFaultInterceptors(std::vector<RpcFault> faults);  // empty for no faults
// From SWAGE_RPC_FAULTS, read once; a text that cannot be parsed ends the process.
ClientInterceptors FaultInterceptorsFromEnvironment();

}  // namespace swage
