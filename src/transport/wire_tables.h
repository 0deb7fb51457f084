// What the snapshots of a batch have in common, each once (PublishRequest.strings, labels, places).
// Private to transport/.
#ifndef STILLFRAME_TRANSPORT_WIRE_TABLES_H_
#define STILLFRAME_TRANSPORT_WIRE_TABLES_H_

#include <map>
#include <protozero/pbf_writer.hpp>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/snapshot.h"

namespace stillframe::transport {

// Numbers begin at 1; 0 is "". A table out of memory (std::bad_alloc) must not be added to again.
class Tables {
 public:
  uint32_t String(const std::string& text) {
    if (text.empty()) return 0;
    const auto [found, is_new] = strings_.try_emplace(text, Next(strings_));
    if (is_new) {
      string_order_.push_back(&found->first);
      bytes_ += text.size() + kStringBytes;
    }
    return found->second;
  }
  uint32_t Label(const model::Value& value) {
    const std::pair key{String(value.name), String(value.type)};
    if (key == std::pair{0u, 0u}) return 0;
    const auto [found, is_new] = labels_.try_emplace(key, Next(labels_));
    if (is_new) {
      label_order_.push_back(key);
      bytes_ += kLabelBytes;
    }
    return found->second;
  }
  uint32_t Place(const model::Frame& frame) {
    const PlaceKey key{String(frame.function),
                       String(frame.file),
                       frame.line,
                       String(frame.module),
                       String(frame.build_id),
                       frame.pc,
                       frame.inlined ? 1u : 0u,
                       String(frame.variables_reason)};
    if (key == PlaceKey()) return 0;
    const auto [found, is_new] = places_.try_emplace(key, Next(places_));
    if (is_new) {
      place_order_.push_back(key);
      bytes_ += kPlaceBytes;
    }
    return found->second;
  }

  // Back again, by numbers that came from here.
  std::string StringOf(uint32_t number) const {
    return number == 0 ? std::string() : *string_order_.at(number - 1);
  }
  void Read(uint32_t label, model::Value& out) const {
    if (label == 0) return;
    const auto [name, type] = label_order_.at(label - 1);
    out.name = StringOf(name);
    out.type = StringOf(type);
  }
  void Read(uint32_t place, model::Frame& out) const {
    if (place == 0) return;
    const auto& [function, file, line, module, build_id, pc, inlined, reason] =
        place_order_.at(place - 1);
    out.function = StringOf(function);
    out.file = StringOf(file);
    out.line = line;
    out.module = StringOf(module);
    out.build_id = StringOf(build_id);
    out.pc = pc;
    out.inlined = inlined != 0;
    out.variables_reason = StringOf(reason);
  }

  void Encode(protozero::pbf_writer& out) const {
    for (const std::string* text : string_order_) out.add_bytes(5, *text);
    for (const auto& [name, type] : label_order_) {
      protozero::pbf_writer nested(out, 6);
      AddNumber(nested, 1, name);
      AddNumber(nested, 2, type);
    }
    for (const PlaceKey& place : place_order_) {
      protozero::pbf_writer nested(out, 7);
      AddNumber(nested, 1, std::get<0>(place));
      AddNumber(nested, 2, std::get<1>(place));
      AddNumber(nested, 3, std::get<2>(place));
      AddNumber(nested, 4, std::get<3>(place));
      AddNumber(nested, 5, std::get<4>(place));
      AddNumber(nested, 6, std::get<5>(place));
      AddNumber(nested, 7, std::get<6>(place));
      AddNumber(nested, 8, std::get<7>(place));
    }
  }

  // Memory of all this, nearly.
  uint64_t bytes() const { return bytes_; }

 private:
  using PlaceKey =
      std::tuple<uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint64_t, uint32_t, uint32_t>;
  // Of a node with its allocation, a bucket, and a place in the order.
  static constexpr uint64_t kStringBytes = 96, kLabelBytes = 80, kPlaceBytes = 144;

  template <typename Map>
  static uint32_t Next(const Map& map) {
    return static_cast<uint32_t>(map.size() + 1);
  }
  static void AddNumber(protozero::pbf_writer& out, uint32_t field, uint64_t number) {
    if (number != 0) out.add_uint64(field, number);
  }

  std::unordered_map<std::string, uint32_t> strings_;
  std::vector<const std::string*> string_order_;  // keys stay where they are
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> labels_;
  std::vector<std::pair<uint32_t, uint32_t>> label_order_;
  std::map<PlaceKey, uint32_t> places_;
  std::vector<PlaceKey> place_order_;
  uint64_t bytes_ = 0;
};

}  // namespace stillframe::transport

#endif  // STILLFRAME_TRANSPORT_WIRE_TABLES_H_
