# Installs the libraries with their headers as the CMake package `kiln`:
#   find_package(kiln 0.1 REQUIRED)
#   target_link_libraries(mine PRIVATE kiln::train)
# and the programs (cmake/targets.cmake, kiln_executable). tests/install consumes the package.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

get_property(kiln_libraries GLOBAL PROPERTY KILN_LIBRARIES)
# A library of this repository that was linked without kiln_library would be missing from the
# package; install(EXPORT) says so at configure time.
install(TARGETS ${kiln_libraries} EXPORT kilnTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY engine kernels models DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/kiln
  FILES_MATCHING PATTERN "*.h")

set(kiln_package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/kiln)
install(EXPORT kilnTargets NAMESPACE kiln:: DESTINATION ${kiln_package_folder})

# The packages whose imported targets our static libraries hand on to whoever links them.
set(kiln_dependencies "")
foreach(library IN LISTS kiln_libraries)
  get_target_property(links ${library} INTERFACE_LINK_LIBRARIES)
  string(REGEX MATCHALL "[A-Za-z0-9_]+::" packages "${links}")
  list(APPEND kiln_dependencies ${packages})
endforeach()
list(REMOVE_DUPLICATES kiln_dependencies)
list(TRANSFORM kiln_dependencies REPLACE "::$" "")
list(REMOVE_ITEM kiln_dependencies kiln nlohmann_json CLI11 tomlplusplus)
list(TRANSFORM kiln_dependencies REPLACE "^(.+)$" "find_dependency(\\1)" OUTPUT_VARIABLE finds)
list(JOIN finds "\n" KILN_FIND_DEPENDENCIES)
list(TRANSFORM kiln_libraries REPLACE "^kiln_" "kiln::" OUTPUT_VARIABLE KILN_TARGETS)

configure_package_config_file(cmake/kilnConfig.cmake.in ${CMAKE_BINARY_DIR}/kilnConfig.cmake
  INSTALL_DESTINATION ${kiln_package_folder})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/kilnConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/kilnConfig.cmake ${CMAKE_BINARY_DIR}/kilnConfigVersion.cmake
  DESTINATION ${kiln_package_folder})
