# stillframe_room(NAME [EXCLUDE regex] [DEPS target...] [LINK lib...])
# A room is one folder of src/: a static library `stillframe_<NAME>` of every .cc below the folder
# that calls this. Globs are re-run at every build, so adding a file needs no edit here.
function(stillframe_room NAME)
  cmake_parse_arguments(ROOM "NO_PCH" "EXCLUDE" "DEPS;LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  if(ROOM_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "${ROOM_EXCLUDE}")
  endif()
  if(NOT sources)  # a room may hold headers only
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/empty.cc "")
    set(sources ${CMAKE_CURRENT_BINARY_DIR}/empty.cc)
  endif()
  add_library(stillframe_${NAME} STATIC ${sources})
  target_include_directories(stillframe_${NAME} PUBLIC ${CMAKE_SOURCE_DIR}/src
                                                      ${CMAKE_SOURCE_DIR}/include)
  target_link_libraries(stillframe_${NAME} PUBLIC ${ROOM_DEPS} ${ROOM_LINK}
                                           PRIVATE stillframe_warnings)
  if(NOT ROOM_NO_PCH)
    target_precompile_headers(stillframe_${NAME} PRIVATE
      <algorithm> <array> <atomic> <cstdint> <cstring> <functional> <map> <memory> <optional>
      <span> <string> <string_view> <unordered_map> <utility> <variant> <vector>)
  endif()
endfunction()

# stillframe_test(NAME DEPS target... [LABEL label]): one GoogleTest program of every *_test.cc
# below the calling folder, discovered into CTest. The label says which presets run its tests
# (CMakePresets.json, testPresets):
#   unit (the default)  release, debug, clang, asan-ubsan
#   threads             these and tsan: about threads that share memory
# Tests of whole processes (e2e), of what is installed (package) and of tools run without sanitizers
# only: a sanitizer's runtime cannot be preloaded into a program that was built without it. Tests of
# objects (gate) run under asan-ubsan too.
function(stillframe_test NAME)
  cmake_parse_arguments(T "" "TIMEOUT;LABEL" "DEPS;SOURCES" ${ARGN})
  if(T_SOURCES)
    set(sources ${T_SOURCES})
  else()
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cc)
  endif()
  if(NOT sources)
    return()
  endif()
  if(NOT T_LABEL)
    set(T_LABEL unit)
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  add_executable(stillframe_${NAME}_test ${sources})
  target_include_directories(stillframe_${NAME}_test PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(stillframe_${NAME}_test PRIVATE ${T_DEPS} GTest::gtest GTest::gmock
                        GTest::gtest_main stillframe_warnings)
  target_precompile_headers(stillframe_${NAME}_test PRIVATE <gtest/gtest.h> <string> <vector>
                            <map> <memory> <functional>)
  set_target_properties(stillframe_${NAME}_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY
                        ${CMAKE_BINARY_DIR}/tests)
  gtest_discover_tests(stillframe_${NAME}_test TEST_PREFIX ${NAME}. DISCOVERY_MODE PRE_TEST
                       PROPERTIES TIMEOUT ${T_TIMEOUT} LABELS ${T_LABEL})
endfunction()
