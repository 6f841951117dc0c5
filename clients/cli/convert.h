// Messages of job.proto to what the commands show. The CLI's edge; included by the two clients and convert.cc only.
#pragma once

#include "clients/cli/job_view.h"
#include "swage/v1/job.pb.h"

namespace swage {

JobView ToView(const v1::Job& job);
PlanView ToView(const v1::Plan& plan);
EventView ToView(const v1::JobEvent& event);
int64_t Nanos(const google::protobuf::Timestamp& time);  // since 1970

}  // namespace swage
