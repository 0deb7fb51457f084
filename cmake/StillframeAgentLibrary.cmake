# libstillframe.so and libstillframe.a: every room of the agent in one library that exports the
# names in stillframe.map and nothing else, and needs nothing at load time but the C library.
# Included from src/agent/.

file(GLOB stub_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/dw_stubs/*.cc
     ${CMAKE_CURRENT_SOURCE_DIR}/dw_stubs/${STILLFRAME_ARCH}.S)
add_library(stillframe_dw_stubs STATIC ${stub_sources} ${empty})
target_link_libraries(stillframe_dw_stubs PUBLIC stillframe_base PRIVATE stillframe_warnings)

set(agent_rooms stillframe_decode stillframe_probe stillframe_hit_control
    stillframe_hit_path stillframe_symbolizer stillframe_transport stillframe_dw_stubs
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
target_link_libraries(stillframe_agent PRIVATE
  -Wl,--whole-archive $<TARGET_FILE:stillframe_core> -Wl,--no-whole-archive
  stillframe_core ${agent_rooms} stillframe_private_curl ${CAPSTONE_STATIC})
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

# The archive: all rooms in one, for programs that link the agent in. libcurl and Capstone stay
# libraries of their own there.
set(mri ${CMAKE_CURRENT_BINARY_DIR}/libstillframe.mri)
set(script "CREATE ${CMAKE_BINARY_DIR}/lib/libstillframe.a\n")
foreach(room stillframe_core ${agent_rooms})
  string(APPEND script "ADDLIB $<TARGET_FILE:${room}>\n")
endforeach()
file(GENERATE OUTPUT ${mri} CONTENT "${script}SAVE\nEND\n")
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/lib/libstillframe.a
  COMMAND ${CMAKE_COMMAND} -E rm -f ${CMAKE_BINARY_DIR}/lib/libstillframe.a
  COMMAND ${CMAKE_AR} -M < ${mri}
  DEPENDS stillframe_core ${agent_rooms} ${mri} VERBATIM)
add_custom_target(stillframe_archive ALL DEPENDS ${CMAKE_BINARY_DIR}/lib/libstillframe.a)
add_library(stillframe_agent_static INTERFACE)
add_library(Stillframe::agent_static ALIAS stillframe_agent_static)
add_dependencies(stillframe_agent_static stillframe_archive)
target_include_directories(stillframe_agent_static INTERFACE ${CMAKE_SOURCE_DIR}/include)
# The undefined symbol pulls the constructor in, which nothing else refers to.
target_link_libraries(stillframe_agent_static INTERFACE
  -Wl,--undefined=stillframe_version ${CMAKE_BINARY_DIR}/lib/libstillframe.a
  capstone curl z Threads::Threads ${CMAKE_DL_LIBS})
