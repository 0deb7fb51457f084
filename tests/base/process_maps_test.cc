#include "base/process_maps.h"

#include <gtest/gtest.h>

namespace stillframe {
namespace {

TEST(ProcessMaps, ParsesKernelLines) {
  const auto maps = ParseProcessMaps(
      "55d0c0-55d0e0 r-xp 00001000 fe:00 1234                       /usr/bin/a b\n"
      "7ffd00-7ffd21 rw-s 00000000 00:00 0                          [stack]\n"
      "7fff00-7fff10 rw-p 00000000 00:00 0 \n");
  ASSERT_TRUE(maps.ok()) << maps.status().ToString();
  ASSERT_EQ(maps->size(), 3u);
  EXPECT_EQ((*maps)[0].path, "/usr/bin/a b");
  EXPECT_TRUE((*maps)[0].executable);
  EXPECT_TRUE((*maps)[0].is_private);
  EXPECT_EQ((*maps)[0].file_offset, 0x1000u);
  EXPECT_EQ((*maps)[0].inode, 1234u);
  EXPECT_FALSE((*maps)[1].is_private);
  EXPECT_EQ((*maps)[2].path, "");
}

TEST(ProcessMaps, RefusesGarbageAndQuotesIt) {
  for (const char* text :
       {"hello\n", "10-5 r-xp 0 fe:00 1\n", "10-20 r-x\n", "10-20 r-xp 0 fe 1"}) {
    const auto maps = ParseProcessMaps(text);
    ASSERT_FALSE(maps.ok()) << text;
    EXPECT_EQ(maps.status().code(), Code::kCorrupt);
    EXPECT_NE(maps.status().message().find(std::string(text).substr(0, 5)), std::string::npos);
  }
}

TEST(ProcessMaps, MarksOfDeletedFilesAreTakenOffOnce) {
  EXPECT_EQ(WithoutDeletedMark("/bin/x (deleted)"), "/bin/x");
  EXPECT_EQ(WithoutDeletedMark("/bin/x (deleted) (deleted)"), "/bin/x (deleted)");
  EXPECT_EQ(WithoutDeletedMark("/bin/(deleted)"), "/bin/(deleted)");
  EXPECT_EQ(WithoutDeletedMark(""), "");
}

TEST(ProcessMaps, FindsItself) {
  const auto maps = ReadProcessMaps();
  ASSERT_TRUE(maps.ok());
  const auto here = reinterpret_cast<uint64_t>(&ReadProcessMaps);
  int found = 0;
  for (const Mapping& m : *maps) {
    if (m.start.value <= here && here < m.end.value) found += m.executable;
  }
  EXPECT_EQ(found, 1);
}

}  // namespace
}  // namespace stillframe
