#include "agent/scope_plan.h"

#include <algorithm>
#include <cstring>

namespace stillframe::agent {
namespace {

constexpr size_t kMaxSessionBytes = 64;
constexpr size_t kMaxHeaderBytes = 8192;  // the specification's least that must be passed on

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Up to `separator`, which is taken off with it.
std::string_view TakeUntil(std::string_view& text, char separator) {
  const size_t at = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return part;
}

// Percent-decoded into `out`; its bytes, or 0 when it is too long or malformed.
size_t DecodeSession(std::string_view text, char (&out)[kMaxSessionBytes]) {
  size_t size = 0;
  while (!text.empty()) {
    if (size == kMaxSessionBytes) return 0;
    if (text.front() != '%') {
      out[size++] = text.front();
      text.remove_prefix(1);
      continue;
    }
    const int high = text.size() > 2 ? HexDigit(text[1]) : -1;
    const int low = text.size() > 2 ? HexDigit(text[2]) : -1;
    if (high < 0 || low < 0) return 0;
    out[size++] = static_cast<char>(high * 16 + low);
    text.remove_prefix(3);
  }
  return size;
}

// FNV-1a with a final mix; two bases make 128 bits.
uint64_t Hash(std::string_view text, uint64_t base) {
  uint64_t hash = base;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  hash = (hash ^ (hash >> 32)) * 0x9e3779b97f4a7c15u;
  return hash ^ (hash >> 29);
}

// Left all zero, which no trace has, a malformed one matches nothing.
void ReadTraceId(std::string_view hex, hit::Scope& out) {
  uint8_t bytes[16];
  for (size_t i = 0; i < sizeof bytes; ++i) {
    const int high = HexDigit(hex[2 * i]), low = HexDigit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return;
    bytes[i] = static_cast<uint8_t>(high * 16 + low);
  }
  std::memcpy(out.trace_id, bytes, sizeof bytes);
}

}  // namespace

hit::SessionId MakeSessionId(std::string_view session) {
  // Never all zero, which stands for no session.
  return {{Hash(session, 0xcbf29ce484222325u) | 1, Hash(session, 0x6c62272e07bb0142u)}};
}

uint32_t ParseBaggage(std::string_view header, hit::SessionSet& out) {
  out = {};
  header = header.substr(0, kMaxHeaderBytes);
  uint32_t count = 0;
  while (!header.empty() && count < hit::kMaxSessions) {
    std::string_view member = TakeUntil(header, ',');
    std::string_view pair = TakeUntil(member, ';');  // what follows are properties
    if (Trim(TakeUntil(pair, '=')) != "stillframe") continue;
    char session[kMaxSessionBytes];
    const size_t size = DecodeSession(Trim(pair), session);
    if (size != 0) out.id[count++] = MakeSessionId({session, size});
  }
  return count;
}

bool MakeScope(const model::Selector& selector, hit::Scope& out) {
  out = hit::Scope();
  out.by_trace = !selector.trace_id.empty();
  if (selector.trace_id.size() == 32) ReadTraceId(selector.trace_id, out);
  if (!selector.session.empty()) {
    out.session = MakeSessionId(selector.session);
    out.by_session = true;
  }
  std::string_view name = selector.thread_name;
  out.name_is_prefix = name.ends_with('*');
  if (out.name_is_prefix) name.remove_suffix(1);
  name = name.substr(0, hit::kThreadNameBytes - 1);
  out.name_bytes = static_cast<uint8_t>(name.size());
  std::memcpy(out.thread_name, name.data(), name.size());
  return out.by_trace || out.by_session || !selector.thread_name.empty();
}

}  // namespace stillframe::agent
