// What control writes for a job of tenant t that it has accepted.
#pragma once

#include "scheduler/core/records.h"
#include "scheduler/state/state_store.h"

namespace swage {

inline Transaction CreationOf(const std::string& id, const SpecRecord& spec = {}) {
  JobRecord record;
  record.job.id = id;
  record.job.tenant = "t";
  JobEventRecord accepted;
  accepted.kind = "state";
  Transaction t;
  t.writes.push_back({JobKey("t", id), 0, ToJson(record)});
  t.writes.push_back({SpecKey("t", id), 0, ToJson(spec)});
  t.events.push_back({JobStream("t", id), ToJson(accepted)});
  return t;
}

}  // namespace swage
