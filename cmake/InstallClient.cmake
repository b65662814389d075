# What an engine needs to build against the client: find_package(residency), residency::client.
include(CMakePackageConfigHelpers)
set(RESIDENCY_PACKAGE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/residency")

install(TARGETS residency_client residency_safetensors residency_proto
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT client)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/client/include/residency"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT client)

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/residencyConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/residencyConfig.cmake" INSTALL_DESTINATION "${RESIDENCY_PACKAGE_DIR}"
  PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/residencyConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_SOURCE_DIR}/client/examples/engine.cc"
  "${PROJECT_SOURCE_DIR}/client/examples/CMakeLists.txt"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/residency-dev/examples" COMPONENT client)
install(FILES "${PROJECT_BINARY_DIR}/residencyConfig.cmake"
  "${PROJECT_BINARY_DIR}/residencyConfigVersion.cmake"
  DESTINATION "${RESIDENCY_PACKAGE_DIR}" COMPONENT client)
