// Which weights of a row-major [out, in] matrix share a scale: rectangles of `rows` x `columns`,
// those at the lower and right edge smaller when they do not divide the matrix. Scale [i, j]
// belongs to rows i * rows onwards and columns j * columns onwards.
//   channel: 1 x in    group: 1 x g    block: b x g    tensor: out x in
#pragma once

#include "kernels/numeric/host_device.h"

namespace swage {

struct ScaleGrid {
  int64_t out = 0, in = 0;
  int64_t rows = 1, columns = 1;  // of a rectangle, at least 1
};

SWAGE_HD int64_t ScalesDown(const ScaleGrid& g) { return (g.out + g.rows - 1) / g.rows; }
SWAGE_HD int64_t ScalesAcross(const ScaleGrid& g) { return (g.in + g.columns - 1) / g.columns; }
SWAGE_HD int64_t ScaleCount(const ScaleGrid& g) { return ScalesDown(g) * ScalesAcross(g); }

// The scale of element i.
SWAGE_HD int64_t ScaleIndexOf(const ScaleGrid& g, int64_t i) {
  if (g.rows == 1 && g.in % g.columns == 0) return i / g.columns;
  return i / g.in / g.rows * ScalesAcross(g) + i % g.in / g.columns;
}

struct Rectangle {
  int64_t row = 0, column = 0, rows = 0, columns = 0;
};

SWAGE_HD Rectangle RectangleOf(const ScaleGrid& g, int64_t scale) {
  const int64_t across = ScalesAcross(g);
  Rectangle r;
  r.row = scale / across * g.rows;
  r.column = scale % across * g.columns;
  r.rows = g.out - r.row < g.rows ? g.out - r.row : g.rows;
  r.columns = g.in - r.column < g.columns ? g.in - r.column : g.columns;
  return r;
}

}  // namespace swage
