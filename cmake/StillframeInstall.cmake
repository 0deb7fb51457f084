# Install rules, the CMake package, pkg-config and CPack.
include(CMakePackageConfigHelpers)
set(CMAKE_INSTALL_DOCDIR ${CMAKE_INSTALL_DATAROOTDIR}/doc/stillframe)

if(TARGET stillframe_agent)
  set_target_properties(stillframe_agent PROPERTIES EXPORT_NAME agent)
  install(TARGETS stillframe_agent EXPORT StillframeTargets
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  if(TARGET stillframe_archive)
    install(FILES ${CMAKE_BINARY_DIR}/lib/libstillframe.a DESTINATION ${CMAKE_INSTALL_LIBDIR})
  endif()
  install(DIRECTORY include/stillframe DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Stillframe)
  install(EXPORT StillframeTargets NAMESPACE Stillframe:: DESTINATION ${package_dir})
  set(PACKAGE_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
  configure_package_config_file(packaging/StillframeConfig.cmake.in
    ${CMAKE_BINARY_DIR}/StillframeConfig.cmake INSTALL_DESTINATION ${package_dir}
    PATH_VARS ${PACKAGE_VARS})
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/StillframeConfigVersion.cmake
    COMPATIBILITY SameMajorVersion)
  install(FILES ${CMAKE_BINARY_DIR}/StillframeConfig.cmake
          ${CMAKE_BINARY_DIR}/StillframeConfigVersion.cmake DESTINATION ${package_dir})
  # Relative to where the file lies: `cmake --install --prefix` and the package put it elsewhere.
  file(RELATIVE_PATH PREFIX_FROM_PC /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
  string(REGEX REPLACE "/$" "" PREFIX_FROM_PC "${PREFIX_FROM_PC}")
  foreach(name stillframe stillframe-static)
    configure_file(packaging/${name}.pc.in ${CMAKE_BINARY_DIR}/${name}.pc @ONLY)
    install(FILES ${CMAKE_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
  endforeach()
endif()
foreach(program stillframe stillframe-server)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()
install(FILES README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES packaging/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME stillframe)
set(CPACK_PACKAGE_VENDOR Stillframe)
set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_CURRENT_SOURCE_DIR}/packaging/contact.cmake)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "production debugger for C++ that never stops the program")
set(CPACK_PACKAGE_DESCRIPTION
"Sets tracepoints on source lines of running C++ services. The next thread
that runs the line records its stack, its local variables and its trace
context within microseconds and goes on; no thread is ever paused.
.
This package holds the agent (a library that is linked in or preloaded), its
headers, the server that collects snapshots, and the command line.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_SECTION devel)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
# The agent loads it when the first tracepoint arrives, so no dependency of its library shows it.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS libdw1)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
include(CPack)
