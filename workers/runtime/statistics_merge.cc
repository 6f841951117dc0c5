#include "workers/runtime/statistics_merge.h"

#include <algorithm>
#include <cstring>

#include "base/limits.h"

namespace swage {
namespace {

void MergeColumns(ColumnStatistics* earlier, ColumnStatistics later) { earlier->Merge(later); }

Status BadGather(std::string_view what) {
  return Error(StatusCode::kInternal, "BAD_GATHER", Cat("the members' statistics do not fit together: ", what));
}

// Plain values one after the other; the reader never reads beyond the end.
class Writer {
 public:
  void Number(int64_t value) { Raw(&value, sizeof(value)); }
  void Text(const std::string& text) {
    Number(static_cast<int64_t>(text.size()));
    out_ += text;
  }
  template <typename T>
  void Values(const std::vector<T>& values) { Raw(values.data(), values.size() * sizeof(T)); }
  std::string Take() { return std::move(out_); }

 private:
  void Raw(const void* data, size_t bytes) { out_.append(static_cast<const char*>(data), bytes); }
  std::string out_;
};

class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}
  bool ok() const { return ok_; }
  bool AtEnd() const { return in_.empty(); }
  int64_t Number(int64_t most) {
    int64_t value = 0;
    Raw(&value, sizeof(value));
    ok_ = ok_ && value >= 0 && value <= most;
    return ok_ ? value : 0;
  }
  std::string Text() {
    std::string text(static_cast<size_t>(Number(limits::kTensorNameBytes)), '\0');
    Raw(text.data(), text.size());
    return text;
  }
  template <typename T>
  void Values(std::vector<T>* values) { Raw(values->data(), values->size() * sizeof(T)); }

 private:
  void Raw(void* out, size_t bytes) {
    ok_ = ok_ && in_.size() >= bytes;
    if (!ok_) return;
    if (bytes > 0) std::memcpy(out, in_.data(), bytes);
    in_.remove_prefix(bytes);
  }
  std::string_view in_;
  bool ok_ = true;
};

using ColumnNodes = NodeValues<ColumnStatistics>;

void Write(const ColumnStatistics& columns, Writer* out) {
  out->Number(columns.rows);
  out->Number(columns.columns());
  for (const auto* sums : {&columns.power1, &columns.power2, &columns.power3, &columns.power4}) out->Values(*sums);
  out->Values(columns.min);
  out->Values(columns.max);
}

ColumnStatistics ReadColumns(Reader* in) {
  const int64_t rows = in->Number(INT64_MAX);
  ColumnStatistics columns(in->Number(limits::kModelWidth));
  columns.rows = rows;
  for (auto* sums : {&columns.power1, &columns.power2, &columns.power3, &columns.power4}) in->Values(sums);
  in->Values(&columns.min);
  in->Values(&columns.max);
  return columns;
}

void Write(const ColumnNodes& nodes, Writer* out) {
  out->Number(static_cast<int64_t>(nodes.size()));
  for (const auto& [node, columns] : nodes) {
    out->Number(node.level);
    out->Number(node.index);
    Write(columns, out);
  }
}

ColumnNodes ReadNodes(Reader* in) {
  ColumnNodes nodes;
  const int64_t count = in->Number(kReductionChunks);
  for (int64_t i = 0; i < count && in->ok(); ++i) {
    ChunkNode node;
    node.level = in->Number(kReductionLevels);
    node.index = in->Number(kReductionChunks);
    nodes.emplace_back(node, ReadColumns(in));
  }
  return nodes;
}

void Append(ColumnNodes more, ColumnNodes* nodes) {
  std::move(more.begin(), more.end(), std::back_inserter(*nodes));
}

// The sum of what the members have of one thing.
StatusOr<ColumnStatistics> TotalOf(ColumnNodes nodes) {
  std::vector<ChunkNode> places;
  for (const auto& [node, columns] : nodes) {
    places.push_back(node);
    if (columns.columns() != nodes.front().second.columns()) return BadGather("columns of different widths");
  }
  if (!AreChunkNodes(places)) return BadGather("partial sums of no tree");
  auto total = CombineChunks<ColumnStatistics>(std::move(nodes), MergeColumns);
  return total.has_value() ? *std::move(total) : ColumnStatistics(0);
}

}  // namespace

// What one member tells the others of a block, Hessians aside; and what all together have.
struct StatisticsMerge::Message {
  struct Entry {
    std::vector<std::string> readers;
    int64_t width = 0, hessian = 0;
    ColumnNodes columns;
  };
  std::vector<Entry> inputs;
  ColumnNodes keys, values;

  std::string Encode() const {
    Writer out;
    out.Number(static_cast<int64_t>(inputs.size()));
    for (const Entry& entry : inputs) {
      out.Number(static_cast<int64_t>(entry.readers.size()));
      for (const std::string& reader : entry.readers) out.Text(reader);
      out.Number(entry.width);
      out.Number(entry.hessian);
      Write(entry.columns, &out);
    }
    Write(keys, &out);
    Write(values, &out);
    return out.Take();
  }

  static StatusOr<Message> Decode(const std::string& text) {
    Reader in(text);
    Message message;
    const int64_t count = in.Number(limits::kModelExperts * 8);
    for (int64_t i = 0; i < count && in.ok(); ++i) {
      Entry& entry = message.inputs.emplace_back();
      const int64_t readers = in.Number(limits::kModelExperts * 8);
      for (int64_t r = 0; r < readers && in.ok(); ++r) entry.readers.push_back(in.Text());
      entry.width = in.Number(limits::kModelWidth);
      entry.hessian = in.Number(1);
      entry.columns = ReadNodes(&in);
    }
    message.keys = ReadNodes(&in);
    message.values = ReadNodes(&in);
    if (!in.ok() || !in.AtEnd()) return BadGather("a message that cannot be read");
    return message;
  }
};

StatisticsMerge::StatisticsMerge(ExactReducer* exact)
    : exact_(exact), keys_(exact->own(), MergeColumns), values_(exact->own(), MergeColumns) {}

void StatisticsMerge::Merge(Part* earlier, Part later) {
  earlier->columns.Merge(later.columns);
  SWAGE_CHECK(earlier->hessian.size() == later.hessian.size(), "Hessians of different sizes");
  float* sum = earlier->hessian.data();
  const float* more = later.hessian.data();
  for (int64_t i = 0; i < earlier->hessian.size(); ++i) sum[i] += more[i];
}

void StatisticsMerge::Add(int64_t chunk, BlockStatistics part) {
  for (InputStatistics& input : part.inputs) {
    auto known = std::find_if(inputs_.begin(), inputs_.end(),
                              [&](const Input& one) { return one.readers == input.readers; });
    if (known == inputs_.end()) {
      inputs_.push_back({input.readers, input.width, ChunkStack<Part>(exact_->own(), Merge)});
      known = inputs_.end() - 1;
    }
    known->parts.Add(chunk, Part{std::move(input.columns), std::move(input.hessian)});
  }
  keys_.Add(chunk, std::move(part.keys));
  values_.Add(chunk, std::move(part.values));
}

StatisticsMerge::Message StatisticsMerge::Own() {
  Message own;
  for (Input& input : inputs_) {
    NodeValues<Part>& nodes = taken_.emplace_back(input.parts.Take());
    Message::Entry& entry = own.inputs.emplace_back();
    entry.readers = input.readers;
    entry.width = input.width;
    for (const auto& [node, part] : nodes) {
      entry.hessian = part.hessian.size() > 0 ? 1 : 0;
      entry.columns.emplace_back(node, part.columns);
    }
  }
  own.keys = keys_.Take();
  own.values = values_.Take();
  return own;
}

// In the order in which one process would have seen them first: that of the chunks, and so of the ranks.
StatusOr<StatisticsMerge::Message> StatisticsMerge::Union(const std::vector<std::string>& texts,
                                                          const std::map<std::string, int64_t>& widths) const {
  Message all;
  for (const std::string& text : texts) {
    SWAGE_ASSIGN_OR_RETURN(Message one, Message::Decode(text));
    for (Message::Entry& entry : one.inputs) {
      const auto same = std::find_if(all.inputs.begin(), all.inputs.end(),
                                     [&](const Message::Entry& e) { return e.readers == entry.readers; });
      if (same != all.inputs.end()) {
        if (same->width != entry.width || same->hessian != entry.hessian) return BadGather("inputs of two sizes");
        Append(std::move(entry.columns), &same->columns);
        continue;
      }
      for (const std::string& reader : entry.readers) {
        const auto width = widths.find(reader);
        if (width == widths.end() || width->second != entry.width) return BadGather(Cat(reader, " is not of this block"));
      }
      all.inputs.push_back(std::move(entry));
    }
    Append(std::move(one.keys), &all.keys);
    Append(std::move(one.values), &all.values);
  }
  return all;
}

StatusOr<BlockStatistics> StatisticsMerge::Total(int64_t layer, const std::map<std::string, int64_t>& widths) {
  BlockStatistics total;
  total.layer = layer;
  Message all = Own();
  if (exact_->world() > 1) {
    SWAGE_ASSIGN_OR_RETURN(const std::vector<std::string> texts, exact_->Gather(all.Encode()));
    SWAGE_ASSIGN_OR_RETURN(all, Union(texts, widths));
  }
  std::map<std::string, int64_t> unseen = widths;
  for (Message::Entry& entry : all.inputs) {
    InputStatistics& input = total.inputs.emplace_back();
    input.readers = entry.readers;
    input.width = entry.width;
    SWAGE_ASSIGN_OR_RETURN(input.columns, TotalOf(std::move(entry.columns)));
    for (const std::string& reader : entry.readers) unseen.erase(reader);
    if (entry.hessian == 0) continue;
    const auto own = std::find_if(inputs_.begin(), inputs_.end(),
                                  [&](const Input& one) { return one.readers == entry.readers; });
    NodeValues<Part> none;
    NodeValues<Part>& parts = own == inputs_.end() ? none : taken_[static_cast<size_t>(own - inputs_.begin())];
    if (exact_->world() == 1) {  // the whole tree is ours: one node is left
      input.hessian = std::move(parts.front().second.hessian);
      continue;
    }
    NodeValues<const float*> sums;
    for (const auto& [node, part] : parts) sums.emplace_back(node, part.hessian.data());
    input.hessian.Resize(entry.width * entry.width);
    SWAGE_RETURN_IF_ERROR(exact_->Sum(sums, entry.width * entry.width, input.hessian.data()));
    parts.clear();
  }
  for (const auto& [name, width] : unseen) total.unseen.push_back(name);
  SWAGE_ASSIGN_OR_RETURN(total.keys, TotalOf(std::move(all.keys)));
  SWAGE_ASSIGN_OR_RETURN(total.values, TotalOf(std::move(all.values)));
  return total;
}

}  // namespace swage
