// Messages of job.proto to what the commands show. The CLI's edge; included by job_client.cc and convert.cc only.
#pragma once

#include "clients/cli/job_view.h"
#include "swage/v1/job.pb.h"

namespace swage {

JobView ToView(const v1::Job& job);
PlanView ToView(const v1::Plan& plan);
EventView ToView(const v1::JobEvent& event);

}  // namespace swage
