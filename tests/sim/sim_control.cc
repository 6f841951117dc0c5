#include "tests/sim/sim_control.h"

namespace swage::sim {
namespace {

constexpr int64_t kCallTimeout = 3 * kSecond;
constexpr int kAskTries = 3, kWaitTries = 300;

}  // namespace

SimControl::SimControl(World* world, SimState* state, NodeId node, const std::string& name)
    : node_(node),
      clock_(world),
      rng_(world->Stream(name)),
      directory_(state->Connect(node), &clock_,
                 [this] { return (static_cast<uint64_t>(rng_()) << 32) | rng_(); }) {}

StatusOr<std::string> SimControl::Submit(int job, AdmittedJob admitted) {
  admitted.id = directory_.NewId();
  admitted.create_unix_nanos = clock_.UnixNanos();
  SWAGE_RETURN_IF_ERROR(directory_.CheckLoad(admitted.tenant));
  NewJob created{std::move(admitted), {}, Cat("spec", job)};
  created.spec.recipe_json = RecipeOf(job);
  return directory_.Create(created);
}

Status SimControl::Act(const std::string& kind, const std::string& tenant, const std::string& id) {
  return directory_.Act(kind, tenant, id, "", 0);
}

SimClients::SimClients(World* world, Network* network, Checker* checker, NodeId node,
                       std::vector<std::unique_ptr<SimControl>>* controls,
                       const Workload* workload)
    : world_(world),
      network_(network),
      checker_(checker),
      node_(node),
      controls_(controls),
      workload_(workload),
      ids_(workload->jobs.size()) {}

void SimClients::Do(const ClientAct& act) {
  ids_.resize(workload_->jobs.size());
  if (act.kind == "submit") {
    const int submits = workload_->jobs[static_cast<size_t>(act.job)].submits;
    for (int i = 0; i < submits; ++i) Submit(act.job, i);
    return;
  }
  const std::string& id = ids_[static_cast<size_t>(act.job)];
  if (id.empty()) return;
  world_->Note("client asks to ", act.kind, " job ", act.job, " ", id);
  Ask(act.kind, workload_->jobs[static_cast<size_t>(act.job)].tenant, id);
}

std::optional<AdmittedJob> SimClients::Admit(int job) const {
  const JobSpec& spec = workload_->jobs[static_cast<size_t>(job)];
  AdmittedJob admitted;
  admitted.tenant = spec.tenant;
  admitted.priority = spec.priority;
  admitted.preemptible = spec.preemptible;
  admitted.shape = spec.shape;
  admitted.request_id = Cat("r", job);
  if (!spec.action.empty()) admitted.action_key = spec.action;
  for (const int other : spec.after) {
    admitted.after.push_back(ids_[static_cast<size_t>(other)]);
    if (admitted.after.back().empty()) return std::nullopt;
  }
  if (spec.model_of >= 0) {
    admitted.model_job = ids_[static_cast<size_t>(spec.model_of)];
    if (admitted.model_job.empty()) return std::nullopt;
  }
  return admitted;
}

void SimClients::Submit(int job, int attempt) {
  const auto again = [this, job](int next) {
    world_->After(kSecond, [this, job, next] { Submit(job, next); });
  };
  const std::optional<AdmittedJob> admitted = Admit(job);
  if (!admitted.has_value()) {
    // When what it waits for was never submitted, as in a history made small, it never is either.
    return attempt < kWaitTries ? again(attempt + 1) : void();
  }
  SimControl* control = (*controls_)[static_cast<size_t>(attempt) % controls_->size()].get();
  const auto answered = std::make_shared<bool>(false);
  const auto answer = [this, job, attempt, answered, again](const StatusOr<std::string>& id) {
    if (std::exchange(*answered, true)) return;
    if (!id.ok()) return again(attempt + 1);
    ids_[static_cast<size_t>(job)] = *id;
    checker_->Acknowledged(JobKey(workload_->jobs[static_cast<size_t>(job)].tenant, *id));
  };
  network_->Send(node_, control->node(), [this, job, admitted, control, answer] {
    const auto id = control->Submit(job, *admitted);
    world_->Note("control accepts job ", job, ": ", id.ok() ? *id : MessageOf(id.status()));
    network_->Send(control->node(), node_, [answer, id] { answer(id); });
  });
  world_->After(kCallTimeout, [answer] { answer(Unavailable("TIMEOUT", "no answer")); });
}

void SimClients::Ask(const std::string& kind, const std::string& tenant, const std::string& id,
                     int attempt) {
  if (attempt == kAskTries) return;
  SimControl* control = (*controls_)[static_cast<size_t>(attempt) % controls_->size()].get();
  const auto answered = std::make_shared<bool>(false);
  const auto answer = [this, kind, tenant, id, attempt, answered](const Status& status) {
    if (std::exchange(*answered, true) || !absl::IsUnavailable(status)) return;
    world_->After(kSecond,
                  [this, kind, tenant, id, attempt] { Ask(kind, tenant, id, attempt + 1); });
  };
  network_->Send(node_, control->node(), [this, kind, tenant, id, control, answer] {
    const Status status = control->Act(kind, tenant, id);
    network_->Send(control->node(), node_, [answer, status] { answer(status); });
  });
  world_->After(kCallTimeout, [answer] { answer(Unavailable("TIMEOUT", "no answer")); });
}

}  // namespace swage::sim
