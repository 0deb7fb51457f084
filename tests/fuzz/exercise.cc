#include "tests/fuzz/exercise.h"

#include "plan/verifier.h"
#include "tests/fuzz/fuzz.h"

namespace stillframe::fuzz {
namespace {

constexpr size_t kMaxFiles = 2;
constexpr size_t kMaxLines = 10;
constexpr uint64_t kMaxStatements = 16;

void CheckPlan(const Result<ProbePlan>& plan) {
  if (!plan.ok()) return;
  const Status status = VerifyPlan(*plan);
  if (!status.ok()) Broken("plans are sound", __FILE__, __LINE__, status.ToString());
}

void AskLines(SymbolModule& module) {
  const auto files = module.Files("");
  if (!files.ok()) return;
  for (size_t i = 0; i < std::min(files->size(), kMaxFiles); ++i) {
    const auto lines = module.Lines((*files)[i], 0, 0);
    if (!lines.ok()) continue;
    for (size_t k = 0; k < lines->size(); k += 1 + lines->size() / kMaxLines) {
      PlanRequest request;
      request.file = (*files)[i];
      request.line = (*lines)[k].line;
      request.expressions = {"*this", "order", "order.items.size()"};
      if (k % 2 == 1) request.condition = "order.id > 3 && count != 0";
      CheckPlan(module.Compile(request));
    }
  }
}

void AskAddress(SymbolModule& module, LinkAddress address) {
  SF_FUZZ_CHECK(!module.Symbolize(address).empty());
  (void)module.SymbolName(address);
  (void)module.ReadCode(address, 16);
  (void)module.FunctionRange(address);
  (void)module.FunctionParts(address);
  (void)module.SameLine(address, LinkAddress(address.value + 4));
  (void)module.LikelyCallers(address, 16);
  const auto caller = module.CompileCaller(address, address.value % 2 == 0, CaptureLimits());
  if (!caller.ok()) return;
  const Status status = VerifyUnit(caller->unit);
  if (!status.ok()) Broken("callers' plans are sound", __FILE__, __LINE__, status.ToString());
}

// A function that is left there, with and without a value.
void AskReturns(SymbolModule& module, LinkAddress address) {
  PlanRequest request;
  request.expressions = {"$return", "order"};
  for (const bool is_tail_call : {false, true}) {
    request.returns = {{address, is_tail_call, is_tail_call, true, false}};
    CheckPlan(module.Compile(request));
  }
}

void AskThrown(SymbolModule& module) {
  PlanRequest request;
  request.thrown = {"*"};
  auto plan = module.Compile(request);
  CheckPlan(plan);
  if (!plan.ok()) return;
  ThrownRequest thrown;
  thrown.type = "shop::Cart";
  thrown.expressions = {"$exception", "$exception.items.count", "$exception.tier == kGold"};
  thrown.condition = "$exception.id > 1";
  if (module.AddThrown(thrown, *plan).ok()) CheckPlan(plan);
}

void AskNames(SymbolModule& module) {
  PlanRequest request;
  for (const char* function : {"Checkout", "shop::Cart::Total", "~Cart"}) {
    request.function = function;
    CheckPlan(module.Compile(request));
  }
  (void)module.TypeInfoNames("shop::Cart");
  (void)module.CallersOfImport("outside", 16);
  request.function = "Checkout";
  for (const char* text : {"order.items.values[1].price.amount * 2", "visits + shop::visits",
                           "order.items.values.count($it.quantity > 1)", "(int)order.tier << 2"}) {
    (void)module.Check(request, text);
  }
  AskThrown(module);
}

}  // namespace

void Exercise(SymbolModule& module) {
  (void)module.debug_status();
  AskLines(module);
  const auto addresses = module.StatementAddresses(kMaxStatements);
  if (addresses.ok()) {
    for (const LinkAddress address : *addresses) {
      AskAddress(module, address);
      AskReturns(module, address);
    }
  }
  AskAddress(module, LinkAddress(0));
  AskNames(module);
  (void)module.BuildUnwindTable();
}

}  // namespace stillframe::fuzz
