// Reads the "items" of users' formatters in JSON (docs/formatters.md), for formatters.cc.
#ifndef STILLFRAME_SYMBOLIZER_FORMATTER_ITEMS_H_
#define STILLFRAME_SYMBOLIZER_FORMATTER_ITEMS_H_

#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "symbolizer/formatters.h"

namespace stillframe {

// kInvalidArgument, of a field that is not among the `known` or of what is no object.
Status CheckKeys(const nlohmann::json& object, std::initializer_list<std::string_view> known);
// The member path at `key`; absent, it is left as it is unless it is `required`.
Status ReadPath(const nlohmann::json& object, std::string_view key, bool required, MemberPath& out);
// One description of items, or a list of them with conditions.
Status ReadAllItems(const nlohmann::json& json, std::vector<FormatterItems>& out);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_FORMATTER_ITEMS_H_
