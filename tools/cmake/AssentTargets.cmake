# assent_library, assent_executable, assent_test, assent_script_test: the only ways a target of ours is declared, so that
# warnings, include roots and the gRPC-free build are decided in one place.
#
#   assent_library(assent_log
#     SOURCES queued_log.cc recover.cc         # none: a header-only INTERFACE library
#     DEPENDS assent_core                      # what our headers show
#     PRIVATE_DEPENDS SQLite::SQLite3          # what only our sources use
#     [INCLUDES dir...]                        # public include roots; default: the repository root
#     [DEFINES X=1...])                        # private definitions
#
#   assent_executable(assentd SOURCES main.cc DEPENDS assent_daemon)              -> build/<preset>/bin/assentd
#
#   assent_test(log_conformance_test SOURCES ... DEPENDS assent_log
#     [LABELS integration] [TIMEOUT 120] [USES assentd...] [ARGS ...] [DEFINES ...] [SERIAL])
#       One GoogleTest binary, one ctest entry. A binary without a single test fails. USES names executables that it
#       starts: they are built first.
#
#   assent_script_test(NAME demo COMMAND ... [LABELS ...] [TIMEOUT ...] [USES ...] [SERIAL])
#       Any other program as a ctest entry. Exit code 77 means skipped.
#
# With ASSENT_GRPC=OFF a target that depends on gRPC, directly or through another target, is left out: after declaring one
# of those, say if(TARGET name) before touching it by hand.

# Test labels, from fast to slow: unit, model (Promela), contract (any participant), integration (real processes), crash, tidy (the repository's checks on
# itself).

define_property(GLOBAL PROPERTY ASSENT_LEFT_OUT BRIEF_DOCS "Targets left out" FULL_DOCS "Targets left out")

# Adds each folder that has a CMakeLists.txt, in this order.
function(assent_add_folders)
  foreach(folder IN LISTS ARGN)
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/CMakeLists.txt)
      add_subdirectory(${folder})
    endif()
  endforeach()
endfunction()

# Sets `result` to the first of `ARGN` that is not available in this build, or to nothing. Leaves a record when found, so
# that whatever depends on `name` is left out too.
function(assent_left_out result name)
  set(${result} "" PARENT_SCOPE)
  if(ASSENT_GRPC)
    return()
  endif()
  get_property(left_out GLOBAL PROPERTY ASSENT_LEFT_OUT)
  foreach(dependency IN LISTS ARGN)
    string(REPLACE "assent::" "assent_" plain "${dependency}")
    if(dependency MATCHES "^gRPC::" OR plain IN_LIST left_out)
      set_property(GLOBAL APPEND PROPERTY ASSENT_LEFT_OUT ${name})
      message(STATUS "without gRPC, left out: ${name} (needs ${dependency})")
      set(${result} ${dependency} PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

function(assent_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS;INCLUDES;DEFINES")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "assent_library(${name}): what is '${arg_UNPARSED_ARGUMENTS}'?")
  endif()
  assent_left_out(missing ${name} ${arg_DEPENDS} ${arg_PRIVATE_DEPENDS})
  if(missing)
    return()
  endif()
  set(includes)
  foreach(folder IN LISTS arg_INCLUDES)
    cmake_path(ABSOLUTE_PATH folder BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
    list(APPEND includes ${folder})
  endforeach()
  if(NOT includes)
    set(includes ${PROJECT_SOURCE_DIR})
  endif()
  if(arg_SOURCES)
    add_library(${name} STATIC ${arg_SOURCES})
    assent_apply_own_flags(${name})
    target_include_directories(${name} PUBLIC "$<BUILD_INTERFACE:${includes}>" PRIVATE ${PROJECT_SOURCE_DIR})
    target_link_libraries(${name} PUBLIC ${arg_DEPENDS} PRIVATE ${arg_PRIVATE_DEPENDS})
    target_compile_definitions(${name} PRIVATE ${arg_DEFINES})
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE "$<BUILD_INTERFACE:${includes}>")
    target_link_libraries(${name} INTERFACE ${arg_DEPENDS})
  endif()
  if(name MATCHES "^assent_(.+)$")
    add_library(assent::${CMAKE_MATCH_1} ALIAS ${name})
  endif()
endfunction()

function(assent_executable name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPENDS;DEFINES")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "assent_executable(${name}): what is '${arg_UNPARSED_ARGUMENTS}'?")
  endif()
  assent_left_out(missing ${name} ${arg_DEPENDS})
  if(missing)
    return()
  endif()
  add_executable(${name} ${arg_SOURCES})
  assent_apply_own_flags(${name})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${arg_DEPENDS})
  target_compile_definitions(${name} PRIVATE ${arg_DEFINES})
endfunction()

# What assent_test and assent_script_test share: labels, time limit, environment, exclusiveness.
function(assent_configure_test name labels timeout serial)
  if(NOT labels)
    set(labels unit)
  endif()
  if(NOT timeout)
    set(timeout 120)
  endif()
  if(ASSENT_SANITIZE)
    math(EXPR timeout "${timeout} * 5")
  endif()
  set_tests_properties(
    ${name}
    PROPERTIES LABELS "${labels}"
               TIMEOUT ${timeout}
               RUN_SERIAL ${serial}
               SKIP_RETURN_CODE 77
               ENVIRONMENT
               "ASSENT_BIN_DIR=${CMAKE_BINARY_DIR}/bin;ASSENT_SOURCE_DIR=${PROJECT_SOURCE_DIR};UBSAN_OPTIONS=print_stacktrace=1")
endfunction()

function(assent_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "SERIAL" "TIMEOUT" "SOURCES;DEPENDS;LABELS;USES;ARGS;DEFINES")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "assent_test(${name}): what is '${arg_UNPARSED_ARGUMENTS}'?")
  endif()
  if(NOT ASSENT_TESTS)
    return()
  endif()
  assent_left_out(missing ${name} ${arg_DEPENDS} ${arg_USES})
  if(missing)
    return()
  endif()
  assent_executable(${name} SOURCES ${arg_SOURCES} DEPENDS ${arg_DEPENDS} GTest::gmock GTest::gtest GTest::gtest_main DEFINES ${arg_DEFINES})
  if(arg_USES)
    add_dependencies(${name} ${arg_USES})
  endif()
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=0 --gtest_print_time=1 ${arg_ARGS})
  assent_configure_test(${name} "${arg_LABELS}" "${arg_TIMEOUT}" "${arg_SERIAL}")
  set_tests_properties(${name} PROPERTIES FAIL_REGULAR_EXPRESSION "Running 0 tests from")
endfunction()

function(assent_script_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "SERIAL" "NAME;TIMEOUT" "COMMAND;LABELS;USES")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "assent_script_test(${arg_NAME}): what is '${arg_UNPARSED_ARGUMENTS}'?")
  endif()
  if(NOT ASSENT_TESTS)
    return()
  endif()
  assent_left_out(missing ${arg_NAME} ${arg_USES})
  if(missing)
    return()
  endif()
  add_test(NAME ${arg_NAME} COMMAND ${arg_COMMAND})
  assent_configure_test(${arg_NAME} "${arg_LABELS}" "${arg_TIMEOUT}" "${arg_SERIAL}")
endfunction()
