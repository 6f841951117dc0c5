#include "workers/methods/registry.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "workers/catalog/catalog.h"
#include "workers/recipe/scheme.h"

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
  c.plan.weights = {format, granularity, granularity == "group" || granularity == "block" ? 32 : 0,
                    symmetric};
  Rng rng(7);
  for (int i = 0; i < 24 * 64; ++i)
    c.weight.push_back(static_cast<float>(rng.Gaussian() * 0.05 + 0.01));
  return c;
}

TEST(Rtn, EveryWeightIsWithinTheBoundOfRounding) {
  const std::unique_ptr<Ops> ops = NewCpuOps(1);
  const Method* rtn = FindMethodImplementation("rtn");
  for (const SchemeRules& rules : AllSchemeRules()) {
    for (const std::string& granularity : rules.granularities) {
      for (bool symmetric : {true, false}) {
        if (!symmetric && !rules.has_asymmetric) continue;
        SCOPED_TRACE(Cat(rules.format, " ", granularity, " ", symmetric));
        Case c = MakeCase(std::string(rules.format), granularity, symmetric);
        if (rules.fixed_group) c.plan.weights.group_size = rules.group_size;
        const LinearTask task{&c.plan, &c.options, 24, 64, c.weight.data()};
        auto q = rtn->Quantize(ops.get(), task);
        ASSERT_TRUE(q.ok()) << q.status();
        std::vector<float> values(c.weight.size());
        ASSERT_TRUE(ops->Dequantize(q->Args(), values.data()).ok());
        EXPECT_TRUE(rtn->Verify(task, *q, values.data()).ok())
            << rtn->Verify(task, *q, values.data());

        values[3] += 0.35f * std::abs(values[3]) + 0.1f;  // absmax is about 0.16
        EXPECT_FALSE(rtn->Verify(task, *q, values.data()).ok()) << "a wrong code went unnoticed";
        values[3] = std::nanf("");
        EXPECT_FALSE(rtn->Verify(task, *q, values.data()).ok()) << "NaN went unnoticed";
      }
    }
  }
}

TEST(Rtn, AGivenGlobalScaleIsTaken) {
  const std::unique_ptr<Ops> ops = NewCpuOps(1);
  Case c = MakeCase("nvfp4", "group", true);
  c.plan.weights.group_size = 16;
  LinearTask task{&c.plan, &c.options, 24, 64, c.weight.data()};
  auto own = FindMethodImplementation("rtn")->Quantize(ops.get(), task);
  ASSERT_TRUE(own.ok());
  EXPECT_GT(own->global_scale, 1000.0f);
  task.global_scale = own->global_scale / 4;
  auto given = FindMethodImplementation("rtn")->Quantize(ops.get(), task);
  ASSERT_TRUE(given.ok());
  EXPECT_EQ(given->global_scale, task.global_scale);
  EXPECT_NE(given->scales, own->scales);
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
