#include "base/name_list.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>

namespace stillframe {
namespace {

bool Listed(std::string_view list, std::string_view name) {
  return IsOnNameList(list.data(), list.size(), name.data(), name.size());
}

TEST(NameList, WordsPatternsAndExceptions) {
  EXPECT_TRUE(Listed("=apikey\n", "m_apiKeys2"));
  EXPECT_TRUE(Listed("=apikey\n", "x-api-key"));
  EXPECT_TRUE(Listed("=apikey\n", "HTTPApiKey"));
  EXPECT_FALSE(Listed("=apikey\n", "myapikey")) << "a word ends where it ends";
  EXPECT_TRUE(Listed("~apikey\n", "myapikeyring"));
  EXPECT_FALSE(Listed("=pin\n", "spin pinned pining"));
  EXPECT_TRUE(Listed("**iban*\n", "CustomersIBAN"));
  EXPECT_TRUE(Listed("*birthday\n", "m_birthday_")) << "without its affixes";
  EXPECT_FALSE(Listed("*birthday\n", "birthdays"));
  EXPECT_FALSE(Listed("=token\n!token*\n", "tokenCount"));
  EXPECT_FALSE(Listed("!token*\n=token\n", "tokenCount")) << "wherever it stands";
}

TEST(NameList, AnyBytesMayBeAListAndAName) {
  for (const char* list : {"", "\n", "=", "=\n", "*\n\n\n", "?x\n", "=a", "!"}) {
    for (const char* name : {"", "a", "_", "\n", "m_", "k", "__"}) (void)Listed(list, name);
  }
  EXPECT_TRUE(Listed("=a", "a")) << "the last line needs no end";
  std::mt19937 random(5);
  for (int round = 0; round < 50'000; ++round) {
    std::string list(random() % 40, '\0'), name(random() % 20, '\0');
    for (char& c : list) c = "=~*!\naB_2?"[random() % 10];
    for (char& c : name) c = "aAbB_-2\xff"[random() % 8];
    (void)Listed(list, name);
  }
}

}  // namespace
}  // namespace stillframe
