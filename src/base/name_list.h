// Whether a name is on a list of names that are kept secret. One implementation for the agent
// thread and for hits, where keys of maps are looked at: no allocation, no call out of this header,
// work bounded by list bytes x name bytes. Any thread, any context.
//
// A list is lines. The first character of each says what the rest, in lower case, is:
//   '=' a word, or several written as one ("apikey"): matches where the name's word parts spell it,
//       with a plural 's' and digits behind it if there are any (m_apiKeys2)
//   '~' the same, and inside of longer words as well ("dbpassword1")
//   '*' a pattern of the whole name, with '*' (any text) and '?' (one character); also of the name
//       without the affixes m_, s_, g_, k and a final '_'
//   '!' such a pattern of names that are not secret, whatever else the list says
#ifndef STILLFRAME_BASE_NAME_LIST_H_
#define STILLFRAME_BASE_NAME_LIST_H_

#include <cstdint>

namespace stillframe {

// The longest name that is looked at; of longer ones the beginning.
inline constexpr uint64_t kMaxListedNameBytes = 256;
// Of a name that only a hit meets: it is read into thread-local memory, of which there is little.
inline constexpr uint64_t kMaxHitNameBytes = 64;

struct NameText {
  const char* text;
  uint64_t size;

  bool IsUpper(uint64_t i) const { return i < size && text[i] >= 'A' && text[i] <= 'Z'; }
  bool IsLower(uint64_t i) const { return i < size && text[i] >= 'a' && text[i] <= 'z'; }
  bool IsDigit(uint64_t i) const { return i < size && text[i] >= '0' && text[i] <= '9'; }
  bool IsPart(uint64_t i) const { return IsUpper(i) || IsLower(i) || IsDigit(i); }
  char Lower(uint64_t i) const {
    return IsUpper(i) ? static_cast<char>(text[i] - 'A' + 'a') : text[i];
  }
  // "apiKey" has words at 0 and 3, "HTTPToken" at 0 and 4, "v2token" at 0 and 2.
  bool StartsWord(uint64_t i) const {
    if (!IsPart(i)) return false;
    if (i == 0 || !IsPart(i - 1)) return true;
    if (IsDigit(i - 1)) return !IsDigit(i);
    return IsUpper(i) && (IsLower(i - 1) || IsLower(i + 1));
  }
  bool EndsWord(uint64_t i) const {
    while (IsDigit(i)) ++i;
    return !IsPart(i) || StartsWord(i);
  }
};

// The entry is spelled by the name from `from` on, whatever stands between its letters.
inline bool SpellsEntry(const NameText& entry, const NameText& name, uint64_t from, bool anywhere) {
  if (!anywhere && !name.StartsWord(from)) return false;
  uint64_t at = from;
  for (uint64_t i = 0; i < entry.size; ++i, ++at) {
    while (i != 0 && at < name.size && !name.IsPart(at)) ++at;
    if (at >= name.size || name.Lower(at) != entry.text[i]) return false;
  }
  return anywhere || name.EndsWord(at) ||
         (entry.size > 2 && at < name.size && name.Lower(at) == 's' && name.EndsWord(at + 1));
}

// Linear in the text for each '*': only the last one is ever gone back to. Case is not looked at.
inline bool MatchesNamePattern(const NameText& pattern, const NameText& name) {
  constexpr uint64_t kNone = ~uint64_t{0};
  uint64_t p = 0, t = 0, star = kNone, star_text = 0;
  while (t < name.size) {
    if (p < pattern.size && pattern.text[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size && (pattern.text[p] == '?' || pattern.text[p] == name.Lower(t))) {
      ++p;
      ++t;
    } else if (star != kNone) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size && pattern.text[p] == '*') ++p;
  return p == pattern.size;
}

inline NameText WithoutAffixes(NameText name) {
  const bool member = name.size > 2 && name.text[1] == '_' &&
                      (name.text[0] == 'm' || name.text[0] == 's' || name.text[0] == 'g');
  const uint64_t skip = member                                                    ? 2
                        : name.size > 1 && name.text[0] == 'k' && name.IsUpper(1) ? 1
                                                                                  : 0;
  name.text += skip;
  name.size -= skip;
  while (name.size > 1 && name.text[name.size - 1] == '_') --name.size;
  return name;
}

inline bool IsLineMatched(char kind, const NameText& entry, const NameText& name) {
  if (kind == '*' || kind == '!') {
    return MatchesNamePattern(entry, name) || MatchesNamePattern(entry, WithoutAffixes(name));
  }
  for (uint64_t from = 0; from < name.size; ++from) {
    // Nearly always decided here.
    if (name.Lower(from) == entry.text[0] && SpellsEntry(entry, name, from, kind == '~')) {
      return true;
    }
  }
  return false;
}

inline bool IsOnNameList(const char* list, uint64_t list_bytes, const char* text, uint64_t size) {
  const NameText name = {text, size < kMaxListedNameBytes ? size : kMaxListedNameBytes};
  bool listed = false;
  for (uint64_t at = 0; at < list_bytes;) {
    uint64_t end = at;
    while (end < list_bytes && list[end] != '\n') ++end;
    const char kind = list[at];
    if (end - at > 1 && (!listed || kind == '!') &&
        IsLineMatched(kind, {list + at + 1, end - at - 1}, name)) {
      if (kind == '!') return false;
      listed = true;
    }
    at = end + 1;
  }
  return listed;
}

}  // namespace stillframe

#endif  // STILLFRAME_BASE_NAME_LIST_H_
