// Spans, as OpenTelemetry defines them (trace id of 16 bytes, span id of 8, W3C traceparent between processes).
// Sinks: JSON lines (one OTLP-like object a line, docs/formats/trace.md); exporters live at the edge.
// Tracer and sinks are thread-safe; a Span is for one thread and must end before its Tracer is destroyed.
// Without a sink, spans cost one branch, and a span's context is its parent's.
//
//   Span span = tracer->Start("block", parent.context(), {{"swage.block", "3"}});
//   span.SetAttribute("swage.relative_error", "0.01");
//   ... ends when it leaves the scope, or End().
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"

namespace swage {

struct SpanContext {
  std::string trace_id;  // 32 hex digits, "" = none
  std::string span_id;   // 16 hex digits
  bool valid() const { return trace_id.size() == 32; }
  std::string ToTraceparent() const;  // "00-<trace>-<span>-01", "" when not valid
  static SpanContext FromTraceparent(std::string_view header);  // invalid input gives an invalid context
  static SpanContext NewTrace();      // random ids, for a root whose span is recorded elsewhere
};

struct SpanData {
  SpanContext context;
  std::string parent_span_id;
  std::string name;
  int64_t start_unix_nanos = 0, end_unix_nanos = 0;
  std::map<std::string, std::string> attributes;
  bool error = false;
  std::string status_message;
};

class SpanSink {
 public:
  virtual ~SpanSink() = default;
  virtual void Write(const SpanData& span, std::string_view service_name) = 0;  // thread-safe, never blocks long
};
// Appends lines to a file, flushed at each span; survives kill -9 up to the last whole line.
StatusOr<std::unique_ptr<SpanSink>> NewJsonLinesSink(const std::string& path);

class Tracer;
class Span {
 public:
  Span() = default;
  Span(Span&&) noexcept;
  Span& operator=(Span&&) noexcept;
  ~Span();
  const SpanContext& context() const { return data_.context; }
  void SetAttribute(std::string key, std::string value);
  void SetStatus(const Status& status);
  void End();
  void Discard() { tracer_ = nullptr; }  // it is never recorded

 private:
  friend class Tracer;
  Tracer* tracer_ = nullptr;
  SpanData data_;
};

class Tracer {
 public:
  Tracer(std::string service_name, Clock* clock, std::shared_ptr<SpanSink> sink);  // sink may be null
  Span Start(std::string_view name, const SpanContext& parent, std::map<std::string, std::string> attributes = {});
  void Record(const SpanData& span);  // a span that was timed elsewhere

 private:
  friend class Span;
  void Finish(SpanData* span);

  std::string service_name_;
  Clock* clock_;
  std::shared_ptr<SpanSink> sink_;
};

}  // namespace swage
