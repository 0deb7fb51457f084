// Texts in protobuf messages. Private to transport/.
#ifndef STILLFRAME_TRANSPORT_WIRE_TEXT_H_
#define STILLFRAME_TRANSPORT_WIRE_TEXT_H_

#include <protozero/pbf_writer.hpp>
#include <string>

#include "base/utf8.h"

namespace stillframe::transport {

// A `string` field: libprotobuf refuses the whole message for one that is not UTF-8.
inline void AddString(protozero::pbf_writer& out, uint32_t field, const std::string& text) {
  if (!text.empty()) out.add_string(field, IsUtf8(text) ? text : ToUtf8(text));
}

inline void AddBytes(protozero::pbf_writer& out, uint32_t field, const std::string& text) {
  if (!text.empty()) out.add_bytes(field, text);
}

}  // namespace stillframe::transport

#endif  // STILLFRAME_TRANSPORT_WIRE_TEXT_H_
