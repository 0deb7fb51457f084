# The files that the targets start from: made at build time, none is committed. Shared objects without
# the standard library, so that they are small and any reference may stay open.
set(fuzz_seeds_dir ${CMAKE_CURRENT_BINARY_DIR}/seeds)
file(MAKE_DIRECTORY ${fuzz_seeds_dir}/modules)
set(fuzz_seeds)
find_program(FUZZ_GCC g++-12 REQUIRED)
find_program(FUZZ_CLANG clang++-14 REQUIRED)
find_program(FUZZ_OBJCOPY objcopy REQUIRED)
set(fuzz_link_flags -shared -fPIC -nostdlib -Wl,--build-id=sha1 -Wl,-z,noseparate-code
    -Wl,-z,max-page-size=4096)

# Those in modules/ are starting points of module_fuzz and elf_fuzz.
function(fuzz_seed output source compiler)
  add_custom_command(OUTPUT ${fuzz_seeds_dir}/${output}
    COMMAND ${compiler} ${fuzz_link_flags} ${ARGN} ${CMAKE_CURRENT_SOURCE_DIR}/seeds/${source}
            -o ${fuzz_seeds_dir}/${output}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/seeds/${source} VERBATIM)
  set(fuzz_seeds ${fuzz_seeds} ${fuzz_seeds_dir}/${output} PARENT_SCOPE)
endfunction()

foreach(version 4 5)
  fuzz_seed(modules/small_gcc_O0_${version} small.cc ${FUZZ_GCC} -O0 -gdwarf-${version})
  fuzz_seed(modules/small_clang_O2_${version} small.cc ${FUZZ_CLANG} -O2 -gdwarf-${version})
endforeach()
fuzz_seed(modules/small_gcc_O2_5 small.cc ${FUZZ_GCC} -O2 -gdwarf-5)
fuzz_seed(modules/small_compressed small.cc ${FUZZ_GCC} -O1 -g -gz)
add_custom_command(OUTPUT ${fuzz_seeds_dir}/modules/small_zstd
  COMMAND ${FUZZ_OBJCOPY} --compress-debug-sections=zstd ${fuzz_seeds_dir}/modules/small_gcc_O2_5
          ${fuzz_seeds_dir}/modules/small_zstd
  DEPENDS ${fuzz_seeds_dir}/modules/small_gcc_O2_5 VERBATIM)
list(APPEND fuzz_seeds ${fuzz_seeds_dir}/modules/small_zstd)
# Stripped, with its symbols as Fedora leaves them.
find_program(FUZZ_XZ xz REQUIRED)
add_custom_command(OUTPUT ${fuzz_seeds_dir}/modules/small_mini
  COMMAND ${FUZZ_OBJCOPY} --strip-debug ${fuzz_seeds_dir}/modules/small_gcc_O2_5
          ${fuzz_seeds_dir}/mini
  COMMAND ${FUZZ_XZ} -f ${fuzz_seeds_dir}/mini
  COMMAND ${FUZZ_OBJCOPY} --strip-all --add-section .gnu_debugdata=${fuzz_seeds_dir}/mini.xz
          ${fuzz_seeds_dir}/modules/small_gcc_O2_5 ${fuzz_seeds_dir}/modules/small_mini
  DEPENDS ${fuzz_seeds_dir}/modules/small_gcc_O2_5 VERBATIM)
list(APPEND fuzz_seeds ${fuzz_seeds_dir}/modules/small_mini)
fuzz_seed(modules/small_types small.cc ${FUZZ_GCC} -O1 -g -fdebug-types-section)
fuzz_seed(modules/small_types_5 small.cc ${FUZZ_CLANG} -O1 -gdwarf-5 -fdebug-types-section)
fuzz_seed(modules/small_clang_O0_5 small.cc ${FUZZ_CLANG} -O0 -gdwarf-5)
fuzz_seed(modules/small_lto small.cc ${FUZZ_GCC} -O2 -g -flto)
fuzz_seed(modules/small_dwarf64 small.cc ${FUZZ_GCC} -O2 -gdwarf-5 -gdwarf64)
# Frame descriptions in .debug_frame alone, and lines alone.
fuzz_seed(modules/small_frame small.cc ${FUZZ_GCC} -O2 -g -fno-asynchronous-unwind-tables
          -fno-exceptions)
fuzz_seed(modules/small_lines small.cc ${FUZZ_CLANG} -O2 -gline-tables-only)
# Moved to partial units by dwz: two units that share their types.
find_program(FUZZ_DWZ dwz REQUIRED)
add_custom_command(OUTPUT ${fuzz_seeds_dir}/modules/small_dwz
  COMMAND ${FUZZ_GCC} -O1 -gdwarf-5 -fPIC -c ${CMAKE_CURRENT_SOURCE_DIR}/seeds/small.cc
          -o ${fuzz_seeds_dir}/dwz_1.o
  COMMAND ${FUZZ_GCC} -O1 -gdwarf-5 -fPIC -Dshop=mall -DEntry=Second -c
          ${CMAKE_CURRENT_SOURCE_DIR}/seeds/small.cc -o ${fuzz_seeds_dir}/dwz_2.o
  COMMAND ${FUZZ_GCC} ${fuzz_link_flags} ${fuzz_seeds_dir}/dwz_1.o ${fuzz_seeds_dir}/dwz_2.o
          -o ${fuzz_seeds_dir}/modules/small_dwz
  COMMAND ${FUZZ_DWZ} ${fuzz_seeds_dir}/modules/small_dwz
  DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/seeds/small.cc VERBATIM)
list(APPEND fuzz_seeds ${fuzz_seeds_dir}/modules/small_dwz)
# A program whose units were split off and packed: packages/split_N is what package_fuzz starts from.
find_program(FUZZ_DWP llvm-dwp-14 REQUIRED)
file(MAKE_DIRECTORY ${fuzz_seeds_dir}/packages ${fuzz_seeds_dir}/from_fd)
foreach(version 4 5)
  set(split ${fuzz_seeds_dir}/split_${version})
  file(CREATE_LINK /proc/self/fd/100 ${fuzz_seeds_dir}/from_fd/split_${version}.dwp SYMBOLIC)
  add_custom_command(OUTPUT ${split} ${fuzz_seeds_dir}/packages/split_${version}
    COMMAND ${FUZZ_CLANG} -O1 -gdwarf-${version} -gsplit-dwarf -fPIC -c
            ${CMAKE_CURRENT_SOURCE_DIR}/seeds/small.cc -o ${split}.o
    COMMAND ${FUZZ_CLANG} ${fuzz_link_flags} ${split}.o -o ${split}
    COMMAND ${FUZZ_DWP} ${split}.dwo -o ${fuzz_seeds_dir}/packages/split_${version}
    COMMAND ${CMAKE_COMMAND} -E rm ${split}.o ${split}.dwo
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/seeds/small.cc VERBATIM)
  list(APPEND fuzz_seeds ${split} ${fuzz_seeds_dir}/packages/split_${version})
endforeach()
fuzz_seed(containers containers.cc ${FUZZ_GCC} -std=c++20 -O2 -g)
fuzz_seed(expressions expressions.S ${FUZZ_GCC})

# One section of a seed as a file of its own, behind a prefix that its target wants.
function(fuzz_section output seed section prefix)
  set(path ${fuzz_seeds_dir}/${output})
  get_filename_component(folder ${path} DIRECTORY)
  file(MAKE_DIRECTORY ${folder})
  add_custom_command(OUTPUT ${path}
    COMMAND ${FUZZ_OBJCOPY} -O binary --only-section=${section} --set-section-flags
            ${section}=alloc ${fuzz_seeds_dir}/${seed} ${path}.bytes
    COMMAND sh -c "printf '${prefix}' | cat - ${path}.bytes > ${path} && rm ${path}.bytes"
    DEPENDS ${fuzz_seeds_dir}/${seed} VERBATIM)
  set(fuzz_seeds ${fuzz_seeds} ${path} PARENT_SCOPE)
endfunction()
foreach(seed gcc_O0_4 gcc_O2_5 clang_O2_4 clang_O2_5)
  # Both sizes larger than any: .debug_line is all there is.
  fuzz_section(line/${seed} modules/small_${seed} .debug_line "\\377\\377\\0\\0")
  fuzz_section(cfi/${seed} modules/small_${seed} .eh_frame "\\0")
endforeach()
add_custom_target(fuzz_seeds ALL DEPENDS ${fuzz_seeds})

# Too large for a fuzzer to start from; replayed as they are, and by tests/symbolizer/bombs_test.cc.
file(MAKE_DIRECTORY ${fuzz_seeds_dir}/bombs)
add_custom_command(OUTPUT ${fuzz_seeds_dir}/bombs.stamp
  COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/seeds/bombs.py ${fuzz_seeds_dir}/bombs
  COMMAND ${CMAKE_COMMAND} -E touch ${fuzz_seeds_dir}/bombs.stamp
  DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/seeds/bombs.py
          ${CMAKE_CURRENT_SOURCE_DIR}/seeds/dwarf_writer.py VERBATIM)
add_custom_target(fuzz_bombs ALL DEPENDS ${fuzz_seeds_dir}/bombs.stamp)
