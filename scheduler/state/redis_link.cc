#include "scheduler/state/redis_link.h"

#include <utility>

namespace swage {

Status RedisLink::Reconnect() {
  connection_ = nullptr;
  SWAGE_ASSIGN_OR_RETURN(connection_, endpoint_->Connect());
  last_address_ = connection_->address();
  return absl::OkStatus();
}

Status RedisLink::Open() { return Reconnect(); }

RedisLink::Outcome RedisLink::Run(const std::string& bytes, size_t count, int timeout_ms) {
  Outcome outcome;
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (connection_ == nullptr || !connection_->Usable()) {
      outcome.status = Reconnect();
      if (!outcome.status.ok()) return outcome;
    }
    size_t sent = 0;
    outcome.status = connection_->Send(bytes, timeout_ms, &sent);
    outcome.sent = sent > 0;
    if (outcome.status.ok()) break;
    connection_ = nullptr;
    if (outcome.sent) return outcome;
  }
  if (!outcome.status.ok()) return outcome;
  bool stale = false;
  while (outcome.replies.size() < count) {
    auto reply = connection_->Receive(timeout_ms);
    outcome.status = reply.status();
    if (!reply.ok()) {
      connection_ = nullptr;  // its answers would be taken for those of the next commands
      return outcome;
    }
    // A master no more: the next caller asks for the one there is now.
    stale = stale || (reply->value().is_error() && StartsWith(reply->value().text(), "READONLY"));
    outcome.replies.push_back(std::move(*reply));
  }
  if (stale) connection_ = nullptr;
  return outcome;
}

StatusOr<RedisReply> RedisLink::Read(const RedisCommand& command, int timeout_ms) {
  Outcome outcome = Run(command.bytes(), 1, timeout_ms);
  if (ReasonOf(outcome.status) == "REDIS_LOST") outcome = Run(command.bytes(), 1, timeout_ms);
  SWAGE_RETURN_IF_ERROR(outcome.status);
  if (outcome.replies[0].value().is_error()) return ErrorOf(outcome.replies[0].value().text());
  return std::move(outcome.replies[0]);
}

Status RedisLink::ErrorOf(std::string_view reply) const { return RedisError(reply, last_address_); }

}  // namespace swage
