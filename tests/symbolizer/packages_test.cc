// Packages of split units: their index, units cut out of them, and what damaged ones do.
#include <cstring>

#include "symbolizer/line_sites.h"
#include "symbolizer/section_bytes.h"
#include "symbolizer/split_package.h"
#include "symbolizer/split_units.h"
#include "tests/symbolizer/symbols_support.h"

namespace stillframe {
namespace {

using symbols_test::Mutator;
using symbols_test::ReadAll;
using symbols_test::RunTool;
using symbols_test::ScratchFolder;
using symbols_test::WriteAll;

// An index of one unit, as version 2 has it.
std::vector<uint8_t> SoundIndex(uint32_t version = 2) {
  std::vector<uint32_t> words{version, 3, 1, 2};              // columns, units, slots
  words.insert(words.end(), {0x11111111, 0x22222222, 0, 0});  // ids of the slots
  words.insert(words.end(), {1, 0});                          // rows
  words.insert(words.end(), {1, 3, 6});                       // info, abbreviations, strings
  words.insert(words.end(), {10, 20, 30, 100, 200, 300});     // offsets, sizes
  std::vector<uint8_t> bytes(words.size() * 4);
  std::memcpy(bytes.data(), words.data(), bytes.size());
  return bytes;
}

TEST(PackageIndex, FindsTheUnitsOfBothVersions) {
  for (const uint32_t version : {2u, 5u}) {
    const auto index = PackageIndex::Read(SoundIndex(version));
    ASSERT_TRUE(index.ok()) << index.status().ToString();
    EXPECT_EQ(index->version(), version);
    ASSERT_EQ(index->units().size(), 1u);
    EXPECT_EQ(index->Find(1), nullptr);
    const PackageUnit* const unit = index->Find(0x2222222211111111);
    ASSERT_NE(unit, nullptr);
    EXPECT_EQ(unit->part(PackageSection::kInfo), (PackagePart{10, 100}));
    EXPECT_EQ(unit->part(PackageSection::kAbbreviations), (PackagePart{20, 200}));
    EXPECT_EQ(unit->part(PackageSection::kStringOffsets), (PackagePart{30, 300}));
    EXPECT_EQ(unit->part(PackageSection::kLines), PackagePart());
  }
}

TEST(PackageIndex, EveryWrongFieldIsRefused) {
  const std::vector<uint8_t> sound = SoundIndex();
  for (size_t size = 0; size < sound.size(); ++size) {
    EXPECT_EQ(PackageIndex::Read(ByteSpan(sound.data(), size)).status().code(), Code::kCorrupt);
  }
  const auto with = [&sound](size_t word, uint32_t value) {
    std::vector<uint8_t> bytes = sound;
    std::memcpy(bytes.data() + 4 * word, &value, 4);
    return PackageIndex::Read(bytes).status().code();
  };
  EXPECT_EQ(with(0, 3), Code::kUnsupported);
  EXPECT_EQ(with(1, 17), Code::kOverLimit);
  EXPECT_EQ(with(1, 16), Code::kCorrupt);
  EXPECT_EQ(with(2, UINT32_MAX), Code::kOverLimit);
  EXPECT_EQ(with(3, UINT32_MAX), Code::kOverLimit);
  EXPECT_EQ(with(8, 2), Code::kCorrupt);  // a row past the last
  EXPECT_EQ(with(9, 1), Code::kCorrupt);  // more slots in use than units
}

struct Variant {
  const char* compiler;
  const char* packager;
  int version;
};
constexpr Variant kVariants[] = {{"g++-12 -gdwarf-4", "dwp", 4},
                                 {"clang++-14 -gdwarf-4", "llvm-dwp-14", 4},
                                 {"clang++-14 -gdwarf-5", "llvm-dwp-14", 5}};

// The symbols program of main.cc and shapes.cc with split units, and its package as `program.dwp`.
class SplitPackageTest : public testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    const std::string sources = std::string(STILLFRAME_TARGET_SOURCES) + "/symbols/";
    for (const char* name : {"main", "shapes"}) {
      RunTool("cd " + folder_.path() + " && " + GetParam().compiler +
              " -std=c++17 -O1 -gsplit-dwarf -c '" + sources + name + ".cc' -o " + name + ".o");
    }
    RunTool("cd " + folder_.path() + " && " + GetParam().compiler +
            " main.o shapes.o -o program && " + GetParam().packager + " -e program -o program.dwp");
  }
  std::string Path(const std::string& name) const { return folder_.path() + "/" + name; }
  std::string Text(const DebugImage& image, const char* section) const {
    const DebugImage::Place place = image.Find(section);
    return std::string(image.data() + place.offset, place.size_bytes);
  }
  // How many units have functions, and what is said of the others.
  size_t CountUnits(const std::string& package, std::vector<Status>* why = nullptr) {
    const auto elf = ElfFile::Open(Path("program"));
    EXPECT_TRUE(elf.ok());
    auto debug = ModuleDebug::Open(**elf, **elf, {Path("absent.dwp"), package});
    EXPECT_TRUE(debug.ok()) << debug.status().ToString();
    size_t found = 0;
    for (size_t i = 0; i < (*debug)->units.unit_count(); ++i) {
      Dwarf_Die* const unit = (*debug)->units.unit(i);
      if (unit == nullptr) continue;  // damaged such that it must not be walked over
      if (!(*debug)->units.Functions(unit).empty()) {
        ++found;
      } else if (why != nullptr) {
        why->push_back((*debug)->split_units->WhyNone(*unit));
      }
    }
    return found;
  }

  ScratchFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Packagers, SplitPackageTest, testing::ValuesIn(kVariants));

// The same sections as in the .dwo files, and the same strings in the same order.
TEST_P(SplitPackageTest, AUnitIsWhatItsFileWas) {
  const auto package = SplitPackage::Open(Path("program.dwp"));
  ASSERT_TRUE(package.ok()) << package.status().ToString();
  for (const char* name : {"main.dwo", "shapes.dwo"}) {
    const auto dwo = ElfFile::OpenShared(Path(name));
    ASSERT_TRUE(dwo.ok()) << dwo.status().ToString();
    const auto bytes = [&](const char* section) {
      const ElfSection* const found = (*dwo)->FindSection(section);
      if (found == nullptr) return std::string();
      const auto read = (*dwo)->ReadSection(*found);
      EXPECT_TRUE(read.ok());
      return std::string(read->begin(), read->end());
    };
    const std::string id = RunTool("readelf --debug-dump=info " + Path(name) + " 2>/dev/null | " +
                                   "sed -n 's/.*\\(dwo_id *:\\|DWO ID:\\) *0x//p' | head -1");
    const auto cut = (*package)->Cut(std::stoull(id, nullptr, 16));
    ASSERT_TRUE(cut.ok()) << cut.status().ToString();
    for (const char* section : {".debug_info.dwo", ".debug_abbrev.dwo", ".debug_loc.dwo",
                                ".debug_loclists.dwo", ".debug_rnglists.dwo", ".debug_line.dwo"}) {
      EXPECT_EQ(Text(**cut, section), bytes(section)) << section;
    }
    const auto strings = [](const std::string& offsets, const std::string& texts) {
      std::vector<std::string> all;
      for (size_t at = GetParam().version == 5 ? 8 : 0; at + 4 <= offsets.size(); at += 4) {
        uint32_t offset = 0;
        std::memcpy(&offset, offsets.data() + at, 4);
        all.emplace_back(texts.c_str() + offset);
      }
      return all;
    };
    EXPECT_EQ(strings(Text(**cut, ".debug_str_offsets.dwo"), Text(**cut, ".debug_str.dwo")),
              strings(bytes(".debug_str_offsets.dwo"), bytes(".debug_str.dwo")));
  }
  const auto none = (*package)->Cut(1);
  EXPECT_EQ(none.status().code(), Code::kNotFound);
  EXPECT_NE(none.status().message().find("0x0000000000000001"), std::string::npos);
}

TEST_P(SplitPackageTest, EveryUnitIsFoundWithoutTheFiles) {
  RunTool("rm " + Path("main.dwo") + " " + Path("shapes.dwo"));
  EXPECT_EQ(CountUnits(Path("program.dwp")), 2u);
  std::vector<Status> why;
  EXPECT_EQ(CountUnits(Path("none.dwp"), &why), 0u);
  ASSERT_EQ(why.size(), 2u);
  EXPECT_NE(why[0].message().find("main.dwo, which is not there"), std::string::npos);
}

// A unit whose id is not the one that the index gave.
TEST_P(SplitPackageTest, AnotherUnitInItsPlaceIsRefusedByName) {
  RunTool("rm " + Path("main.dwo") + " " + Path("shapes.dwo"));
  const auto file = ElfFile::OpenShared(Path("program.dwp"));
  ASSERT_TRUE(file.ok());
  const ElfSection* const section = (*file)->FindSection(".debug_cu_index");
  ASSERT_NE(section, nullptr);
  const auto bytes = (*file)->ReadSection(*section);
  ASSERT_TRUE(bytes.ok());
  const auto index = PackageIndex::Read(*bytes);
  ASSERT_TRUE(index.ok());
  // The two rows change places.
  std::string damaged = ReadAll(Path("program.dwp"));
  uint32_t slots = 0;
  std::memcpy(&slots, bytes->data() + 12, 4);
  for (uint32_t slot = 0; slot < slots; ++slot) {
    char* const row = &damaged[section->offset.value + 16 + 8 * slots + 4 * slot];
    if (*row != 0) *row = static_cast<char>(3 - *row);
  }
  WriteAll(Path("program.dwp"), damaged);
  std::vector<Status> why;
  EXPECT_EQ(CountUnits(Path("program.dwp"), &why), 0u);
  ASSERT_EQ(why.size(), 2u);
  EXPECT_EQ(why[0].code(), Code::kBuildMismatch) << why[0].ToString();
  EXPECT_NE(why[0].message().find("program.dwp"), std::string::npos) << why[0].ToString();
}

TEST_P(SplitPackageTest, MutatedPackagesNeverCrashOrHang) {
  RunTool("rm " + Path("main.dwo") + " " + Path("shapes.dwo"));
  const auto sound = ElfFile::OpenShared(Path("program.dwp"));
  ASSERT_TRUE(sound.ok());
  Mutator mutator(ReadAll(Path("program.dwp")), 5);
  size_t found = 0;
  for (int i = 0; i < 200; ++i) {
    WriteAll(Path("mutated.dwp"), mutator.Next((*sound)->sections()));
    found += CountUnits(Path("mutated.dwp"));
  }
  EXPECT_GT(found, 50u);  // most mutations leave units that can be read
}

}  // namespace
}  // namespace stillframe
