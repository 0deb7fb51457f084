// What the bytes of a function tell about its entry.
#include "agent/probe/plain_code.h"

#include <gtest/gtest.h>

namespace stillframe::probe {
namespace {

using Bytes = std::vector<uint8_t>;

TEST(PlainCode, InstructionsThatFunctionsBeginWith) {
  for (const Bytes& bytes :
       {Bytes{0xf3, 0x0f, 0x1e, 0xfa}, Bytes{0x55}, Bytes{0x41, 0x57}, Bytes{0x48, 0x89, 0xe5},
        Bytes{0x48, 0x8b, 0xec}, Bytes{0x48, 0x83, 0xec, 0x18}, Bytes{0x48, 0x81, 0xec, 0, 1, 0, 0},
        Bytes{0x0f, 0x1f, 0x44, 0, 0}, Bytes{0x90}}) {
    EXPECT_EQ(EntryInstructionBytes(bytes), bytes.size()) << int{bytes[0]};
  }
  // mov %rsp, %rdi; mov %rsi, %rbp; sub $8, %edi; add $8, %rsp; pop; call; lock; ret; jmp
  for (const Bytes& bytes : {Bytes{0x48, 0x89, 0xe7}, Bytes{0x48, 0x89, 0xf5}, Bytes{0x83, 0xef, 8},
                             Bytes{0x48, 0x83, 0xc4, 8}, Bytes{0x5f}, Bytes{0xe8, 0, 0, 0, 0},
                             Bytes{0xf0, 0x48, 0x83, 0x2c, 0x24, 1}, Bytes{0xc3}, Bytes{0xeb, 0},
                             Bytes{0x49, 0x89, 0xe5}, Bytes{0xf3, 0x0f, 0x1e, 0xfb}}) {
    EXPECT_EQ(EntryInstructionBytes(bytes), 0u) << int{bytes[0]};
  }
}

TEST(PlainCode, JumpsBackToThePlace) {
  // 1000: nop; dec %rdi; jne 1000; jne 1001; jmp *%rax; jmp *8(%rax); jmp *0(,%rax,8);
  // jmp *x(%rip); call 1000; ret
  const Bytes text{0x90, 0x48, 0xff, 0xcf, 0x75, 0xfa, 0x75, 0xf9, 0xff, 0xe0, 0xff,
                   0x60, 8,    0xff, 0x24, 0xc5, 0,    0,    0,    0,    0xff, 0x25,
                   0,    0,    0,    0,    0xe8, 0xe1, 0xff, 0xff, 0xff, 0xc3};
  const auto jumps = FindBackJumps(text, 0x1000, 0x1000, 0x1000);
  ASSERT_TRUE(jumps.has_value());
  ASSERT_EQ(jumps->size(), 4u);
  EXPECT_TRUE((*jumps)[0].is_direct);
  EXPECT_EQ((*jumps)[0].address, 0x1004u);
  EXPECT_EQ((*jumps)[0].next, 0x1006u);
  for (size_t i = 1; i < 4; ++i) EXPECT_FALSE((*jumps)[i].is_direct);
  EXPECT_EQ((*jumps)[3].address, 0x100du);
  EXPECT_EQ(FindBackJumps(text, 0x1000, 0x1000, 0x1001)->size(), 5u);
  EXPECT_FALSE(FindBackJumps(Bytes{0x06}, 0x1000, 0x1000, 0x1000).has_value());  // no instruction
}

}  // namespace
}  // namespace stillframe::probe
