# Compiler, linker, warnings, sanitizers. Nothing here reaches a consumer of the installed SDK: warnings are put on our
# own targets one by one (assent_apply_own_flags), the rest is directory-wide and never exported.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

option(ASSENT_CLANG_TIDY "Run clang-tidy beside the compiler" OFF)

# Paths in __FILE__ and debug information are relative to the repository: messages are short, builds are reproducible,
# and ccache (told the same base directory, which makes it rewrite paths relative to the build folder) shares objects
# between clones.
file(RELATIVE_PATH from_build ${CMAKE_BINARY_DIR} ${PROJECT_SOURCE_DIR})
add_compile_options(-ffile-prefix-map=${PROJECT_SOURCE_DIR}/= -ffile-prefix-map=${from_build}=)

find_program(ASSENT_CCACHE ccache)
mark_as_advanced(ASSENT_CCACHE)
if(ASSENT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros
      ${ASSENT_CCACHE})
endif()

# The fastest linker at hand; the default one when there is none.
include(CheckLinkerFlag)
foreach(linker mold lld)
  check_linker_flag(CXX -fuse-ld=${linker} ASSENT_HAVE_${linker})
  if(ASSENT_HAVE_${linker})
    add_link_options(-fuse-ld=${linker})
    break()
  endif()
endforeach()
add_link_options(-Wl,--as-needed)

# The library's own assertions (an index out of bounds, an empty optional) stay on in every build, as ours do: a
# coordinator that stops is recovered from, one that writes nonsense to its log is not.
add_compile_definitions(_GLIBCXX_ASSERTIONS)

# The same for every unit, executables too: precompiled headers (AssentPch.cmake) are only good for the flags they were
# made with.
add_compile_options(-pthread)

if(ASSENT_SANITIZE)
  add_compile_options(-fsanitize=${ASSENT_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${ASSENT_SANITIZE})
endif()

if(ASSENT_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

set(ASSENT_WARNINGS
    -Wall
    -Wextra
    -Wshadow
    -Wnon-virtual-dtor
    -Woverloaded-virtual
    -Wold-style-cast
    -Wimplicit-fallthrough
    -Wundef
    -Wvla
    -Wcast-qual
    -Wswitch)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND ASSENT_WARNINGS -Wduplicated-cond -Wduplicated-branches -Wlogical-op)
  if(ASSENT_SANITIZE)
    # g++ 12 takes the sanitizer's own branches for uses of uninitialised memory.
    list(APPEND ASSENT_WARNINGS -Wno-maybe-uninitialized)
  endif()
else()
  list(APPEND ASSENT_WARNINGS -Wthread-safety) # <assent/thread_safety.h>
endif()
if(ASSENT_WERROR)
  list(APPEND ASSENT_WARNINGS -Werror)
endif()

function(assent_apply_own_flags target)
  target_compile_options(${target} PRIVATE ${ASSENT_WARNINGS} $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-fPIC>)
  set_property(GLOBAL APPEND PROPERTY ASSENT_OWN_TARGETS ${target})
  if(ASSENT_CLANG_TIDY)
    find_program(ASSENT_CLANG_TIDY_PROGRAM clang-tidy REQUIRED)
    set_target_properties(${target} PROPERTIES CXX_CLANG_TIDY "${ASSENT_CLANG_TIDY_PROGRAM};--quiet")
  endif()
endfunction()
