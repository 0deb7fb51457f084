// Parses, changes and writes a document, always the same way.
#include <cstdio>
#include <memory>
#include <sstream>
#include <string>

#include "json/json.h"

int main() {
  std::string text =
      R"({"name": "caf\u00e9", "list": [1, -2, 3.5e2, true, null, "x\ty"], "deep": )";
  for (int i = 0; i < 20; ++i) text += "{\"k" + std::to_string(i) + "\": ";
  text += "[]" + std::string(20, '}') + "}";
  Json::Value root;
  std::string errors;
  std::istringstream in(text);
  if (!Json::parseFromStream(Json::CharReaderBuilder(), in, &root, &errors)) return 1;
  for (int i = 0; i < 30; ++i) root["numbers"].append(i * 1.25);
  root["list"].removeIndex(1, nullptr);
  root["copy"] = root["deep"];
  const std::string written = Json::writeString(Json::StreamWriterBuilder(), root);
  std::istringstream bad("{\"a\": [1, 2,, 3]}");
  Json::Value none;
  const bool parsed = Json::parseFromStream(Json::CharReaderBuilder(), bad, &none, &errors);
  std::printf("%zu bytes, %u members, %d, %s", written.size(), root.size(), parsed ? 1 : 0,
              errors.c_str());
}
