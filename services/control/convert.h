// Between the wire's messages and ours. The only place of control, beside the service itself, that sees both.
#pragma once

#include <string>

#include "services/control/admission.h"
#include "services/control/directory.h"
#include "swage/v1/job.pb.h"
#include "workers/catalog/catalog.h"

namespace swage {

v1::JobState ToProto(JobState state);
StatusOr<JobState> FromProto(v1::JobState state);  // UNSPECIFIED and unknown numbers: INVALID_ARGUMENT
JobSpecFields FromProto(const v1::JobSpec& spec);
v1::Plan ToProto(const Plan& plan);
std::string PlanToJson(const v1::Plan& plan);
v1::Job ToProto(const JobEntry& view);
v1::Job ToProto(const Admission& admission);  // of validate_only: a plan, no name
v1::JobEvent ToProto(const JobEventRecord& event, uint64_t sequence);
v1::Method ToProto(const MethodRow& row);

}  // namespace swage
