# Installation. The components: `sdk` (libraries, headers, CMake package, pkg-config files, the protos), `assentd`,
# `assentctl`, and `tools` (what else runs). AssentPackage.cmake makes packages of the first three.
#
#   assent_install_sdk(TARGETS assent_sdk assent_sdk_core assent_sdk_sqlite... HEADERS participant-sdk/cpp/include...)
#       those of the targets that exist in this build, in link order; assent_sdk_sqlite becomes assent::sdk_sqlite for
#       find_package(assent). What they link of ours (the generated code, the vocabulary) goes along. The content of
#       each folder of HEADERS is installed.
#
#   assent_install_programs(assentd assentctl...)
#       those of the list that exist in this build; each that has a package is a component.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

function(assent_install_sdk)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "" "TARGETS;HEADERS")
  if(NOT TARGET assent_sdk)
    return() # A build without gRPC.
  endif()

  set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/assent)
  set(targets)
  foreach(target IN LISTS arg_TARGETS ITEMS assent_sdk_headers assent_proto assent_proto_words assent_proto_tls
          assent_proto_messages assent_vocabulary)
    if(TARGET ${target})
      string(REGEX REPLACE "^assent_" "" name ${target})
      set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
      # The public headers need C++20; whoever links the package need not know that.
      target_compile_features(${target} INTERFACE cxx_std_20)
      list(APPEND targets ${target})
    endif()
  endforeach()
  set(ASSENT_WITH_SQLITE OFF)
  if(assent_sdk_sqlite IN_LIST targets)
    set(ASSENT_WITH_SQLITE ON)
  endif()
  set(ASSENT_WITH_POSTGRESQL OFF)
  if(assent_sdk_postgresql IN_LIST targets)
    set(ASSENT_WITH_POSTGRESQL ON)
  endif()
  set(ASSENT_WITH_MARIADB OFF)
  if(assent_sdk_mariadb IN_LIST targets)
    set(ASSENT_WITH_MARIADB ON)
  endif()

  install(
    TARGETS ${targets}
    EXPORT assent
    COMPONENT sdk
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT assent NAMESPACE assent:: FILE assent-targets.cmake DESTINATION ${package_dir} COMPONENT sdk)

  set(ASSENT_SDK_INSTALLED ${targets} PARENT_SCOPE)
  list(TRANSFORM arg_HEADERS PREPEND ${PROJECT_SOURCE_DIR}/ OUTPUT_VARIABLE headers)
  list(TRANSFORM headers APPEND /)
  install(
    DIRECTORY ${headers} ${PROJECT_SOURCE_DIR}/proto/vocabulary/
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    COMPONENT sdk
    FILES_MATCHING
    PATTERN "*.h"
    PATTERN "thread_safety.h" EXCLUDE) # no public header shows a lock
  install(
    DIRECTORY ${PROJECT_SOURCE_DIR}/proto/assent
    DESTINATION ${CMAKE_INSTALL_DATADIR}/assent/proto
    COMPONENT sdk
    FILES_MATCHING
    PATTERN "*.proto")

  configure_package_config_file(
    ${PROJECT_SOURCE_DIR}/tools/cmake/assent-config.cmake.in ${CMAKE_BINARY_DIR}/assent-config.cmake
    INSTALL_DESTINATION ${package_dir})
  # Before 1.0 a minor version may break its users.
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/assent-config-version.cmake COMPATIBILITY SameMinorVersion)
  install(
    FILES ${CMAKE_BINARY_DIR}/assent-config.cmake ${CMAKE_BINARY_DIR}/assent-config-version.cmake
    DESTINATION ${package_dir}
    COMPONENT sdk)

  # The .pc files find their prefix from where they lie, so the tree may be moved.
  file(RELATIVE_PATH PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  set(pcs assent)
  if(ASSENT_WITH_SQLITE)
    list(APPEND pcs assent-sqlite)
  endif()
  if(ASSENT_WITH_POSTGRESQL)
    list(APPEND pcs assent-postgresql)
  endif()
  if(ASSENT_WITH_MARIADB)
    list(APPEND pcs assent-mariadb)
  endif()
  foreach(pc IN LISTS pcs)
    configure_file(${PROJECT_SOURCE_DIR}/tools/cmake/${pc}.pc.in ${CMAKE_BINARY_DIR}/${pc}.pc @ONLY)
    install(FILES ${CMAKE_BINARY_DIR}/${pc}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT sdk)
  endforeach()
endfunction()

function(assent_install_programs)
  foreach(program IN LISTS ARGN)
    if(TARGET ${program})
      set(component tools)
      if(program MATCHES "^assent(d|ctl)$")
        set(component ${program})
      endif()
      install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT ${component})
    endif()
  endforeach()
  install(
    FILES ${PROJECT_SOURCE_DIR}/LICENSE
    DESTINATION ${CMAKE_INSTALL_DOCDIR}
    COMPONENT tools)
endfunction()
