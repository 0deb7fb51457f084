// Types that lead to code: std::function, coroutine handles, exceptions by their type.
#include <algorithm>

#include "agent/decode/scalar_text.h"
#include "agent/decode/value_formatter.h"
#include "agent/decode/value_text.h"
#include "symbolizer/type_builder_simplify.h"

namespace stillframe::decode {
namespace {

using model::Value;
using model::ValueStatus;

// Argument `index` of the template instance whose name starts with `head`: "int (*)(int)" of
// "std::_Function_handler<int (int), int (*)(int)>::_M_invoke(...)".
std::string TemplateArgument(const std::string& symbol, std::string_view head, int index) {
  const size_t at = symbol.find(head);
  if (at == std::string::npos) return "";
  size_t begin = at + head.size();
  int depth = 0;
  for (size_t i = begin; i < symbol.size(); ++i) {
    const char c = symbol[i];
    const bool ends = depth == 0 && (c == ',' || c == '>');
    if (ends && index-- == 0) {
      while (begin < i && symbol[begin] == ' ') ++begin;
      return symbol.substr(begin, i - begin);
    }
    if (ends && c == '>') return "";
    if (ends) begin = i + 1;
    if (c == '<' || c == '(' || c == '{' || c == '[') ++depth;
    if (c == '>' || c == ')' || c == '}' || c == ']') --depth;
  }
  return "";
}

bool IsFunctionPointer(const std::string& type) { return type.find("(*)(") != std::string::npos; }
bool IsMethodPointer(const std::string& type) { return type.find("::*)(") != std::string::npos; }

// "shop::Work(int)" of the symbols that coroutines' resume parts have: GCC's
// "shop::Work(shop::Work(int)::_ZN4shop4WorkEi.Frame*) [clone .actor]", Clang's
// "shop::Work(int) [clone .resume]".
std::string CoroutineName(std::string symbol) {
  symbol.resize(std::min(symbol.size(), symbol.rfind(" [clone ")));
  const size_t frame = symbol.rfind("::_Z");
  if (frame == std::string::npos || !symbol.ends_with(".Frame*)")) return symbol;
  for (size_t open = symbol.find('('); open < frame; open = symbol.find('(', open + 1)) {
    std::string inside = symbol.substr(open + 1, frame - open - 1);
    if (inside.starts_with(symbol.substr(0, open))) return inside;
  }
  return symbol;
}

}  // namespace

bool ValueFormatter::FormatFunction(Value& value, const View& view, const Object& object) {
  uint64_t manager = 0, code = 0;
  if (!ReadWord(value, object, view.d, manager) || !ReadWord(value, object, view.a, code)) {
    return true;
  }
  if (manager == 0) {
    Set(value, "empty");
    return true;
  }
  uint64_t target = 0;
  bool has_target = false;
  if (view.layout == kLibcxx) {
    const uint64_t callable = code;
    if (context_.record->Read(callable, &code, sizeof code) != Code::kOk) {
      Set(value, PointerText(callable));
      return true;
    }
    has_target = context_.record->Read(callable + 8, &target, sizeof target) == Code::kOk;
  } else {
    has_target = object.Read(view.b, &target, sizeof target) == Code::kOk;
  }
  const auto name = [this](uint64_t address) {
    return context_.symbol_name ? context_.symbol_name(address) : std::string();
  };
  // libstdc++'s manager has the type's type_info in it, so no linker takes it for that of another,
  // as it may the code that is called.
  std::string type = TemplateArgument(name(manager), "std::_Function_handler<", 1);
  if (type.empty()) type = TemplateArgument(name(code), "std::__1::__function::__func<", 0);
  if (type.empty()) {
    Set(value, PointerText(code));
  } else if (IsMethodPointer(type) && has_target && target != 0 && (target & 1) == 0) {
    Set(value, PointerText(target));  // not a virtual one; the adjustment of `this` follows
  } else if (IsFunctionPointer(type)) {
    // Only a bare function pointer is in place at the beginning of the target.
    Set(value, has_target ? PointerText(target) : "target of type " + type);
  } else {
    Set(value, dwarf::SimplifyTypeName(type));
  }
  return true;
}

// A pointer, and what the code or type behind it is called.
bool ValueFormatter::FormatHandle(Value& value, const View& view, const Object& object) {
  uint64_t pointer = 0, name_at = 0;
  if (!ReadWord(value, object, view.a, pointer)) return true;
  std::string text = HexText(pointer);
  const bool exception = view.kind == ViewKind::kExceptionPtr;
  const uint64_t where = exception ? pointer - 112 : pointer;
  if (pointer != 0 && context_.symbol_name &&
      context_.record->Read(where, &name_at, sizeof name_at) == Code::kOk) {
    if (!exception && name_at == 0) text += " (done)";
    std::string name = name_at == 0 ? "" : context_.symbol_name(name_at);
    constexpr std::string_view kPrefix = "typeinfo for ";
    if (exception) name = name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : "";
    if (!exception) name = CoroutineName(std::move(name));
    if (!name.empty()) text += exception ? " (" + name + ")" : " <" + name + ">";
  }
  Set(value, std::move(text));
  return true;
}

}  // namespace stillframe::decode
