// Between the protocol's messages and the core's records. What comes in is bounded here.
#pragma once

#include "base/status.h"
#include "scheduler/core/core.h"
#include "scheduler/server/leader.h"
#include "swage/v1/admin.pb.h"
#include "swage/v1/worker.pb.h"

namespace swage {

StatusOr<WorkerReport> FromProto(
    const v1::SynchronizeRequest& request);  // INVALID_ARGUMENT/BAD_REPORT
void ToProto(const SyncAnswer& answer, v1::SynchronizeResponse* response);
void ToProto(const WorkerView& view, v1::WorkerInfo* info);
void ToProto(const QueuedView& view, v1::QueuedJob* out);
void ToProto(const ClassView& view, v1::QueueClass* out);
void ToProto(const TenantView& view, v1::Tenant* out);
void ToProto(const Explanation& explanation, v1::ExplainJobResponse* out);
StatusOr<TenantRecord> FromProto(const v1::Tenant& tenant);  // its settings

}  // namespace swage
