# Compiler settings shared by every target of the project.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g -DNDEBUG")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g -DNDEBUG")

# The one place that knows the architecture: it names the folder under src/agent/probe/arch/.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(STILLFRAME_ARCH x86_64)
else()
  message(FATAL_ERROR "Stillframe's probes exist for x86_64 only so far, not for "
                      "${CMAKE_SYSTEM_PROCESSOR}")
endif()

find_program(STILLFRAME_CCACHE ccache)
if(STILLFRAME_CCACHE)
  # Precompiled headers need these sloppiness settings or nothing is ever found in the cache.
  set(_launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${STILLFRAME_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${_launcher})
  set(CMAKE_C_COMPILER_LAUNCHER ${_launcher})
endif()

set(STILLFRAME_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them")
option(STILLFRAME_FUZZ "Build the fuzz targets (Clang)" OFF)

add_library(stillframe_warnings INTERFACE)
target_compile_options(stillframe_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
    -Wcast-qual -Wundef -Wvla -fno-strict-aliasing>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-fpch-preprocess>)
# GCC 12 reports false positives from inside libstdc++ at -O2 (PR 105562, PR 105329).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(stillframe_warnings INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized -Wno-restrict -Wno-stringop-overflow
      -Wno-array-bounds -Wno-stringop-overread>)
endif()
if(STILLFRAME_SANITIZE)
  add_compile_options(-fsanitize=${STILLFRAME_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${STILLFRAME_SANITIZE})
  if(STILLFRAME_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=all -fno-sanitize=vptr)
  endif()
endif()
if(STILLFRAME_SANITIZE STREQUAL "thread")
  # ThreadSanitizer does not understand fences, which Asio puts around handlers; its queue has a mutex.
  add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
endif()
set(STILLFRAME_FUZZ_LIBRARIES "" CACHE STRING "Instrumented libdw.a and libelf.a instead of the system's")
if(STILLFRAME_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
find_package(Threads REQUIRED)
