# Install rules, the CMake package, pkg-config and CPack.
include(CMakePackageConfigHelpers)

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
install(FILES README.md LICENSE CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME stillframe)
set(CPACK_PACKAGE_VENDOR Stillframe)
set(CPACK_PACKAGE_CONTACT "Stillframe maintainers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Production debugger for C++ that never stops the program")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION devel)
# Loaded when the first tracepoint arrives, so no library dependency shows it.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS libdw1)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
include(CPack)
