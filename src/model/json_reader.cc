#include "model/json_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

namespace stillframe::model {
namespace {

using Json = nlohmann::ordered_json;
constexpr int kMaxDepth = 64;

std::string Range(uint64_t min, uint64_t max) {
  return "must be an integer from " + std::to_string(min) + " to " + std::to_string(max);
}

// proto3 JSON writes 64-bit integers as strings and allows both.
std::optional<uint64_t> AsUnsigned(const Json& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (number >= 0 && number < 9e15 && number == std::floor(number)) {
      return static_cast<uint64_t>(number);
    }
  }
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return number;
  }
  return std::nullopt;
}

}  // namespace

std::optional<FieldError> ParseJson(std::string_view text, Json& out) {
  int deepest = 0;
  // The callback sees the depth before anything deeper is built, so a bomb costs nothing.
  const auto limit_depth = [&deepest](int depth, Json::parse_event_t, Json&) {
    deepest = std::max(deepest, depth);
    return depth <= kMaxDepth;
  };
  try {
    out = Json::parse(text, limit_depth);
  } catch (const Json::exception& error) {
    std::string message = error.what();
    const size_t bracket = message.find("] ");
    if (bracket != std::string::npos) message.erase(0, bracket + 2);
    return FieldError{"MALFORMED_JSON", "the body is not JSON: " + message, ""};
  }
  if (deepest > kMaxDepth) {
    return FieldError{"OVER_LIMIT", "JSON is nested more than 64 levels deep", ""};
  }
  return std::nullopt;
}

ObjectReader::ObjectReader(const Json& object, std::string path, std::optional<FieldError>& error)
    : object_(object), path_(std::move(path)), error_(error) {
  if (!object_.is_object() && !error_) {
    error_ = FieldError{"INVALID_ARGUMENT",
                        (path_.empty() ? "the body" : path_) + " must be a JSON object", path_};
  }
}

std::string ObjectReader::PathOf(const char* name) const {
  return path_.empty() ? name : path_ + "." + name;
}

void ObjectReader::Fail(std::string code, const char* name, std::string message) {
  if (!error_) error_ = FieldError{std::move(code), PathOf(name) + " " + message, PathOf(name)};
}

const Json* ObjectReader::Child(const char* name) {
  known_.emplace_back(name);
  if (error_ || !object_.is_object()) return nullptr;
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

bool ObjectReader::String(const char* name, std::string& out, size_t max_bytes) {
  const Json* value = Child(name);
  if (value == nullptr) return false;
  if (!value->is_string()) {
    Fail("INVALID_ARGUMENT", name, "must be a string");
    return false;
  }
  const auto& text = value->get_ref<const std::string&>();
  if (text.size() > max_bytes) {
    Fail("OVER_LIMIT", name, "is longer than " + std::to_string(max_bytes) + " bytes");
    return false;
  }
  if (text.find('\0') != std::string::npos) {
    Fail("INVALID_ARGUMENT", name, "contains a NUL character");
    return false;
  }
  out = text;
  return true;
}

bool ObjectReader::Integer(const char* name, uint64_t& out, uint64_t min, uint64_t max) {
  const Json* value = Child(name);
  if (value == nullptr) return false;
  const auto number = AsUnsigned(*value);
  if (!number || *number < min || *number > max) {
    Fail("INVALID_ARGUMENT", name, Range(min, max));
    return false;
  }
  out = *number;
  return true;
}

bool ObjectReader::Integer32(const char* name, uint32_t& out, uint32_t min, uint32_t max) {
  uint64_t wide = 0;
  if (!Integer(name, wide, min, max)) return false;
  out = static_cast<uint32_t>(wide);
  return true;
}

bool ObjectReader::Number(const char* name, double& out, double min, double max) {
  const Json* value = Child(name);
  if (value == nullptr) return false;
  const double number = value->is_number() ? value->get<double>() : NAN;
  if (!(number >= min && number <= max)) {
    char text[96];
    snprintf(text, sizeof text, "must be a number from %g to %g", min, max);
    Fail("INVALID_ARGUMENT", name, text);
    return false;
  }
  out = number;
  return true;
}

bool ObjectReader::Bool(const char* name, bool& out) {
  const Json* value = Child(name);
  if (value == nullptr) return false;
  if (!value->is_boolean()) {
    Fail("INVALID_ARGUMENT", name, "must be true or false");
    return false;
  }
  out = value->get<bool>();
  return true;
}

bool ObjectReader::Duration(const char* name, uint64_t& out_ms, uint64_t min_ms, uint64_t max_ms) {
  std::string text;
  if (!String(name, text, 64)) return false;
  const auto ms = ParseDurationMs(text);
  if (!ms || *ms < min_ms || *ms > max_ms) {
    Fail("INVALID_ARGUMENT", name,
         "must be a duration in seconds such as \"30s\", from \"" + FormatDuration(min_ms) +
             "\" to \"" + FormatDuration(max_ms) + "\"");
    return false;
  }
  out_ms = *ms;
  return true;
}

bool ObjectReader::Strings(const char* name, std::vector<std::string>& out, size_t max_count,
                           size_t max_bytes) {
  const Json* value = Child(name);
  if (value == nullptr) return false;
  if (!value->is_array()) {
    Fail("INVALID_ARGUMENT", name, "must be a list of strings");
    return false;
  }
  if (value->size() > max_count) {
    Fail("OVER_LIMIT", name, "has more than " + std::to_string(max_count) + " elements");
    return false;
  }
  std::vector<std::string> texts;
  for (size_t i = 0; i < value->size(); ++i) {
    const Json& element = (*value)[i];
    const std::string place = std::string(name) + "[" + std::to_string(i) + "]";
    if (!element.is_string() || element.get_ref<const std::string&>().empty()) {
      Fail("INVALID_ARGUMENT", place.c_str(), "must be a string that is not empty");
      return false;
    }
    if (element.get_ref<const std::string&>().size() > max_bytes) {
      Fail("OVER_LIMIT", place.c_str(), "is longer than " + std::to_string(max_bytes) + " bytes");
      return false;
    }
    texts.push_back(element.get<std::string>());
  }
  out = std::move(texts);
  return true;
}

void ObjectReader::Finish() {
  if (error_ || !object_.is_object()) return;
  for (const auto& [key, value] : object_.items()) {
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
      error_ = FieldError{"UNKNOWN_FIELD", "unknown field '" + PathOf(key.c_str()) + "'",
                          PathOf(key.c_str())};
      return;
    }
  }
}

}  // namespace stillframe::model
