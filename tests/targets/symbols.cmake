# Small programs for the symbolizer's tests: every compiler, level and DWARF version that matters.
set(symbols_source ${CMAKE_CURRENT_SOURCE_DIR}/symbols)
set(symbols_programs)
find_program(SYMBOLS_GXX g++-12 REQUIRED)
find_program(SYMBOLS_CLANGXX clang++-14 REQUIRED)

function(symbols_program name compiler)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/symbols_${name})
  add_custom_command(OUTPUT ${output}
    COMMAND ${compiler} -std=c++17 ${ARGN} -ffunction-sections -Wl,--gc-sections
            -Wl,--build-id=sha1 ${symbols_source}/main.cc ${symbols_source}/shapes.cc -o ${output}
    DEPENDS ${symbols_source}/main.cc ${symbols_source}/shapes.cc ${symbols_source}/shapes.h
    VERBATIM)
  set(symbols_programs ${symbols_programs} ${output} PARENT_SCOPE)
endfunction()

foreach(level 0 2)
  foreach(version 4 5)
    symbols_program(gcc_O${level}_dwarf${version} ${SYMBOLS_GXX} -O${level} -gdwarf-${version})
    symbols_program(clang_O${level}_dwarf${version} ${SYMBOLS_CLANGXX} -O${level}
                    -gdwarf-${version})
  endforeach()
endforeach()
symbols_program(gcc_compressed ${SYMBOLS_GXX} -O2 -g -gz)
# Neither compiler knows zstd here; binutils 2.40 does.
find_program(SYMBOLS_OBJCOPY objcopy REQUIRED)
add_custom_command(OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/symbols_gcc_zstd
  COMMAND ${SYMBOLS_OBJCOPY} --compress-debug-sections=zstd
          ${CMAKE_CURRENT_BINARY_DIR}/symbols_gcc_O2_dwarf5
          ${CMAKE_CURRENT_BINARY_DIR}/symbols_gcc_zstd
  DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/symbols_gcc_O2_dwarf5 VERBATIM)
list(APPEND symbols_programs ${CMAKE_CURRENT_BINARY_DIR}/symbols_gcc_zstd)
symbols_program(gcc_nopie ${SYMBOLS_GXX} -O2 -g -no-pie)
symbols_program(gcc_nodebug ${SYMBOLS_GXX} -O2)
symbols_program(gcc_cet ${SYMBOLS_GXX} -O2 -g -fcf-protection=full -Wl,-z,ibtplt)
add_custom_target(symbols_targets ALL DEPENDS ${symbols_programs})
