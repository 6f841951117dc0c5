#include "base/telemetry/trace.h"

#include <algorithm>
#include <utility>

#include "base/rng.h"
#include "base/text.h"

namespace swage {
namespace {

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// W3C: an id of zeros only is invalid.
bool IsId(std::string_view text) { return IsHex(text) && text.find_first_not_of('0') != std::string_view::npos; }

std::string NewId(size_t bytes) {
  for (;;) {
    std::string id = RandomHex(bytes);
    if (IsId(id)) return id;
  }
}

}  // namespace

std::string SpanContext::ToTraceparent() const {
  return valid() ? Cat("00-", trace_id, "-", span_id, "-01") : std::string();
}

SpanContext SpanContext::FromTraceparent(std::string_view header) {
  // version "-" trace-id "-" parent-id "-" flags; later versions may append more fields.
  constexpr size_t kLength = 55;
  if (header.size() < kLength || header[2] != '-' || header[35] != '-' || header[52] != '-') return {};
  const std::string_view version = header.substr(0, 2), trace = header.substr(3, 32), span = header.substr(36, 16);
  if (!IsHex(version) || version == "ff" || !IsId(trace) || !IsId(span) || !IsHex(header.substr(53, 2))) return {};
  if (header.size() > kLength && (version == "00" || header[kLength] != '-')) return {};
  return {std::string(trace), std::string(span)};
}

SpanContext SpanContext::NewTrace() { return {NewId(16), NewId(8)}; }

Span::Span(Span&& other) noexcept : tracer_(std::exchange(other.tracer_, nullptr)), data_(std::move(other.data_)) {}

Span& Span::operator=(Span&& other) noexcept {
  if (this != &other) {
    End();
    tracer_ = std::exchange(other.tracer_, nullptr);
    data_ = std::move(other.data_);
  }
  return *this;
}

Span::~Span() { End(); }

void Span::SetAttribute(std::string key, std::string value) {
  if (tracer_ != nullptr) data_.attributes.insert_or_assign(std::move(key), std::move(value));
}

void Span::SetStatus(const Status& status) {
  if (tracer_ == nullptr) return;
  data_.error = !status.ok();
  data_.status_message = MessageOf(status);
}

void Span::End() {
  if (Tracer* tracer = std::exchange(tracer_, nullptr)) tracer->Finish(&data_);
}

Tracer::Tracer(std::string service_name, Clock* clock, std::shared_ptr<SpanSink> sink)
    : service_name_(std::move(service_name)), clock_(clock), sink_(std::move(sink)) {}

Span Tracer::Start(std::string_view name, const SpanContext& parent, std::map<std::string, std::string> attributes) {
  Span span;
  if (sink_ == nullptr) {
    span.data_.context = parent;  // what is behind us may still trace
    return span;
  }
  span.tracer_ = this;
  span.data_.context = {parent.valid() ? parent.trace_id : NewId(16), NewId(8)};
  if (parent.valid()) span.data_.parent_span_id = parent.span_id;
  span.data_.name = name;
  span.data_.attributes = std::move(attributes);
  span.data_.start_unix_nanos = clock_->UnixNanos();
  return span;
}

void Tracer::Finish(SpanData* span) {
  // A wall clock may have been set back meanwhile; a span never ends before it starts.
  span->end_unix_nanos = std::max(clock_->UnixNanos(), span->start_unix_nanos);
  Record(*span);
}

void Tracer::Record(const SpanData& span) {
  if (sink_ != nullptr) sink_->Write(span, service_name_);
}

}  // namespace swage
