// The texts of users' formatters that are more than names: paths, types and numbers.
#ifndef STILLFRAME_SYMBOLIZER_FORMATTER_TEXT_H_
#define STILLFRAME_SYMBOLIZER_FORMATTER_TEXT_H_

#include <string>
#include <string_view>
#include <vector>

#include "symbolizer/formatters.h"

namespace stillframe {

// FormatterItems::node taken apart.
struct TypeText {
  MemberPath path;                // of the member whose type has the template arguments
  std::vector<uint32_t> indexes;  // of the arguments, from the outside inwards
  std::string nested;             // else the name of a type declared in the class
};

bool IsTypeText(std::string_view text);
// kInvalidArgument when it is none.
Result<TypeText> ParseTypeText(std::string_view text);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_FORMATTER_TEXT_H_
