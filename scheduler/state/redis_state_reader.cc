#include "scheduler/state/redis_state_reader.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace swage {
namespace {

constexpr size_t kPage = 1000;  // Redis answers nobody else meanwhile

uint64_t ToNumber(std::string_view text) {
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

Status Malformed(std::string_view key) {
  return DataLoss("STATE_CORRUPT",
                  Cat("what Redis holds under '", key, "' was not written by Swage"),
                  "use another ?namespace= or db, or restore Redis from a backup");
}

// "<version>\n<value>"
StatusOr<Record> ToRecord(const std::string& key, std::string_view bytes) {
  const size_t end = bytes.find('\n');
  const uint64_t version = ToNumber(bytes.substr(0, std::min(end, bytes.size())));
  if (end == std::string_view::npos || version == 0) return Malformed(key);
  return Record{key, version, std::string(bytes.substr(end + 1))};
}

// [id, [s, stream, n, stream sequence, v, value]]
StatusOr<StoredEvent> ToEvent(RedisValue entry) {
  const RedisValue fields = entry[1];
  if (fields.size() != 6) return Malformed("events");
  return StoredEvent{SequenceOfId(entry[0].text()), ToNumber(fields[3].text()),
                     std::string(fields[1].text()), std::string(fields[5].text())};
}

Status AppendEvents(RedisValue entries, std::vector<StoredEvent>* events) {
  for (size_t i = 0; i < entries.size(); ++i) {
    SWAGE_ASSIGN_OR_RETURN(StoredEvent event, ToEvent(entries[i]));
    events->push_back(std::move(event));
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t SequenceOfId(std::string_view id) {
  const size_t dash = id.find('-');
  return dash == std::string_view::npos ? 0 : ToNumber(id.substr(dash + 1));
}

StatusOr<RedisReply> RedisStateReader::Ask(const RedisCommand& command) {
  Asking mine{&command, RedisReply()};
  queue_.Run(&mine, [this](const std::vector<Asking*>& group) { AskTogether(group); });
  return std::move(mine.reply);
}

void RedisStateReader::AskTogether(const std::vector<Asking*>& group) {
  std::string bytes;
  for (const Asking* asking : group) bytes += asking->command->bytes();
  const int timeout_ms = endpoint_->target().timeout_ms;
  RedisLink::Outcome outcome = link_.Run(bytes, group.size(), timeout_ms);
  // Reading twice harms nobody.
  if (ReasonOf(outcome.status) == "REDIS_LOST")
    outcome = link_.Run(bytes, group.size(), timeout_ms);
  for (size_t i = 0; i < group.size(); ++i) {
    if (i >= outcome.replies.size()) {
      group[i]->reply = outcome.status;
    } else if (const RedisValue value = outcome.replies[i].value(); value.is_error()) {
      group[i]->reply = link_.ErrorOf(value.text());
    } else {
      group[i]->reply = std::move(outcome.replies[i]);
    }
  }
}

StatusOr<RedisReply> RedisStateReader::Ask(RedisScript script, const std::vector<std::string>& keys,
                                           const std::vector<std::string_view>& arguments) {
  auto reply = Ask(endpoint_->Evaluate(script, false, keys, arguments));
  if (reply.ok() || MessageOf(reply.status()).find("NOSCRIPT") == std::string::npos) return reply;
  return Ask(endpoint_->Evaluate(script, true, keys, arguments));
}

StatusOr<std::vector<std::optional<Record>>> RedisStateReader::MultiGet(
    const std::vector<std::string>& keys) {
  std::vector<std::optional<Record>> found;
  if (keys.empty()) return found;
  RedisCommand command(1 + keys.size());
  command.Add("MGET");
  for (const std::string& key : keys) command.Add(endpoint_->Key("r:" + key));
  SWAGE_ASSIGN_OR_RETURN(const RedisReply reply, Ask(command));
  found.resize(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    const RedisValue bytes = reply.value()[i];
    if (bytes.is_nil()) continue;
    SWAGE_ASSIGN_OR_RETURN(found[i], ToRecord(keys[i], bytes.text()));
  }
  return found;
}

// Names whose record has been deleted since they were read are passed over.
Status RedisStateReader::AppendRecords(RedisValue names, std::vector<Record>* records) {
  if (names.size() == 0) return absl::OkStatus();
  std::vector<std::string> keys;
  keys.reserve(names.size());
  for (size_t i = 0; i < names.size(); ++i) keys.emplace_back(names[i].text());
  SWAGE_ASSIGN_OR_RETURN(auto found, MultiGet(keys));
  for (std::optional<Record>& record : found) {
    if (record.has_value()) records->push_back(std::move(*record));
  }
  return absl::OkStatus();
}

// From `begin` to `end`, both as ZRANGE BYLEX takes them; `back` when begin is the greater.
StatusOr<std::vector<Record>> RedisStateReader::Range(std::string begin, const std::string& end,
                                                      bool back, size_t limit) {
  std::vector<Record> found;
  while (found.size() < limit) {
    const size_t page = std::min(kPage, limit - found.size());
    RedisCommand range(back ? 9 : 8);
    for (const std::string& word : {std::string("ZRANGE"), endpoint_->Key("keys"), begin, end})
      range.Add(word);
    range.Add("BYLEX");
    if (back) range.Add("REV");
    for (const std::string& word : {std::string("LIMIT"), std::string("0"), Cat(page)})
      range.Add(word);
    SWAGE_ASSIGN_OR_RETURN(const RedisReply reply, Ask(range));
    const RedisValue names = reply.value();
    SWAGE_RETURN_IF_ERROR(AppendRecords(names, &found));
    if (names.size() < page) break;
    begin = Cat("(", names[names.size() - 1].text());
  }
  return found;
}

StatusOr<std::vector<Record>> RedisStateReader::Scan(const std::string& prefix,
                                                     const std::string& after, size_t limit) {
  // Keys are UTF-8 and never hold the byte 0xff.
  return Range(after < prefix ? Cat("[", prefix) : Cat("(", after), Cat("(", prefix, "\xff"), false,
               limit);
}

StatusOr<std::vector<Record>> RedisStateReader::ScanBack(const std::string& prefix,
                                                         const std::string& before, size_t limit) {
  const std::string end = prefix + '\xff';
  return Range(Cat("(", before.empty() ? end : std::min(before, end)), Cat("[", prefix), true, limit);
}

StatusOr<std::vector<StoredEvent>> RedisStateReader::ReadEvents(uint64_t after_sequence,
                                                                size_t limit) {
  std::vector<StoredEvent> found;
  while (found.size() < limit) {
    const size_t page = std::min(kPage, limit - found.size()), before = found.size();
    const RedisCommand range({"XRANGE", endpoint_->Key("events"), Cat("(0-", after_sequence), "+",
                              "COUNT", Cat(page)});
    SWAGE_ASSIGN_OR_RETURN(const RedisReply reply, Ask(range));
    SWAGE_RETURN_IF_ERROR(AppendEvents(reply.value(), &found));
    if (found.size() - before < page) break;
    after_sequence = found.back().sequence;
  }
  return found;
}

StatusOr<std::vector<StoredEvent>> RedisStateReader::ReadStream(const std::string& stream,
                                                                uint64_t after_stream_sequence,
                                                                size_t limit) {
  std::vector<StoredEvent> found;
  while (found.size() < limit) {
    const size_t page = std::min(kPage, limit - found.size()), before = found.size();
    SWAGE_ASSIGN_OR_RETURN(
        const RedisReply reply,
        Ask(kReadStream, {endpoint_->Key("s:" + stream), endpoint_->Key("events")},
            {Cat(after_stream_sequence), Cat(page)}));
    SWAGE_RETURN_IF_ERROR(AppendEvents(reply.value(), &found));
    if (found.size() - before < page) break;
    after_stream_sequence = found.back().stream_sequence;
  }
  return found;
}

// A hash has no order; this is for copying a state, which is rare.
StatusOr<std::vector<StreamEnd>> RedisStateReader::ScanStreamEnds(const std::string& after,
                                                                  size_t limit) {
  SWAGE_ASSIGN_OR_RETURN(const RedisReply reply,
                         Ask(RedisCommand({"HGETALL", endpoint_->Key("ends")})));
  std::vector<StreamEnd> found;
  for (size_t i = 0; i + 1 < reply.value().size(); i += 2) {
    std::string stream(reply.value()[i].text());
    if (stream > after) found.push_back({std::move(stream), ToNumber(reply.value()[i + 1].text())});
  }
  std::sort(found.begin(), found.end(),
            [](const StreamEnd& a, const StreamEnd& b) { return a.stream < b.stream; });
  if (found.size() > limit) found.resize(limit);
  return found;
}

StatusOr<uint64_t> RedisStateReader::LastSequence() {
  const auto reply = Ask(RedisCommand({"XINFO", "STREAM", endpoint_->Key("events")}));
  if (!reply.ok()) {  // before the first event there is no such key
    if (MessageOf(reply.status()).find("no such key") != std::string::npos) return uint64_t{0};
    return reply.status();
  }
  const RedisValue fields = reply->value();
  for (size_t i = 0; i + 1 < fields.size(); i += 2) {
    if (fields[i].text() == "last-generated-id") return SequenceOfId(fields[i + 1].text());
  }
  return Malformed("events");
}

StatusOr<uint64_t> RedisStateReader::Incarnation() {
  SWAGE_ASSIGN_OR_RETURN(const RedisReply reply,
                         Ask(RedisCommand({"GET", endpoint_->Key("leader")})));
  return ToNumber(reply.value().text());
}

}  // namespace swage
