// Gangs of threads and of processes for tests. A process is this test's own binary, told by its environment to be a
// member; the test stands in the place of the scheduler between them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "workers/runtime/reducer.h"

namespace swage {

// Runs `member` once a rank, each on a thread of its own; `change` may alter what the member named hears.
using Change = std::function<void(int rank, std::vector<std::string>* said)>;
void RunGang(int world, int64_t deadline_ms, const std::function<void(StatusOr<std::unique_ptr<Reducer>>)>& member,
             const Change& change = nullptr);

// A process that runs the test GangMember.RunsWhenAsked with `environment`, and speaks lines.
class MemberProcess {
 public:
  explicit MemberProcess(const std::vector<std::string>& environment);
  ~MemberProcess();  // kills and reaps
  MemberProcess(const MemberProcess&) = delete;
  std::string Next();  // a line; "" at the end
  void Say(const std::string& line);
  void Signal(int number);

 private:
  int pid_ = -1, socket_ = -1;
  std::string pending_;
};
// Hands each what all said.
void Introduce(const std::vector<std::unique_ptr<MemberProcess>>& members);
// The member's own side, over fd 3.
StatusOr<std::unique_ptr<Reducer>> ConnectAsMember(int rank, int world, int64_t deadline_ms);
void SayAsMember(const std::string& line);

}  // namespace swage
