#include "services/kit/rpc.h"

#include <absl/synchronization/mutex.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <utility>

#include "base/env.h"
#include "base/limits.h"
#include "google/rpc/status.pb.h"
#include "services/kit/deadline.h"
#include "services/kit/faults.h"
#include "services/kit/serving.h"
#include "swage/v1/admin.grpc.pb.h"
#include "swage/v1/artifact.grpc.pb.h"
#include "swage/v1/job.grpc.pb.h"
#include "swage/v1/worker.grpc.pb.h"

namespace swage {
namespace {

constexpr char kDomain[] = "swage.dev";
constexpr char kUnixPrefix[] = "unix:";

std::chrono::system_clock::time_point After(int ms) {
  return std::chrono::system_clock::now() + std::chrono::milliseconds(ms);
}

// Health is asked by full service name; grpc::Service does not tell its own.
std::string NameOf(grpc::Service* service) {
  if (dynamic_cast<v1::JobService::Service*>(service)) return v1::JobService::service_full_name();
  if (dynamic_cast<v1::ArtifactService::Service*>(service)) return v1::ArtifactService::service_full_name();
  if (dynamic_cast<v1::WorkerService::Service*>(service)) return v1::WorkerService::service_full_name();
  if (dynamic_cast<v1::AdminService::Service*>(service)) return v1::AdminService::service_full_name();
  return "";
}

// Whether somebody answers on the socket; a file that nobody listens on is a leftover of a killed server.
bool SocketIsLive(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool live = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  ::close(fd);
  return live;
}

Status PrepareUnixSocket(const std::string& path) {
  if (path.size() >= sizeof(sockaddr_un{}.sun_path)) {
    return InvalidInput("SOCKET_PATH_TOO_LONG", Cat("a unix socket's path has at most 107 bytes: ", path),
                        "choose a shorter data folder");
  }
  const std::string dir = DirName(path);
  if (!Env::Posix()->Exists(dir)) SWAGE_RETURN_IF_ERROR(Env::Posix()->CreateDirs(dir, 0700));
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (!S_ISSOCK(info.st_mode)) {
    return Precondition("ADDRESS_IN_USE", Cat(path, " exists and is not a socket"), "remove it or choose another path");
  }
  if (SocketIsLive(path)) {
    return Unavailable("ADDRESS_IN_USE", Cat("another server listens on ", path),
                       "stop it, or choose another data folder");
  }
  if (::unlink(path.c_str()) != 0) return PosixError(errno, Cat("removing the stale socket ", path));
  return absl::OkStatus();
}

bool IsUnix(const std::string& address) { return StartsWith(address, kUnixPrefix); }
std::string UnixPath(const std::string& address) { return address.substr(sizeof(kUnixPrefix) - 1); }

// When a call that failed so is worth repeating; 0: not by itself.
int RetryAfterMs(StatusCode code) {
  if (code == StatusCode::kUnavailable) return 250;
  if (code == StatusCode::kResourceExhausted) return 2000;
  return 0;
}

}  // namespace

grpc::Status ToGrpc(const Status& status) {
  if (status.ok()) return grpc::Status::OK;
  google::rpc::ErrorInfo info;
  const std::string reason = ReasonOf(status);
  info.set_reason(reason.empty() ? std::string(absl::StatusCodeToString(status.code())) : reason);
  info.set_domain(kDomain);
  if (const std::string next = NextStepOf(status); !next.empty()) (*info.mutable_metadata())["next_step"] = next;
  google::rpc::Status rich;
  rich.set_code(static_cast<int>(status.code()));
  rich.set_message(MessageOf(status));
  rich.add_details()->PackFrom(info);
  if (const int retry_ms = RetryAfterMs(status.code()); retry_ms > 0) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(retry_ms / 1000);
    retry.mutable_retry_delay()->set_nanos(retry_ms % 1000 * 1000000);
    rich.add_details()->PackFrom(retry);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), rich.message(), rich.SerializeAsString());
}

Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<StatusCode>(status.error_code());
  google::rpc::Status rich;
  if (!status.error_details().empty() && rich.ParseFromString(status.error_details())) {
    for (const auto& detail : rich.details()) {
      google::rpc::ErrorInfo info;
      if (!detail.UnpackTo(&info)) continue;
      const auto next = info.metadata().find("next_step");
      const bool plain = info.reason() == absl::StatusCodeToString(code);
      return Error(code, plain ? "" : info.reason(), status.error_message(),
                   next == info.metadata().end() ? "" : next->second);
    }
  }
  if (code == StatusCode::kUnavailable) {
    return Unavailable("UNREACHABLE", Cat("no answer: ", status.error_message()),
                       "check that the server runs and that the address is right");
  }
  return Error(code, "", status.error_message());
}

std::shared_ptr<grpc::Channel> NewChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(limits::kMessageBytes);
  arguments.SetMaxSendMessageSize(limits::kMessageBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
  // A daemon that restarts is back within a second; gRPC's own back-off would make us miss it by minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (IsUnix(address)) arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      address, grpc::InsecureChannelCredentials(), arguments, FaultInterceptorsFromEnvironment());
}

void PrepareContext(grpc::ClientContext* context, int deadline_ms, const SpanContext& trace) {
  context->set_deadline(After(deadline_ms));
  if (trace.valid()) context->AddMetadata("traceparent", trace.ToTraceparent());
}

SpanContext TraceOf(const grpc::ServerContextBase& context) {
  const auto& metadata = context.client_metadata();
  const auto it = metadata.find("traceparent");
  if (it == metadata.end()) return {};
  return SpanContext::FromTraceparent(std::string_view(it->second.data(), it->second.size()));
}

StatusOr<std::string> CheckTenant(const std::string& tenant) {
  if (tenant.empty()) return std::string("default");
  bool good = tenant.size() <= 63 && tenant[0] >= 'a' && tenant[0] <= 'z';
  for (const char c : tenant) good = good && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-');
  if (!good) {
    return InvalidInput("BAD_TENANT", "a tenant is 1 to 63 of a-z, 0-9 and '-', starting with a letter",
                        "leave it empty for the tenant 'default'");
  }
  return tenant;
}

StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(const std::vector<std::string>& addresses,
                                                      const std::vector<grpc::Service*>& services) {
  static const bool plugins = [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    // Debian builds abseil with its search for lock cycles on, which gRPC pays for with every lock it takes.
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
    return true;
  }();
  (void)plugins;
  auto server = std::unique_ptr<RpcServer>(new RpcServer());
  server->keeper_ = std::make_shared<DeadlineKeeper>(limits::kGivenUnaryDeadlineMs, limits::kGivenStreamDeadlineMs);

  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(limits::kMessageBytes);
  builder.SetMaxSendMessageSize(limits::kMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a second server on the port must fail, not share
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MAX_POLLERS, 2);
  builder.SetResourceQuota(grpc::ResourceQuota("swage").SetMaxThreads(limits::kServerThreads));
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(DeadlineKeeper::Factory(server->keeper_));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));

  std::vector<int> ports(addresses.size(), 0);
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (IsUnix(addresses[i])) SWAGE_RETURN_IF_ERROR(PrepareUnixSocket(UnixPath(addresses[i])));
    builder.AddListeningPort(addresses[i], grpc::InsecureServerCredentials(), &ports[i]);
  }
  for (grpc::Service* service : services) builder.RegisterService(service);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr) {
    return Unavailable("ADDRESS_IN_USE", Cat("cannot listen on ", Join(addresses, ", ")),
                       "another program has the port, or the address is not of this machine: choose another");
  }
  for (size_t i = 0; i < addresses.size(); ++i) {
    std::string address = addresses[i];
    if (IsUnix(address)) {
      if (::chmod(UnixPath(address).c_str(), 0600) != 0) return PosixError(errno, Cat("chmod of ", UnixPath(address)));
    } else if (EndsWith(address, ":0")) {
      address = Cat(address.substr(0, address.size() - 1), ports[i]);
    }
    server->addresses_.push_back(address);
  }
  for (grpc::Service* service : services) {
    if (const std::string name = NameOf(service); !name.empty()) server->service_names_.push_back(name);
  }
  server->SetServing(true);
  return server;
}

void RpcServer::SetServing(bool serving) {
  auto* health = server_->GetHealthCheckService();
  if (health == nullptr) return;
  health->SetServingStatus("", serving);
  for (const std::string& name : service_names_) health->SetServingStatus(name, serving);
}

void RpcServer::Drain(int deadline_ms) {
  SetServing(false);
  // Server::Shutdown waits for connections, also idle ones whose client happens not to read; calls are what matters.
  keeper_->WaitUntilIdle(deadline_ms);
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

RpcServer::~RpcServer() {
  if (server_ != nullptr) Drain(0);
}

// Serving lives here, not in a file of its own: every file that includes gRPC costs the build seconds.
StatusOr<std::unique_ptr<Serving>> Serving::Start(const std::vector<std::string>& addresses,
                                                  const std::vector<grpc::Service*>& services) {
  SWAGE_ASSIGN_OR_RETURN(auto server, RpcServer::Start(addresses, services));
  return std::unique_ptr<Serving>(new Serving(std::move(server)));
}
Serving::Serving(std::unique_ptr<RpcServer> server) : server_(std::move(server)) {}
Serving::~Serving() = default;
const std::vector<std::string>& Serving::addresses() const { return server_->addresses(); }
void Serving::SetServing(bool serving) { server_->SetServing(serving); }
void Serving::Drain(int deadline_ms) { server_->Drain(deadline_ms); }

}  // namespace swage
