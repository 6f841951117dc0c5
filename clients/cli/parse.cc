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
#include "clients/cli/session.h"
#include "clients/cli/state.h"
#include "clients/cli/submit.h"
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
  std::string first, second, alias, model, recipe, out;
  std::vector<std::string> names;
  int limit = 100, threads = 0;
  double wait_seconds = 0;
  bool undo = false, force = false;
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
  command->add_option("--model", run->submit.model, "Alias, artifact id, or a folder given as ./DIR or /DIR")->required();
  command->add_option("--as", run->submit.alias, "Alias of the result (default: jobs/<id>)");
  command->add_option("--request-id", run->submit.request_id, "The same id never makes a second job");
  command->add_option("--priority", run->submit.priority, "Larger goes first")->check(CLI::Range(-100, 100));
  command->add_flag("--no-cache", run->submit.no_cache, "Run it even when an equal job has been done before");
  command->add_flag("--watch", run->submit.watch, "Show its progress until it ends");
  command->add_flag("--validate-only", run->submit.validate_only, "Make no job: show the plan and the estimate");
}

void AddSubmit(CLI::App* app, Run* run) {
  CLI::App* submit = app->add_subcommand("submit", "Run a recipe on a model");
  submit->add_option("recipe", run->recipe, "YAML file; paths in it are relative to it")->required();
  AddSubmitFlags(submit, run);
  submit->callback([run] {
    run->command = [run]() -> StatusOr<int> {
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
  quantize->add_option("--granularity", flags->granularity, "tensor, channel or group");
  quantize->add_option("--group-size", flags->group_size, "Weights that share a scale; implies group");
  quantize->add_flag("--asymmetric", flags->asymmetric, "With zero points");
  quantize->add_option("--activations", flags->activations, "Format of the activations, dynamic per token");
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
      SWAGE_ASSIGN_OR_RETURN(const RecipeSource recipe, RecipeFromFlags(Env::Posix(), *flags));
      return RunSubmit(run->session, recipe, run->submit);
    };
  });
}

void AddJobs(CLI::App* app, Run* run) {
  CLI::App* jobs = app->add_subcommand("jobs", "List jobs");
  jobs->add_option("--limit", run->limit, "At most so many")->check(CLI::Range(1, 100000))->capture_default_str();
  jobs->callback([run] { run->command = [run] { return RunJobs(run->session, run->limit); }; });

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
  add_action("retry", "Queue a failed or cancelled job again", Action::kRetry);

  CLI::App* workers = app->add_subcommand("workers", "List workers");
  workers->callback([run] { run->command = [run] { return RunWorkers(run->session); }; });
  CLI::App* drain = app->add_subcommand("drain", "Give a worker nothing new");
  drain->add_option("worker", run->first, "Its id")->required();
  drain->add_flag("--undo", run->undo, "Give it jobs again");
  drain->callback([run] { run->command = [run] { return RunDrain(run->session, run->first, run->undo); }; });
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
  compress->callback([run] {
    run->command = [run] { return RunCompress(run->session, run->model, run->recipe, run->out, run->threads); };
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
  for (const CLI::App* sub : app.get_subcommands()) command += " " + sub->get_name();
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
