#include "workers/methods/registry.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "workers/catalog/catalog.h"

namespace swage {
namespace {

TEST(Registry, EveryCatalogRowHasAnImplementationAndTheOtherWayRound) {
  for (const MethodRow& row : Methods()) {
    const Method* method = FindMethodImplementation(row.id);
    ASSERT_NE(method, nullptr) << row.id;
    EXPECT_EQ(method->id(), row.id);
  }
  EXPECT_EQ(MethodImplementations().size(), Methods().size());
  EXPECT_EQ(FindMethodImplementation("no-such-method"), nullptr);
}

struct Case {
  LinearPlan plan;
  std::vector<float> weight;
  std::map<std::string, std::string> options;
};

Case MakeCase(const std::string& format, const std::string& granularity, bool symmetric) {
  Case c;
  c.plan.module = "model.layers.0.mlp.up_proj";
  c.plan.weights = {format, granularity, granularity == "group" ? 32 : 0, symmetric};
  Rng rng(7);
  for (int i = 0; i < 24 * 64; ++i)
    c.weight.push_back(static_cast<float>(rng.Gaussian() * 0.05 + 0.01));
  return c;
}

TEST(Rtn, EveryWeightIsWithinTheBoundOfRounding) {
  const std::unique_ptr<Ops> ops = NewCpuOps(1);
  const Method* rtn = FindMethodImplementation("rtn");
  for (const char* format : {"int4", "int8", "fp8_e4m3"}) {
    for (const char* granularity : {"channel", "group"}) {
      for (bool symmetric : {true, false}) {
        const bool fp8 = std::string(format) == "fp8_e4m3";
        if (fp8 && (!symmetric || std::string(granularity) == "group")) continue;
        SCOPED_TRACE(Cat(format, " ", granularity, " ", symmetric));
        Case c = MakeCase(format, granularity, symmetric);
        const LinearTask task{&c.plan, &c.options, 24, 64, c.weight.data()};
        auto q = rtn->Quantize(ops.get(), task);
        ASSERT_TRUE(q.ok()) << q.status();
        std::vector<float> values(c.weight.size());
        ASSERT_TRUE(ops->Dequantize(q->Args(), values.data()).ok());
        EXPECT_TRUE(rtn->Verify(task, *q, values.data()).ok())
            << rtn->Verify(task, *q, values.data());

        const float scale = q->scales[0];
        values[3] += fp8 ? 0.2f * std::abs(values[3]) + scale : 2.0f * scale;
        EXPECT_FALSE(rtn->Verify(task, *q, values.data()).ok()) << "a wrong code went unnoticed";
        values[3] = std::nanf("");
        EXPECT_FALSE(rtn->Verify(task, *q, values.data()).ok()) << "NaN went unnoticed";
      }
    }
  }
}

TEST(Rtn, AGroupThatDoesNotDivideIsRefused) {
  Case c = MakeCase("int4", "group", true);
  c.plan.weights.group_size = 48;
  const LinearTask task{&c.plan, &c.options, 24, 64, c.weight.data()};
  auto q = FindMethodImplementation("rtn")->Quantize(NewCpuOps(1).get(), task);
  EXPECT_EQ(ReasonOf(q.status()), "GROUP_DOES_NOT_DIVIDE");
}

}  // namespace
}  // namespace swage
