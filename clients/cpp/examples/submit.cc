// Submits one job and prints its events; README.md shows this file.
#include <grpcpp/grpcpp.h>
#include <iostream>
#include "swage/v1/job.grpc.pb.h"

int main(int argc, char** argv) {  // submit ADDRESS MODEL; ADDRESS is what stands in <data>/run/address, or HOST:PORT
  const auto jobs = swage::v1::JobService::NewStub(grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials()));

  swage::v1::CreateJobRequest request;
  request.set_request_id("tonight-1");  // the same id never makes a second job
  request.mutable_job()->set_model(argv[2]);
  request.mutable_job()->set_recipe("steps: [{kind: quantize, method: rtn, format: int8, granularity: channel}]\n");
  swage::v1::Job job;
  grpc::ClientContext create;
  create.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  if (const grpc::Status status = jobs->CreateJob(&create, request, &job); !status.ok()) {
    std::cerr << status.error_message() << "\n";
    return 1;
  }

  swage::v1::WatchJobRequest watch;
  watch.set_name(job.name());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::hours(1));
  const auto events = jobs->WatchJob(&context, watch);
  swage::v1::JobEvent event;
  while (events->Read(&event)) {
    std::cout << swage::v1::JobState_Name(event.state()) << " " << event.progress().stage() << "\n";
  }
  return events->Finish().ok() && event.state() == swage::v1::SUCCEEDED ? 0 : 1;
}
