// Visual Studio's natvis files, as far as they are declarations: DisplayString, Item, ArrayItems,
// LinkedListItems with paths of members. What asks for more (conditions, casts, arithmetic, method
// calls) is an error that names the type and the element, never a guess.
#ifndef STILLFRAME_SYMBOLIZER_NATVIS_READER_H_
#define STILLFRAME_SYMBOLIZER_NATVIS_READER_H_

#include <string_view>
#include <vector>

#include "base/status.h"
#include "symbolizer/formatters.h"

namespace stillframe {

Result<std::vector<Formatter>> ReadNatvis(std::string_view text);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_NATVIS_READER_H_
