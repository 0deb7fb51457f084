# Programs whose variables are compared with GDB's: one source, every compiler, level and DWARF
# version that makes a difference.
set(variables_source ${CMAKE_CURRENT_SOURCE_DIR}/variables)
set(variables_programs)
find_program(VARIABLES_GXX g++-12 REQUIRED)
find_program(VARIABLES_CLANGXX clang++-14 REQUIRED)

# variables_program(OUTPUT COMPILER SOURCE... -- FLAG...)
function(variables_program name source compiler)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/variables_${name})
  file(GLOB headers CONFIGURE_DEPENDS ${variables_source}/*.h)
  set(sources)
  foreach(file ${source})
    list(APPEND sources ${variables_source}/${file})
  endforeach()
  add_custom_command(OUTPUT ${output}
    COMMAND ${compiler} -std=c++20 ${ARGN} ${sources} -o ${output}
    DEPENDS ${sources} ${headers} VERBATIM)
  set(variables_programs ${variables_programs} ${output} PARENT_SCOPE)
endfunction()

set(values "values.cc")
variables_program(values_gcc_O0_dwarf5 "${values}" ${VARIABLES_GXX} -O0 -gdwarf-5)
variables_program(values_gcc_O1_dwarf4 "${values}" ${VARIABLES_GXX} -O1 -gdwarf-4)
variables_program(values_gcc_O2_dwarf4 "${values}" ${VARIABLES_GXX} -O2 -gdwarf-4)
variables_program(values_gcc_O2_dwarf5 "${values}" ${VARIABLES_GXX} -O2 -gdwarf-5)
variables_program(values_gcc_O3_dwarf5 "${values}" ${VARIABLES_GXX} -O3 -gdwarf-5 -no-pie)
variables_program(values_clang_O0_dwarf4 "${values}" ${VARIABLES_CLANGXX} -O0 -gdwarf-4)
variables_program(values_clang_O2_dwarf4 "${values}" ${VARIABLES_CLANGXX} -O2 -gdwarf-4)
variables_program(values_clang_O2_dwarf5 "${values}" ${VARIABLES_CLANGXX} -O2 -gdwarf-5)

set(types "types.cc;types_other.cc")
variables_program(types_gcc_dwarf4 "${types}" ${VARIABLES_GXX} -O0 -gdwarf-4)
variables_program(types_gcc_dwarf5 "${types}" ${VARIABLES_GXX} -O0 -gdwarf-5)
variables_program(types_gcc_units "${types}" ${VARIABLES_GXX} -O0 -gdwarf-5 -fdebug-types-section)
variables_program(types_clang_dwarf5 "${types}" ${VARIABLES_CLANGXX} -O0 -gdwarf-5)
variables_program(types_clang_dwarf4 "${types}" ${VARIABLES_CLANGXX} -O0 -gdwarf-4)

configure_file(${variables_source}/oracle.py ${CMAKE_CURRENT_BINARY_DIR}/variables_oracle.py
               COPYONLY)
add_custom_target(variables_targets ALL DEPENDS ${variables_programs})
