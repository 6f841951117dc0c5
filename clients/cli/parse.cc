#include "clients/cli/parse.h"

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>

#include "base/limits.h"
#include "clients/cli/artifacts.h"
#include "clients/cli/console.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/jobs.h"
#include "clients/cli/local.h"
#include "clients/cli/parse_operate.h"
#include "clients/cli/session.h"
#include "clients/cli/state.h"
#include "clients/cli/submit.h"
#include "clients/cli/tokenize.h"
#include "clients/cli/up.h"
#include "services/kit/version.h"

namespace swage {
namespace {

// One run: the chosen command's callback fills `command`.
struct Run {
  Session session;
  std::function<StatusOr<int>()> command;
  // Options of all commands; only the chosen one's are read.
  UpOptions up;
  SubmitFlags submit;
  QuantizeFlags quantize;
  EvalRequest eval;
  TokenizeRequest tokenize;
  OperateFlags operate;
  std::string first, second, alias, model, recipe, pipeline, out, cache;
  std::vector<std::string> names;
  int limit = 100, threads = 0;
  double wait_seconds = 0;
  bool force = false, newest_first = true;
};

void AddUp(CLI::App* app, Run* run) {
  CLI::App* up = app->add_subcommand("up", "Run the whole platform here: control, scheduler, store and a worker");
  up->add_option("--http", run->up.http, "Also serve a page for browsers there")->type_name("HOST:PORT");
  up->add_option("--listen", run->up.listen, "Also serve gRPC over TCP there")->type_name("HOST:PORT");
  run->up.lease_ms = limits::kLeaseMs;
  up->add_option("--lease-ms", run->up.lease_ms, "After so long without a word a worker's job goes to another")
      ->check(CLI::Range(200, 600000))
      ->capture_default_str();
  up->callback([run] {
    run->command = [run]() -> StatusOr<int> {
      run->up.data_dir = run->session.data_dir;
      run->up.json = run->session.json;
      return RunUp(run->up);
    };
  });
  CLI::App* ping = app->add_subcommand("ping", "Tell whether a server answers, and where");
  ping->add_option("--wait", run->wait_seconds, "Wait for it up to so long")->type_name("SECONDS");
  ping->callback([run] { run->command = [run] { return RunPing(run->session, run->wait_seconds); }; });
}

void AddArtifacts(CLI::App* app, Run* run) {
  CLI::App* upload = app->add_subcommand("upload", "Send a model's folder to the store");
  upload->add_option("dir", run->first, "Folder with config.json and safetensors")->required();
  upload->add_option("--as", run->alias, "Name it; gets the next version (@v1, @v2, ...)")->type_name("models/NAME");
  upload->callback([run] { run->command = [run] { return RunUpload(run->session, run->first, run->alias); }; });

  CLI::App* artifacts = app->add_subcommand("artifacts", "List what the store holds");
  artifacts->callback([run] { run->command = [run] { return RunArtifacts(run->session); }; });

  CLI::App* download = app->add_subcommand("download", "Fetch an artifact into a folder; goes on where it was cut");
  download->add_option("artifact", run->first, "Id or alias")->required();
  download->add_option("dir", run->second, "Folder; made if missing")->required();
  download->callback([run] { run->command = [run] { return RunDownload(run->session, run->first, run->second); }; });

  CLI::App* report = app->add_subcommand("report", "Show the reports of artifacts as a table");
  report->add_option("artifacts", run->names, "Ids, aliases, or folders with a report.json")->required();
  report->callback([run] { run->command = [run] { return RunReport(run->session, run->names); }; });
}

void AddSubmitFlags(CLI::App* command, Run* run) {
  SubmitFlags* flags = &run->submit;
  command->add_option("--model", flags->model, "Alias, artifact id, or a folder given as ./DIR or /DIR");
  command->add_option("--as", flags->alias, "Alias of the result (default: jobs/<id>)");
  command->add_option("--request-id", flags->request_id, "The same id never makes a second job");
  command->add_option("--priority", flags->priority, "Larger goes first")->check(CLI::Range(-100, 100));
  command->add_flag("--no-cache", flags->no_cache, "Run it even when an equal job has been done before");
  command->add_flag("--watch", flags->watch, "Show its progress until it ends");
  command->add_flag("--validate-only", flags->validate_only, "Make no job: show the plan and the estimate");
  command->add_option("--after", flags->after, "Wait until this job has succeeded; may be repeated")->type_name("JOB");
  command->add_flag("--never-preempt", flags->never_preempt, "Once it runs, let it finish");
  command->add_option("--memory", flags->memory, "Of the host, at least (default: by the estimate)")->type_name("SIZE");
  command->add_option("--devices", flags->devices, "So many of a worker's devices")->check(CLI::Range(1, 16));
  command->add_option("--device-kind", flags->device_kind, "Of those devices (cuda)");
  command->add_option("--device-memory", flags->device_memory, "On each (default: the whole device)")->type_name("SIZE");
  command->add_option("--feature", flags->features, "The worker must have it, e.g. sm_90; may be repeated");
  command->add_option("--gang", flags->gang, "So many workers that run it together")->check(CLI::Range(1, 64));
}

Status NeedModel(const SubmitFlags& flags) {
  if (!flags.model.empty()) return absl::OkStatus();
  return InvalidInput("USAGE", "--model is required", "name an alias such as models/tiny, or a folder as ./DIR");
}

void AddSubmit(CLI::App* app, Run* run) {
  CLI::App* submit = app->add_subcommand("submit", "Run a recipe on a model, or a pipeline of several");
  submit->add_option("recipe", run->recipe, "YAML file; paths in it are relative to it");
  submit->add_option("--pipeline", run->pipeline, "YAML file of named steps, instead of a recipe")->type_name("FILE");
  AddSubmitFlags(submit, run);
  submit->callback([run] {
    run->command = [run]() -> StatusOr<int> {
      if (run->recipe.empty() == run->pipeline.empty()) {
        return InvalidInput("USAGE", "give a recipe, or --pipeline FILE", "see 'swage submit --help'");
      }
      if (!run->pipeline.empty()) {
        SWAGE_ASSIGN_OR_RETURN(const Pipeline pipeline, ReadPipeline(Env::Posix(), run->pipeline));
        return RunSubmitPipeline(run->session, pipeline, run->submit);
      }
      SWAGE_RETURN_IF_ERROR(NeedModel(run->submit));
      SWAGE_ASSIGN_OR_RETURN(const RecipeSource recipe, ReadRecipe(Env::Posix(), run->recipe));
      return RunSubmit(run->session, recipe, run->submit);
    };
  });
}

void AddQuantize(CLI::App* app, Run* run) {
  QuantizeFlags* flags = &run->quantize;
  CLI::App* quantize = app->add_subcommand("quantize", "Quantize a model: a recipe of one step, made from flags");
  AddSubmitFlags(quantize, run);
  quantize->add_option("--method", flags->method, "'swage methods' lists them")->capture_default_str();
  quantize->add_option("--format", flags->format, "Of the weights")->capture_default_str();
  quantize->add_option("--granularity", flags->granularity, "tensor, channel, group or block");
  quantize->add_option("--group-size", flags->group_size, "Weights that share a scale; implies group");
  quantize->add_flag("--asymmetric", flags->asymmetric, "With zero points");
  quantize->add_option("--activations", flags->activations, "Format of the activations, rounded as they come");
  quantize->add_option("--option", flags->options, "The method's own options")->type_name("NAME=VALUE");
  quantize->add_option("--target", flags->targets, "Modules to quantize (globs)");
  quantize->add_option("--ignore", flags->ignore, "Modules to leave (globs)");
  quantize->add_option("--calibrate", flags->calibrate, "Text to calibrate with")->type_name("FILE");
  quantize->add_option("--samples", flags->samples, "Windows of it")->capture_default_str();
  quantize->add_option("--evaluate", flags->evaluate, "Text to measure the perplexity on")->type_name("FILE");
  quantize->add_option("--window", flags->window, "Tokens a window")->capture_default_str();
  quantize->add_option("--max-windows", flags->max_windows, "Measure on the first so many only (0: all)");
  quantize->add_option("--export", flags->export_format, "Layout of the result");
  quantize->add_option("--seed", flags->seed, "Of everything random")->capture_default_str();
  quantize->callback([run, flags] {
    run->command = [run, flags]() -> StatusOr<int> {
      SWAGE_RETURN_IF_ERROR(NeedModel(run->submit));
      SWAGE_ASSIGN_OR_RETURN(const RecipeSource recipe, RecipeFromFlags(Env::Posix(), *flags));
      return RunSubmit(run->session, recipe, run->submit);
    };
  });
}

void AddJobs(CLI::App* app, Run* run) {
  CLI::App* jobs = app->add_subcommand("jobs", "List jobs, the newest first");
  jobs->add_option("--limit", run->limit, "At most so many")->check(CLI::Range(1, 100000))->capture_default_str();
  jobs->add_flag("--newest,!--oldest", run->newest_first, "Which come first (default: the newest)");
  jobs->callback([run] {
    run->command = [run] { return RunJobs(run->session, run->limit, !run->newest_first); };
  });

  const auto add = [&](const char* name, const char* meaning, std::function<StatusOr<int>()> command) {
    CLI::App* sub = app->add_subcommand(name, meaning);
    sub->add_option("job", run->first, "Its id")->required();
    sub->callback([run, command] { run->command = command; });
  };
  add("job", "Show one job", [run] { return RunJob(run->session, run->first); });
  add("watch", "Show a job's progress until it ends", [run] { return RunWatch(run->session, run->first); });
  add("delete", "Forget a job that has ended; its artifact stays", [run] { return RunDelete(run->session, run->first); });
  using Action = JobClient::Action;
  const auto add_action = [&](const char* name, const char* meaning, Action action) {
    add(name, meaning, [run, action] { return RunJobAction(run->session, action, run->first); });
  };
  add_action("cancel", "End a job", Action::kCancel);
  add_action("pause", "Take a job off its worker and keep it", Action::kPause);
  add_action("resume", "Queue a paused job again", Action::kResume);
  add_action("retry", "Queue a failed or cancelled job again, and the jobs that failed with it", Action::kRetry);
}

void AddLocal(CLI::App* app, Run* run) {
  CLI::App* methods = app->add_subcommand("methods", "List methods, or show one with its options");
  methods->add_option("name", run->first, "Of a method");
  methods->callback([run] { run->command = [run] { return RunMethods(run->session, run->first); }; });

  CLI::App* compress = app->add_subcommand("compress", "Run a recipe on a folder, here, without a server");
  compress->add_option("--model", run->model, "Folder of the model")->required();
  compress->add_option("--recipe", run->recipe, "YAML file")->required();
  compress->add_option("--out", run->out, "Folder of the result; must not exist")->required();
  compress->add_option("--threads", run->threads, "0: all cores")->check(CLI::Range(0, 4096));
  compress->add_option("--cache", run->cache, "Folder of what later runs on this model may use again (statistics)");
  compress->callback([run] {
    run->command = [run] { return RunCompress(run->session, run->model, run->recipe, run->out, run->threads, run->cache); };
  });

  EvalRequest* request = &run->eval;
  CLI::App* eval = app->add_subcommand("eval", "Measure the perplexity of a model or artifact, without a server");
  eval->add_option("--model", request->model_dir, "Folder: dense, or one of our artifacts")->required();
  eval->add_option("--text", request->text_file, "UTF-8 text")->required();
  eval->add_option("--window", request->window, "Tokens a window")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  eval->add_option("--max-windows", request->max_windows, "The first so many (0: all)")->check(CLI::NonNegativeNumber);
  eval->add_option("--logits", request->logits_out, "Also write logits there (.npy, f32)")->type_name("FILE");
  eval->add_option("--tokens", request->logits_tokens, "Of so many first tokens")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  eval->add_option("--dtype", request->compute, "Arithmetic")->check(CLI::IsMember({"f32", "bf16"}))->capture_default_str();
  eval->add_option("--threads", request->threads, "0: all cores")->check(CLI::Range(0, 4096));
  eval->callback([run, request] { run->command = [run, request] { return RunEval(run->session, *request); }; });

  TokenizeRequest* flags = &run->tokenize;
  CLI::App* tokenize = app->add_subcommand("tokenize", "Turn a text into token ids, as the model's tokenizer.json says");
  tokenize->add_option("--model", flags->model_dir, "Folder with tokenizer.json")->required();
  tokenize->add_option("--text", flags->text_file, "UTF-8 text; what is none becomes U+FFFD")->required()->type_name("FILE");
  tokenize->add_option("--out", flags->out, "Write the ids there (.npy, i32)")->type_name("FILE");
  tokenize->add_flag("!--no-special-tokens", flags->special_tokens, "Without the BOS or EOS that belong around a text");
  tokenize->callback([run, flags] { run->command = [run, flags] { return RunTokenize(run->session, *flags); }; });
}

void AddState(CLI::App* app, Run* run) {
  CLI::App* state = app->add_subcommand("state", "Work on the scheduler's state itself, without a server");
  state->require_subcommand(1);
  CLI::App* copy = state->add_subcommand("copy", "Move all jobs from one state to another, SQLite or Redis");
  copy->add_option("--from", run->first, "As of swage-scheduler --state")->type_name("URI")->required();
  copy->add_option("--to", run->second, "The same; must be empty")->type_name("URI")->required();
  copy->add_flag("--force", run->force, "Depose a scheduler that still leads there");
  copy->callback([run] {
    run->command = [run] { return RunStateCopy(run->session, run->first, run->second, run->force); };
  });
}

void AddGlobals(CLI::App* app, Run* run) {
  app->add_option("--data", run->session.data_dir, "Data folder: where `swage up` keeps everything")
      ->default_str(DefaultDataDir());
  app->add_option("--server", run->session.server, "Address of control, when it is not that of the data folder")
      ->type_name("HOST:PORT");
  app->add_option("--tenant", run->session.tenant, "Whose jobs and artifacts")->capture_default_str();
  app->add_flag("--json", run->session.json, "JSON on stdout, for programs");
  app->add_flag("--no-color", [run](int64_t) { run->session.color = false; }, "No colours");
}

int Fail(const Session& session, const Status& status) {
  if (session.json) {
    PrintOut(ErrorJson(status));
  } else {
    PrintErr(ErrorText(status));
  }
  return ExitCodeOf(status);
}

int FailUsage(const CLI::App& app, const Session& session, const CLI::ParseError& error) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(error);  // --help, --version
  std::string command = "swage";
  for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    command += " " + at->get_name();
  }
  return Fail(session, InvalidInput("USAGE", error.what(), Cat("see '", command, " --help'")));
}

}  // namespace

int ParseAndRun(int argc, char** argv) {
  Run run;
  CLI::App app("Swage makes models smaller.", "swage");
  app.set_version_flag("--version", Cat("swage ", kVersion));
  app.require_subcommand(1);
  app.fallthrough();  // --data and the like may stand after the command too
  app.get_formatter()->column_width(34);
  AddGlobals(&app, &run);
  AddUp(&app, &run);
  AddArtifacts(&app, &run);
  AddSubmit(&app, &run);
  AddQuantize(&app, &run);
  AddJobs(&app, &run);
  AddOperate(&app, &run.session, &run.operate, &run.command);
  AddLocal(&app, &run);
  AddState(&app, &run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return FailUsage(app, run.session, error);
  }
  if (run.session.data_dir.empty()) run.session.data_dir = DefaultDataDir();
  run.session.data_dir = AbsolutePath(run.session.data_dir);
  const StatusOr<int> code = run.command();
  return code.ok() ? *code : Fail(run.session, code.status());
}

}  // namespace swage
