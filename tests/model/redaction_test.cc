#include "model/redaction.h"

#include <gtest/gtest.h>

namespace stillframe::model {
namespace {

TEST(Redaction, NamesInEverySpelling) {
  for (const char* name : {"password",        "m_password",   "Password_",  "userPassword",
                           "API_KEY",         "x-api-key",    "kApiKey",    "apiKey",
                           "g_access_token",  "accessTokens", "sessionId",  "HTTPCookie",
                           "x_forwarded_for", "databaseURL",  "card_pin",   "2fa",
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
}

}  // namespace
}  // namespace stillframe::model
