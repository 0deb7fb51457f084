// Compresses and restores text, always the same way.
#include <cstdio>
#include <string>

#include "snappy.h"

int main() {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "word" + std::to_string(i * i % 97) + (i % 3 ? " " : "\n");
  std::string packed, restored;
  snappy::Compress(text.data(), text.size(), &packed);
  const bool ok = snappy::Uncompress(packed.data(), packed.size(), &restored) && restored == text;
  const bool valid = snappy::IsValidCompressedBuffer(packed.data(), packed.size() / 2);
  std::printf("%zu to %zu, %d %d\n", text.size(), packed.size(), ok ? 1 : 0, valid ? 1 : 0);
}
