#include "model/redaction.h"

#include <gtest/gtest.h>

namespace stillframe::model {
namespace {

TEST(Redaction, NamesInEverySpelling) {
  for (const char* name : {"password",        "m_password",   "Password_",  "userPassword",
                           "API_KEY",         "x-api-key",    "kApiKey",    "apiKey",
                           "g_access_token",  "accessTokens", "sessionId",  "HTTPCookie",
                           "x_forwarded_for", "databaseURL",  "card_pin",   "2fa",
                           "password1",       "dbpassword",   "tokens",     "jtis",
                           "v2token",         "myApiKeys2",   "pwd_",       "session-id",
                           "clientSecret",    "$jwt",         "ip_address", "ccNumber"}) {
    EXPECT_TRUE(RedactsName(name)) << name;
  }
}

TEST(Redaction, HarmlessNamesStay) {
  for (const char* name : {"order", "items", "author", "pinned", "spin", "total", "customer",
                           "passenger", "secretary_", "assault", "key", "", "__x", "hash_map"}) {
    EXPECT_FALSE(RedactsName(name)) << name;
  }
}

TEST(Redaction, Types) {
  EXPECT_TRUE(RedactsType("shop::SecretString"));
  EXPECT_TRUE(RedactsType("const AwsCredentials &"));
  EXPECT_TRUE(RedactsType("EVP_PKEY *"));
  EXPECT_TRUE(RedactsType("SSL_CTX *"));
  EXPECT_FALSE(RedactsType("std::vector<shop::Item>"));
  EXPECT_FALSE(RedactsType("TLSSocket"));
}

TEST(Redaction, Values) {
  EXPECT_TRUE(RedactsValue("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc"));
  EXPECT_TRUE(RedactsValue("-----BEGIN RSA PRIVATE KEY-----"));
  EXPECT_TRUE(RedactsValue("id=AKIAIOSFODNN7EXAMPLE"));
  EXPECT_TRUE(RedactsValue("postgres://bob:hunter2@db/x"));
  EXPECT_TRUE(RedactsValue("card 4111 1111-1111 1111 ok"));
  EXPECT_FALSE(RedactsValue("card 4111 1111 1111 1112"));
  EXPECT_FALSE(RedactsValue("http://host:80/a@b"));
  EXPECT_FALSE(RedactsValue("eyJ.a"));
  EXPECT_FALSE(RedactsValue("0000000000000000"));
  EXPECT_FALSE(RedactsValue("41111111111111111111111111"));
  EXPECT_FALSE(RedactsValue(""));
  EXPECT_TRUE(RedactsValue("Authorization: bearer abcdefghijklmnop"));
  EXPECT_TRUE(RedactsValue("ASIAIOSFODNN7EXAMPLE"));
  EXPECT_TRUE(RedactsValue("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0"));
  EXPECT_FALSE(RedactsValue("bearer of bad news"));
}

TEST(Redaction, NamesWithTheirValue) {
  EXPECT_TRUE(RedactsValue("host=db password=hunter2"));
  EXPECT_TRUE(RedactsValue("{\"apiKey\": \"x\"}"));
  EXPECT_TRUE(RedactsValue("{\\\"token\\\":\\\"x\\\"}"));
  EXPECT_TRUE(RedactsValue("GET / HTTP/1.1\r\nCookie: id=7"));
  EXPECT_TRUE(RedactsValue("/login?access_token=abc&x=1"));
  EXPECT_FALSE(RedactsValue("password="));
  EXPECT_FALSE(RedactsValue("password=, user=bob"));
  EXPECT_FALSE(RedactsValue("if (token == other)"));
  EXPECT_FALSE(RedactsValue("unexpected token: ';'"));
  EXPECT_FALSE(RedactsValue("session: started"));
  EXPECT_FALSE(RedactsValue("{\"token\": null}"));
}

TEST(Redaction, WhatIsCutMayBeTheBeginningOfASecret) {
  for (const char* text : {"eyJh", "AKIAIOS", "x AKI", "-----BEG", "card 4111 1111", "x bearer ab",
                           "postgres://bob:hun"}) {
    EXPECT_TRUE(RedactsValue(text, true)) << text;
    EXPECT_FALSE(RedactsValue(text, false)) << text;
  }
  for (const char* text : {"http://host:80", "order 4711", "", "an ordinary text"}) {
    EXPECT_FALSE(RedactsValue(text, true)) << text;
  }
}

TEST(Redaction, NumbersOfCards) {
  for (const uint64_t number :
       {uint64_t{4111111111111111}, uint64_t{5500005555555559}, uint64_t{378282246310005}}) {
    EXPECT_TRUE(RedactsNumber(number)) << number;
  }
  // A wrong digit, no card's beginning, times in nanoseconds, and the ends of the range.
  for (const uint64_t number : {uint64_t{4111111111111112}, uint64_t{9111111111111111},
                                uint64_t{1767315845678901234}, uint64_t{0}, ~uint64_t{0}}) {
    EXPECT_FALSE(RedactsNumber(number)) << number;
  }
}

}  // namespace
}  // namespace stillframe::model
