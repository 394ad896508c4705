# Install rules and package config. The same targets are exported from the install tree and from the build tree.

include(CMakePackageConfigHelpers)
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/flowdarts")

get_property(libraries GLOBAL PROPERTY FLOWDARTS_LIBRARIES)
get_property(programs GLOBAL PROPERTY FLOWDARTS_PROGRAMS)
install(TARGETS flowdarts_settings ${libraries} EXPORT flowdarts ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(EXPORT flowdarts NAMESPACE flowdarts:: FILE flowdartsTargets.cmake DESTINATION "${package_dir}")
export(EXPORT flowdarts NAMESPACE flowdarts:: FILE "${PROJECT_BINARY_DIR}/flowdartsTargets.cmake")
if(programs)
  install(TARGETS ${programs} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()

foreach(folder spaces policies stages pipeline)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/${folder}/*.hpp")
  foreach(header IN LISTS headers)
    get_filename_component(header_dir "${header}" DIRECTORY)
    install(FILES "${PROJECT_SOURCE_DIR}/${header}" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/flowdarts/${header_dir}")
  endforeach()
endforeach()

# The config of the build tree reads its modules from the source tree, the installed one from beside itself.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/flowdartsConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
set(modules_dir "${PROJECT_SOURCE_DIR}/cmake")
configure_file("${PROJECT_SOURCE_DIR}/cmake/flowdartsConfig.cmake.in" "${PROJECT_BINARY_DIR}/flowdartsConfig.cmake" @ONLY)
set(modules_dir "\${CMAKE_CURRENT_LIST_DIR}")
configure_file("${PROJECT_SOURCE_DIR}/cmake/flowdartsConfig.cmake.in" "${PROJECT_BINARY_DIR}/install/flowdartsConfig.cmake" @ONLY)
file(GLOB modules CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/cmake/Find*.cmake" "${PROJECT_SOURCE_DIR}/cmake/FlowdartsAddSearch.cmake"
     "${PROJECT_SOURCE_DIR}/cmake/*.cpp.in")
install(FILES "${PROJECT_BINARY_DIR}/install/flowdartsConfig.cmake" "${PROJECT_BINARY_DIR}/flowdartsConfigVersion.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/FlowdartsDependencies.cmake" ${modules}
        DESTINATION "${package_dir}")
