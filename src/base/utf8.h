// Text that must be UTF-8 on the wire, from places that promise nothing: thread names, host names,
// symbol names of foreign binaries.
#ifndef STILLFRAME_BASE_UTF8_H_
#define STILLFRAME_BASE_UTF8_H_

#include <string>
#include <string_view>

namespace stillframe {

// Well-formed as in Unicode table 3-7: no overlong forms, no surrogates, nothing past U+10FFFF.
bool IsUtf8(std::string_view text);
// Each byte that is not part of a well-formed sequence becomes U+FFFD.
std::string ToUtf8(std::string_view text);

}  // namespace stillframe

#endif  // STILLFRAME_BASE_UTF8_H_
