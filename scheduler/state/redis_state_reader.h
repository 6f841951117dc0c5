// What the Redis state store reads, over a connection of its own, so that a large page does not
// hold up a write. Calls of several threads go out together. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "scheduler/state/group_queue.h"
#include "scheduler/state/redis_link.h"
#include "scheduler/state/state_store.h"

namespace swage {

// Places of the scripts in the list that the endpoint gets.
enum RedisScript : size_t { kApply, kReadStream, kTakeLeadership };

class RedisStateReader {
 public:
  explicit RedisStateReader(RedisEndpoint* endpoint) : endpoint_(endpoint), link_(endpoint) {}
  Status Open() { return link_.Open(); }

  StatusOr<std::vector<std::optional<Record>>> MultiGet(const std::vector<std::string>& keys);
  StatusOr<std::vector<Record>> Scan(const std::string& prefix, const std::string& after,
                                     size_t limit);
  StatusOr<std::vector<StoredEvent>> ReadEvents(uint64_t after_sequence, size_t limit);
  StatusOr<std::vector<StoredEvent>> ReadStream(const std::string& stream,
                                                uint64_t after_stream_sequence, size_t limit);
  StatusOr<std::vector<Record>> ScanBack(const std::string& prefix, const std::string& before,
                                         size_t limit);
  StatusOr<std::vector<StreamEnd>> ScanStreamEnds(const std::string& after, size_t limit);
  StatusOr<uint64_t> LastSequence();
  StatusOr<uint64_t> Incarnation();

 private:
  struct Asking {
    const RedisCommand* command;
    StatusOr<RedisReply> reply;
  };
  StatusOr<RedisReply> Ask(const RedisCommand& command);
  StatusOr<RedisReply> Ask(RedisScript script, const std::vector<std::string>& keys,
                           const std::vector<std::string_view>& arguments);
  StatusOr<std::vector<Record>> Range(std::string begin, const std::string& end, bool back,
                                      size_t limit);
  Status AppendRecords(RedisValue names, std::vector<Record>* records);
  void AskTogether(const std::vector<Asking*>& group);

  RedisEndpoint* const endpoint_;
  GroupQueue<Asking> queue_{64};
  RedisLink link_;
};

// "0-17" -> 17: how sequences are written as ids of the stream `events`.
uint64_t SequenceOfId(std::string_view id);

}  // namespace swage
