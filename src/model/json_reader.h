// Strict reading of request JSON: every unknown field, wrong type and value out of range becomes a
// FieldError that names the field by its path. The first error wins.
#ifndef STILLFRAME_MODEL_JSON_READER_H_
#define STILLFRAME_MODEL_JSON_READER_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "model/tracepoint.h"

namespace stillframe::model {

// Reads the members of one JSON object; Finish() reports members nobody asked for.
class ObjectReader {
 public:
  // `path` is "" for the body itself. `error` is shared by nested readers.
  ObjectReader(const nlohmann::ordered_json& object, std::string path,
               std::optional<FieldError>& error);

  // Each returns true when the field is present (null counts as absent, as in proto3 JSON) and
  // valid; on a bad one the error is set and `out` is unchanged.
  bool String(const char* name, std::string& out, size_t max_bytes);
  bool Integer(const char* name, uint64_t& out, uint64_t min, uint64_t max);
  bool Integer32(const char* name, uint32_t& out, uint32_t min, uint32_t max);
  bool Number(const char* name, double& out, double min, double max);
  bool Bool(const char* name, bool& out);
  bool Duration(const char* name, uint64_t& out_ms, uint64_t min_ms, uint64_t max_ms);
  bool Strings(const char* name, std::vector<std::string>& out, size_t max_count, size_t max_bytes);
  // The nested value, or nullptr when absent. Counts as asked for.
  const nlohmann::ordered_json* Child(const char* name);
  void Finish();

  void Fail(std::string code, const char* name, std::string message);
  std::string PathOf(const char* name) const;

 private:
  const nlohmann::ordered_json& object_;
  std::string path_;
  std::optional<FieldError>& error_;
  std::vector<std::string> known_;
};

// The text as JSON, or MALFORMED_JSON with the position. Also refuses more than 64 levels.
std::optional<FieldError> ParseJson(std::string_view text, nlohmann::ordered_json& out);

}  // namespace stillframe::model

#endif  // STILLFRAME_MODEL_JSON_READER_H_
