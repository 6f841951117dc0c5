// Faults on the wire, for tests of the real binaries: the environment variable SWAGE_RPC_FAULTS makes the calls of this
// process's channels misbehave. Unset, channels carry no interceptor at all.
//
//   SWAGE_RPC_FAULTS="Synchronize:lose:0.1,Publish:drop:0.05:min=2,*:delay:0.2:100"
//   SWAGE_RPC_FAULTS=@/path     the faults are what that file says at the time of the call; no file, no faults: so they
//                               can be switched while the process runs
//
//   method:drop:p        with probability p the request is never sent; the caller sees UNAVAILABLE
//   method:lose:p        the server does the work, the answer is lost; the caller sees UNAVAILABLE
//   method:delay:p:ms    the request waits so long before it is sent
//   method:dup:p         the request is sent twice: the second while the first runs, or right after it; the caller sees
//                        the first one's answer. Unary calls only.
// `method` is the RPC's bare name, or "*". A last part min=N hits rare RPCs too: until the fault has happened N times to
// an RPC, that RPC's calls meet it with probability 1/2 at least. The points are those of Ray's testing_rpc_failure.
#pragma once

#include <grpcpp/support/client_interceptor.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace swage {

struct RpcFault {
  enum class Kind { kDrop, kLose, kDelay, kDup } kind = Kind::kDrop;
  std::string method;  // or "*"
  double probability = 0;
  int delay_ms = 0;
  int at_least = 0;  // times to each RPC
};

StatusOr<std::vector<RpcFault>> ParseRpcFaults(std::string_view text);  // INVALID_ARGUMENT/BAD_FAULTS

using ClientInterceptors = std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>;
ClientInterceptors MakeFaultInterceptors(std::vector<RpcFault> faults);  // empty for no faults
// From SWAGE_RPC_FAULTS, which is read once; a text that cannot be parsed ends the process.
ClientInterceptors FaultInterceptorsFromEnvironment();
// The faults of this file, at the time of each call.
ClientInterceptors FaultInterceptorsFromFile(const std::string& path);

}  // namespace swage
