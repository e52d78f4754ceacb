# What we take from the distribution (tools/install-deps.sh installs it). Protobuf is found in module mode: Debian ships
# no package configuration for it, and gRPC's own expects the module's targets.

find_package(Threads REQUIRED)
find_package(SQLite3 3.37 REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
# Headers alone: Asio and Beast.
find_package(Boost 1.74 REQUIRED)
find_package(CURL 7.87 REQUIRED)
# Signatures and TLS. gRPC brings the same.
find_package(OpenSSL REQUIRED COMPONENTS Crypto SSL)
find_package(absl CONFIG REQUIRED)
find_package(Protobuf 3.21 MODULE REQUIRED)
if(ASSENT_GRPC)
  find_package(gRPC CONFIG REQUIRED)
endif()
if(ASSENT_TESTS)
  find_package(GTest CONFIG REQUIRED)
endif()
find_package(benchmark CONFIG QUIET)
find_package(PkgConfig REQUIRED)
pkg_check_modules(libpq REQUIRED IMPORTED_TARGET libpq)
pkg_check_modules(libmariadb REQUIRED IMPORTED_TARGET libmariadb)
pkg_check_modules(cares REQUIRED IMPORTED_TARGET libcares)
# Its own package configuration wants what its servers and clients of HTTP need, which are not used.
pkg_check_modules(prometheus REQUIRED IMPORTED_TARGET prometheus-cpp-core)

# The daemon frees on one thread what another has allocated, tens of times per transaction: with jemalloc it needs a third
# less CPU than with the C library's allocator (docs/performance.md). Sanitizers bring an allocator of their own.
if(ASSENT_JEMALLOC AND NOT ASSENT_SANITIZE)
  pkg_check_modules(jemalloc REQUIRED IMPORTED_TARGET jemalloc)
  add_library(assent_allocator INTERFACE)
  target_link_libraries(assent_allocator INTERFACE -Wl,--no-as-needed PkgConfig::jemalloc -Wl,--as-needed)
else()
  add_library(assent_allocator INTERFACE)
endif()
