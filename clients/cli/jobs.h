// Commands about jobs that exist: jobs, job, watch, cancel, pause, resume, retry, delete.
#pragma once

#include <string>

#include "clients/cli/job_client.h"
#include "clients/cli/session.h"

namespace swage {

// The client of a session's server.
std::unique_ptr<JobClient> NewJobClient(const Session& session, const SpanContext& trace = {});

StatusOr<int> RunPing(const Session& session, double wait_seconds);
StatusOr<int> RunJobs(const Session& session, int limit, bool oldest_first);
StatusOr<int> RunJob(const Session& session, const std::string& job);
StatusOr<int> RunWatch(const Session& session, const std::string& job);
StatusOr<int> RunJobAction(const Session& session, JobClient::Action action, const std::string& job);
StatusOr<int> RunDelete(const Session& session, const std::string& job);

// Shows a job's events until it ends; returns the exit code of its final state. An interrupt ends the watching, not
// the job.
StatusOr<int> WatchToEnd(const Session& session, JobClient* client, const std::string& name);

}  // namespace swage
