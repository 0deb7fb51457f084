#include "gtest/gtest.h"
#include "symbolizer/path_match.h"

namespace stillframe {
namespace {

TEST(SymbolsPath, NormalizesDotsAndSlashes) {
  EXPECT_EQ(NormalizePath("/a/./b//c/../d.cc"), "/a/b/d.cc");
  EXPECT_EQ(NormalizePath("./src/x.cc"), "src/x.cc");
  EXPECT_EQ(NormalizePath("../../x.cc"), "../../x.cc");
  EXPECT_EQ(NormalizePath("/../x.cc"), "/x.cc");
  EXPECT_EQ(NormalizePath("/"), "/");
  EXPECT_EQ(NormalizePath(""), "");
}

TEST(SymbolsPath, JoinsRelativeToAFolder) {
  EXPECT_EQ(JoinPath("/build/out", "../src/x.cc"), "/build/src/x.cc");
  EXPECT_EQ(JoinPath("/build", "/abs/x.cc"), "/abs/x.cc");
  EXPECT_EQ(JoinPath("", "x.cc"), "x.cc");
}

TEST(SymbolsPath, SuffixesAreWholeComponents) {
  EXPECT_TRUE(HasPathSuffix("/src/shop/orders.cc", "orders.cc"));
  EXPECT_TRUE(HasPathSuffix("/src/shop/orders.cc", "shop/orders.cc"));
  EXPECT_TRUE(HasPathSuffix("/src/shop/orders.cc", "/src/shop/orders.cc"));
  EXPECT_TRUE(HasPathSuffix("/src/shop/orders.cc", "../shop/orders.cc"));
  EXPECT_FALSE(HasPathSuffix("/src/shop/orders.cc", "rders.cc"));
  EXPECT_FALSE(HasPathSuffix("/src/shop/orders.cc", "/shop/orders.cc"));
  EXPECT_FALSE(HasPathSuffix("/src/shop/orders.cc", "Orders.cc"));
  EXPECT_FALSE(HasPathSuffix("orders.cc", "shop/orders.cc"));
  EXPECT_FALSE(HasPathSuffix("orders.cc", ""));
}

TEST(SymbolsPath, NearestPathsAreMisspellingsOnly) {
  const std::vector<std::string> files = {"/s/orders.cc", "/s/order.cc", "/s/border.cc", "/s/x.h"};
  EXPECT_EQ(NearestPaths("ordres.cc", files, 2),
            (std::vector<std::string>{"/s/order.cc", "/s/orders.cc"}));
  EXPECT_TRUE(NearestPaths("completely_different.cpp", files, 5).empty());
  EXPECT_EQ(EditDistance("kitten", "sitting", 9), 3u);
  EXPECT_EQ(EditDistance(std::string(1000, 'a'), "a", 3), 4u);
}

}  // namespace
}  // namespace stillframe
