#include "scheduler/state/state_uri.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/env.h"
#include "scheduler/state/state_store.h"

namespace swage {
namespace {

constexpr char kForms[] =
    "write one of: memory: | sqlite:PATH | a path | redis://[:PASSWORD@]HOST[:PORT][/DB] | "
    "redis+unix:///PATH[?db=N] | redis+sentinel://HOST:PORT,HOST:PORT/MASTER[/DB]";
constexpr char kParameters[] =
    "after '?' are allowed: durability=everysec|always|replica, namespace=NAME, timeout_ms=N, "
    "password_file=PATH, and db=N with redis+unix";
constexpr size_t kUriBytes = 4096, kPasswordBytes = 4096, kNamespaceBytes = 64;
constexpr int kRedisPort = 6379, kSentinelPort = 26379;

Status Wrong(std::string_view what) { return InvalidInput("STATE_URI", what, kForms); }
Status WrongParameter(std::string_view what) {
  return InvalidInput("STATE_URI", what, kParameters);
}

std::optional<int> Number(std::string_view text, int least, int most) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value >= least && value <= most ? std::optional(value) : std::nullopt;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

StatusOr<std::string> Decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = high >= 0 ? HexDigit(text[i + 2]) : -1;
    if (low < 0) return Wrong("a '%' in the state's URI is not followed by two hex digits");
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

// "text" up to the first `separator`, which is taken off with it; all of it when there is none.
std::string_view TakeUpTo(char separator, std::string_view* text) {
  const size_t at = text->find(separator);
  const std::string_view taken = text->substr(0, at);
  *text = at == std::string_view::npos ? std::string_view() : text->substr(at + 1);
  return taken;
}

StatusOr<RedisAddress> ParseAddress(std::string_view text, int default_port) {
  RedisAddress address;
  address.port = default_port;
  if (StartsWith(text, "[")) {  // IPv6
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return Wrong(Cat("'", text, "' lacks its ']'"));
    address.host = std::string(text.substr(1, end - 1));
    text.remove_prefix(end + 1);
  } else {
    const size_t end = std::min(text.find(':'), text.size());
    address.host = std::string(text.substr(0, end));
    text.remove_prefix(end);
  }
  if (!text.empty()) {
    const auto port = text[0] == ':' ? Number(text.substr(1), 1, 65535) : std::nullopt;
    if (!port.has_value()) return Wrong(Cat("'", text, "' in the state's URI is no port"));
    address.port = *port;
  }
  if (address.host.empty()) return Wrong("the state's URI names no host");
  return address;
}

Status SetDurability(std::string_view value, RedisTarget* redis) {
  if (value == "everysec") {
    redis->durability = Durability::kEverySecond;
  } else if (value == "always") {
    redis->durability = Durability::kAlways;
  } else if (value == "replica") {
    redis->durability = Durability::kReplica;
  } else {
    return WrongParameter(Cat("there is no durability '", value, "'"));
  }
  return absl::OkStatus();
}

Status SetNamespace(std::string_view value, RedisTarget* redis) {
  const bool good = !value.empty() && value.size() <= kNamespaceBytes &&
                    value.find_first_of("{}:*?[]\\ ") == std::string_view::npos;
  if (!good) return WrongParameter(Cat("'", value, "' is no namespace"));
  redis->name_space = std::string(value);
  return absl::OkStatus();
}

Status SetPasswordFile(std::string_view value, RedisTarget* redis) {
  SWAGE_ASSIGN_OR_RETURN(const std::string path, Decoded(value));
  SWAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(Env::Posix(), path, kPasswordBytes));
  redis->password = text.substr(0, text.find_first_of("\r\n"));
  return absl::OkStatus();
}

Status SetParameters(std::string_view query, bool unix_socket, RedisTarget* redis) {
  while (!query.empty()) {
    std::string_view value = TakeUpTo('&', &query);
    const std::string_view name = TakeUpTo('=', &value);
    if (name == "durability") {
      SWAGE_RETURN_IF_ERROR(SetDurability(value, redis));
    } else if (name == "namespace") {
      SWAGE_RETURN_IF_ERROR(SetNamespace(value, redis));
    } else if (name == "password_file") {
      SWAGE_RETURN_IF_ERROR(SetPasswordFile(value, redis));
    } else if (name == "timeout_ms") {
      const auto timeout = Number(value, 50, 600000);
      if (!timeout.has_value()) return WrongParameter("timeout_ms is not from 50 to 600000");
      redis->timeout_ms = *timeout;
    } else if (name == "db" && unix_socket) {
      const auto db = Number(value, 0, 65535);
      if (!db.has_value()) return WrongParameter("db is no number");
      redis->db = *db;
    } else {
      return WrongParameter(Cat("the state's URI has an unknown parameter '", name, "'"));
    }
  }
  return absl::OkStatus();
}

// ":PASSWORD@" at the front, when it is there.
Status TakePassword(std::string_view* rest, std::string* password) {
  const size_t end = rest->substr(0, rest->find('/')).rfind('@');
  if (end == std::string_view::npos) return absl::OkStatus();
  if ((*rest)[0] != ':') {
    return Wrong("the state's URI has a user; Swage knows a password only: redis://:PASSWORD@host");
  }
  SWAGE_ASSIGN_OR_RETURN(*password, Decoded(rest->substr(1, end - 1)));
  rest->remove_prefix(end + 1);
  return absl::OkStatus();
}

Status SetDb(std::string_view text, RedisTarget* redis) {
  if (text.empty()) return absl::OkStatus();
  const auto db = Number(text, 0, 65535);
  if (!db.has_value()) return Wrong(Cat("'", text, "' in the state's URI is no database number"));
  redis->db = *db;
  return absl::OkStatus();
}

Status ParseRedis(std::string_view scheme, std::string_view rest, RedisTarget* redis) {
  SWAGE_RETURN_IF_ERROR(TakePassword(&rest, &redis->password));
  const size_t question = std::min(rest.find('?'), rest.size());
  std::string_view query = rest.substr(question);
  if (!query.empty()) query.remove_prefix(1);
  rest = rest.substr(0, question);
  if (scheme == "redis+unix") {
    RedisAddress address;
    SWAGE_ASSIGN_OR_RETURN(address.path, Decoded(rest));
    if (!StartsWith(address.path, "/")) return Wrong("redis+unix:// needs an absolute path");
    redis->addresses.push_back(address);
    return SetParameters(query, true, redis);
  }
  const bool sentinel = scheme == "redis+sentinel";
  std::string_view hosts = TakeUpTo('/', &rest);
  do {
    const std::string_view host = TakeUpTo(',', &hosts);
    SWAGE_ASSIGN_OR_RETURN(RedisAddress address,
                           ParseAddress(host, sentinel ? kSentinelPort : kRedisPort));
    redis->addresses.push_back(std::move(address));
  } while (!hosts.empty());
  if (sentinel) {
    redis->master = std::string(TakeUpTo('/', &rest));
    if (redis->master.empty()) return Wrong("redis+sentinel:// needs the master's name");
  } else if (redis->addresses.size() != 1) {
    return Wrong("redis:// takes one host");
  }
  SWAGE_RETURN_IF_ERROR(SetDb(rest, redis));
  return SetParameters(query, false, redis);
}

std::string WithoutPassword(std::string_view scheme, const RedisTarget& redis) {
  std::vector<std::string> hosts;
  for (const RedisAddress& address : redis.addresses) hosts.push_back(address.ToString());
  std::string shown = Cat(scheme, "://", Join(hosts, ","));
  if (!redis.master.empty()) shown += "/" + redis.master;
  if (redis.db != 0) shown += Cat(scheme == "redis+unix" ? "?db=" : "/", redis.db);
  return shown;
}

}  // namespace

StatusOr<StateUri> ParseStateUri(std::string_view uri) {
  if (uri.empty() || uri.size() > kUriBytes) return Wrong("the state's URI is empty or too long");
  StateUri parsed;
  parsed.shown = std::string(uri);
  if (uri == "memory:") return parsed;
  const size_t colon = uri.find(':');
  const std::string_view scheme =
      colon == std::string_view::npos ? std::string_view() : uri.substr(0, colon);
  const bool plain = colon == std::string_view::npos || scheme.find('/') != std::string_view::npos;
  if (plain || scheme == "sqlite") {
    parsed.kind = StateUri::Kind::kSqlite;
    parsed.path = std::string(plain ? uri : uri.substr(colon + 1));
    if (parsed.path.empty()) return Wrong("sqlite: needs a path");
    return parsed;
  }
  if (scheme != "redis" && scheme != "redis+unix" && scheme != "redis+sentinel") {
    return Wrong(Cat("Swage does not know the state '", scheme, ":'"));
  }
  std::string_view rest = uri.substr(colon + 1);
  if (!StartsWith(rest, "//")) return Wrong(Cat("'//' is missing after ", scheme, ":"));
  rest.remove_prefix(2);
  parsed.kind = StateUri::Kind::kRedis;
  SWAGE_RETURN_IF_ERROR(ParseRedis(scheme, rest, &parsed.redis));
  parsed.shown = WithoutPassword(scheme, parsed.redis);
  return parsed;
}

std::string StateFolder(std::string_view uri) {
  const auto parsed = ParseStateUri(uri);
  return parsed.ok() && parsed->kind == StateUri::Kind::kSqlite ? DirName(parsed->path) : "";
}

}  // namespace swage
