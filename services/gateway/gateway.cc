#include "services/gateway/gateway.h"

#include <google/protobuf/util/json_util.h>

#include <charconv>

#include "services/gateway/page.h"
#include "services/kit/http_server.h"
#include "services/kit/rpc.h"
#include "swage/v1/artifact.grpc.pb.h"
#include "swage/v1/job.grpc.pb.h"

namespace swage {
namespace {

constexpr int kDeadlineMs = 5000;

int HttpStatus(StatusCode code) {
  switch (code) {
    case StatusCode::kNotFound:
      return 404;
    case StatusCode::kInvalidArgument:
    case StatusCode::kOutOfRange:
      return 400;
    case StatusCode::kPermissionDenied:
      return 403;
    case StatusCode::kUnauthenticated:
      return 401;
    case StatusCode::kUnavailable:
    case StatusCode::kDeadlineExceeded:
      return 503;
    case StatusCode::kResourceExhausted:
      return 429;
    default:
      return 500;
  }
}

HttpResponse ErrorResponse(const Status& status) {
  return HttpResponse::Text(HttpStatus(status.code()), Cat(MessageOf(status), "\n", NextStepOf(status), "\n"));
}

HttpResponse Answer(const grpc::Status& status, const google::protobuf::Message& message) {
  if (!status.ok()) return ErrorResponse(FromGrpc(status));
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) {
    return ErrorResponse(Internal("the answer could not be written as JSON"));
  }
  HttpResponse response = HttpResponse::Json(200, std::move(json));
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

std::string QueryValue(const HttpRequest& request, const std::string& name) {
  const auto it = request.query.find(name);
  return it == request.query.end() ? std::string() : it->second;
}

StatusOr<int> PageSize(const HttpRequest& request) {
  const std::string text = QueryValue(request, "page_size");
  if (text.empty()) return 0;
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    return InvalidInput("PAGE_SIZE", Cat("page_size is \"", text, "\""), "give a number from 1 to 1000");
  }
  return value;
}

class GatewayServer : public Gateway {
 public:
  explicit GatewayServer(const GatewayOptions& options)
      : jobs_(v1::JobService::NewStub(NewChannel(options.control_address))),
        artifacts_(v1::ArtifactService::NewStub(NewChannel(options.store_address))) {}

  Status Listen(const std::string& address) {
    SWAGE_ASSIGN_OR_RETURN(http_, HttpServer::Start(address, [this](const HttpRequest& r) { return Handle(r); }));
    return absl::OkStatus();
  }
  std::string address() const override { return http_->address(); }

 private:
  HttpResponse Handle(const HttpRequest& request) {
    if (request.method != "GET" && request.method != "HEAD") {
      return HttpResponse::Text(405, "this address only answers GET; submit jobs with `swage submit`\n");
    }
    constexpr std::string_view kJob = "/api/v1/jobs/";
    if (request.path == "/") return Page();
    if (request.path == "/healthz") return Health();
    if (request.path == "/api/v1/jobs") return ListJobs(request);
    if (StartsWith(request.path, kJob)) return GetJob(request, request.path.substr(kJob.size()));
    if (request.path == "/api/v1/artifacts") return ListArtifacts(request);
    return HttpResponse::Text(404, "no such page; there are /, /healthz, /api/v1/jobs, /api/v1/artifacts\n");
  }

  HttpResponse Page() {
    HttpResponse response = HttpResponse::Text(200, std::string(kGatewayPage), "text/html; charset=utf-8");
    response.headers.emplace_back("Content-Security-Policy",
                                  "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
                                  "connect-src 'self'; img-src data:");
    return response;
  }

  HttpResponse Health() {
    grpc::ClientContext context;
    PrepareContext(&context, kDeadlineMs);
    v1::ServerInfo info;
    const grpc::Status status = jobs_->GetServerInfo(&context, {}, &info);
    return status.ok() ? HttpResponse::Text(200, "ok\n") : HttpResponse::Text(503, "control does not answer\n");
  }

  HttpResponse ListJobs(const HttpRequest& request) {
    const auto page_size = PageSize(request);
    if (!page_size.ok()) return ErrorResponse(page_size.status());
    v1::ListJobsRequest ask;
    ask.set_tenant(QueryValue(request, "tenant"));
    ask.set_page_size(*page_size);
    ask.set_page_token(QueryValue(request, "page_token"));
    grpc::ClientContext context;
    PrepareContext(&context, kDeadlineMs);
    v1::ListJobsResponse answer;
    return Answer(jobs_->ListJobs(&context, ask, &answer), answer);
  }

  HttpResponse GetJob(const HttpRequest& request, const std::string& id) {
    v1::GetJobRequest ask;
    ask.set_tenant(QueryValue(request, "tenant"));
    ask.set_name(Cat("jobs/", id));
    grpc::ClientContext context;
    PrepareContext(&context, kDeadlineMs);
    v1::Job answer;
    return Answer(jobs_->GetJob(&context, ask, &answer), answer);
  }

  HttpResponse ListArtifacts(const HttpRequest& request) {
    const auto page_size = PageSize(request);
    if (!page_size.ok()) return ErrorResponse(page_size.status());
    v1::ListArtifactsRequest ask;
    ask.set_tenant(QueryValue(request, "tenant"));
    ask.set_page_size(*page_size);
    ask.set_page_token(QueryValue(request, "page_token"));
    grpc::ClientContext context;
    PrepareContext(&context, kDeadlineMs);
    v1::ListArtifactsResponse answer;
    return Answer(artifacts_->ListArtifacts(&context, ask, &answer), answer);
  }

  std::unique_ptr<v1::JobService::Stub> jobs_;
  std::unique_ptr<v1::ArtifactService::Stub> artifacts_;
  std::unique_ptr<HttpServer> http_;  // last: its threads use the stubs
};

}  // namespace

StatusOr<std::unique_ptr<Gateway>> Gateway::Start(const GatewayOptions& options) {
  auto server = std::make_unique<GatewayServer>(options);
  SWAGE_RETURN_IF_ERROR(server->Listen(options.http_address));
  return server;
}

}  // namespace swage
