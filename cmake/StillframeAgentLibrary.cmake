# libstillframe.so and libstillframe.a: every room of the agent in one library that exports the
# names in stillframe.map and nothing else, and needs nothing at load time but the C library.
# Included from src/agent/.

file(GLOB stub_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/dw_stubs/*.cc
     ${CMAKE_CURRENT_SOURCE_DIR}/dw_stubs/${STILLFRAME_ARCH}.S)
add_library(stillframe_dw_stubs STATIC ${stub_sources} ${empty})
target_link_libraries(stillframe_dw_stubs PUBLIC stillframe_base PRIVATE stillframe_warnings)

set(agent_rooms stillframe_durable stillframe_decode stillframe_probe stillframe_hit_control
    stillframe_hit_path stillframe_debuginfod stillframe_symbolizer stillframe_transport
    stillframe_dw_stubs
    stillframe_model stillframe_plan stillframe_base)

add_library(stillframe_core STATIC ${core_sources})
target_compile_definitions(stillframe_core PRIVATE STILLFRAME_BUILDING_AGENT)
target_include_directories(stillframe_core PUBLIC ${CMAKE_SOURCE_DIR}/src
                           ${CMAKE_SOURCE_DIR}/include)
target_link_libraries(stillframe_core PUBLIC ${agent_rooms} Threads::Threads ${CMAKE_DL_LIBS}
                      PRIVATE stillframe_warnings)
target_precompile_headers(stillframe_core REUSE_FROM stillframe_model)

add_library(stillframe_agent SHARED ${empty})
add_library(Stillframe::agent ALIAS stillframe_agent)
set_target_properties(stillframe_agent PROPERTIES OUTPUT_NAME stillframe VERSION ${PROJECT_VERSION}
                      SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS
                      ${CMAKE_SOURCE_DIR}/cmake/stillframe.map)
target_include_directories(stillframe_agent INTERFACE
  $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
target_compile_features(stillframe_agent INTERFACE cxx_std_17)  # stillframe/trace.h
target_link_libraries(stillframe_agent PRIVATE
  -Wl,--whole-archive $<TARGET_FILE:stillframe_core> -Wl,--no-whole-archive
  stillframe_core ${agent_rooms} stillframe_private_curl ${CAPSTONE_STATIC} ${PUGIXML_STATIC}
  ${LZMA_STATIC})
target_link_options(stillframe_agent PRIVATE
  -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/stillframe.map
  -Wl,-Bsymbolic -Wl,--gc-sections -Wl,-z,nodelete -Wl,-z,relro
  -Wl,-z,pack-relative-relocs -Wl,-z,defs)
# A program that uses the agent need not refer to any of its names: linkers that drop libraries
# nobody refers to would drop it.
target_link_options(stillframe_agent INTERFACE LINKER:--no-as-needed)
if(NOT STILLFRAME_SANITIZE)
  # The host may use another C++ library, or none: ours is private.
  target_link_options(stillframe_agent PRIVATE -static-libstdc++ -static-libgcc)
else()
  target_link_options(stillframe_agent PRIVATE -Wl,-z,undefs)
endif()

# The archive: the same in one object, for programs that link the agent in. It brings its own copy of
# every library that the shared one brings, the C++ library included, and needs the C library only.
# Not under sanitizers, whose runtime has to be the program's.
if(STILLFRAME_SANITIZE)
  return()
endif()
foreach(library libstdc++.a libgcc_eh.a libgcc.a)
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=${library}
                  OUTPUT_VARIABLE path OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  list(APPEND runtime_archives ${path})
endforeach()
# GNU's, whatever the compiler: LLVM's linker and objcopy lack options that this takes.
find_program(GNU_LD ld.bfd REQUIRED)
find_program(GNU_NM nm REQUIRED)
find_program(GNU_OBJCOPY objcopy REQUIRED)
set(archive ${CMAKE_BINARY_DIR}/lib/libstillframe.a)
set(room_archives "")
foreach(room ${agent_rooms})
  list(APPEND room_archives $<TARGET_FILE:${room}>)
endforeach()
add_custom_command(OUTPUT ${archive}
  COMMAND ${CMAKE_COMMAND} -E env LD=${GNU_LD} NM=${GNU_NM} OBJCOPY=${GNU_OBJCOPY} AR=${CMAKE_AR}
          ${CMAKE_SOURCE_DIR}/cmake/merge_archive.sh ${archive}
          ${CMAKE_SOURCE_DIR}/cmake/agent_object.ld ${CMAKE_SOURCE_DIR}/cmake/stillframe.map
          --wrap=socketpair
          --whole-archive $<TARGET_FILE:stillframe_core> --no-whole-archive
          --start-group ${room_archives} --end-group
          ${CURL_STATIC} $<TARGET_FILE:stillframe_unused_backends> ${SSL_STATIC} ${CRYPTO_STATIC}
          ${ZLIB_STATIC} ${ZSTD_STATIC} ${LZMA_STATIC} ${CAPSTONE_STATIC} ${PUGIXML_STATIC} --start-group ${runtime_archives} --end-group
  DEPENDS stillframe_core ${agent_rooms} stillframe_unused_backends
          ${CMAKE_SOURCE_DIR}/cmake/merge_archive.sh ${CMAKE_SOURCE_DIR}/cmake/agent_object.ld
          ${CMAKE_SOURCE_DIR}/cmake/stillframe.map
  VERBATIM)
add_custom_target(stillframe_archive ALL DEPENDS ${archive})
add_library(stillframe_agent_static INTERFACE)
add_library(Stillframe::agent_static ALIAS stillframe_agent_static)
add_dependencies(stillframe_agent_static stillframe_archive)
target_include_directories(stillframe_agent_static INTERFACE ${CMAKE_SOURCE_DIR}/include)
target_compile_features(stillframe_agent_static INTERFACE cxx_std_17)
# The undefined symbol pulls the object in, whose constructor nothing else refers to.
target_link_options(stillframe_agent_static INTERFACE LINKER:--undefined=stillframe_version)
target_link_libraries(stillframe_agent_static INTERFACE ${archive} m Threads::Threads
                      ${CMAKE_DL_LIBS})
