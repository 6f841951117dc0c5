#include "scheduler/state/redis_connection.h"

#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

namespace swage {
namespace {

const redisReply* Raw(const void* raw) { return static_cast<const redisReply*>(raw); }

void AppendArgument(std::string_view argument, std::string* bytes) {
  bytes->append("$").append(std::to_string(argument.size())).append("\r\n");
  bytes->append(argument).append("\r\n");
}

constexpr char kCheckServer[] = "check that redis-server runs there and that --state names it";

}  // namespace

int64_t SteadyMillis() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string RedisAddress::ToString() const { return path.empty() ? Cat(host, ":", port) : path; }

RedisCommand::RedisCommand(size_t arguments) : bytes_(Cat("*", arguments, "\r\n")) {}

RedisCommand::RedisCommand(std::initializer_list<std::string_view> arguments)
    : RedisCommand(arguments.size()) {
  for (const std::string_view argument : arguments) AppendArgument(argument, &bytes_);
}

RedisCommand& RedisCommand::Add(std::string_view argument) {
  AppendArgument(argument, &bytes_);
  return *this;
}

bool RedisValue::is_nil() const { return raw_ == nullptr || Raw(raw_)->type == REDIS_REPLY_NIL; }
bool RedisValue::is_error() const {
  return raw_ != nullptr && Raw(raw_)->type == REDIS_REPLY_ERROR;
}
bool RedisValue::is_array() const {
  return raw_ != nullptr && Raw(raw_)->type == REDIS_REPLY_ARRAY;
}

std::string_view RedisValue::text() const {
  if (raw_ == nullptr || Raw(raw_)->str == nullptr) return {};
  return {Raw(raw_)->str, Raw(raw_)->len};
}

int64_t RedisValue::integer() const {
  return raw_ != nullptr && Raw(raw_)->type == REDIS_REPLY_INTEGER ? Raw(raw_)->integer : 0;
}

size_t RedisValue::size() const { return is_array() ? Raw(raw_)->elements : 0; }

RedisValue RedisValue::operator[](size_t index) const {
  return RedisValue(index < size() ? Raw(raw_)->element[index] : nullptr);
}

void RedisReply::Free::operator()(void* raw) const { freeReplyObject(raw); }
void RedisConnection::FreeReader::operator()(void* reader) const {
  redisReaderFree(static_cast<redisReader*>(reader));
}

RedisConnection::RedisConnection(RedisAddress address, int fd)
    : address_(std::move(address)), fd_(fd), reader_(redisReaderCreate()) {}

RedisConnection::~RedisConnection() { close(fd_); }

StatusOr<std::unique_ptr<RedisConnection>> RedisConnection::Connect(const RedisAddress& address,
                                                                    int timeout_ms) {
  const timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
  redisContext* context =
      address.path.empty()
          ? redisConnectWithTimeout(address.host.c_str(), address.port, timeout)
          : redisConnectUnixWithTimeout(address.path.c_str(), timeout);
  if (context == nullptr) return Internal("hiredis: out of memory");
  if (context->err != 0) {
    const std::string why = context->errstr;
    redisFree(context);
    return Unavailable("REDIS_UNREACHABLE",
                       Cat("Redis at ", address.ToString(), " does not answer: ", why),
                       kCheckServer);
  }
  redisEnableKeepAlive(context);
  const int fd = redisFreeKeepFd(context);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  return std::unique_ptr<RedisConnection>(new RedisConnection(address, fd));
}

Status RedisConnection::Lost(std::string_view doing) const {
  return Unavailable("REDIS_LOST",
                     Cat("the connection to Redis at ", address_.ToString(), " broke while ", doing),
                     "it is made again by itself; when this repeats, read the log of redis-server");
}

Status RedisConnection::Wait(short events, int64_t deadline_ms) const {
  while (true) {
    const int64_t left = deadline_ms - SteadyMillis();
    pollfd waiting = {fd_, events, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(std::max<int64_t>(left, 0)));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return Lost("waiting");
    if (ready == 0 && left <= 0) {
      return Unavailable("REDIS_TIMEOUT",
                         Cat("Redis at ", address_.ToString(), " did not answer in time"),
                         "see what keeps it: `redis-cli --latency`, `redis-cli SLOWLOG GET`, its "
                         "disk; ?timeout_ms= in the URI waits longer");
    }
  }
}

Status RedisConnection::Send(std::string_view bytes, int timeout_ms, size_t* sent) {
  const int64_t deadline_ms = SteadyMillis() + timeout_ms;
  *sent = 0;
  while (*sent < bytes.size()) {
    const ssize_t n = send(fd_, bytes.data() + *sent, bytes.size() - *sent, MSG_NOSIGNAL);
    if (n > 0) {
      *sent += static_cast<size_t>(n);
    } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      SWAGE_RETURN_IF_ERROR(Wait(POLLOUT, deadline_ms));
    } else if (n == 0 || errno != EINTR) {
      return Lost("sending");
    }
  }
  return absl::OkStatus();
}

StatusOr<RedisReply> RedisConnection::Receive(int timeout_ms) {
  const int64_t deadline_ms = SteadyMillis() + timeout_ms;
  auto* reader = static_cast<redisReader*>(reader_.get());
  char buffer[65536];
  while (true) {
    void* raw = nullptr;
    if (redisReaderGetReply(reader, &raw) != REDIS_OK) {
      return Unavailable("REDIS_PROTOCOL",
                         Cat("what answers at ", address_.ToString(),
                             " does not speak RESP2: ", reader->errstr),
                         kCheckServer);
    }
    if (raw != nullptr) return RedisReply(raw);
    const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
    if (n > 0) {
      redisReaderFeed(reader, buffer, static_cast<size_t>(n));
    } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      SWAGE_RETURN_IF_ERROR(Wait(POLLIN, deadline_ms));
    } else if (n == 0 || errno != EINTR) {
      return Lost("waiting for an answer");
    }
  }
}

StatusOr<RedisReply> RedisConnection::Call(const RedisCommand& command, int timeout_ms) {
  size_t sent = 0;
  SWAGE_RETURN_IF_ERROR(Send(command.bytes(), timeout_ms, &sent));
  return Receive(timeout_ms);
}

bool RedisConnection::Usable() const {
  pollfd idle = {fd_, POLLIN | POLLRDHUP, 0};
  return poll(&idle, 1, 0) == 0;  // nothing is owed, so anything to read is the end
}

Status RedisError(std::string_view reply, const RedisAddress& from) {
  static constexpr struct {
    std::string_view code, reason, next_step;
  } kKnown[] = {
      {"NOAUTH", "REDIS_AUTH", "give the password: redis://:PASSWORD@host, or ?password_file="},
      {"WRONGPASS", "REDIS_AUTH", "correct the password in the URI or in the password file"},
      {"NOPERM", "REDIS_AUTH", "allow this user all commands on the keys of the namespace (ACL)"},
      {"READONLY", "REDIS_NOT_MASTER",
       "name the master in the URI, or let Sentinel find it: redis+sentinel://"},
      {"LOADING", "REDIS_LOADING", "Redis reads its files after a start; it is tried again"},
      {"OOM", "REDIS_OOM",
       "give Redis more memory: raise maxmemory in redis.conf and by `redis-cli CONFIG SET "
       "maxmemory`"},
      {"MISCONF", "REDIS_DISK",
       "Redis cannot write to its disk: make room in its folder and read its log"},
      {"NOREPLICAS", "REDIS_NO_REPLICA",
       "start the replicas that min-replicas-to-write of redis.conf asks for"},
      {"MOVED", "REDIS_CLUSTER",
       "Swage's state is one hash slot: name a single master, not a Redis Cluster"},
      {"BUSY", "REDIS_BUSY", "another client's script holds Redis: `redis-cli SCRIPT KILL`"},
  };
  const std::string message = Cat("Redis at ", from.ToString(), " says: ", reply);
  for (const auto& known : kKnown) {
    if (!StartsWith(reply, known.code)) continue;
    const bool ours = known.reason == "REDIS_AUTH" || known.reason == "REDIS_CLUSTER";
    return Error(ours ? StatusCode::kFailedPrecondition : StatusCode::kUnavailable, known.reason,
                 message, known.next_step);
  }
  return Unavailable("REDIS_ERROR", message, "read the log of redis-server");
}

}  // namespace swage
