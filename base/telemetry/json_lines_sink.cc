// One line a span, one write() a line: docs/formats/trace.md.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/json_text.h"
#include "base/log.h"
#include "base/telemetry/trace.h"
#include "base/text.h"

namespace swage {
namespace {

constexpr size_t kTextBytes = 4096;  // a longer attribute is cut

void AppendAttribute(const std::string& key, std::string_view value, std::string* out) {
  *out += "{\"key\":";
  AppendJsonString(key, out);
  *out += ",\"value\":{\"stringValue\":";
  AppendJsonString(value.substr(0, kTextBytes), out);
  *out += "}}";
}

// Fields in the order of their names.
std::string Line(const SpanData& span, std::string_view service_name) {
  std::string line = "{\"attributes\":[";
  for (const auto& [key, value] : span.attributes) {
    if (line.back() == '}') line += ',';
    AppendAttribute(key, value, &line);
  }
  // 64 bit integers are texts in protobuf's JSON; kind 1 is SPAN_KIND_INTERNAL.
  line += Cat("],\"endTimeUnixNano\":\"", span.end_unix_nanos, "\",\"kind\":1,\"name\":");
  AppendJsonString(span.name, &line);
  line += ",\"parentSpanId\":";
  AppendJsonString(span.parent_span_id, &line);
  line += ",\"resource\":{\"attributes\":[";
  AppendAttribute("service.name", service_name, &line);
  line += "]},\"spanId\":";
  AppendJsonString(span.context.span_id, &line);
  line += Cat(",\"startTimeUnixNano\":\"", span.start_unix_nanos, "\",\"status\":{\"code\":", span.error ? 2 : 0,
              ",\"message\":");
  AppendJsonString(std::string_view(span.status_message).substr(0, kTextBytes), &line);
  line += "},\"traceId\":";
  AppendJsonString(span.context.trace_id, &line);
  line += "}\n";
  return line;
}

class JsonLinesSink : public SpanSink {
 public:
  JsonLinesSink(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~JsonLinesSink() override { ::close(fd_); }

  void Write(const SpanData& span, std::string_view service_name) override {
    const std::string line = Line(span, service_name);
    ssize_t written;
    do {
      written = ::write(fd_, line.data(), line.size());  // O_APPEND: lines of several processes do not mix
    } while (written < 0 && errno == EINTR);
    if (written == static_cast<ssize_t>(line.size())) return;
    // Losing a span must not fail a job. A torn line is ended, so that the next one can be read.
    if (written > 0 && ::write(fd_, "\n", 1) < 0) written = -1;
    LogWarning("a span was not written to ", path_, ": ", MessageOf(PosixError(written < 0 ? errno : ENOSPC, "write")));
  }

 private:
  const int fd_;
  const std::string path_;
};

// A process that died within a write (full disk, power) may have left half a line. What looks like one may also be a line
// that another process is just writing; O_APPEND then puts our newline behind it, an empty line that readers skip.
Status EndTornLine(int fd, const std::string& path) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return PosixError(errno, Cat("cannot stat ", path));
  if (!S_ISREG(info.st_mode) || info.st_size == 0) return absl::OkStatus();
  char last = '\n';
  if (::pread(fd, &last, 1, info.st_size - 1) < 0) return PosixError(errno, Cat("cannot read ", path));
  if (last != '\n' && ::write(fd, "\n", 1) < 0) return PosixError(errno, Cat("cannot write ", path));
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<SpanSink>> NewJsonLinesSink(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return PosixError(errno, Cat("cannot open ", path));
  auto sink = std::make_unique<JsonLinesSink>(fd, path);
  SWAGE_RETURN_IF_ERROR(EndTornLine(fd, path));
  return sink;
}

}  // namespace swage
