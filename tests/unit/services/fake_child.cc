// A child process that computes nothing: its "result" is the model's config and a report. What it does is chosen by the
// recipe's seed, so that the platform's tests reach every end of an attempt quickly:
//   0 succeeds   1 aborts   2 fails as the engine fails   3 runs until it is asked to stop (in whichever way)   4 is killed from outside
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "workers/job/child.h"
#include "workers/recipe/recipe.h"

namespace {

constexpr int kFd = 3;

std::string ReadLine() {
  std::string line;
  char c = 0;
  while (::recv(kFd, &c, 1, 0) == 1 && c != '\n') line += c;
  return line;
}

void Say(const swage::ChildMessage& message) {
  const std::string line = swage::EncodeMessage(message) + "\n";
  if (::send(kFd, line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) std::exit(3);
}

void SayStage(const std::string& stage, double fraction) {
  swage::ChildMessage message;
  message.progress.stage = stage;
  message.progress.fraction = fraction;
  Say(message);
}

int Fail(const swage::Status& status) {
  swage::ChildMessage message;
  message.kind = swage::ChildMessage::Kind::kFailed;
  message.failure = status;
  Say(message);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3) return swage::RunAsChild(argc, argv).value_or(2);  // __probe
  const auto run = swage::DecodeRun(ReadLine());
  if (!run.ok()) return 2;
  const auto recipe = swage::RecipeFromJson(run->request.recipe_json);
  if (!recipe.ok()) return 2;
  SayStage("load", 0.1);
  switch (recipe->seed) {
    case 1: std::abort();
    case 2: return Fail(swage::InvalidInput("NAN_WEIGHTS", "q_proj has NaN", "repair the checkpoint"));
    case 3: return swage::StartsWith(ReadLine(), "{") ? Fail(swage::Status(swage::StatusCode::kCancelled, "stopped")) : 3;
    case 4: ::kill(::getpid(), SIGKILL);
  }
  SayStage("block[0]", 0.5);
  const std::filesystem::path out = run->request.out_dir;
  std::filesystem::create_directories(out);
  std::filesystem::copy_file(std::filesystem::path(run->request.model_dir) / "config.json", out / "config.json");
  std::ofstream(out / "report.json") << "{\"job\": \"" << run->job << "\"}\n";
  swage::ChildMessage done;
  done.kind = swage::ChildMessage::Kind::kDone;
  Say(done);
  return 0;
}
